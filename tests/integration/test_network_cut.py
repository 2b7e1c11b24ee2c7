"""The network between two hosts breaks while a guest's memory flows: what
the two libvirtds say to each other and QEMU's own stream, each through
proxies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import libvirt
import pytest

from lab import Lab
from lab.client import wait_until
from lab.cloud import Cloud
from lab.hosts import Host
from lab.proxy import Proxy
from tests.integration import machine
from tests.integration.acts import (
    POST_COPY,
    abort,
    begin,
    force,
    force_end,
    moves,
    status_is,
    stays,
    wait_gone,
)
from tests.integration.conftest import OPTIONS, unchanged

pytestmark = pytest.mark.libvirt

#: Where host2's QEMU waits for memory, and where the source brings it.
LISTEN, BROUGHT_TO = '127.0.0.2', '127.0.0.1'

PAUSE_LIMIT_S = 5

FAILED = 'The transfer from host1 to host2 failed: '

RUNS_IN_POST_COPY = (
    libvirt.VIR_DOMAIN_RUNNING,
    libvirt.VIR_DOMAIN_RUNNING_POSTCOPY,
)
#: Of both hosts.
BROKEN = [
    (
        libvirt.VIR_DOMAIN_PAUSED,
        libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED,
    ),
    (
        libvirt.VIR_DOMAIN_RUNNING,
        libvirt.VIR_DOMAIN_RUNNING_POSTCOPY_FAILED,
    ),
]

#: Bytes a second: slow enough for a post-copy of 32 MiB to last, and for what
#: is on its way when it begins to be there much later than the record of it.
SLOW, VERY_SLOW = 4 << 20, 512 << 10

RECOVER_S = 60.0

CUT = {
    **OPTIONS,
    'libvirt': {
        **OPTIONS['libvirt'],
        'live_migration_forced_pause_limit': PAUSE_LIMIT_S,
    },
}


class Streams:
    """The ways of guests' memory to a host.

    libvirt gives a guest only a port at which nobody listens on any
    address, so no proxy can be there before QEMU is. The source learns the
    port from the destination's libvirtd: before that gets through there
    has to be one.
    """

    def __init__(self, lab: Lab, host: Host) -> None:
        self._lab = lab
        self._ports = host.migration_ports
        self._proxies: dict[int, Proxy] = {}

    def open(self) -> None:
        """Open a way to each guest that has begun to wait."""
        waiting = machine.listening_at(LISTEN).intersection(self._ports)
        for port in waiting.difference(self._proxies):
            self._proxies[port] = self._lab.proxy(
                (BROUGHT_TO, port), (LISTEN, port)
            )

    @property
    def connections(self) -> int:
        return sum(proxy.connections for proxy in self._proxies.values())

    def freeze(self) -> None:
        assert self.connections
        for proxy in self._proxies.values():
            proxy.freeze()

    def throttle(self, bytes_per_s: float | None) -> None:
        for proxy in self._proxies.values():
            proxy.throttle(bytes_per_s)

    def reset(self) -> None:
        assert self.connections
        for proxy in self._proxies.values():
            proxy.reset()

    def thaw(self) -> None:
        for proxy in self._proxies.values():
            proxy.thaw()

    def close(self) -> None:
        for proxy in self._proxies.values():
            proxy.close()
        self._proxies.clear()


@pytest.fixture(scope='module')
def cut_cloud() -> Iterator[Cloud]:
    with Lab(2, migration_address=LISTEN) as lab:
        host2 = lab.hosts[1]
        memory = Streams(lab, host2)
        port = lab.free_port()
        way = lab.proxy(
            ('127.0.0.1', port), ('127.0.0.1', host2.port), memory.open
        )
        made = Cloud(
            lab,
            options=CUT,
            host_options={
                'host2': {
                    'libvirt': {
                        'live_migration_uri': (
                            f'qemu+tcp://127.0.0.1:{port}/session'
                        ),
                        'live_migration_inbound_addr': BROUGHT_TO,
                    }
                }
            },
        )
        made.way = way  # type: ignore[attr-defined]
        made.memory = memory  # type: ignore[attr-defined]
        made.start()
        yield made
        made.stop()


@pytest.fixture
def cloud(cut_cloud: Cloud, request) -> Iterator[Cloud]:
    with unchanged(cut_cloud, request, CUT):
        yield cut_cloud
        cut_cloud.way.thaw()
        cut_cloud.memory.close()


@contextlib.contextmanager
def domain(
    cloud: Cloud, host: int, server: str
) -> Iterator[libvirt.virDomain]:
    """The guest as libvirt of that host has it."""
    connection = libvirt.open(cloud.lab.hosts[host - 1].control_uri)
    try:
        yield connection.lookupByUUIDString(server)
    finally:
        connection.close()


def state(cloud: Cloud, host: int, server: str) -> tuple[int, int]:
    """State and reason, of libvirt's numbers."""
    with domain(cloud, host, server) as found:
        return tuple(found.state())


