"""The whole API over a real database, with clients that write messages down.

What it is filled with has fixed names, so that tests and gabbits can speak
of it: see ``SERVERS`` and ``MIGRATIONS``.
"""

from __future__ import annotations

import atexit
import dataclasses
import datetime
import functools
import json
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema
import webob
from oslo_config import cfg

from livemig import conf as confs
from livemig import context
from livemig.api import action as api_action
from livemig.api import deploy, router
from livemig.db import api as db_api
from livemig.objects import action
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration
from livemig.objects.migration_states import Event
from livemig.virt.driver import Capabilities, HostFacts
from tests.clock import VirtualClock
from tests.functional import empty

OWN = '5f705771-3aa9-4f4c-8660-0d9522ffdbea'
FOREIGN = '0ddba11-0000-4000-8000-000000000000'
IMAGE = '70a599e0-31e7-49b7-b260-868f441e862b'
STABLE_IMAGE = '57ab1e00-31e7-49b7-b260-868f441e862b'
UNKNOWN = 'deadbeef-dead-4ead-8ead-deadbeefdead'

ADMIN = ('admin', 'manager', 'member', 'reader')
MANAGER = ('manager', 'member', 'reader')
MEMBER = ('member', 'reader')
READER = ('reader',)
NOBODY: tuple[str, ...] = ()

CATALOGUE = {
    'flavors': [
        {
            'id': '1', 'name': 'tiny', 'ram_mib': 64, 'vcpus': 1,
            'disk_gib': 2, 'extra_specs': {'hw:cpu': 'any'},
        },
        {
            'id': '2', 'name': 'small', 'ram_mib': 512, 'vcpus': 2,
            'disk_gib': 4, 'swap_mib': 8, 'description': 'a bit more',
        },
        {
            'id': 'm1.secret', 'name': 'secret', 'ram_mib': 128,
            'vcpus': 4, 'is_public': False,
        },
    ],
    'images': [
        {
            'id': IMAGE, 'name': 'proof', 'kernel': '/images/proof',
            'cmdline': 'ws=16',
            'disks': [
                {'device': 'vda', 'format': 'qcow2'},
                {'device': 'vdb', 'format': 'raw', 'size_gib': 1},
            ],
            'properties': {'os': 'none'},
        },
        {
            'id': STABLE_IMAGE, 'name': 'stable', 'kernel': '/images/proof',
            'properties': {
                'hw_rescue_bus': 'virtio', 'hw_rescue_device': 'disk',
            },
        },
    ],
}  # fmt: skip


def _uuid(number: int) -> str:
    return f'{number:08d}-aaaa-4aaa-8aaa-aaaaaaaaaaaa'


#: name -> what differs from an active server of the own project on host1.
_DIFFERENCES: dict[str, dict[str, Any]] = {
    'active': {},
    'paused': {'vm_state': 'paused', 'power_state': 3},
    'rescued': {'vm_state': 'rescued'},
    'stopped': {'vm_state': 'stopped', 'power_state': 4},
    'suspended': {'vm_state': 'suspended', 'power_state': 7},
    'error': {'vm_state': 'error'},
    'building': {
        'vm_state': 'building', 'task_state': 'scheduling', 'host': None,
        'node': None, 'launched_at': None,
    },
    'never-launched': {'launched_at': None},
    'pausing': {'task_state': 'pausing'},
    'locked': {'locked': True, 'locked_by': 'owner'},
    'locked-by-admin': {'locked': True, 'locked_by': 'admin'},
    'foreign': {'project_id': FOREIGN, 'user_id': 'stranger'},
    'deleted': {},
    'accepted': {},
    'queued': {},
    'preparing': {},
    'running': {},
    'running-paused': {'vm_state': 'paused'},
    'running-rescued': {'vm_state': 'rescued'},
    'running-locked': {'locked': True},
    'aborting': {},
    'post-copy': {},
    'post-migrating': {},
    'completed': {},
    'failed': {},
    'small': {
        'flavor': {
            'id': '2', 'name': 'small', 'ram': 512, 'vcpus': 2, 'disk': 4,
            'ephemeral': 0, 'swap': 8, 'extra_specs': {},
        },
        'memory_mb': 512,
    },
}  # fmt: skip
SERVERS: Mapping[str, str] = {
    name: _uuid(number) for number, name in enumerate(_DIFFERENCES, 1)
}

