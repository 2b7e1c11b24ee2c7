"""Managers killed in each status, a broker or a database that is away,
daemons that die, destinations that cannot be reached: on real hypervisors.
"""

from __future__ import annotations

import signal

import pytest

from lab.client import wait_until
from tests.integration.acts import (
    POST_COPY,
    abort,
    actions_locked,
    begin,
    force,
    forced_by,
    in_post_copy,
    moves,
    preparing,
    queued,
    status_is,
    stays,
    wait_gone,
)

pytestmark = pytest.mark.libvirt


def start(cloud, host='host1'):
    """Start a manager; before it listens a SIGHUP would end it."""
    cloud.start_manager(host)
    cloud.wait_heard(host)


def kill_in(cloud, status, server, migration, *hosts):
    """kill -9 these managers; the record stays at that status."""
    for host in hosts or ('host1',):
        cloud.kill(host)
    found = cloud.migration(server, migration)
    assert found['status'] == status, found


def runs_there(cloud, server):
    """Wait until the guest says something at host2."""
    there = cloud.consoles(server)[1]
    wait_until(
        lambda: there.exists() and there.stat().st_size > 1000,
        'the guest runs on host2',
        60,
    )


def test_a_manager_killed_with_an_accepted_migration(cloud, guest):
    """The conductor stands still, so that nobody places it meanwhile."""
    server, watcher = guest('idle')
    conductor = cloud.process('conductor')
    conductor.signal(signal.SIGSTOP)
    try:
        migration = cloud.migrate(server, 'host2')
        kill_in(cloud, 'accepted', server, migration)
        cloud.start_manager('host1')
    finally:
        conductor.signal(signal.SIGCONT)
    moves(cloud, server, watcher, migration)


def test_a_conductor_killed_with_an_accepted_migration(cloud, guest):
    server, watcher = guest('idle')
    cloud.kill('conductor')
    migration = cloud.migrate(server, 'host2')
    assert cloud.migration(server, migration)['status'] == 'accepted'
    cloud.start_service('conductor')
    moves(cloud, server, watcher, migration)


def test_a_manager_killed_with_a_queued_migration(cloud, guest):
    server, watcher = guest('idle')
    with queued(cloud, guest, server) as migration:
        kill_in(cloud, 'queued', server, migration)
        start(cloud)
    moves(cloud, server, watcher, migration)


def test_a_manager_killed_while_preparing(cloud, guest):
    server, watcher = guest('idle')
    with preparing(cloud, guest, server) as migration:
        kill_in(cloud, 'preparing', server, migration)
        start(cloud)
    moves(cloud, server, watcher, migration)


