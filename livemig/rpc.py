"""The messages' way: every send bounded, every error one of ours.

Neither ``timeout`` nor ``retry`` of oslo.messaging bounds a send while the
broker is away (measured with RabbitMQ 3.10: a call with a timeout of 10 s
took 43 s; one without a connection never came back). So all that may hang
runs in a thread of a pool, and the caller waits for that only as long as
he is willing to. What was given up may still be delivered later: receivers
look at the record before they act.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import oslo_messaging
from oslo_config import cfg
from oslo_log import log as logging
from oslo_messaging import opts as messaging_opts
from oslo_messaging.rpc import dispatcher, server

from livemig import concurrency, context, exception, rpc_notifier
from livemig.conf import rpc as rpc_conf

LOG = logging.getLogger(__name__)

T = TypeVar('T')

#: Groups that oslo.messaging registers on the global CONF only and that
#: its list_opts() leaves out; without them the first call fails.
_UNLISTED = ('metrics', 'tracing')

#: Attempts after the first one: about 7 s while the broker is down.
RETRIES = 2
#: Between two attempts to begin listening, if one fails at once.
LISTEN_AGAIN_S = 5.0

_PING = oslo_messaging.Target(namespace='livemig.ping', version='1.0')


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register oslo.messaging's options on ``conf``, with our defaults.

    Repeating is harmless.
    """
    for group, opts in messaging_opts.list_opts():
        conf.register_opts(list(opts), group)
    for name in _UNLISTED:
        module = importlib.import_module(f'oslo_messaging._{name}.client')
        group = f'oslo_messaging_{name}'
        conf.register_opts(getattr(module, group), group)
    for (where, name), value in rpc_conf.MESSAGING_DEFAULTS.items():
        conf.set_default(name, value, where)


