"""Does the destination's daemon answer? Found out fast, before libvirt.

libvirt needs more than two minutes to notice a network that swallows all
packets, and meanwhile an abort does not take effect (measured with libvirt
9.0).
"""

from __future__ import annotations

import logging
import socket
import urllib.parse

import libvirt

from livemig.virt.libvirt import connection, deadline, errors

LOG = logging.getLogger(__name__)

#: Transport -> port (https://libvirt.org/uri.html).
PORTS = {'tcp': 16509, 'tls': 16514, 'ssh': 22, 'libssh': 22, 'libssh2': 22}


class NoAddress(ValueError):
    """A URI that names no host and port; the text says why."""


def endpoint(uri: str) -> tuple[str, int]:
    """Host and port that a libvirt URI leads to. Pure.

    Without a transport it is TLS as soon as a host is named.

    :raises NoAddress:
    """
    try:
        parts = urllib.parse.urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise NoAddress(f'{uri!r} is not a URI: {error}') from None
    transport = parts.scheme.partition('+')[2] or 'tls'
    if not host:
        raise NoAddress(f'{uri!r} names no host')
    if port is None:
        port = PORTS.get(transport)
    if not port:
        raise NoAddress(f'{uri!r}: no port is known for {transport!r}')
    return host, port


def why_not(host: str, uri: str, limit_s: float) -> str:
    """'' if a TCP connection to the daemon of that URI can be made.

    :param host: the name to tell.
    :param limit_s: also bounds the resolving of the name, which nothing
        else does: twice as long at most.
    """
    try:
        address, port = endpoint(uri)
    except NoAddress as error:
        return f'The hypervisor of {host} cannot be reached: {error}.'
    call = deadline.Call(
        lambda: _connect(address, port, limit_s), name='reach'
    )
    try:
        return call.result(limit_s * 2) and (
            f'The hypervisor of {host} does not answer at {address} port '
            f'{port}: {call.result(0)}.'
        )
    except TimeoutError:
        return (
            f'The hypervisor of {host} does not answer at {address} port '
            f'{port}: nothing heard within {limit_s * 2:g} s.'
        )


def why_silent(host: str, uri: str, limit_s: float) -> str:
    """'' if the daemon of that URI does what it is asked, or if that
    cannot be told: this process may not be let in where the source's
    daemon is.

    :param host: the name to tell.
    """
    if error := why_not(host, uri, limit_s):
        return error
    connection.start_event_loop()
    call = deadline.Call(lambda: _ask(uri), name='alive')
    try:
        call.result(limit_s)
    except TimeoutError as error:
        return f'The hypervisor of {host} stands still: {error}.'
    except libvirt.libvirtError as error:
        LOG.info('Host %s cannot be asked: %s', host, errors.text(error))
    return ''


def _ask(uri: str) -> None:
    """In a native thread.

    :raises libvirtError:
    """
    conn = libvirt.openReadOnly(uri)
    try:
        conn.getLibVersion()
    finally:
        conn.close()


def _connect(address: str, port: int, limit_s: float) -> str:
    try:
        socket.create_connection((address, port), limit_s).close()
    except TimeoutError:
        return f'nothing heard within {limit_s:g} s'
    except OSError as error:
        return error.strerror or str(error)
    return ''
