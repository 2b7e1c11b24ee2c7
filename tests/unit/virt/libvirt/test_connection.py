"""The connection to a daemon that is away, and calls that do not return.

``test://`` is a hypervisor within libvirt's library: it knows states and
definitions and runs nothing.
"""

from __future__ import annotations

import pathlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg

from livemig import concurrency, conf, exception
from livemig.virt.job import GuestState, Power
from livemig.virt.libvirt import (
    connection,
    driver,
    flags,
    guests,
    transfer,
)
from tests.unit.virt.libvirt.values import GUEST

OTHER = '1c6e39e9-7b49-4c09-9b5e-de1e7e1b8d22'
DOMAIN = """
  <domain type='test'>
    <name>livemig-{0}</name><uuid>{0}</uuid>
    <memory>8192</memory><vcpu>1</vcpu>
    <os><type arch='i686'>hvm</type></os>
  </domain>"""
RUNNING = GuestState(Power.RUNNING)


@pytest.fixture
def uri(tmp_path: pathlib.Path) -> str:
    """A host with two guests."""
    path = tmp_path / 'node.xml'
    domains = ''.join(map(DOMAIN.format, (GUEST, OTHER)))
    path.write_text(f'<node>{domains}</node>')
    return f'test://{path}'


@pytest.fixture
def conn(uri: str) -> Iterator[connection.Connection]:
    made = connection.Connection(uri, 'beta', concurrency.Clock())
    yield made
    made.close()


def state_of(conn: connection.Connection, guest_id: str) -> GuestState | None:
    return conn.read(lambda c: guests.state_of(c, guest_id), guest_id)


class Stuck:
    """What hangs in the hypervisor until it is let go."""

    def __init__(self) -> None:
        self._go = threading.Event()
        self.returned = threading.Event()

    def __call__(self, _: Any) -> None:
        self._go.wait(60)
        self.returned.set()

    def let_go(self) -> None:
        self._go.set()
        assert self.returned.wait(30)


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    monkeypatch.setattr(connection, 'READ_S', 0.2)
    monkeypatch.setattr(connection, 'ORDER_S', 0.2)
    made = Stuck()
    yield made
    made.let_go()


def test_errors_are_livemigs(conn: connection.Connection) -> None:
    nobody = GUEST.replace('0', '1')
    with pytest.raises(exception.GuestNotFound):
        conn.run(lambda c: c.lookupByUUIDString(nobody), nobody)
    with pytest.raises(exception.GuestNotFound):
        conn.read(lambda c: c.lookupByUUIDString(nobody), nobody)
    assert state_of(conn, nobody) is None


def test_a_daemon_that_is_not_there(tmp_path: pathlib.Path) -> None:
    conn = connection.Connection(
        f'qemu+unix:///system?socket={tmp_path}/none',
        'beta',
        concurrency.Clock(),
    )
    for _ in range(2):
        with pytest.raises(exception.HypervisorUnavailable, match='beta'):
            conn.read(guests.all_powers)
    conn.close()


def test_a_daemon_that_takes_the_connection_and_never_answers(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, 'OPEN_S', 0.2)
    path = tmp_path / 'socket'
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        conn = connection.Connection(
            f'qemu+unix:///session?socket={path}',
            'beta',
            concurrency.Clock(),
        )
        with pytest.raises(
            exception.HypervisorUnavailable, match='no answer within'
        ):
            conn.read(guests.all_powers)
    conn.close()


@pytest.mark.parametrize('ask', ['read', 'run'])
def test_a_call_that_hangs_holds_up_its_own_guest_only(
    conn: connection.Connection, stuck: Stuck, ask: str
) -> None:
    """And occupies one call of the daemon's few, however often it is asked
    again; when it returns all is as before."""
    with pytest.raises(exception.HypervisorUnavailable, match='no answer'):
        getattr(conn, ask)(stuck, GUEST)
    for _ in range(2):
        with pytest.raises(
            exception.HypervisorUnavailable, match='still not returned'
        ):
            state_of(conn, GUEST)
    assert state_of(conn, OTHER) == RUNNING
    assert set(conn.read(guests.all_powers)) == {GUEST, OTHER}
    stuck.let_go()
    for handle in threading.enumerate():
        if handle.name == f'libvirt-{GUEST}':
            handle.join(30)
    assert state_of(conn, GUEST) == RUNNING


def test_what_takes_long_is_waited_for(
    conn: connection.Connection, stuck: Stuck
) -> None:
    """A guest whose memory is written, say."""
    waiting = threading.Timer(1.0, stuck.let_go)
    waiting.start()
    conn.run(stuck, GUEST, limit_s=60)
    assert stuck.returned.is_set()
    waiting.join()


def test_a_guest_that_hangs_does_not_hide_the_others(
    uri: str, stuck: Stuck, tmp_path: pathlib.Path
) -> None:
    """It counts as busy: nobody touches it."""
    options = cfg.ConfigOpts()
    conf.register_opts(options)
    options([], default_config_files=[], default_config_dirs=[])
    options.set_override('host', 'beta')
    options.set_override('instances_path', str(tmp_path / 'instances'))
    options.set_override('connection_uri', uri, 'libvirt')
    made = driver.build(options, concurrency.Clock())
    assert isinstance(made, driver.LibvirtDriver)
    assert made.guests() == {GUEST: RUNNING, OTHER: RUNNING}
    with pytest.raises(exception.HypervisorUnavailable):
        made._conn.run(stuck, GUEST)
    assert made.guests() == {
        GUEST: GuestState(Power.RUNNING, job=True),
        OTHER: RUNNING,
    }
    made.close()


def test_a_transfer_that_hangs_at_its_beginning_is_alone(
    tmp_path: pathlib.Path,
) -> None:
    """It holds no lock that other guests' migrations wait for."""
    path = tmp_path / 'socket'
    conn = connection.Connection(
        f'qemu+unix:///session?socket={path}', 'beta', concurrency.Clock()
    )
    transfers = transfer.Transfers(conn, 'beta')
    request = flags.Request('qemu+tcp://192.0.2.2/system', 0, {})
    failed = []

    def start() -> None:
        try:
            transfers.start(GUEST, request, 300)
        except exception.HypervisorUnavailable as error:
            failed.append(error)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(30)
        first = threading.Thread(target=start)
        first.start()
        asking, _ = listening.accept()
        with pytest.raises(exception.HypervisorError, match='runs already'):
            transfers.start(GUEST, request, 300)
        transfers.forget(OTHER)
        asking.close()
        first.join(60)
    assert len(failed) == 1
