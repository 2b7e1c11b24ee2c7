"""Migrations of real guests: separate processes, RabbitMQ, PostgreSQL."""

from __future__ import annotations

import signal

import pytest

from demo import cases, stage
from lab.client import wait_until
from tests.integration.acts import (
    POST_COPY,
    abort,
    actions_locked,
    begin,
    force,
    force_end,
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


@pytest.mark.parametrize('case', cases.CASES, ids=lambda case: case.title)
def test_each_case_of_the_demonstration(cloud, case):
    row = stage.Play(cloud, case).run()
    assert row.good, row


def test_abort_while_libvirt_prepares(cloud, guest):
    """The way to the destination's libvirt is frozen: libvirt has a job,
    but no memory flows yet."""
    server, watcher = guest()
    cloud.way.freeze()
    try:
        migration = cloud.migrate(server, 'host2')
        status_is(cloud, server, migration, 'running')
        assert abort(cloud, server, migration).status == 202
    finally:
        cloud.way.thaw()
    stays(cloud, server, watcher, migration)


def test_abort_before_libvirt_has_a_job(cloud, guest):
    """The source's daemon stands still from before the transfer begins
    until the abort has been asked for."""
    server, watcher = guest()
    host1 = cloud.lab.hosts[0]
    with queued(cloud, guest, server) as migration:
        host1.signal_daemon(signal.SIGSTOP)
        try:
            cloud.set_options(
                {'DEFAULT': {'max_concurrent_live_migrations': 2}}
            )
            status_is(cloud, server, migration, 'running')
            assert abort(cloud, server, migration).status == 202
        finally:
            host1.signal_daemon(signal.SIGCONT)
    stays(cloud, server, watcher, migration)


def test_abort_while_livemig_prepares(cloud, guest):
    """The destination's manager stands still in pre_live_migration."""
    server, watcher = guest()
    with preparing(cloud, guest, server) as migration:
        assert abort(cloud, server, migration).status == 202
    ended = stays(cloud, server, watcher, migration)
    assert 'while preparing' in ended['reason']


def test_abort_after_the_guest_has_moved_is_refused(cloud, guest):
    """Post-migrating is held: the destination cannot write its event."""
    server, watcher = guest('slow')
    migration = cloud.migrate(server, 'host2')
    cloud.wait_pass(server, migration)
    with actions_locked(cloud):
        status_is(cloud, server, migration, 'post-migrating')
        refused = abort(cloud, server, migration)
        assert refused.status == 400, refused
        assert force(cloud, server, migration).status == 400
    moves(cloud, server, watcher, migration)


def test_abort_in_the_first_pass_and_twice(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    assert abort(cloud, server, migration).status == 202
    second = abort(cloud, server, migration)
    assert second.status == 400, second
    stays(cloud, server, watcher, migration)
    after = abort(cloud, server, migration)
    assert after.status == 400, after


def test_force_during_an_abort_is_refused(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    assert abort(cloud, server, migration).status == 202
    assert force(cloud, server, migration).status == 400
    assert force_end(cloud, server).status == 409
    stays(cloud, server, watcher, migration)


def test_force_twice_acts_once(cloud, guest):
    """The way to the destination's libvirt is frozen meanwhile: without it
    the switch to post-copy is not made, and a paused guest cannot arrive.
    So the first is still under way when the second comes."""
    server, watcher, migration = begin(cloud, guest)
    cloud.way.freeze()
    try:
        for _ in range(2):
            answer = force(cloud, server, migration)
            assert answer.status == 202, answer
        shown = cloud.migration(server, migration)
        assert shown['status'] == 'running', shown
    finally:
        cloud.way.thaw()
    moves(cloud, server, watcher, migration)
    actions = cloud.rest('GET', f'/servers/{server}/os-instance-actions').body[
        'instanceActions'
    ]
    names = [action['action'] for action in actions]
    assert names.count('live_migration_force_complete') == 1


def test_abort_in_the_disk_phase_leaves_no_disk(cloud):
    server = cloud.boot('linux-large', 'host1', flavor='linux')
    migration = cloud.migrate(server, 'host2')

    def copies():
        answer = cloud.rest('GET', f'/servers/{server}/migrations/{migration}')
        return (
            answer.status == 200
            and (answer.body['migration']['disk_processed_bytes'] or 0) > 0
        )

    wait_until(copies, 'the disk is copied', 60)
    host2 = cloud.lab.hosts[1]
    assert list(host2.instances_path.rglob('*'))
    assert abort(cloud, server, migration).status == 202
    ended = cloud.wait_migration(server, migration)
    assert ended['status'] == 'cancelled'
    assert not list(host2.instances_path.rglob('*'))
    assert cloud.show(server)['OS-EXT-SRV-ATTR:host'] == 'host1'


def test_abort_in_post_copy_is_refused(cloud, guest):
    with in_post_copy(cloud, guest) as (server, watcher, migration):
        refused = abort(cloud, server, migration)
        assert refused.status == 400, refused
        assert force_end(cloud, server).status == 409
        listed = cloud.rest('GET', f'/servers/{server}/migrations').body
        assert [m['status'] for m in listed['migrations']] == [POST_COPY]
    moves(cloud, server, watcher, migration)


def test_a_destination_equal_to_the_source(cloud, guest):
    server, watcher = guest('idle')
    body = {'os-migrateLive': {'host': 'host1', 'block_migration': 'auto'}}
    answer = cloud.rest(
        'POST', f'/servers/{server}/action', body, version='2.30'
    )
    assert answer.status == 400
    assert 'host1: the instance runs there already' in str(answer.body)
    migration = cloud.migrate(server, 'host1')
    stays(cloud, server, watcher, migration, 'error')


def test_a_guest_that_shuts_itself_down_on_the_way(cloud, guest):
    server, _, migration = begin(cloud, guest, 'leaving')
    ended = cloud.wait_migration(server, migration)
    assert ended['status'] == 'failed'
    assert 'shut down' in ended['reason']
    shown = cloud.show(server)
    assert shown['OS-EXT-SRV-ATTR:host'] == 'host1'
    assert shown['status'] == 'SHUTOFF'


def test_a_migrating_server_is_deleted(cloud, guest):
    server, _, migration = begin(cloud, guest)
    assert cloud.rest('DELETE', f'/servers/{server}').status == 204
    wait_gone(cloud, server)
    assert cloud.migration(server, migration)['status'] == 'cancelled'


def test_managers_with_green_threads(cloud, guest):
    """Both hosts' managers in eventlet's mode, beside libvirt's own event
    loop: one migration that is aborted, one that is forced."""
    hosts = ('host1', 'host2')
    try:
        for host in hosts:
            cloud.kill(host)
            cloud.start_manager(host, 'eventlet')
        for host in hosts:
            cloud.wait_heard(host)
        server, watcher, migration = begin(cloud, guest)
        assert abort(cloud, server, migration).status == 202
        stays(cloud, server, watcher, migration)
        migration = cloud.migrate(server, 'host2')
        cloud.wait_pass(server, migration)
        assert force(cloud, server, migration).status == 202
        ended = moves(cloud, server, watcher, migration)
        assert ended['completed_by'] == forced_by(cloud)
    finally:
        for host in hosts:
            cloud.kill(host)
            cloud.start_manager(host)
        for host in hosts:
            cloud.wait_heard(host)
