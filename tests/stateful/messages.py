"""Messages that get lost, come twice or late, and calls nobody answers."""

from __future__ import annotations

import copy

import oslo_messaging

from livemig import rpc_inproc

#: Real seconds after which something that should have happened has not.
PATIENCE_S = 20.0


def never_wait_for_the_absent(bus: rpc_inproc.Bus) -> None:
    """A call to a server that is not there times out at once: minutes of
    silence, without the minutes."""
    send = bus.send

    def time_out(timeout: float | None, monitor: float | None) -> None:
        raise oslo_messaging.MessagingTimeout('nobody is there')

    def send_or_time_out(message: rpc_inproc.Message) -> None:
        there = bus._at(message.address)
        send(message)
        called = message._gone_at is not None
        if called and not there and message.reply is not None:
            message._gone_at = 0.0
            message.reply.wait = time_out

    bus.send = send_or_time_out


class Post:
    """What becomes of messages that nobody waits for.

    Put between the senders and the bus. Who sends waits until what he sent
    has been done, so that an example does the same each time.
    """

    def __init__(self, bus: rpc_inproc.Bus) -> None:
        self._deliver = bus.send
        #: Of the next messages, one each: ``lost``, ``doubled``, ``late``.
        self.fates: list[str] = []
        self._late: list[rpc_inproc.Message] = []
        bus.send = self.send

    def send(self, message: rpc_inproc.Message) -> None:
        is_cast = message.reply is not None and message._gone_at is None
        fate = self.fates.pop() if is_cast and self.fates else ''
        if fate in ('', 'doubled'):
            self._deliver(message)
        else:
            message.drop()
        if fate == 'doubled':
            self._deliver_and_wait(message)
        elif fate == 'late':
            self._late.append(message)

    def deliver_late(self) -> None:
        """All that was held back comes now, the newest first."""
        while self._late:
            self._deliver_and_wait(self._late.pop())

    def _deliver_and_wait(self, message: rpc_inproc.Message) -> None:
        again = copy.copy(message)
        again.reply = rpc_inproc.Reply()
        self._deliver(again)
        again.reply.wait(PATIENCE_S, None)
