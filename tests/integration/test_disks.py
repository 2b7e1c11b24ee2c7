"""Disks of real guests: shared, copied, or refused; and what is not
livemig's stays where it is."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cloud import MIB, Cloud
from lab.guests import busybox, images
from tests.integration.acts import abort
from tests.integration.conftest import OPTIONS, unchanged

pytestmark = pytest.mark.libvirt


def bandwidth(mib_s: int) -> dict[str, dict[str, object]]:
    """A Linux guest that moves wants a fast link (see busybox.cmdline);
    one whose migration is to be stopped on the way a slow one."""
    return {'libvirt': {'live_migration_bandwidth': mib_s}}


FAST = bandwidth(0)
SLOW = bandwidth(5)
SHARED = {**OPTIONS, 'libvirt': {**OPTIONS['libvirt'], **FAST['libvirt']}}


@pytest.fixture(scope='module')
def whole_shared_cloud(lab) -> Iterator[Cloud]:
    """One process; the instances lie where both hosts see them."""
    made = Cloud(lab, shared=True, options=SHARED)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def shared(whole_shared_cloud, request) -> Iterator[Cloud]:
    with unchanged(whole_shared_cloud, request, SHARED):
        yield whole_shared_cloud


@contextlib.contextmanager
def linux(
    cloud: Cloud, image: str = 'linux'
) -> Iterator[tuple[str, busybox.Watcher]]:
    """A Linux guest at host1 whose heart beats."""
    server = cloud.boot(image, 'host1', flavor='linux')
    with busybox.Watcher(cloud.consoles(server)) as watcher:
        watcher.wait_ready(60)
        yield server, watcher


def goes_on(cloud, server, watcher, host):
    """It runs there, booted once, and its disk gives back what it wrote."""
    shown = cloud.show(server)
    assert (shown['status'], shown['OS-EXT-SRV-ATTR:host']) == ('ACTIVE', host)
    assert shown['OS-EXT-STS:task_state'] is None
    # The disk is checked about each second: so it was, since it got there.
    pulses = watcher.console().pulses
    watcher.wait_line(
        lambda text: int(busybox.fields(text).get('pulses', 0)) > pulses, 30
    )
    console = watcher.console()
    assert console.intact, console.summary
    assert console.marks == {'vda': busybox.Mark('image', 'guest')}


def told(path: Path) -> dict[str, object]:
    """What qemu-img says of an image, whatever it is."""
    done = subprocess.run(
        ['qemu-img', 'info', '--output=json', '-U', str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    facts = json.loads(done.stdout)
    return {
        name: facts.get(name)
        for name in (
            'format',
            'virtual-size',
            'full-backing-filename',
            'backing-filename-format',
        )
    }


def asked(cloud, server, block_migration, version):
    return cloud.rest(
        'POST',
        f'/servers/{server}/action',
        {
            'os-migrateLive': {
                'host': 'host2',
                'block_migration': block_migration,
            }
        },
        version=version,
    )


def is_refused(cloud, server, watcher, block_migration, words):
    """At once with the reason, or on the record, as versions have it."""
    at_once = asked(cloud, server, block_migration, '2.30')
    assert at_once.status == 400, at_once
    assert words in at_once.body['badRequest']['message']
    goes_on(cloud, server, watcher, 'host1')
    later = asked(cloud, server, block_migration, '2.34')
    assert later.status == 202, later
    ended = cloud.wait_migration(server, cloud.migrations(server)[0]['id'])
    assert ended['status'] == 'error'
    assert words in ended['reason']
    goes_on(cloud, server, watcher, 'host1')


# -- a directory that both hosts see ----------------------------------------
def lying(cloud: Cloud, server: str) -> dict[str, int]:
    """The instance's files and which ones they are: name -> inode."""
    directory = cloud.lab.shared_path / server
    return {path.name: path.stat().st_ino for path in directory.iterdir()}


def test_a_shared_disk_is_not_copied(shared):
    with linux(shared) as (server, watcher):
        before = lying(shared, server)
        assert 'vda.qcow2' in before
        migration = shared.migrate(server, 'host2')
        ended = shared.wait_migration(server, migration)
        assert ended['status'] == 'completed', ended
        goes_on(shared, server, watcher, 'host2')
        assert lying(shared, server) == before
        disk = shared.lab.shared_path / server / 'vda.qcow2'
        assert images.read_mark(disk, 'qcow2') == 'guest'


def test_copying_a_shared_disk_is_refused(shared):
    with linux(shared) as (server, watcher):
        before = lying(shared, server)
        is_refused(
            shared,
            server,
            watcher,
            True,
            'host2: block_migration is true, but host1 and host2 share',
        )
        assert lying(shared, server) == before


