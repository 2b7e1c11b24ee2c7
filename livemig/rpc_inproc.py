"""An oslo.messaging driver for services that share one process.

``inproc://NAME/`` is the bus of that name; transports with different names
never meet. Messages and replies are JSON text on their way, so whoever
works over this driver works over RabbitMQ: nobody receives the sender's own
objects, and errors are built anew from their arguments. Nothing polls.

As with RabbitMQ's lasting queues, a message for a server that has been
there and is gone is kept and delivered when the server comes back, late as
it may be (a call only until its caller has given up); a message for one
that never was is lost without a word.

``inproc://NAME/?inline=1`` lets a cast return when its method has ended:
tests then need no waiting, and the order of things is exact.
"""

from __future__ import annotations

import collections
import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

import oslo_messaging
from oslo_messaging._drivers import base, common
from oslo_serialization import jsonutils

from livemig import concurrency

#: Messages kept for a server that is gone; the oldest go first.
KEPT = 1000

#: (exchange, topic, server or None)
Address = tuple[str | None, str, str | None]


class Reply:
    """Where a sender waits for what becomes of its message."""

    def __init__(self) -> None:
        self._changed = concurrency.Condition()
        self._text: str | None = None
        self._failure: str | None = None
        self._ended = False
        self._beaten = False

    def end(self, text: str | None, failure: str | None) -> None:
        with self._changed:
            self._text, self._failure = text, failure
            self._ended = True
            self._changed.notify_all()

    def beat(self) -> None:
        """The method is still at work."""
        with self._changed:
            self._beaten = True
            self._changed.notify_all()

    def _stirs(self) -> bool:
        return self._ended or self._beaten

    def wait(
        self, timeout: float | None, monitor: float | None
    ) -> tuple[str | None, str | None]:
        """(reply, failure), both JSON.

        :raises MessagingTimeout: none within ``timeout`` seconds, or no
            sign of life for ``monitor`` seconds.
        """
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._ended:
                left = None if end is None else end - time.monotonic()
                if monitor is not None:
                    left = monitor if left is None else min(left, monitor)
                self._beaten = False
                if not self._changed.wait_for(self._stirs, left):
                    raise oslo_messaging.MessagingTimeout(
                        'No reply within the time allowed'
                    )
            return self._text, self._failure


class Message:
    """One message on its way."""

    def __init__(
        self,
        address: Address,
        ctxt: dict[str, Any],
        body: dict[str, Any],
        reply: Reply | None = None,
        timeout: float | None = None,
        monitor: float | None = None,
    ) -> None:
        self.address = address
        self.text = jsonutils.dumps({'ctxt': ctxt, 'body': body})
        self.reply = reply
        self.monitor = monitor
        self._gone_at = None if timeout is None else time.monotonic() + timeout

    @property
    def expired(self) -> bool:
        """Its caller waits no longer."""
        return self._gone_at is not None and time.monotonic() > self._gone_at

    def drop(self) -> None:
        if self.reply is not None and self._gone_at is None:
            # An inline cast: its sender shall not wait for nobody.
            self.reply.end(None, None)


class Incoming(base.RpcIncomingMessage):  # type: ignore[misc]
    """A message as the server sees it."""

    def __init__(self, message: Message) -> None:
        content = jsonutils.loads(message.text)
        super().__init__(content['ctxt'], content['body'])
        self._message = message
        self.client_timeout = message.monitor

    def reply(self, reply: Any = None, failure: Any = None) -> None:
        waiting = self._message.reply
        if waiting is None:
            return
        if failure is not None:
            waiting.end(None, common.serialize_remote_exception(failure))
        else:
            waiting.end(jsonutils.dumps(reply), None)

    def heartbeat(self) -> None:
        if self._message.reply is not None:
            self._message.reply.beat()

    def requeue(self) -> None:
        raise NotImplementedError('inproc messages are taken once')


class Listener(base.Listener):  # type: ignore[misc]
    """What one server has to do, handed over by a thread of its own.

    Each has its own condition and flag: a stop token in a queue that
    several share would be passed round for ever between green threads.
    """

    def __init__(self, bus: Bus, addresses: Iterable[Address]) -> None:
        super().__init__(1, None)
        self.addresses = tuple(addresses)
        self._bus = bus
        self._changed = concurrency.Condition()
        self._messages: collections.deque[Message] = collections.deque()
        self._stopped = False
        self._thread: concurrency.Handle | None = None

    def start(self, on_incoming_callback: Callable[[Any], None]) -> None:
        super().start(on_incoming_callback)
        self._thread = concurrency.spawn(
            self._run, on_incoming_callback, name='inproc-listener'
        )
        self._bus.add(self)

    def put(self, message: Message) -> None:
        with self._changed:
            self._messages.append(message)
            self._changed.notify()

    def _run(self, callback: Callable[[Any], None]) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._messages or self._stopped)
                if self._stopped:
                    return
                message = self._messages.popleft()
            if not message.expired:
                callback([Incoming(message)])

    def stop(self) -> None:
        self._bus.remove(self)
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        # Nobody puts any more: hand back what was not begun.
        while self._messages:
            self._bus.send(self._messages.popleft())
        super().stop()

    def cleanup(self) -> None:
        """Nothing is held beyond ``stop``."""