class Serializer(rpc_notifier.ContextsOut):
    """Contexts as dictionaries; at the far end with that side's store."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    def deserialize_context(
        self, ctxt: dict[str, Any]
    ) -> context.RequestContext:
        made = context.RequestContext.from_dict(ctxt)
        if self._rpc.store is not None:
            made.store = self._rpc.store
        # The log lines of this thread carry its request id from here on.
        made.update_store()
        return made


class _Dispatcher(dispatcher.RPCDispatcher):  # type: ignore[misc]
    """Lets only domain errors out: the caller can always build them."""

    def dispatch(self, incoming: Any) -> Any:
        method = incoming.message.get('method')
        try:
            return super().dispatch(incoming)
        except exception.LivemigError as error:
            LOG.info('%s ends with: %s', method, error.message)
            raise dispatcher.ExpectedException() from error
        except (dispatcher.NoSuchMethod, dispatcher.UnsupportedVersion):
            raise
        except Exception as error:
            LOG.exception('%s failed by an error nobody expected.', method)
            text = f'{type(error).__name__}: {error}'
        try:
            raise exception.LivemigError(text)
        except exception.LivemigError as error:
            raise dispatcher.ExpectedException() from error


class _Ping:
    """Answers whether somebody is there, at every server."""

    target = _PING

    def ping(self, ctxt: context.RequestContext) -> str:
        return 'pong'


def _ours(error: exception.LivemigError) -> exception.LivemigError:
    """An error that came over the bus, as its own class, text clean."""
    kinds: Iterator[type[exception.LivemigError]] = (
        kind
        for kind in type(error).__mro__
        if kind.__module__ == exception.__name__
    )
    return next(kinds)(error.message, **error.kwargs)


class Client:
    """Sends to the servers of one topic."""

    def __init__(self, rpc: Rpc, topic: str, version_cap: str | None) -> None:
        self._rpc = rpc
        self._topic = topic
        self._cap = version_cap
        self._client = oslo_messaging.get_rpc_client(
            rpc.transport,
            oslo_messaging.Target(topic=topic, version='1.0'),
            serializer=Serializer(rpc),
            version_cap=version_cap,
            retry=RETRIES,
        )
        self._ping_client = oslo_messaging.get_rpc_client(
            rpc.transport,
            oslo_messaging.Target(
                topic=topic, namespace=_PING.namespace, version=_PING.version
            ),
            serializer=Serializer(rpc),
            retry=RETRIES,
        )

    def can_send(self, version: str) -> bool:
        """Does the version cap let a message of that version pass?"""
        return bool(self._client.can_send_version(version))

    def call(
        self,
        ctxt: context.RequestContext,
        method: str,
        *,
        server: str | None = None,
        version: str = '1.0',
        timeout_s: float | None = None,
        monitor_s: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Have it done and wait for the result.

        :param server: its name; None: any server of the topic.
        :param timeout_s: upper bound; None: ``rpc_response_timeout``.
        :param monitor_s: for long calls: the far end must show every so
            many seconds (at least 2) that it is alive. Whether it is
            there at all is then asked first.
        :raises BrokerUnreachable:
        :raises ReplyTimeout: it may have been done all the same.
        :raises RpcVersionTooOld:
        :raises LivemigError: whatever the far end raised.
        """
        if timeout_s is None:
            timeout_s = float(self._rpc.conf.rpc_response_timeout)
        if monitor_s is not None and not self._rpc.direct:
            self.ping(ctxt, server=server)
        prepared = self._client.prepare(
            server=server,
            version=version,
            timeout=timeout_s,
            call_monitor_timeout=monitor_s,
        )

        def send() -> Any:
            return prepared.call(ctxt, method, **kwargs)

        return self._send(
            send, self._rpc.calls, method, server, version, timeout_s
        )

    def cast(
        self,
        ctxt: context.RequestContext,
        method: str,
        *,
        server: str | None = None,
        version: str = '1.0',
        **kwargs: Any,
    ) -> None:
        """Tell it; whether and when it is done is not known here.

        :raises BrokerUnreachable: it may be delivered later all the same.
        :raises RpcVersionTooOld:
        """
        prepared = self._client.prepare(server=server, version=version)

        def send() -> None:
            prepared.cast(ctxt, method, **kwargs)

        self._send(send, self._rpc.casts, method, server, version, 0.0)

    def ping(
        self,
        ctxt: context.RequestContext,
        *,
        server: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Ask whether the server (or any of the topic) answers.

        :raises BrokerUnreachable:
        :raises ReplyTimeout:
        """
        limit_s = timeout_s or self._rpc.send_limit_s
        prepared = self._ping_client.prepare(server=server, timeout=limit_s)

        def send() -> None:
            prepared.call(ctxt, 'ping')

        self._send(send, self._rpc.calls, 'ping', server, '1.0', limit_s)

    def _send(
        self,
        send: Callable[[], T],
        pool: concurrency.Pool,
        method: str,
        server: str | None,
        version: str,
        timeout_s: float,
    ) -> T:
        """Run it, bounded; turn what it raises into domain errors."""
        host = server or self._topic
        began_s = time.monotonic()
        try:
            return self._rpc.bounded(send, pool, timeout_s)
        except exception.LivemigError as error:
            raise _ours(error) from error
        except oslo_messaging.MessagingTimeout as error:
            # Less than timeout_s where the far end fell silent.
            waited_s = time.monotonic() - began_s
            raise exception.ReplyTimeout(
                host=host, method=method, limit_s=f'{waited_s:.0f}'
            ) from error
        except oslo_messaging.RPCVersionCapError as error:
            raise exception.RpcVersionTooOld(
                host=host, action=method, have=self._cap, needed=version
            ) from error
        except oslo_messaging.RemoteError as error:
            if error.exc_type == 'UnsupportedVersion':
                raise exception.RpcVersionTooOld(
                    host=host, action=method, have='older', needed=version
                ) from error
            raise exception.LivemigError(
                f'{error.exc_type}: {error.value}'
            ) from error
        except (TypeError, ValueError):
            # What was to be sent is no JSON: our own mistake.
            raise
        except Exception as error:
            # oslo.messaging lets kombu's, amqp's and the socket's errors
            # through; what the far end raised is none of these.
            LOG.warning(
                'Message %s to %s was not sent: %s: %s',
                method,
                host,
                type(error).__name__,
                error,
            )
            raise exception.BrokerUnreachable(
                limit_s=f'{self._rpc.send_limit_s:g}'
            ) from error


class Endpoint:
    """The messages of a manager, and nothing else of it, for a server.

    :param messages: names of the methods that may be called from outside.
    """

    def __init__(
        self, manager: Any, messages: Iterable[str], version: str
    ) -> None:
        self.RPC_VERSION = version
        for name in messages:
            setattr(self, name, getattr(manager, name))


class Server:
    """Receives for one topic and server name."""

    def __init__(
        self, rpc: Rpc, topic: str, server: str, endpoints: Sequence[Any]
    ) -> None:
        self.name = f'{topic}.{server}'
        self._rpc = rpc
        self._target = oslo_messaging.Target(topic=topic, server=server)
        self._endpoints = [*endpoints, _Ping()]
        for endpoint in endpoints:
            version = getattr(endpoint, 'RPC_VERSION', None)
            if version is not None:
                endpoint.target = oslo_messaging.Target(version=version)
        self._stopping = concurrency.Event()
        self._ready = concurrency.Event()
        self._server: Any = None
        self._starter: concurrency.Handle | None = None

    @property
    def ready(self) -> bool:
        """It listens; while the broker is away at the start it does not."""
        return self._ready.is_set()

    def wait_ready(self, timeout: float | None = None) -> bool:
        return self._ready.wait(timeout)

    def start(self) -> None:
        """Begin to listen, in a thread: this waits for the broker."""
        self._starter = concurrency.spawn(
            self._start, name=f'start {self.name}'
        )

    def _start(self) -> None:
        while not self._stopping.is_set():
            made = server.RPCServer(
                self._rpc.transport,
                self._target,
                _Dispatcher(list(self._endpoints), Serializer(self._rpc)),
            )
            try:
                made.start()
            except Exception as error:
                LOG.warning(
                    '%s cannot listen yet: %s: %s',
                    self.name,
                    type(error).__name__,
                    error,
                )
                self._stopping.wait(LISTEN_AGAIN_S)
                continue
            self._server = made
            self._ready.set()
            LOG.info('%s listens.', self.name)
            return

    def stop(self) -> None:
        """Take no more, and wait for what was begun (without a limit).

        One that still waits for the broker is left alone.
        """
        self._stopping.set()
        self._ready.clear()
        if self._starter is not None and not self._starter.join(0.1):
            return
        if self._server is not None:
            self._server.stop()
            self._server.wait()
            self._server = None


def stop_all(servers: Iterable[Server], timeout: float | None = None) -> bool:
    """Stop them at the same time (each takes up to a second when idle).

    :param timeout: seconds; None: no limit.
    :return: whether all have ended.
    """
    return concurrency.run_all([one.stop for one in servers], timeout)


class Rpc:
    """One service's way to the others.

    :ivar store: what the contexts of received messages have as store; may
        be set after the fact.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        store: Any = None,
        url: str | None = None,
    ) -> None:
        """
        :param url: instead of ``transport_url``.
        :raises ConfigurationError: no such transport.
        """
        register_opts(conf)
        self.conf = conf
        self.store = store
        self._url = url
        try:
            self.transport = oslo_messaging.get_rpc_transport(
                conf, url, allowed_remote_exmods=[exception.__name__]
            )
            parsed = oslo_messaging.TransportURL.parse(conf, url)
        except rpc_notifier.TRANSPORT_ERRORS as error:
            raise exception.ConfigurationError(
                option='transport_url',
                reason=rpc_notifier.why_no_transport(error),
            ) from None
        #: The in-process bus never hangs: what is sent over it needs no
        #: thread, and an inline cast may take as long as it takes.
        self.direct = parsed.transport == 'inproc'
        self.send_limit_s: float = conf.rpc.send_limit
        self.casts = concurrency.Pool(conf.rpc.send_threads, 'rpc-cast')
        self.calls = concurrency.Pool(conf.rpc.call_threads, 'rpc-call')
        self._outbox: rpc_notifier.Outbox | None = None
        self._lock = concurrency.Lock()

    def client(self, topic: str, version_cap: str | None = None) -> Client:
        """:param version_cap: None: as ``[upgrade_levels]`` says."""
        if version_cap is None and topic in self.conf.upgrade_levels:
            version_cap = self.conf.upgrade_levels[topic]
        return Client(self, topic, version_cap)

    def server(
        self, topic: str, server: str, endpoints: Sequence[Any]
    ) -> Server:
        """:param endpoints: objects whose public methods take a context
        and keyword arguments; ``RPC_VERSION`` of one (default 1.0) is the
        highest version it understands."""
        return Server(self, topic, server, endpoints)

    def notifier(
        self, publisher_id: str, versioned: bool = False
    ) -> rpc_notifier.Emitter:
        """Where notifications are put; see ``rpc_notifier``."""
        with self._lock:
            if self._outbox is None:
                self._outbox = rpc_notifier.Outbox(self.conf, self._url)
        return self._outbox.emitter(publisher_id, versioned)

    def bounded(
        self, send: Callable[[], T], pool: concurrency.Pool, timeout_s: float
    ) -> T:
        """``send()``, which may take ``timeout_s`` beyond the sending.

        :raises BrokerUnreachable: the time is over.
        """
        if self.direct:
            return send()
        future = pool.submit(send)
        try:
            return future.result(self.send_limit_s + timeout_s)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise exception.BrokerUnreachable(
                limit_s=f'{self.send_limit_s:g}'
            ) from None

    def close(self, timeout_s: float = 5.0) -> None:
        """Let go of the transport; to be called when servers have stopped."""
        if self._outbox is not None:
            self._outbox.close(timeout_s)
        concurrency.run_all([self.transport.cleanup], timeout_s)
