"""A whole livemig in one process: real database, real messages, simulated
hypervisors, virtual time."""

from __future__ import annotations

import itertools
import pathlib
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from oslo_config import cfg
from oslo_messaging.notify import _impl_test

from livemig import conf as confs
from livemig import context, rpc
from livemig.compute.manager import ComputeManager
from livemig.compute.rpcapi import ComputeAPI
from livemig.conductor.manager import ConductorManager
from livemig.conductor.rpcapi import ConductorAPI
from livemig.db import api as db_api
from livemig.objects import action as actions
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration
from livemig.virt import fake
from livemig.virt.driver import Driver
from livemig.virt.simulation.world import World
from tests.clock import VirtualClock
from tests.functional import empty

_NUMBERS = itertools.count()
PATIENCE_S = 20.0
#: Notifications in both forms, collected where ``Deployment.told`` looks.
TOLD = [
    ('oslo_messaging_notifications', 'driver', ['test']),
    ('notifications', 'notification_format', 'both'),
]


def make_conf(
    host: str = 'host1', overrides: Iterable[tuple[str, str, Any]] = ()
) -> cfg.ConfigOpts:
    """A service's options; overrides are (group, name, value)."""
    conf = cfg.ConfigOpts()
    confs.register_opts(conf)
    rpc.register_opts(conf)
    conf([], project='livemig', default_config_files=[])
    conf.set_override('host', host)
    for group, name, value in overrides:
        conf.set_override(name, value, None if group == 'DEFAULT' else group)
    return conf


