"""Decides whether a libvirtd is usable: asks it, in libvirt's protocol.

An open port proves nothing: libvirtd accepts before its drivers are ready.
The lab runs before libvirt's Python binding is installed, so the few calls
it needs are spoken here (https://libvirt.org/kbase/internals/rpc.html;
numbers from src/remote/remote_protocol.x).
"""

import socket
import struct
from pathlib import Path

_PROGRAM = 0x20008086
_VERSION = 1
_CALL, _REPLY = 0, 1
_OK = 0
_OPEN, _CLOSE, _CAPABILITIES, _AUTH_LIST = 1, 2, 7, 66
_LONGEST = 32 << 20  # libvirt's own limit for one message


class NotReady(Exception):
    """The daemon is not there, or not yet able to do what was asked."""


def capabilities(unix_socket: Path, timeout_s: float) -> str:
    """Open qemu:///session over this socket and read its capabilities.

    Reading them makes libvirtd probe the emulators, which takes seconds
    when its cache is cold; afterwards guests start at once. Raises
    NotReady.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(unix_socket))
            # Opening is refused before the client has asked for the list
            # of authentication methods; on this socket there is none.
            _call(connection, 1, _AUTH_LIST, b'')
            name = b'qemu:///session'
            body = struct.pack('>I', 1) + _string(name) + struct.pack('>I', 0)
            _call(connection, 2, _OPEN, body)
            answer = _call(connection, 3, _CAPABILITIES, b'')
            _call(connection, 4, _CLOSE, b'')
        except OSError as error:
            raise NotReady(f'{unix_socket}: {error}') from None
    (length,) = struct.unpack_from('>I', answer)
    return answer[4 : 4 + length].decode()


def _string(text: bytes) -> bytes:
    padding = -len(text) % 4
    return struct.pack('>I', len(text)) + text + bytes(padding)


def _call(
    connection: socket.socket, serial: int, procedure: int, body: bytes
) -> bytes:
    header = struct.pack(
        '>6I', _PROGRAM, _VERSION, procedure, _CALL, serial, _OK
    )
    size = 4 + len(header) + len(body)
    connection.sendall(struct.pack('>I', size) + header + body)
    (size,) = struct.unpack('>I', _receive(connection, 4))
    if not 28 <= size <= _LONGEST:
        raise NotReady(f'not libvirt: a message of {size} bytes')
    message = _receive(connection, size - 4)
    _, _, _, kind, _, status = struct.unpack_from('>6I', message)
    if kind != _REPLY or status != _OK:
        # An error carries its text as an optional string: code, domain,
        # then 1, length, text.
        length = struct.unpack_from('>I', message, 36)[0]
        text = message[40 : 40 + min(length, 1000)]
        raise NotReady(text.decode(errors='replace'))
    return message[24:]


def _receive(connection: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        piece = connection.recv(count - len(received))
        if not piece:
            raise NotReady('the daemon closed the connection')
        received += piece
    return bytes(received)