def test_an_abort_leaves_the_shared_disk(shared):
    shared.set_options(SLOW)
    with linux(shared) as (server, watcher):
        before = lying(shared, server)
        migration = shared.migrate(server, 'host2')
        shared.wait_pass(server, migration)
        assert abort(shared, server, migration).status == 202
        ended = shared.wait_migration(server, migration)
        assert ended['status'] == 'cancelled', ended
        goes_on(shared, server, watcher, 'host1')
        assert lying(shared, server) == before


def test_a_failure_leaves_the_shared_disk(shared):
    shared.set_options(SLOW)
    host2 = shared.lab.hosts[1]
    with linux(shared) as (server, watcher):
        before = lying(shared, server)
        migration = shared.migrate(server, 'host2')
        shared.wait_pass(server, migration)
        host2.kill_daemon()
        host2.start_daemon()
        ended = shared.wait_migration(server, migration)
        assert ended['status'] == 'failed', ended
        goes_on(shared, server, watcher, 'host1')
        assert lying(shared, server) == before


# -- disks of one host ------------------------------------------------------
@pytest.mark.parametrize('image', ['linux', 'linux-raw'])
def test_a_local_disk_goes_there_and_back(cloud, image):
    cloud.set_options(FAST)
    kind = 'raw' if image == 'linux-raw' else 'qcow2'
    base = cloud.directory / 'images/base.raw'
    expected = {
        'format': kind,
        'virtual-size': 32 * MIB,
        'full-backing-filename': str(base) if kind == 'qcow2' else None,
        'backing-filename-format': 'raw' if kind == 'qcow2' else None,
    }
    host1, host2 = (host.instances_path for host in cloud.lab.hosts)
    name = f'vda.{kind}'
    with linux(cloud, image) as (server, watcher):
        assert told(host1 / server / name) == expected
        for source, destination, host in (
            (host1, host2, 'host2'),
            (host2, host1, 'host1'),
        ):
            migration = cloud.migrate(server, host)
            ended = cloud.wait_migration(server, migration)
            assert ended['status'] == 'completed', ended
            goes_on(cloud, server, watcher, host)
            disk = destination / server / name
            assert told(disk) == expected
            assert images.read_mark(disk, kind) == 'guest'
            assert not (source / server).exists()


def test_a_local_disk_that_may_not_be_copied(cloud):
    with linux(cloud) as (server, watcher):
        is_refused(
            cloud,
            server,
            watcher,
            False,
            'host2: block_migration is false, but host1 and host2 do not '
            'share the instance directory and the guest has local disks '
            '(vda)',
        )
        assert not (cloud.lab.hosts[1].instances_path / server).exists()


def _file(path: Path, _: Path) -> list[Path]:
    path.write_text('not yours')
    return [path]


def _link(path: Path, elsewhere: Path) -> list[Path]:
    (elsewhere / 'vda.raw').write_text('not yours')
    path.symlink_to(elsewhere)
    return [path, elsewhere / 'vda.raw']


def _disk(path: Path, _: Path) -> list[Path]:
    path.mkdir()
    (path / 'vda.qcow2').write_text('not yours')
    return [path, path / 'vda.qcow2']


@pytest.mark.parametrize('make', [_file, _link, _disk])
def test_what_is_in_the_way_is_not_touched(cloud, make, tmp_path):
    with linux(cloud) as (server, watcher):
        made = make(cloud.lab.hosts[1].instances_path / server, tmp_path)
        try:
            migration = cloud.migrate(server, 'host2')
            ended = cloud.wait_migration(server, migration)
            assert ended['status'] == 'failed', ended
            assert 'host2' in ended['reason']
            assert str(made[0]) in ended['reason']
            goes_on(cloud, server, watcher, 'host1')
            assert made[-1].read_text() == 'not yours'
            assert sorted(made[0].parent.glob(server)) == [made[0]]
            if made[0].is_dir():
                assert list(made[0].iterdir()) == [
                    made[0] / path.name for path in made[1:]
                ]
        finally:
            for path in reversed(made):
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                else:
                    path.unlink()
        # With that out of the way nothing hinders it any more.
        cloud.set_options(FAST)
        migration = cloud.migrate(server, 'host2')
        ended = cloud.wait_migration(server, migration)
        assert ended['status'] == 'completed', ended


def test_an_abort_leaves_what_lay_beside(cloud):
    """A directory that was there stays, with what was in it."""
    server = cloud.boot('linux-large', 'host1', flavor='linux')
    directory = cloud.lab.hosts[1].instances_path / server
    directory.mkdir()
    beside = directory / 'console.log.old'
    beside.write_text('not yours')
    try:
        migration = cloud.migrate(server, 'host2')
        cloud.wait_migration(server, migration, ['running'])
        assert abort(cloud, server, migration).status == 202
        ended = cloud.wait_migration(server, migration)
        assert ended['status'] == 'cancelled', ended
        assert list(directory.iterdir()) == [beside]
        assert beside.read_text() == 'not yours'
    finally:
        beside.unlink()
        directory.rmdir()
