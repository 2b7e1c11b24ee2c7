"""The proxy's faults, seen by real sockets."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from lab.proxy import BlackHole, Proxy

SHORT_S = 0.3  # within this, loopback delivers what it is going to deliver
LONG_S = 10.0


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """The address of a server that sends back what it gets."""
    listener = socket.create_server(('127.0.0.1', 0))

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while piece := connection.recv(65536):
                connection.sendall(piece)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(
                    target=serve, args=(connection,), daemon=True
                ).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()
    # Closing alone does not wake accept().
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def proxy(echo: tuple[str, int]) -> Iterator[Proxy]:
    proxy = Proxy(('127.0.0.1', 0), echo)
    yield proxy
    proxy.close()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(proxy.address, LONG_S) as client:
        client.sendall(b'hello')
        assert _receive(client, 5) == b'hello'
        yield client


def test_a_megabyte_comes_through_unchanged(
    proxy: Proxy, client: socket.socket
) -> None:
    sent = bytes(range(256)) * 4096
    writer = threading.Thread(target=client.sendall, args=(sent,))
    writer.start()

    assert _receive(client, len(sent)) == sent
    writer.join(LONG_S)
    proxy.throttle(None)  # When it has obeyed, it has counted, too.
    assert proxy.forwarded_bytes == 2 * (len(sent) + len(b'hello'))


def test_the_end_of_one_direction_is_carried_on(
    client: socket.socket,
) -> None:
    client.sendall(b'last')
    client.shutdown(socket.SHUT_WR)

    assert _receive(client, 4) == b'last'
    assert client.recv(1) == b''


def test_frozen_carries_nothing_and_loses_nothing(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.freeze()
    client.sendall(b'held back')
    client.settimeout(SHORT_S)
    with pytest.raises(TimeoutError):
        client.recv(1)

    proxy.thaw()
    client.settimeout(LONG_S)
    assert _receive(client, 9) == b'held back'


def test_reset_ends_connections_and_accepts_new_ones(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.reset()

    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert proxy.connections == 0
    with socket.create_connection(proxy.address, LONG_S) as second:
        second.sendall(b'again')
        assert _receive(second, 5) == b'again'


def test_throttled_takes_the_time_it_should(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.throttle(100_000)
    started = time.monotonic()
    client.sendall(bytes(25_000))  # and 25,000 back: half a second

    _receive(client, 25_000)

    elapsed_s = time.monotonic() - started
    assert elapsed_s > 0.35
    proxy.throttle(None)
    client.sendall(bytes(2_000_000))
    _receive(client, 2_000_000)  # 40 s if it were still throttled
    assert time.monotonic() - started < 20


def test_black_hole_lets_connecting_hang_until_thawed(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.black_hole()
    with pytest.raises(TimeoutError):
        socket.create_connection(proxy.address, SHORT_S)

    proxy.thaw()

    client.sendall(b'old one')
    assert _receive(client, 7) == b'old one'
    with socket.create_connection(proxy.address, LONG_S) as second:
        second.sendall(b'new one')
        assert _receive(second, 7) == b'new one'


def test_what_is_held_hangs_while_new_connections_are_carried(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.hold()
    client.sendall(b'old one')
    with socket.create_connection(proxy.address, LONG_S) as second:
        second.sendall(b'new one')
        assert _receive(second, 7) == b'new one'
    client.settimeout(SHORT_S)
    with pytest.raises(TimeoutError):
        client.recv(1)

    proxy.thaw()

    client.settimeout(LONG_S)
    assert _receive(client, 7) == b'old one'


def test_an_answer_is_told_before_it_is_carried(
    echo: tuple[str, int],
) -> None:
    told = threading.Event()
    go_on = threading.Event()

    def answered() -> None:
        told.set()
        go_on.wait(LONG_S)

    proxy = Proxy(('127.0.0.1', 0), echo, answered)
    with socket.create_connection(proxy.address, LONG_S) as client:
        assert not told.wait(SHORT_S)
        client.sendall(b'hello')
        assert told.wait(LONG_S)
        client.settimeout(SHORT_S)
        with pytest.raises(TimeoutError):
            client.recv(1)
        go_on.set()
        client.settimeout(LONG_S)
        assert _receive(client, 5) == b'hello'
    proxy.close()


def test_a_target_that_refuses_resets_the_client() -> None:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        closed = listener.getsockname()
    proxy = Proxy(('127.0.0.1', 0), closed)
    try:
        # Accepted or not yet: the reset may come while connecting, too.
        with (
            pytest.raises(ConnectionResetError),
            socket.create_connection(proxy.address, LONG_S) as client,
        ):
            client.recv(1)
    finally:
        proxy.close()


def test_closing_frees_the_address_and_the_thread(
    echo: tuple[str, int],
) -> None:
    before = threading.active_count()
    proxy = Proxy(('127.0.0.1', 0), echo)
    address = proxy.address
    proxy.close()
    proxy.close()

    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, LONG_S)
    with pytest.raises(ValueError, match='closed'):
        proxy.freeze()


def test_a_black_hole_hangs_and_refuses_once_closed() -> None:
    hole = BlackHole()
    try:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                socket.create_connection(hole.address, SHORT_S)
    finally:
        hole.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(hole.address, LONG_S)


def _receive(client: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        piece = client.recv(count - len(received))
        assert piece, f'ended after {len(received)} of {count} bytes'
        received += piece
    return bytes(received)
