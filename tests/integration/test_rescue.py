"""Rescued servers that move: real guests, whose own disk tells which one
it is, in rescue, on the way, and after."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator

import libvirt
import pytest

from lab.client import wait_until
from lab.cloud import Cloud, image_id
from lab.guests import busybox, images
from livemig import rpc
from livemig.cmd import common
from livemig.conductor.rpcapi import conductor_store
from tests.integration.acts import abort
from tests.integration.conftest import OPTIONS, unchanged

pytestmark = pytest.mark.libvirt

#: See ``busybox.cmdline`` for why a Linux guest wants a fast link.
FAST = {'libvirt': {'live_migration_bandwidth': 0}}
#: It takes about a minute, and is not over before it is stopped.
SLOW = {'libvirt': {'live_migration_bandwidth': 1}}
SHARED = {**OPTIONS, 'libvirt': {**OPTIONS['libvirt'], **FAST['libvirt']}}

OWN, RESCUE_DISK = busybox.Mark('guest', None), 'rescue.raw'


@pytest.fixture(scope='module')
def whole_shared_cloud(lab) -> Iterator[Cloud]:
    made = Cloud(lab, shared=True, options=SHARED)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def shared(whole_shared_cloud, request) -> Iterator[Cloud]:
    with unchanged(whole_shared_cloud, request, SHARED):
        yield whole_shared_cloud


@pytest.fixture(params=['copied', 'shared'])
def either(request) -> Cloud:
    """Disks that are copied, and such that both hosts see."""
    name = 'cloud' if request.param == 'copied' else 'shared'
    made: Cloud = request.getfixturevalue(name)
    made.set_options(FAST)
    return made


class Rescued:
    """A server whose rescue system runs on host1."""

    def __init__(
        self, cloud: Cloud, image: str = 'linux', system: str = 'rescue'
    ) -> None:
        self._cloud = cloud
        self.server = cloud.boot(image, 'host1', flavor='linux')
        self.disk = 'vda.raw' if image == 'linux-raw' else 'vda.qcow2'
        self._watcher = busybox.Watcher(cloud.consoles(self.server))
        self._watcher.wait_ready(60)
        act(cloud, self.server, {
            'rescue': {'rescue_image_ref': image_id(system)}
        }, 200)  # fmt: skip
        cloud.wait_status(self.server, 'RESCUE', 120)
        if system != 'rescue':
            # Not one that says what it finds.
            return
        self._watcher.wait_line(
            lambda text: text.startswith('LIVEMIG MARK vdb'), 60
        )
        self.id = self._watcher.console().ids[-1]

    def close(self) -> None:
        self._watcher.close()

    @property
    def directories(self):
        return [p.parent for p in self._cloud.consoles(self.server)]

    def directory(self, host: str):
        """Where its files lie on that host."""
        return self.directories[-1 if host == 'host2' else 0]

    def is_rescued_at(self, host: str) -> None:
        """So says the record."""
        shown = self._cloud.show(self.server)
        assert shown['status'] == 'RESCUE'
        assert shown['OS-EXT-STS:vm_state'] == 'rescued'
        assert shown['OS-EXT-STS:task_state'] is None
        assert shown['OS-EXT-SRV-ATTR:host'] == host

    def goes_on(self, host: str) -> None:
        """The same rescue system, which finds its own disk right, and so
        does one who looks from outside."""
        self.is_rescued_at(host)
        pulses = self._told().pulses
        self._watcher.wait_line(
            lambda text: (
                self._is_mine(text)
                and int(busybox.fields(text).get('pulses', 0)) > pulses
            ),
            60,
        )
        told = self._told()
        assert told.intact, told.summary
        assert told.disks == {'vda': '8M', 'vdb': '32M'}
        assert self._watcher.console().marks == {
            'vda': busybox.Mark('rescue-image', 'rescue'),
            'vdb': OWN,
        }
        directory = self.directory(host)
        kind = self.disk.partition('.')[2]
        assert images.read_mark(directory / self.disk, kind) == 'guest'
        assert images.read_mark(directory / RESCUE_DISK, 'raw') == 'rescue'

    def _is_mine(self, text: str) -> bool:
        return busybox.fields(text).get('id') == self.id

    def _told(self) -> busybox.BusyboxConsole:
        """What the rescue system has said."""
        return busybox.judge(
            line.text
            for line in self._watcher.lines
            if self._is_mine(line.text)
        )

    def unrescue(self, host: str) -> None:
        """It boots its own system, on its own disk alone."""
        cloud = self._cloud
        self.close()
        boots = self._boots()
        act(cloud, self.server, {'unrescue': None}, 202)
        shown = cloud.wait_status(self.server, 'ACTIVE', 120)
        assert shown['OS-EXT-SRV-ATTR:host'] == host
        wait_until(
            lambda: (
                self._boots() > boots
                and 'vda' in self._console().marks
                and self._console().disks == {'vda': '32M'}
            ),
            'its own system is up',
            60,
        )
        wait_until(
            lambda: (
                self._console().marks['vda'] == busybox.Mark('guest', 'guest')
            ),
            'it has found its marker',
            60,
        )
        directory = self.directory(host)
        assert sorted(path.name for path in directory.iterdir()) == [
            'console.log',
            self.disk,
        ]
        [request] = [
            action['request_id']
            for action in cloud.rest(
                'GET', f'/servers/{self.server}/os-instance-actions'
            ).body['instanceActions']
            if action['action'] == 'unrescue'
        ]
        assert cloud.events(self.server, request) == {
            'compute_unrescue_instance': 'Success'
        }

    def _console(self) -> busybox.BusyboxConsole:
        return busybox.read(self._cloud.consoles(self.server))

    def _boots(self) -> int:
        return self._console().boots


def act(cloud, server, body, status):
    answer = cloud.rest('POST', f'/servers/{server}/action', body)
    assert answer.status == status, answer


@contextlib.contextmanager
def rescued(
    cloud: Cloud, image: str = 'linux', system: str = 'rescue'
) -> Iterator[Rescued]:
    made = Rescued(cloud, image, system)
    try:
        yield made
    finally:
        made.close()


def undefine(host, server: str) -> None:
    """Let the hypervisor forget all it would know of the guest after its
    end."""
    conn = libvirt.open(host.control_uri)
    try:
        conn.lookupByUUIDString(server).undefine()
    finally:
        conn.close()


# -- it ends well -----------------------------------------------------------
def test_it_moves_and_is_unrescued_there(either):
    """With nothing but its own disk and the record."""
    with rescued(either) as guest:
        guest.goes_on('host1')
        migration = either.migrate(guest.server, 'host2')
        ended = either.wait_migration(guest.server, migration)
        assert ended['status'] == 'completed', ended
        guest.goes_on('host2')
        undefine(either.lab.hosts[1], guest.server)
        for path in guest.directory('host2').iterdir():
            if path.name != guest.disk:
                path.unlink()
        guest.unrescue('host2')


def test_a_raw_disk_and_a_host_that_is_chosen(cloud):
    cloud.set_options(FAST)
    with rescued(cloud, 'linux-raw') as guest:
        migration = cloud.migrate(guest.server)
        ended = cloud.wait_migration(guest.server, migration)
        assert (ended['status'], ended['dest_compute']) == (
            'completed',
            'host2',
        ), ended
        guest.goes_on('host2')
        assert not guest.directory('host1').exists()
        guest.unrescue('host2')


# -- not every host can -----------------------------------------------------
@contextlib.contextmanager
def manager_before_this(cloud: Cloud, host: str) -> Iterator[None]:
    """In the place of the host's manager one of the version before, which
    knows of no rescued instance that moves, has reported over the bus."""
    cloud.kill(host)
    try:
        conf = common.load(
            'livemig-compute',
            [
                f'--config-file={cloud.directory}/livemig.conf',
                f'--config-file={cloud.directory}/{host}.conf',
            ],
        )
        way = rpc.Rpc(conf)
        try:
            store = conductor_store(way.client('conductor'))
            [row] = store.service_list({'host': host})
            facts = {**row['facts'], 'rpc_version': '1.2'}
            facts['capabilities'] = {
                name: able
                for name, able in facts['capabilities'].items()
                if name != 'supports_live_migrate_rescued'
            }
            store.service_report(
                {
                    'host': host,
                    'binary': 'nova-compute',
                    'topic': 'compute',
                    'version': 1,
                    'last_seen_at': datetime.datetime.now(datetime.UTC),
                    'facts': facts,
                }
            )
        finally:
            way.close()
        yield
    finally:
        cloud.start_manager(host)
        cloud.wait_heard(host)


def refused(cloud: Cloud, server: str, host: str | None, version: str) -> str:
    """Why it cannot be migrated."""
    answer = cloud.rest(
        'POST',
        f'/servers/{server}/action',
        {'os-migrateLive': {'host': host, 'block_migration': 'auto'}},
        version,
    )
    code = 400 if version == '2.200' else 409
    assert answer.status == code, answer
    [fault] = answer.body.values()
    return fault['message']


def test_while_a_manager_of_the_version_before_runs(cloud):
    cloud.set_options(FAST)
    old = 'its compute manager is too old to move a rescued instance'
    with rescued(cloud) as guest:
        with manager_before_this(cloud, 'host2'):
            for named in ('host2', None):
                said = refused(cloud, guest.server, named, '2.200')
                assert f'destination host host2: {old}' in said
                assert 'host1' not in said
        with manager_before_this(cloud, 'host1'):
            said = refused(cloud, guest.server, 'host2', '2.200')
            assert f'source host host1: {old}' in said
            assert 'host2' not in said
        assert 'vm_state rescued' in refused(
            cloud, guest.server, 'host2', '2.199'
        )
        guest.goes_on('host1')
        path = f'/os-migrations?instance_uuid={guest.server}'
        assert cloud.rest('GET', path).body['migrations'] == []
        # Upgraded, both can.
        migration = cloud.migrate(guest.server, 'host2')
        ended = cloud.wait_migration(guest.server, migration)
        assert ended['status'] == 'completed', ended
        guest.goes_on('host2')
        guest.unrescue('host2')


# -- it ends badly ----------------------------------------------------------
def test_it_is_aborted(either):
    with rescued(either) as guest:
        either.set_options(SLOW)
        migration = either.migrate(guest.server, 'host2')
        either.wait_migration(guest.server, migration, ['running'])
        assert either.show(guest.server)['status'] == 'MIGRATING'
        act(either, guest.server, {'unrescue': None}, 409)
        assert abort(either, guest.server, migration).status == 202
        ended = either.wait_migration(guest.server, migration)
        assert ended['status'] == 'cancelled', ended
        guest.goes_on('host1')
        guest.unrescue('host1')


def test_it_is_rolled_back_and_moves_then(either):
    """The destination's daemon dies on the way."""
    host2 = either.lab.hosts[1]
    with rescued(either) as guest:
        either.set_options(SLOW)
        migration = either.migrate(guest.server, 'host2')
        either.wait_migration(guest.server, migration, ['running'])
        host2.kill_daemon()
        host2.start_daemon()
        ended = either.wait_migration(guest.server, migration)
        assert ended['status'] == 'failed', ended
        guest.goes_on('host1')
        either.set_options(FAST)
        again = either.migrate(guest.server, 'host2')
        ended = either.wait_migration(guest.server, again)
        assert ended['status'] == 'completed', ended
        guest.goes_on('host2')
        guest.unrescue('host2')


def test_its_manager_is_killed_on_the_way(cloud):
    """Its rescue system writes more than can be moved, however long the
    manager takes to be back."""
    with rescued(cloud, system='busy') as guest:
        migration = cloud.migrate(guest.server, 'host2')
        cloud.wait_migration(guest.server, migration, ['running'])
        cloud.kill('host1')
        cloud.start_manager('host1')
        cloud.wait_heard('host1')
        assert abort(cloud, guest.server, migration).status == 202
        ended = cloud.wait_migration(guest.server, migration)
        assert ended['status'] == 'cancelled', ended
        guest.is_rescued_at('host1')
        guest.unrescue('host1')