class Deployment:
    """API-less livemig: a conductor and a manager per host.

    Time stands still at ``limit_s`` until a test lets it go on.
    """

    def __init__(
        self,
        tmp_path: pathlib.Path,
        hosts: Iterable[str] = ('host1', 'host2'),
        options: Iterable[tuple[str, str, Any]] = (),
        url: str | None = None,
        limit_s: float = 0.0,
    ) -> None:
        self.clock = VirtualClock(limit_s)
        self.database = db_api.Database(empty.make(tmp_path / 'db.sqlite'))
        name = f'world{next(_NUMBERS)}'
        self.url = url or f'inproc://{name}/?inline=1'
        self.options = [
            ('DEFAULT', 'compute_driver', 'fake'),
            ('DEFAULT', 'max_concurrent_live_migrations', 0),
            ('fake', 'world', name),
            *options,
        ]
        self.conf = make_conf('conductor1', self.options)
        self.rpc = rpc.Rpc(self.conf, self.database, self.url)
        self.ctxt = context.RequestContext(
            user_id='operator',
            project_id='project',
            roles=['admin'],
            is_admin=True,
            store=self.database,
        )
        self.conductor = ConductorManager(
            self.conf, self.database, self.rpc, self.clock
        )
        self.conductor_api = ConductorAPI(self.rpc.client('conductor'))
        self.compute_api = ComputeAPI(self.rpc.client('compute'))
        self.servers = [self._serve('conductor', 'conductor1', self.conductor)]
        self.managers: dict[str, ComputeManager] = {}
        self._manager_servers: dict[str, tuple[rpc.Rpc, rpc.Server]] = {}
        for host in hosts:
            self.start_manager(host)
        self.world: World = fake.world(name, self.clock)

    def _serve(
        self,
        topic: str,
        server: str,
        manager: Any,
        through: rpc.Rpc | None = None,
    ) -> rpc.Server:
        made = (through or self.rpc).server(
            topic, server, manager.rpc_endpoints()
        )
        made.start()
        assert made.wait_ready(PATIENCE_S)
        return made

    def start_manager(
        self, host: str, options: Iterable[tuple[str, str, Any]] = ()
    ) -> ComputeManager:
        """Start a host's manager; it reports and looks for work."""
        conf = make_conf(host, [*self.options, *options])
        through = rpc.Rpc(conf, None, self.url)
        manager = ComputeManager(
            conf, fake.build(conf, self.clock), through, self.clock
        )
        through.store = manager._store
        self._manager_servers[host] = (
            through,
            self._serve('compute', host, manager, through),
        )
        self.managers[host] = manager
        manager.report()
        manager.run_periodic_tasks()
        return manager

    def second_driver(self, host: str) -> Driver:
        """A driver of a host beside, or instead of, its manager's."""
        return fake.build(make_conf(host, self.options), self.clock)

    def stop_manager(self, host: str) -> None:
        """Stop it; its migrations go on in the hypervisor."""
        through, server = self._manager_servers.pop(host)
        server.stop()
        self.managers.pop(host).stop()
        through.close()

    def stop(self) -> None:
        self.clock.limit_s = float('inf')
        for host in list(self.managers):
            self.stop_manager(host)
        rpc.stop_all(self.servers)
        self.rpc.close()
        self.database.dispose()

    # -- what tests do with it ----------------------------------------------
    def boot(
        self,
        host: str = 'host1',
        cmdline: str = 'ws=16 rate=100',
        memory_mb: int = 64,
        disks: list[dict[str, Any]] | None = None,
    ) -> Instance:
        """A running instance on ``host``."""
        instance = self.create(host, cmdline, memory_mb, disks)
        assert (instance.vm_state, instance.host) == ('active', host)
        return instance

    def create(
        self,
        host: str = 'host1',
        cmdline: str = 'ws=16 rate=100',
        memory_mb: int = 64,
        disks: list[dict[str, Any]] | None = None,
    ) -> Instance:
        """What POST of a server does; whatever becomes of it."""
        ctxt = self.ctxt.copy()
        instance = Instance.create(
            ctxt,
            {
                'uuid': str(uuid.uuid4()),
                'display_name': 'guest',
                'user_id': 'owner',
                'project_id': 'project',
                'host': host,
                'vm_state': 'building',
                'task_state': 'scheduling',
                'power_state': 0,
                'progress': 0,
                'memory_mb': memory_mb,
                'vcpus': 1,
                'root_gb': 0,
                'flavor': {'id': '1', 'name': 'tiny'},
                'image_ref': str(uuid.uuid4()),
                'image': {
                    'kernel': '/proof',
                    'cmdline': cmdline,
                    'disks': disks or [],
                },
                'metadata': {},
                'locked': False,
                'request_id': ctxt.request_id,
            },
            actions.values(ctxt, '', actions.CREATE),
        )
        self.conductor_api.build_instance(ctxt, instance.uuid)
        instance.refresh()
        return instance

    def begin(self, instance: Instance, **values: Any) -> Migration:
        """An accepted migration, as the API makes it."""
        ctxt = self.context()
        return Migration.begin(
            ctxt,
            instance.uuid,
            {
                'uuid': str(uuid.uuid4()),
                'source_compute': instance.host,
                'source_node': instance.node,
                'user_id': ctxt.user_id,
                'project_id': ctxt.project_id,
                'request_id': ctxt.request_id,
                'forced': False,
                'hidden': False,
                **values,
            },
            {'task_state': 'migrating'},
            {'task_state': None, 'host': instance.host},
            actions.values(ctxt, instance.uuid, actions.LIVE_MIGRATION),
        )

    def migrate(self, instance: Instance, **values: Any) -> Migration:
        """Begin a migration and have it placed; it runs by itself."""
        migration = self.begin(instance, **values)
        self.conductor_api.live_migrate_instance(
            migration._context, migration.id
        )
        return migration

    def context(self) -> context.RequestContext:
        """A new request of the operator."""
        values = self.ctxt.to_dict()
        values.pop('request_id')
        return context.RequestContext.from_dict(values, store=self.database)

    def abort(self, migration: Migration) -> context.RequestContext:
        """What DELETE does."""
        ctxt = self.context()
        fresh = Migration.get(ctxt, migration.id)
        fresh.request_abort(ctxt.user_id, ctxt.request_id)
        actions.start(ctxt, fresh.instance_uuid, actions.ABORT)
        self.managers[fresh.source_compute]._compute_api.live_migration_abort(
            ctxt, fresh.source_compute, fresh.id
        )
        return ctxt

    def force(
        self, migration: Migration, method: str = 'auto'
    ) -> context.RequestContext:
        """What force_complete does."""
        ctxt = self.context()
        fresh = Migration.get(ctxt, migration.id)
        if fresh.request_force(ctxt.user_id, ctxt.request_id, method):
            actions.start(ctxt, fresh.instance_uuid, actions.FORCE_COMPLETE)
            api = self.managers[fresh.source_compute]._compute_api
            api.live_migration_force_complete(
                ctxt, fresh.source_compute, fresh.id
            )
        return ctxt

    def ask(
        self,
        instance: Instance,
        verb: str,
        task_state: str,
        *,
        send: bool = True,
        message: dict[str, Any] | None = None,
        **values: Any,
    ) -> context.RequestContext:
        """What the API does with an action such as ``pause``.

        :param send: False: the message gets lost.
        :param message: its arguments.
        """
        ctxt = self.context()
        fresh = Instance.get(ctxt, instance.uuid)
        assert fresh.swap(
            {'task_state': task_state, **values},
            {'task_state': fresh.task_state, 'vm_state': fresh.vm_state},
            actions.values(ctxt, fresh.uuid, verb),
        )
        if send:
            self.compute_api.operate_instance(
                ctxt,
                fresh.host,
                f'{verb}_instance',
                fresh.uuid,
                **(message or {}),
            )
        return ctxt

    def worked(self, *things: Instance | Migration) -> None:
        """Wait until no guest is powered up or down; read these again."""
        for manager in list(self.managers.values()):
            assert manager.powering.wait_idle(PATIENCE_S), 'still working'
        for thing in things:
            thing.refresh()

    def settled(self, *things: Instance | Migration) -> None:
        """Let time go on until no migration runs; read these again."""
        self.clock.limit_s = float('inf')
        for manager in list(self.managers.values()):
            assert manager.registry.wait_idle(PATIENCE_S), 'still running'
        for thing in things:
            thing.refresh()

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait, in real time, for what another thread is about to do."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < give_up_s, 'it never came true'
            threading.Event().wait(0.01)

    def told(self, instance: Instance) -> list[dict[str, Any]]:
        """The notifications about it so far; those of one process in their
        order. Needs the options ``TOLD``."""
        return [
            message
            for message in self.all_told()
            if instance.uuid in str(message['payload'])
        ]

    def all_told(self) -> list[dict[str, Any]]:
        """All there ever were, also of other deployments."""
        self.flush()
        return [message for _, message, *_ in _impl_test.NOTIFICATIONS]

    def ways(self) -> dict[str, rpc.Rpc]:
        """The way to the bus of each process."""
        return {'conductor1': self.rpc} | {
            host: way for host, (way, _) in self._manager_servers.items()
        }

    def flush(self) -> None:
        """Wait until all notifications are sent."""
        for way in self.ways().values():
            assert way.notifier('').flush(PATIENCE_S)

    def events(
        self, instance: Instance, request_id: str
    ) -> dict[str, tuple[str | None, str | None]]:
        """The events of one action: name -> (result, details)."""
        action = self.database.action_get(instance.uuid, request_id)
        assert action is not None
        return {
            e['event']: (e['result'], e['details']) for e in action['events']
        }
