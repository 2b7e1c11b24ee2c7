"""What operators do in the integration tests, and what must come of it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import psycopg2

from lab.client import wait_until
from lab.cloud import Cloud

POST_COPY = 'running (post-copy)'


def begin(cloud, guest, image='busy'):
    """A busy guest whose memory flows."""
    server, watcher = guest(image)
    migration = cloud.migrate(server, 'host2')
    cloud.wait_pass(server, migration)
    return server, watcher, migration


def abort(cloud, server, migration):
    return cloud.rest('DELETE', f'/servers/{server}/migrations/{migration}')


def force(cloud, server, migration):
    return cloud.rest(
        'POST',
        f'/servers/{server}/migrations/{migration}/action',
        {'force_complete': None},
    )


def forced_by(cloud: Cloud) -> str:
    """How force complete ends a migration here."""
    return 'post-copy' if cloud.post_copy else 'pause'


def force_end(cloud, server):
    return cloud.rest(
        'POST', f'/servers/{server}/action', {'live-migrate-force-end': None}
    )


def stays(cloud, server, watcher, migration, status='cancelled'):
    """It ended that way, and the guest goes on at host1, unharmed."""
    ended = cloud.wait_migration(server, migration)
    assert ended['status'] == status, ended
    shown = cloud.show(server)
    assert shown['OS-EXT-SRV-ATTR:host'] == 'host1'
    assert shown['OS-EXT-STS:task_state'] is None
    assert shown['status'] == 'ACTIVE'
    watcher.wait_swept()
    assert watcher.proof().intact, watcher.proof().faults
    return ended


def moves(cloud, server, watcher, migration):
    """It completed, and the guest goes on at host2, unharmed."""
    ended = cloud.wait_migration(server, migration)
    assert ended['status'] == 'completed', ended
    shown = cloud.show(server)
    assert shown['OS-EXT-SRV-ATTR:host'] == 'host2'
    assert shown['OS-EXT-STS:task_state'] is None
    assert shown['status'] == 'ACTIVE'
    watcher.wait_swept()
    assert watcher.proof().intact, watcher.proof().faults
    return ended


def status_is(cloud, server, migration, status):
    cloud.wait_migration(server, migration, [status], 30)


def wait_gone(cloud: Cloud, server: str) -> None:
    wait_until(
        lambda: cloud.rest('GET', f'/servers/{server}').status == 404,
        f'server {server} is gone',
        60,
    )


@contextlib.contextmanager
def in_post_copy(cloud, guest):
    """A guest in post-copy, which cannot end: what the two daemons say to
    each other is held until the block is left."""
    server, watcher, migration = begin(cloud, guest)
    cloud.way.hold()
    try:
        assert force(cloud, server, migration).status == 202
        status_is(cloud, server, migration, POST_COPY)
        yield server, watcher, migration
    finally:
        cloud.way.thaw()


@contextlib.contextmanager
def actions_locked(cloud: Cloud) -> Iterator[None]:
    """Nobody can write an instance action's event: the next step that
    records one waits until the block is left."""
    url = cloud.database.replace('+psycopg2', '')
    connection = psycopg2.connect(url)
    try:
        connection.cursor().execute(
            'LOCK TABLE instance_action_events IN EXCLUSIVE MODE'
        )
        yield
    finally:
        connection.close()


@contextlib.contextmanager
def queued(cloud: Cloud, guest, server: str) -> Iterator[int]:
    """A migration of ``server`` that waits for its turn behind another;
    when the block is left there is room for both, and the other one is
    aborted."""
    other, _ = guest()
    cloud.set_options({'DEFAULT': {'max_concurrent_live_migrations': 1}})
    ahead = cloud.migrate(other, 'host2')
    cloud.wait_pass(other, ahead)
    migration = cloud.migrate(server, 'host2')
    status_is(cloud, server, migration, 'queued')
    try:
        yield migration
    finally:
        cloud.set_options({'DEFAULT': {'max_concurrent_live_migrations': 2}})
        assert abort(cloud, other, ahead).status == 202
        cloud.wait_migration(other, ahead)


@contextlib.contextmanager
def preparing(cloud: Cloud, guest, server: str) -> Iterator[int]:
    """A migration of ``server`` whose destination's manager stands still
    while it is being prepared."""
    with queued(cloud, guest, server) as migration:
        manager = cloud.process('host2')
        manager.signal(signal.SIGSTOP)
        try:
            cloud.set_options(
                {'DEFAULT': {'max_concurrent_live_migrations': 2}}
            )
            status_is(cloud, server, migration, 'preparing')
            yield migration
        finally:
            manager.signal(signal.SIGCONT)
