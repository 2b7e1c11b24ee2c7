"""Notifications on their way out: whoever emits one never waits.

They go through a bounded queue to one thread. While the broker is away
that thread waits (``[oslo_messaging_notifications] retry``); when the
queue is full, new ones are dropped and the log says how many.
"""

from __future__ import annotations

import collections
from typing import Any

import oslo_messaging
from oslo_config import cfg
from oslo_log import log as logging
from oslo_serialization import jsonutils

from livemig import concurrency, context, exception

LOG = logging.getLogger(__name__)

#: (versioned, publisher, context, priority, event type, payload as JSON)
Item = tuple[bool, str, context.RequestContext, str, str, str]


#: What an URL that leads to no transport is answered with.
TRANSPORT_ERRORS = (
    oslo_messaging.InvalidTransportURL,
    oslo_messaging.DriverLoadFailure,
    ValueError,
)


def why_no_transport(error: Exception) -> str:
    """What may be told of one of these: an URL has a password in it."""
    if isinstance(error, oslo_messaging.DriverLoadFailure):
        return str(error)
    # "invalid literal for int(): ..." names what stood behind the first
    # colon, which is a password with a slash in it.
    return 'not a URL; in a password / ? # [ ] @ : % must be %-encoded'


class ContextsOut(oslo_messaging.NoOpSerializer):  # type: ignore[misc]
    """Contexts as the dictionaries that are sent."""

    def serialize_context(
        self, ctxt: context.RequestContext | dict[str, Any]
    ) -> dict[str, Any]:
        return ctxt if isinstance(ctxt, dict) else ctxt.to_dict()


class Outbox:
    """The queue of one process' service and the thread behind it."""

    def __init__(self, conf: cfg.ConfigOpts, url: str | None) -> None:
        """:raises ConfigurationError: no such transport."""
        try:
            transport = oslo_messaging.get_notification_transport(
                conf, conf.oslo_messaging_notifications.transport_url or url
            )
        except TRANSPORT_ERRORS as error:
            raise exception.ConfigurationError(
                option='[oslo_messaging_notifications] transport_url',
                reason=why_no_transport(error),
            ) from None
        self._transport = transport
        serializer = ContextsOut()
        self._notifiers = {
            False: oslo_messaging.Notifier(transport, serializer=serializer),
            True: oslo_messaging.Notifier(
                transport,
                serializer=serializer,
                topics=conf.notifications.versioned_notifications_topics,
            ),
        }
        self._enabled = bool(conf.oslo_messaging_notifications.driver)
        self._length: int = conf.notifications.queue_length
        #: A queue.Queue would do, but eventlet's has no wait with a limit
        #: for all of it to be done.
        self._changed = concurrency.Condition()
        self._waiting: collections.deque[Item] = collections.deque()
        self._sending = False
        self._closed = False
        self._dropped = 0
        self._thread: concurrency.Handle | None = None

    def emitter(self, publisher_id: str, versioned: bool) -> Emitter:
        return Emitter(self, publisher_id, versioned)

    def put(self, item: Item) -> None:
        if not self._enabled:
            return
        with self._changed:
            if len(self._waiting) >= self._length:
                self._dropped += 1
                first, dropped = self._dropped == 1, 0
            else:
                first, dropped, self._dropped = False, self._dropped, 0
                self._waiting.append(item)
                self._changed.notify_all()
            if self._thread is None:
                self._thread = concurrency.spawn(
                    self._run, name='notifications'
                )
        if first:
            LOG.warning(
                'Notification %s is dropped, and so are further ones: %d '
                'wait to be sent already.',
                item[4],
                self._length,
            )
        if dropped:
            LOG.warning('%d notifications were dropped.', dropped)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._sending = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                item = self._waiting.popleft()
                self._sending = True
            try:
                self._send(item)
            except Exception:
                LOG.exception('A notification was not sent.')

    def _send(self, item: Item) -> None:
        versioned, publisher_id, ctxt, priority, event_type, payload = item
        notifier = self._notifiers[versioned].prepare(
            publisher_id=publisher_id
        )
        send = getattr(notifier, priority.lower())
        send(ctxt, event_type, jsonutils.loads(payload))

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was put so far is sent; True if it is."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._waiting and not self._sending, timeout_s
            )

    def close(self, timeout_s: float) -> None:
        """Send what is there, if that is possible in time, and end."""
        if not self.flush(timeout_s):
            with self._changed:
                lost = len(self._waiting)
                self._waiting.clear()
            LOG.warning('%d notifications were not sent at the end.', lost)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        concurrency.run_all([self._transport.cleanup], timeout_s)


class Emitter:
    """What a service holds: its publisher's name is in each."""

    def __init__(
        self, outbox: Outbox, publisher_id: str, versioned: bool
    ) -> None:
        self._outbox = outbox
        self._publisher_id = publisher_id
        self._versioned = versioned

    def emit(
        self,
        ctxt: context.RequestContext,
        priority: str,
        event_type: str,
        payload: dict[str, Any],
    ) -> None:
        """Have it sent; never waits.

        :param priority: ``info``, ``error`` ...
        :param payload: JSON; copied at once.
        """
        self._outbox.put(
            (
                self._versioned,
                self._publisher_id,
                ctxt,
                priority,
                event_type,
                jsonutils.dumps(payload),
            )
        )

    def flush(self, timeout_s: float = 10.0) -> bool:
        """For tests: wait until all is sent."""
        return self._outbox.flush(timeout_s)
