"""One lab and one livemig for all integration tests; each test has to
leave both hosts as it found them."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator

import pytest

from lab import Lab
from lab.client import wait_until
from lab.cloud import Cloud, Options
from lab.guests import proof
from tests.integration import machine

#: A slow link, so that a busy guest does not converge; everything that
#: could act by itself is off.
OPTIONS = {
    'libvirt': {
        'live_migration_bandwidth': 20,
        'live_migration_permit_post_copy': 'true',
        'live_migration_completion_timeout': 0,
        'live_migration_timeout_action': 'abort',
    },
    'DEFAULT': {'graceful_shutdown_timeout': 10},
}


@pytest.fixture(scope='session')
def lab() -> Iterator[Lab]:
    with Lab(2) as made:
        yield made


@pytest.fixture(scope='session')
def full_cloud(lab: Lab) -> Iterator[Cloud]:
    """Every service a process of its own, RabbitMQ, PostgreSQL. host2's
    libvirt is reached through a proxy, ``cloud.way``."""
    port = lab.free_port()
    way = lab.proxy(('127.0.0.1', port), ('127.0.0.1', lab.hosts[1].port))
    made = Cloud(
        lab,
        separate=True,
        database=lab.postgresql(),
        options=OPTIONS,
        host_options={
            'host2': {
                'libvirt': {
                    'live_migration_uri': (
                        f'qemu+tcp://127.0.0.1:{port}/session'
                    )
                }
            }
        },
    )
    made.way = way  # type: ignore[attr-defined]
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope='session')
def nova_cloud(lab: Lab) -> Iterator[Cloud]:
    """What Nova's clients and tempest log in to: a real Keystone, one
    process, MariaDB."""
    made = Cloud(lab, keystone=True, database=lab.mariadb(), options=OPTIONS)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def cloud(full_cloud: Cloud, request) -> Iterator[Cloud]:
    """The cloud; afterwards its servers are deleted, and both hosts must
    be as before."""
    with unchanged(full_cloud, request, OPTIONS):
        yield full_cloud


@contextlib.contextmanager
def unchanged(
    made: Cloud, request: pytest.FixtureRequest, options: Options
) -> Iterator[None]:
    """Afterwards the options are these again, no server is left, and both
    hosts are as before."""
    before = Traces.of(made)
    yield
    failed = getattr(request.node, 'failed', False)
    made.set_options(options)
    clean(made)
    try:
        wait_until(
            lambda: Traces.of(made) == before,
            'both hosts are as before',
            30,
        )
    except Exception:
        if not failed:
            assert Traces.of(made) == before
    if failed:
        for name, process in made._processes.items():
            print(f'--- {name}\n{process.tail(60)}')


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if outcome.get_result().failed:
        item.failed = True


@dataclasses.dataclass(frozen=True)
class Traces:
    """What a migration could leave behind on the two hosts."""

    guests: frozenset[str]
    files: frozenset[str]
    processes: frozenset[str]
    ports: frozenset[int]
    unfinished: frozenset[int]
    servers: frozenset[str]

    @classmethod
    def of(cls, cloud: Cloud) -> Traces:
        migrations = cloud.rest('GET', '/os-migrations').body['migrations']
        servers = cloud.rest('GET', '/servers?all_tenants=1').body['servers']
        return cls(
            guests=frozenset(_guests(cloud)),
            files=frozenset(_files(cloud)),
            processes=frozenset(_qemus(cloud)),
            ports=frozenset(_ports(cloud)),
            unfinished=frozenset(
                m['id']
                for m in migrations
                if m['status']
                not in ('completed', 'cancelled', 'failed', 'error')
            ),
            servers=frozenset(s['id'] for s in servers),
        )


def _guests(cloud: Cloud) -> Iterator[str]:
    """Domains, defined or running: libvirt keeps a file of each."""
    for host in cloud.lab.hosts:
        for folder in ('etc/libvirt/qemu', 'run/libvirt/qemu/run'):
            for file in (host.path / folder).glob('*.xml'):
                yield f'{host.name}: {file.name}'


def _files(cloud: Cloud) -> Iterator[str]:
    paths = [host.instances_path for host in cloud.lab.hosts]
    for path in (*paths, cloud.lab.shared_path):
        yield from map(str, path.rglob('*'))


def _ports(cloud: Cloud) -> Iterator[int]:
    """Where somebody waits for a guest's memory."""
    listening = machine.listening_ports()
    for host in cloud.lab.hosts:
        yield from listening.intersection(host.migration_ports)


def _qemus(cloud: Cloud) -> Iterator[str]:
    mark = f'{cloud.lab.directory}/'
    for process in pathlib.Path('/proc').glob('[0-9]*'):
        try:
            words = (process / 'cmdline').read_bytes().decode(errors='replace')
        except OSError:
            continue
        if 'qemu-system' in words.split('\0')[0] and mark in words:
            yield words


def clean(cloud: Cloud) -> None:
    """Delete every server."""
    for server in cloud.rest('GET', '/servers?all_tenants=1').body['servers']:
        cloud.rest('DELETE', f'/servers/{server["id"]}')

    def gone() -> bool:
        answer = cloud.rest('GET', '/servers?all_tenants=1')
        return answer.status == 200 and not answer.body['servers']

    wait_until(gone, 'all servers are deleted', 60)


@pytest.fixture
def guest(cloud: Cloud):
    """Boot a proof guest on host1 and watch its console."""
    watchers = []

    def boot(image: str = 'busy', host: str = 'host1'):
        server = cloud.boot(image, host)
        watcher = proof.Watcher(cloud.consoles(server))
        watchers.append(watcher)
        watcher.wait_ready(60)
        return server, watcher

    yield boot
    for watcher in watchers:
        watcher.close()