_TO_RUNNING = (Event.ENQUEUE, Event.PREPARE, Event.START)
#: server -> the events of its migration. Ids are given in this order.
_EVENTS: Mapping[str, tuple[Event, ...]] = {
    'accepted': (),
    'queued': (Event.ENQUEUE,),
    'preparing': (Event.ENQUEUE, Event.PREPARE),
    'running': _TO_RUNNING,
    'running-paused': _TO_RUNNING,
    'running-rescued': _TO_RUNNING,
    'running-locked': _TO_RUNNING,
    'aborting': _TO_RUNNING,
    'post-copy': (*_TO_RUNNING, Event.SWITCH_TO_POST_COPY),
    'post-migrating': (*_TO_RUNNING, Event.MEMORY_COPIED),
    'completed': (*_TO_RUNNING, Event.MEMORY_COPIED, Event.FINISH),
    'failed': (*_TO_RUNNING, Event.FAIL),
}
MIGRATIONS: Mapping[str, int] = {
    name: number for number, name in enumerate(_EVENTS, 1)
}

#: What host1 and host2 say of it.
UPTIME = '12:00:00 up 3 days,  1:30,  0 users,  load average: 0.1, 0.2, 0.3'

#: The compute services of host1 and host2, ids 1 and 2; and one, id 3,
#: that nothing depends on: the conductor of api1.
OTHER_SERVICE, SERVICE, SPARE_SERVICE = (_uuid(n) for n in (2001, 2002, 2003))


class Recorder:
    """A message client that writes down instead of sending."""

    def __init__(self, world: World, topic: str) -> None:
        self._world = world
        self._topic = topic

    def _note(self, kind: str, method: str, server: Any, kwargs: Any) -> None:
        kwargs = {k: v for k, v in kwargs.items() if k != 'issued_at'}
        error = self._world.failures.get(method)
        if error is not None:
            raise error
        self._world.messages.append(
            Message(kind, self._topic, server, method, kwargs)
        )
        then = self._world.then.get(method)
        if then is not None:
            then()

    def call(self, _ctxt, method, *, server=None, **kwargs) -> Any:
        for name in ('version', 'timeout_s', 'monitor_s'):
            kwargs.pop(name, None)
        self._note('call', method, server, kwargs)

    def cast(self, _ctxt, method, *, server=None, **kwargs) -> None:
        kwargs.pop('version', None)
        self._note('cast', method, server, kwargs)

    def can_send(self, version: str) -> bool:
        cap = self._world.version_cap
        if cap is None:
            return True
        return tuple(map(int, version.split('.'))) <= tuple(
            map(int, cap.split('.'))
        )


@dataclasses.dataclass(frozen=True)
class Message:
    kind: str
    topic: str
    server: str | None
    method: str
    kwargs: Mapping[str, Any]


@functools.cache
def _template() -> pathlib.Path:
    """A filled database; copying it is faster than making one."""
    directory = tempfile.mkdtemp(prefix='livemig-api-tests-')
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = pathlib.Path(directory) / 'template.sqlite'
    empty.make(path)
    filled = World(path)
    filled._fill()
    with filled.store.transactions.engine.connect() as conn:
        conn.exec_driver_sql('PRAGMA wal_checkpoint(TRUNCATE)')
    filled.store.dispose()
    return path


class _Ticking:
    """Each reading is a second later, so that rows have an order."""

    def __init__(self, now: datetime.datetime) -> None:
        self.now = now

    def __call__(self) -> datetime.datetime:
        self.now += datetime.timedelta(seconds=1)
        return self.now


def make_conf(directory: pathlib.Path) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    confs.register_opts(conf)
    conf(
        ['--config-dir', str(directory)],
        project='livemig',
        default_config_files=[],
    )
    catalogue = directory / 'catalogue.yaml'
    catalogue.write_text(json.dumps(CATALOGUE))
    conf.set_override('path', str(catalogue), 'catalogue')
    conf.set_override('host', 'api1')
    return conf