def test_a_manager_killed_in_the_first_pass_then_forced(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    kill_in(cloud, 'running', server, migration)
    start(cloud)
    assert force(cloud, server, migration).status == 202
    ended = moves(cloud, server, watcher, migration)
    assert ended['completed_by'] == forced_by(cloud)


def test_a_manager_killed_in_the_first_pass_then_aborted(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    kill_in(cloud, 'running', server, migration)
    # Asked while nobody is there to hear it: it stands on the record.
    assert abort(cloud, server, migration).status == 202
    start(cloud)
    stays(cloud, server, watcher, migration)


def test_both_managers_killed_in_the_first_pass(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    kill_in(cloud, 'running', server, migration, 'host1', 'host2')
    assert abort(cloud, server, migration).status == 202
    for host in ('host1', 'host2'):
        start(cloud, host)
    stays(cloud, server, watcher, migration)


def test_a_manager_that_stops_in_order_leaves_the_transfer_alone(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    manager = cloud.process('host1')
    manager.terminate()
    assert manager.wait(60) == 0
    assert cloud.migration(server, migration)['status'] == 'running'
    start(cloud)
    assert force(cloud, server, migration).status == 202
    moves(cloud, server, watcher, migration)


def test_a_manager_killed_in_post_copy(cloud, guest):
    with in_post_copy(cloud, guest) as (server, watcher, migration):
        kill_in(cloud, POST_COPY, server, migration)
    start(cloud)
    moves(cloud, server, watcher, migration)


def test_both_managers_killed_in_post_copy(cloud, guest):
    with in_post_copy(cloud, guest) as (server, watcher, migration):
        kill_in(cloud, POST_COPY, server, migration, 'host1', 'host2')
    for host in ('host1', 'host2'):
        start(cloud, host)
    moves(cloud, server, watcher, migration)


def test_a_manager_killed_while_post_migrating(cloud, guest):
    server, watcher = guest('slow')
    migration = cloud.migrate(server, 'host2')
    cloud.wait_pass(server, migration)
    with actions_locked(cloud):
        status_is(cloud, server, migration, 'post-migrating')
        kill_in(cloud, 'post-migrating', server, migration)
    start(cloud)
    moves(cloud, server, watcher, migration)


def test_a_transfer_that_ends_while_its_manager_is_dead(cloud, guest):
    server, watcher = guest('slow')
    migration = cloud.migrate(server, 'host2')
    cloud.wait_pass(server, migration)
    kill_in(cloud, 'running', server, migration)
    runs_there(cloud, server)
    start(cloud)
    moves(cloud, server, watcher, migration)


def test_the_conductor_and_the_api_killed_on_the_way(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    for name in ('conductor', 'api'):
        cloud.kill(name)
    for name in ('conductor', 'api'):
        cloud.start_service(name)
    cloud.wait_ready()
    assert force(cloud, server, migration).status == 202
    moves(cloud, server, watcher, migration)


def test_a_whole_migration_with_the_broker_stopped(cloud, guest):
    server, watcher = guest('slow')
    migration = cloud.migrate(server, 'host2')
    cloud.wait_pass(server, migration)
    broker = cloud.lab.broker_server
    broker.kill()
    try:
        runs_there(cloud, server)
        away = abort(cloud, server, migration)
        # The request stands on the record, or the record says too late;
        # either way the answer comes, and is no 500.
        assert away.status in (202, 400, 503), away
    finally:
        broker.start()
    moves(cloud, server, watcher, migration)


def test_a_whole_migration_with_the_database_stopped(cloud, guest):
    server, watcher = guest('slow')
    migration = cloud.migrate(server, 'host2')
    cloud.wait_pass(server, migration)
    database = cloud.lab.postgresql_server
    database.stop()
    try:
        runs_there(cloud, server)
        assert abort(cloud, server, migration).status == 503
    finally:
        database.start()
    moves(cloud, server, watcher, migration)


def test_the_source_daemon_killed_in_pre_copy(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    host1 = cloud.lab.hosts[0]
    host1.kill_daemon()
    host1.start_daemon()
    stays(cloud, server, watcher, migration, 'failed')


def test_the_destination_daemon_killed_in_pre_copy(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    host2 = cloud.lab.hosts[1]
    host2.kill_daemon()
    host2.start_daemon()
    stays(cloud, server, watcher, migration, 'failed')


def test_the_source_daemon_killed_in_post_copy(cloud, guest):
    """The two QEMUs go on by themselves; whatever libvirt leaves behind of
    it at the source is removed."""
    with in_post_copy(cloud, guest) as (server, watcher, migration):
        host1 = cloud.lab.hosts[0]
        host1.kill_daemon()
        host1.start_daemon()
    moves(cloud, server, watcher, migration)


def test_no_post_copy_to_a_daemon_that_stands_still(cloud, guest):
    """It would not learn of it and, started again, end the guest."""
    server, watcher, migration = begin(cloud, guest)
    host2 = cloud.lab.hosts[1]
    host2.signal_daemon(signal.SIGSTOP)
    try:
        assert force(cloud, server, migration).status == 202
        wait_until(
            lambda: 'No switch to post-copy' in cloud.process('host1').tail(),
            'host2 is found to stand still',
            60,
        )
    finally:
        host2.kill_daemon()
        host2.start_daemon()
    stays(cloud, server, watcher, migration, 'failed')


def test_a_server_deleted_in_post_copy(cloud, guest):
    """Not aborted any more: it arrives, and is then removed from both."""
    with in_post_copy(cloud, guest) as (server, _, migration):
        assert cloud.rest('DELETE', f'/servers/{server}').status == 204
    wait_gone(cloud, server)
    assert cloud.migration(server, migration)['status'] == 'completed'


def test_a_black_holed_destination(cloud, guest):
    """Refused within seconds; libvirt alone takes more than two minutes."""
    server, watcher = guest('idle')
    cloud.way.black_hole()
    try:
        migration = cloud.migrate(server, 'host2')
        ended = stays(cloud, server, watcher, migration, 'error')
        body = {'os-migrateLive': {'host': 'host2', 'block_migration': 'auto'}}
        answer = cloud.rest(
            'POST', f'/servers/{server}/action', body, version='2.30'
        )
    finally:
        cloud.way.thaw()
    assert 'host1: ' in ended['reason']
    assert answer.status == 400, answer
    assert '127.0.0.1' in str(answer.body)


def with_host2(cloud, options):
    """Restart host2's manager with these options."""
    cloud.kill('host2')
    kept = cloud.host_options['host2']
    cloud.host_options['host2'] = {
        group: {**kept.get(group, {}), **values}
        for group, values in {**kept, **options}.items()
    }
    cloud.write()
    cloud.start_manager('host2')
    return kept


@pytest.mark.parametrize(
    ('options', 'image', 'words'),
    [
        (
            {'DEFAULT': {'reserved_host_disk_mb': 10**9}},
            'linux',
            'host2: not enough room',
        ),
        (
            {'libvirt': {'live_migration_uri': 'qemu+tcp://127.0.0.1:1/s'}},
            'idle',
            'host1: ',
        ),
    ],
    ids=['no room', 'unreachable'],
)
def test_a_destination_that_cannot(cloud, options, image, words):
    server = cloud.boot(image, 'host1')
    kept = with_host2(cloud, options)
    try:
        cloud.wait_heard('host2')
        migration = cloud.migrate(server, 'host2')
        ended = cloud.wait_migration(server, migration)
    finally:
        cloud.host_options['host2'] = kept
        with_host2(cloud, {})
        cloud.wait_heard('host2')
    assert ended['status'] == 'error'
    assert words in ended['reason']
    shown = cloud.show(server)
    assert (shown['status'], shown['OS-EXT-SRV-ATTR:host']) == (
        'ACTIVE',
        'host1',
    )