def limits(cloud: Cloud, server: str) -> tuple[int, int]:
    """Of the source's QEMU: MiB/s, and ms of downtime."""
    with domain(cloud, 1, server) as found:
        return found.migrateGetMaxSpeed(), found.migrateGetMaxDowntime()


def test_the_stream_of_memory_breaks(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    cloud.memory.reset()
    ended = cloud.wait_migration(server, migration, timeout_s=15)
    assert ended['reason'].startswith(FAILED)
    stays(cloud, server, watcher, migration, 'failed')


def test_nothing_gets_through(cloud, guest):
    """The source gives up by qemu.conf's keepalive; the record waits for
    the destination to do so too, by its libvirtd.conf's."""
    server, watcher, migration = begin(cloud, guest)
    cloud.way.black_hole()
    cloud.memory.freeze()

    def given_up() -> bool:
        with domain(cloud, 1, server) as found:
            return found.jobStats()['type'] == libvirt.VIR_DOMAIN_JOB_NONE

    wait_until(given_up, 'the source gives up', 20)
    assert state(cloud, 1, server)[0] == libvirt.VIR_DOMAIN_RUNNING
    ended = cloud.wait_migration(server, migration, timeout_s=60)
    cloud.way.thaw()
    cloud.memory.thaw()
    assert ended['reason'].startswith(FAILED)
    stays(cloud, server, watcher, migration, 'failed')


def test_a_forced_pause_that_never_arrives(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    before = limits(cloud, server)
    cloud.memory.freeze()
    assert force_end(cloud, server).status == 202
    ended = stays(cloud, server, watcher, migration)
    assert 'live_migration_forced_pause_limit' in ended['reason']
    assert limits(cloud, server) == before == (20, 50)
    assert watcher.largest_gap_ms() > PAUSE_LIMIT_S * 1000


def test_post_copy_breaks_and_is_resumed(cloud, guest):
    """As troubleshooting.rst says; livemig only looks on."""
    server, watcher, migration = begin(cloud, guest)
    cloud.memory.throttle(SLOW)
    assert force(cloud, server, migration).status == 202
    wait_until(
        lambda: state(cloud, 2, server) == RUNS_IN_POST_COPY,
        'the guest runs at host2',
        30,
    )
    cloud.memory.reset()

    reason = wait_until(
        lambda: cloud.migration(server, migration)['reason'],
        'it is seen to be broken',
        30,
    )
    assert reason.startswith('Post-copy is broken')
    assert cloud.migration(server, migration)['status'] == POST_COPY
    assert abort(cloud, server, migration).status == 400
    wait_until(
        lambda: [state(cloud, host, server) for host in (1, 2)] == BROKEN,
        'both hosts have noticed',
        30,
    )
    wait_until(
        lambda: resume(cloud, server), 'post-copy is resumed', RECOVER_S
    )
    ended = moves(cloud, server, watcher, migration)
    assert ended['completed_by'] == 'post-copy'


def test_post_copy_breaks_before_the_guest_runs_at_the_destination(
    cloud, guest
):
    """QEMU cannot go on from there, on either side: the record says that
    the guest is lost, and its server can be deleted."""
    server, _, migration = begin(cloud, guest)
    cloud.memory.throttle(VERY_SLOW)
    assert force(cloud, server, migration).status == 202
    status_is(cloud, server, migration, POST_COPY)
    assert state(cloud, 2, server)[0] == libvirt.VIR_DOMAIN_PAUSED
    cloud.memory.reset()
    ended = cloud.wait_migration(server, migration, timeout_s=60)
    assert ended['status'] == 'error'
    assert 'gone from host1 and host2' in ended['reason']
    assert cloud.show(server)['status'] == 'ERROR'
    assert cloud.rest('DELETE', f'/servers/{server}').status == 204
    wait_gone(cloud, server)


def resume(cloud: Cloud, server: str) -> bool:
    """``virsh migrate --postcopy-resume`` and so on."""
    with domain(cloud, 1, server) as found:
        try:
            found.migrateToURI3(
                cloud.host_options['host2']['libvirt']['live_migration_uri'],
                {libvirt.VIR_MIGRATE_PARAM_URI: f'tcp:{BROUGHT_TO}'},
                libvirt.VIR_MIGRATE_LIVE
                | libvirt.VIR_MIGRATE_PEER2PEER
                | libvirt.VIR_MIGRATE_PERSIST_DEST
                | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
                | libvirt.VIR_MIGRATE_POSTCOPY
                | libvirt.VIR_MIGRATE_POSTCOPY_RESUME,
            )
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                raise
            return False
    return True