class World:
    """An API, its database, and what it was seen to do.

    :ivar messages: what was sent.
    :ivar failures: method -> the error that sending it raises.
    :ivar then: method -> what happens when it was sent.
    """

    def __init__(self, path: pathlib.Path | None = None) -> None:
        """:param path: of an empty database to use; None: a copy of the
        full one."""
        self._directory = tempfile.TemporaryDirectory()
        self.directory = pathlib.Path(self._directory.name)
        age_s = 3600
        if path is None:
            # Later than whatever the full one was filled with.
            age_s = 1800
            path = self.directory / 'livemig.sqlite'
            shutil.copy(_template(), path)
        self.clock = VirtualClock()
        self._ticking = _Ticking(
            self.clock.now() - datetime.timedelta(seconds=age_s)
        )
        self.store = db_api.Database(f'sqlite:///{path}', now=self._ticking)
        self.messages: list[Message] = []
        self.failures: dict[str, Exception] = {}
        self.then: dict[str, Callable[[], None]] = {}
        self.version_cap: str | None = None
        self.conf = make_conf(self.directory)
        self.assemble()

    def assemble(self) -> None:
        """Build the application, afresh after an option has changed."""
        self.app = deploy.assemble(
            deploy.make_parts(self.conf, self.store, self, self.clock),
            IdentifiedByHeaders,
            check_answer,
        )

    def client(self, topic: str, version_cap: str | None = None) -> Recorder:
        return Recorder(self, topic)

    def close(self) -> None:
        self.store.dispose()
        self._directory.cleanup()

    def context(self, **more: Any) -> context.RequestContext:
        return context.RequestContext(
            user_id='owner', project_id=OWN, store=self.store, **more
        )

    # -- filling ------------------------------------------------------------
    def _fill(self) -> None:
        for host, service in (('host1', OTHER_SERVICE), ('host2', SERVICE)):
            self.report(host, uuid=service)
        self.store.service_report(
            {
                'uuid': SPARE_SERVICE, 'host': 'api1',
                'binary': 'nova-conductor', 'topic': 'conductor',
                'version': 1, 'facts': None,
                'last_seen_at': self.clock.now(),
            }
        )  # fmt: skip
        self.store.flavor_create(
            {
                'flavor_id': 'made', 'name': 'made by hand', 'ram_mib': 256,
                'vcpus': 3, 'is_public': False,
                'extra_specs': {'colour': 'red'},
            }
        )  # fmt: skip
        for name in SERVERS:
            self._add_server(name)
        for name, events in _EVENTS.items():
            self._add_migration(name, events)
        self.instance('deleted').destroy()
        self.instance('error').add_fault(
            500, 'No valid host', 'host1', 'host1 is too small'
        )
        self.migration('aborting').request_abort('first', 'req-first')

    def report(self, host: str, rescued: bool = False, **more: Any) -> None:
        """That host's compute service reports."""
        facts = HostFacts(
            host=host, hypervisor_type='QEMU', hypervisor_version=8002002,
            migration_uri=f'qemu+tcp://{host}/system',
            migration_address=None, instances_path='/instances', vcpus=4,
            memory_mib=4096, memory_used_mib=0, disk_total_bytes=2**40,
            disk_free_bytes=2**39,
            capabilities=Capabilities(supports_live_migrate_rescued=rescued),
            uptime=UPTIME,
        )  # fmt: skip
        self.store.service_report(
            {
                'host': host, 'binary': 'nova-compute', 'topic': 'compute',
                'version': 2, 'facts': facts.to_dict(),
                'last_seen_at': self.clock.now(), **more,
            }
        )  # fmt: skip

    def _add_server(self, name: str) -> None:
        ctxt = self.context()
        Instance.create(
            ctxt,
            {
                'uuid': SERVERS[name], 'display_name': name,
                'description': None, 'user_id': 'owner',
                'project_id': OWN, 'reservation_id': 'r-1',
                'hostname': name, 'host': 'host1', 'node': 'node1',
                'vm_state': 'active', 'task_state': None,
                'power_state': 1, 'progress': 0, 'memory_mb': 64,
                'vcpus': 1, 'root_gb': 2,
                'flavor': {
                    'id': '1', 'name': 'tiny', 'ram': 64, 'vcpus': 1,
                    'disk': 2, 'ephemeral': 0, 'swap': 0,
                    'extra_specs': {'hw:cpu': 'any'},
                },
                'image_ref': IMAGE,
                'image': {
                    'id': IMAGE, 'name': 'proof', 'kernel': '/images/proof',
                    'initrd': '', 'cmdline': '', 'disks': [],
                    'properties': {'os': 'none'},
                },
                'metadata': {'kind': name}, 'locked': False,
                'config_drive': '', 'request_id': ctxt.request_id,
                'launched_at': self.clock.now(),
                **_DIFFERENCES[name],
            },
            action.values(ctxt, SERVERS[name], action.CREATE),
        )  # fmt: skip

    def _add_migration(self, name: str, events: tuple[Event, ...]) -> None:
        ctxt = self.context(request_id=f'req-{SERVERS[name]}')
        migration = Migration.begin(
            ctxt,
            SERVERS[name],
            {
                'uuid': _uuid(1000 + MIGRATIONS[name]),
                'source_compute': 'host1', 'source_node': 'node1',
                'dest_compute': 'host2', 'dest_node': 'node2',
                'old_instance_type_id': 1, 'new_instance_type_id': 1,
                'old_flavor_id': '1', 'new_flavor_id': '1',
                'user_id': 'operator', 'project_id': OWN,
                'request_id': ctxt.request_id, 'forced': False,
                'hidden': False,
            },
            {'task_state': 'migrating'},
            {'task_state': None},
            action.values(ctxt, SERVERS[name], action.LIVE_MIGRATION),
        )  # fmt: skip
        assert migration.id == MIGRATIONS[name]
        for event in events:
            ended = event in (Event.FINISH, Event.FAIL)
            migration.fire(event, {}, {'task_state': None} if ended else None)
        if Event.START in events:
            migration.save_values(
                memory_total=1000, memory_processed=600,
                memory_remaining=400, pass_number=2,
                dirty_bytes_per_s=77, memory_bytes_per_s=99,
                elapsed_s=1.5, timeout_s=800,
            )  # fmt: skip
        if name == 'completed':
            migration.save_values(
                completed_by='converged', downtime_ms=40,
                throughput_bytes_per_s=55,
            )  # fmt: skip
        if name == 'failed':
            migration.save_values(reason='the network was cut')

    # -- looking ------------------------------------------------------------
    def instance(self, name: str) -> Instance:
        return Instance.get(self.context(), SERVERS[name], deleted=True)

    def migration(self, name: str) -> Migration:
        return Migration.get(self.context(), MIGRATIONS[name])

    def actions(self, name: str) -> list[str]:
        rows = self.store.action_list(SERVERS[name], {})
        return [row['action'] for row in rows]

    # -- asking -------------------------------------------------------------
    def ask(
        self,
        method: str,
        path: str,
        version: str | None = '2.202',
        body: Any = None,
        raw: bytes | None = None,
        roles: tuple[str, ...] = ADMIN,
        project: str = OWN,
        headers: Mapping[str, str] | None = None,
        root: str = '/v2.1',
    ) -> webob.Response:
        """One request; the answer's form is checked on the way."""
        request = webob.Request.blank(f'{root}{path}', method=method)
        if version is not None:
            request.headers['OpenStack-API-Version'] = f'compute {version}'
        request.headers['X-Test-Roles'] = ','.join(roles)
        request.headers['X-Test-Project'] = project
        if raw is not None:
            request.body = raw
            request.content_type = 'application/json'
        elif body is not None:
            request.body = json.dumps(body).encode()
            request.content_type = 'application/json'
        request.headers.update(headers or {})
        return request.get_response(self.app)