class Bus:
    """Who listens where, and what waits for those that are gone."""

    def __init__(self) -> None:
        self._lock = concurrency.Lock()
        self._listeners: list[Listener] = []
        #: Only for addresses at which somebody has listened once.
        self._kept: dict[Address, collections.deque[Message]] = {}
        self._turn = itertools.count()
        #: Drivers that use it.
        self.users = 0
        #: For tests: False is a broker that cannot be reached.
        self.reachable = True

    def add(self, listener: Listener) -> None:
        with self._lock:
            self._listeners.append(listener)
            kept = [
                message
                for address in listener.addresses
                for message in self._kept.pop(address, ())
            ]
            for address in listener.addresses:
                self._kept[address] = collections.deque(maxlen=KEPT)
            for message in kept:
                listener.put(message)

    def remove(self, listener: Listener) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def send(self, message: Message) -> None:
        """To one of those who listen at the address."""
        with self._lock:
            there = self._at(message.address)
            if there:
                there[next(self._turn) % len(there)].put(message)
                return
            kept = self._kept.get(message.address)
            if kept is not None:
                kept.append(message)
        message.drop()

    def fan_out(self, message: Message) -> None:
        """To all who listen to the topic just now."""
        with self._lock:
            for listener in self._at(message.address):
                listener.put(message)

    def _at(self, address: Address) -> list[Listener]:
        return [one for one in self._listeners if address in one.addresses]


_buses: dict[str, Bus] = {}
_buses_lock = concurrency.Lock()


def bus(name: str) -> Bus:
    """The bus of that name; tests may make it unreachable."""
    with _buses_lock:
        return _buses.setdefault(name, Bus())


class Driver(base.BaseDriver):  # type: ignore[misc]
    """The entry point ``inproc`` of ``oslo.messaging.drivers``."""

    def __init__(
        self,
        conf: Any,
        url: Any,
        default_exchange: str | None = None,
        allowed_remote_exmods: list[str] | None = None,
    ) -> None:
        super().__init__(conf, url, default_exchange, allowed_remote_exmods)
        self._name = (url.hosts[0].hostname if url.hosts else '') or ''
        self._inline = url.query.get('inline', '0') not in ('0', 'false')
        self._bus = bus(self._name)
        with _buses_lock:
            self._bus.users += 1
        self._open = True

    def _address(self, target: Any, server: str | None) -> Address:
        exchange = target.exchange or self._default_exchange
        return exchange, target.topic, server

    def _check_reachable(self) -> None:
        if not self._bus.reachable:
            raise oslo_messaging.MessageDeliveryFailure(
                'The in-process bus is unreachable'
            )

    def send(
        self,
        target: Any,
        ctxt: dict[str, Any],
        message: dict[str, Any],
        wait_for_reply: bool | None = None,
        timeout: float | None = None,
        call_monitor_timeout: float | None = None,
        retry: int | None = None,
        transport_options: Any = None,
    ) -> Any:
        self._check_reachable()
        if target.fanout:
            self._bus.fan_out(
                Message(self._address(target, None), ctxt, message)
            )
            return None
        waits = wait_for_reply or self._inline
        reply = Reply() if waits else None
        self._bus.send(
            Message(
                self._address(target, target.server),
                ctxt,
                message,
                reply,
                timeout if wait_for_reply else None,
                call_monitor_timeout,
            )
        )
        if reply is None:
            return None
        if not wait_for_reply:
            reply.wait(None, None)
            return None
        text, failure = reply.wait(timeout, call_monitor_timeout)
        if failure is not None:
            raise common.deserialize_remote_exception(
                failure, self._allowed_remote_exmods
            )
        return jsonutils.loads(text or 'null')

    def send_notification(
        self,
        target: Any,
        ctxt: dict[str, Any],
        message: dict[str, Any],
        version: float,
        retry: int | None = None,
    ) -> None:
        self._check_reachable()
        self._bus.send(Message(self._address(target, None), ctxt, message))

    def listen(
        self, target: Any, batch_size: int, batch_timeout: float | None
    ) -> Listener:
        return Listener(
            self._bus,
            (
                self._address(target, target.server),
                self._address(target, None),
            ),
        )

    def listen_for_notifications(
        self,
        targets_and_priorities: Iterable[tuple[Any, str]],
        pool: str | None,
        batch_size: int,
        batch_timeout: float | None,
    ) -> Listener:
        if pool:
            raise NotImplementedError('inproc knows no listener pools')
        return Listener(
            self._bus,
            (
                (
                    target.exchange or self._default_exchange,
                    f'{target.topic}.{priority}',
                    None,
                )
                for target, priority in targets_and_priorities
            ),
        )

    def cleanup(self) -> None:
        with _buses_lock:
            if not self._open:
                return
            self._open = False
            self._bus.users -= 1
            if not self._bus.users and _buses.get(self._name) is self._bus:
                del _buses[self._name]
