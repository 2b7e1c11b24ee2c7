"""Makes a TCP link fail on purpose: no privileges, only loopback.

Put a Proxy between two programs and freeze, slow down, reset or black-hole
what goes through it. For QEMU's migration stream: let the destination
listen on 127.0.0.2 (listen_address, or the lab's migration_address) and hand
out the proxy's address as migrate_uri.
"""

import collections
import contextlib
import os
import queue
import select
import socket
import struct
import threading
import time
from collections.abc import Callable

Address = tuple[str, int]

_BUFFER = 256 << 10  # bytes on their way, each direction of a connection
_BURST_S = 0.05  # a throttled link gets its share in steps of this
_RESET = struct.pack('ii', 1, 0)  # SO_LINGER: closing sends RST
_HANGS_S = 0.2  # a connection over loopback takes well under 1 ms


class Proxy:
    """A listener whose connections are carried on to a target.

    Each method takes effect before it returns; any thread may call it.
    """

    def __init__(
        self,
        listen: Address,
        target: Address,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        """Start forwarding. Port 0 takes any free port. Raises OSError.

        answered: called, in the proxy's thread, when the target has said
        something and before the other side can know.
        """
        self.target = target
        self._answered = answered
        self._listener = _listener(listen, backlog=64)
        self.address: Address = self._listener.getsockname()
        self.forwarded_bytes = 0
        self._links: list[_Link] = []
        self._fillers: list[socket.socket] = []
        self._frozen = False
        self._rate: float | None = None
        self._allowance = 0.0
        self._refilled_at = time.monotonic()
        self._closed = False
        self._orders: queue.SimpleQueue[Callable[[], None]] = (
            queue.SimpleQueue()
        )
        self._wake_read, self._wake_write = os.pipe2(
            os.O_NONBLOCK | os.O_CLOEXEC
        )
        self._thread = threading.Thread(
            target=self._run, name=f'proxy-{self.address[1]}', daemon=True
        )
        self._thread.start()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._links)

    def freeze(self) -> None:
        """Carry nothing any more; connections stay, new ones hang idle.

        As a cable pulled out: nothing is lost, thaw() goes on.
        """
        self._order(self._do_freeze)

    def hold(self) -> None:
        """Freeze the connections that there are; new ones are carried."""
        self._order(self._do_hold)

    def thaw(self) -> None:
        """Carry everything again, after freeze(), hold() or
        black_hole()."""
        self._order(self._do_thaw)

    def black_hole(self) -> None:
        """Carry nothing, and let new connections hang in connect().

        As a firewall that drops packets.
        """
        self._order(self._do_black_hole)

    def reset(self) -> None:
        """End all connections on both sides with RST; accept new ones."""
        self._order(self._do_reset)

    def throttle(self, bytes_per_s: float | None) -> None:
        """Limit what all connections carry together; None: no limit."""

        def do() -> None:
            self._rate = bytes_per_s
            self._allowance = 0.0
            self._refilled_at = time.monotonic()

        self._order(do)

    def close(self) -> None:
        """End the proxy; its connections see RST."""
        if self._closed:
            return
        self._order(self._do_close)
        self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    # --- orders, carried out in the proxy's own thread ---

    def _order(self, do: Callable[[], None]) -> None:
        if self._closed:
            raise ValueError('the proxy is closed')
        done = threading.Event()

        def order() -> None:
            try:
                do()
            finally:
                done.set()

        self._orders.put(order)
        os.write(self._wake_write, b'x')
        done.wait()

    def _do_freeze(self) -> None:
        self._frozen = True

    def _do_hold(self) -> None:
        for link in self._links:
            link.held = True

    def _do_black_hole(self) -> None:
        self._frozen = True
        if not self._fillers:
            self._listener.listen(0)
            self._fillers = _fill(self.address)

    def _do_thaw(self) -> None:
        self._frozen = False
        for link in self._links:
            link.held = False
        for filler in self._fillers:
            filler.close()
        self._fillers = []
        self._listener.listen(64)

    def _do_reset(self) -> None:
        for link in self._links:
            link.reset()
        self._links.clear()

    def _do_close(self) -> None:
        self._do_thaw()
        self._do_reset()
        self._listener.close()
        self._closed = True

    # --- forwarding ---

    def _run(self) -> None:
        while not self._closed:
            waiting, watched = self._watched()
            ready = waiting.poll(self._timeout_ms())
            self._refill()
            for number, _ in ready:
                if number == self._wake_read:
                    self._obey()
                elif number == self._listener.fileno():
                    self._accept()
                elif number in watched:
                    self._carry(watched[number])
            self._links = [link for link in self._links if link.open]

    def _watched(self) -> tuple[select.poll, dict[int, '_Link']]:
        waiting = select.poll()
        waiting.register(self._wake_read, select.POLLIN)
        links: dict[int, _Link] = {}
        if self._frozen:
            return waiting, links
        waiting.register(self._listener, select.POLLIN)
        may_read = self._rate is None or self._allowance >= 1
        for link in self._links:
            if link.held:
                continue
            for end, events in link.interests(may_read):
                waiting.register(end, events)
                links[end.fileno()] = link
        return waiting, links

    def _timeout_ms(self) -> float | None:
        throttled = self._rate is not None and self._links
        if self._frozen or not throttled:
            return None
        return _BURST_S * 1000

    def _refill(self) -> None:
        if self._rate is None:
            return
        now = time.monotonic()
        self._allowance += (now - self._refilled_at) * self._rate
        self._allowance = min(self._allowance, max(1, self._rate * _BURST_S))
        self._refilled_at = now

    def _obey(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 512)
        while True:
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                return
            order()

    def _accept(self) -> None:
        if self._frozen or self._closed:
            return
        try:
            near, _ = self._listener.accept()
        except OSError:
            return
        far = socket.socket()
        near.setblocking(False)
        far.setblocking(False)
        far.connect_ex(self.target)  # what comes of it shows when it is used
        self._links.append(_Link(near, far, self._answered))

    def _carry(self, link: '_Link') -> None:
        if self._frozen or self._closed or link.held or not link.open:
            return
        limit = _BUFFER if self._rate is None else int(self._allowance)
        try:
            carried = link.carry(limit)
        except OSError:
            link.reset()
            return
        self.forwarded_bytes += carried
        if self._rate is not None:
            self._allowance -= carried