class IdentifiedByHeaders:
    """Believes headers: in the place of authentication."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        roles = environ.get('HTTP_X_TEST_ROLES', 'admin')
        environ[router.CONTEXT] = context.RequestContext(
            user_id=environ.get('HTTP_X_TEST_USER', 'operator'),
            project_id=environ.get('HTTP_X_TEST_PROJECT', OWN),
            roles=[role for role in roles.split(',') if role],
        )
        return self._application(environ, start_response)


@functools.cache
def _validator(schema: str) -> Any:
    return jsonschema.Draft202012Validator(json.loads(schema))


def check_answer(
    operation: api_action.Operation, version: Any, answer: webob.Response
) -> None:
    """Each answer is what its record says; else it becomes a 500."""
    if answer.status_int == operation.success:
        schema = api_action.at(operation.response, version)
        if schema is None:
            assert answer.body == b'', answer.body
            assert 'Content-Type' not in answer.headers
        else:
            _validator(json.dumps(schema)).validate(answer.json_body)
        return
    allowed = {
        *operation.errors.values(),
        *api_action.COMMON_ERRORS.values(),
    }
    assert answer.status_int in allowed, answer.status


#: The world of the gabbits that run just now.
_current: list[World] = []


def current_app() -> Any:
    """For gabbi, which asks for the application before fixtures start."""
    return lambda environ, start: _current[-1].app(environ, start)


def enter() -> None:
    _current.append(World())


def leave() -> None:
    _current.pop().close()