class _Link:
    """Two sockets and what is on its way between them."""

    def __init__(
        self,
        near: socket.socket,
        far: socket.socket,
        answered: Callable[[], None],
    ) -> None:
        self.open = True
        self.held = False
        self._ends = (near, far)
        self._halves = (_Half(near, far), _Half(far, near))
        self._answered = answered

    def interests(self, may_read: bool) -> list[tuple[socket.socket, int]]:
        """The sockets to wait for, each once, with poll's events."""
        events: dict[socket.socket, int] = collections.defaultdict(int)
        for half in self._halves:
            if may_read and not half.ended and len(half.buffer) < _BUFFER:
                events[half.source] |= select.POLLIN
            if half.buffer:
                events[half.sink] |= select.POLLOUT
        return list(events.items())

    def carry(self, limit: int) -> int:
        """Read up to limit bytes, write what can be; the bytes read.

        Raises OSError when either side has failed.
        """
        asked, answered = (half.read(limit) for half in self._halves)
        if answered:
            self._answered()
        for half in self._halves:
            half.write()
        if all(half.finished for half in self._halves):
            self.open = False
            for end in self._ends:
                end.close()
        return asked + answered

    def reset(self) -> None:
        """Close both sides with RST."""
        self.open = False
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.close()


class _Half:
    """One direction of a link."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.buffer = bytearray()
        self.ended = False  # the source will send no more
        self.finished = False  # and the sink knows

    def read(self, limit: int) -> int:
        room = min(limit, _BUFFER - len(self.buffer))
        if self.ended or room <= 0:
            return 0
        try:
            piece = self.source.recv(room)
        except BlockingIOError:
            return 0
        self.ended = not piece
        self.buffer += piece
        return len(piece)

    def write(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.buffer:
                del self.buffer[: self.sink.send(self.buffer)]
        if self.ended and not self.buffer and not self.finished:
            self.finished = True
            self.sink.shutdown(socket.SHUT_WR)


class BlackHole:
    """A listener where connect() hangs: its queue is full for good.

    Linux drops the SYN of whoever comes then, as a firewall would
    (listen(2), tcp(7): tcp_abort_on_overflow is off).
    """

    def __init__(self, listen: Address = ('127.0.0.1', 0)) -> None:
        """Raises OSError."""
        self._listener = _listener(listen, backlog=0)
        self.address: Address = self._listener.getsockname()
        self._fillers = _fill(self.address)

    def close(self) -> None:
        """Free the address; whoever waits there is refused."""
        for filler in self._fillers:
            filler.close()
        self._listener.close()


def _listener(address: Address, backlog: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _fill(address: Address) -> list[socket.socket]:
    """Connect until connecting hangs; the connections that fill the queue."""
    fillers: list[socket.socket] = []
    while True:
        filler = socket.socket()
        filler.settimeout(_HANGS_S)
        fillers.append(filler)
        try:
            filler.connect(address)
        except TimeoutError:
            return fillers
