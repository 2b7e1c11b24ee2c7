"""Receiving side of the messages to the conductor, and its repair loop."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterator
from typing import Any

from oslo_config import cfg
from oslo_log import log

from livemig import concurrency, context, exception, notifications
from livemig import rpc as rpcs
from livemig.compute import checks
from livemig.compute.instances import Recorded
from livemig.compute.rpcapi import TOPIC, ComputeAPI
from livemig.compute.sweep import sweep
from livemig.conductor import rpcapi
from livemig.conductor.live_migrate import NOBODY_THERE, Placement
from livemig.objects import action, service
from livemig.objects.instance import Instance
from livemig.objects.instance_states import TaskState, VmState
from livemig.objects.migration import Migration
from livemig.objects.migration_states import Event, Status
from livemig.objects.service import Service
from livemig.objects.store import Store

LOG = log.getLogger(__name__)

#: A claim on an accepted migration, and a message that nobody seems to
#: have taken, are as good as lost after this, s.
STALE_S = 60.0


#: What may be asked of a conductor from outside.
MESSAGES = (
    'store_call',
    'live_migrate_instance',
    'migrate_server',
    'build_instance',
)


class ConductorManager:
    """Places migrations and instances; keeps the records for managers.

    Any number may run at once on one queue.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        store: Store,
        rpc: rpcs.Rpc,
        clock: concurrency.Clock,
    ) -> None:
        self._conf = conf
        self._host: str = conf.host
        self._store = store
        self._compute_api = ComputeAPI(
            rpc.client(TOPIC), conf.upgrade_levels.compute
        )
        self._clock = clock
        self._notifier = notifications.of_service(
            conf, rpc, 'conductor', self._host
        )

    def rpc_endpoints(self) -> list[Any]:
        """What is to be served on topic ``conductor``."""
        return [rpcs.Endpoint(self, MESSAGES, rpcapi.VERSION)]

    def start(self) -> None:
        """Everything is found by the first ``run_periodic_tasks``."""

    # -- the records' keeper ------------------------------------------------
    def store_call(
        self,
        ctxt: context.RequestContext,
        name: str,
        arguments: dict[str, Any],
    ) -> Any:
        """One of the store's methods, for a process without database."""
        if name not in rpcapi.STORE_METHODS:
            raise exception.LivemigError(
                f'The conductor keeps no records by the method {name!r}.'
            )
        return getattr(self._store, name)(**arguments)

    # -- migrations ---------------------------------------------------------
    def live_migrate_instance(
        self,
        ctxt: context.RequestContext,
        migration_id: int,
        issued_at: str,
    ) -> None:
        """Place it and start it; what goes wrong is on the record."""
        try:
            self._place(ctxt, migration_id, 'conductor_live_migrate_instance')
        except exception.LivemigError as exc:
            LOG.warning(
                'Migration %(id)s cannot be made: %(exc)s',
                {'id': migration_id, 'exc': exc.message},
            )

    def migrate_server(
        self, ctxt: context.RequestContext, migration_id: int
    ) -> None:
        """The same, and the caller waits to be told."""
        self._place(ctxt, migration_id, 'conductor_migrate_server')

    def _place(
        self, ctxt: context.RequestContext, migration_id: int, event: str
    ) -> None:
        migration = Migration.get(ctxt, migration_id)
        if migration.status != Status.ACCEPTED or not migration.claim(
            self._host, self._clock.now(), STALE_S
        ):
            LOG.info(
                'Migration %(id)s is %(status)s and in the hands of '
                '%(who)s already.',
                {
                    'id': migration_id,
                    'status': migration.status,
                    'who': migration.claimed_by,
                },
            )
            return
        try:
            self._choose(ctxt, migration, event)
        except NOBODY_THERE:
            # Still accepted: the repair loop tries again.
            raise
        except exception.LivemigError as exc:
            self._cannot(ctxt, migration, exc)
            raise
        instance = Instance.get(ctxt, migration.instance_uuid, deleted=True)
        self._compute_api.live_migration(
            ctxt,
            str(migration.source_compute),
            migration.id,
            rescued=instance.vm_state == VmState.RESCUED,
        )

    def _choose(
        self, ctxt: context.RequestContext, migration: Migration, event: str
    ) -> None:
        """:raises LivemigError: why it goes nowhere."""
        recorded = Recorded(
            ctxt,
            self._host,
            migration.instance_uuid,
            str(migration.request_id),
            event,
            again=NOBODY_THERE,
        )
        with recorded:
            placement = Placement(
                self._conf, self._compute_api, self._clock, ctxt, migration
            )
            if migration.plan:
                # Placed before, but its source has not begun it.
                placement.require_source_up()
            else:
                placement.place()

    def _cannot(
        self,
        ctxt: context.RequestContext,
        migration: Migration,
        error: exception.LivemigError,
    ) -> None:
        """No hypervisor was touched: the instance is as it was.

        Unless the checks took so long that another conductor has placed
        it meanwhile: then it is the source's, whatever went wrong here.
        """
        if migration.status != Status.ACCEPTED:
            LOG.info(
                'Migration %(id)s is %(status)s by now and goes on: %(exc)s',
                {
                    'id': migration.id,
                    'status': migration.status,
                    'exc': error.message,
                },
            )
            return
        try:
            migration.fire(
                Event.FAIL,
                {'reason': error.message},
                {'task_state': None},
                {'task_state': str(TaskState.MIGRATING)},
            )
        except exception.InvalidState as exc:
            LOG.info('%s', exc.message)
            return
        instance = Instance.get(ctxt, migration.instance_uuid, deleted=True)
        self._notifier.not_placed(ctxt, instance, error)
        self._notifier.notify(
            ctxt,
            'live_migration_end',
            notifications.Phase.END,
            instance,
            migration,
        )

    # -- instances ----------------------------------------------------------
    def build_instance(
        self,
        ctxt: context.RequestContext,
        instance_uuid: str,
        issued_at: str,
    ) -> None:
        """Find a host for it and have it made there."""
        try:
            instance = Instance.get(ctxt, instance_uuid)
        except exception.InstanceNotFound:
            return
        if instance.task_state != TaskState.SCHEDULING:
            return
        try:
            host = self._host_for(ctxt, instance)
        except NOBODY_THERE:
            # Still to be scheduled: the repair loop tries again.
            raise
        except exception.LivemigError as exc:
            if instance.swap(
                {'vm_state': str(VmState.ERROR), 'task_state': None},
                {'task_state': str(TaskState.SCHEDULING)},
            ):
                instance.add_fault(
                    500, 'No valid host was found.', None, exc.message
                )
                self._not_built(ctxt, instance, exc)
            return
        if instance.swap(
            {
                'host': host,
                'node': host,
                'task_state': str(TaskState.SPAWNING),
            },
            {'task_state': str(TaskState.SCHEDULING)},
        ):
            self._compute_api.build_instance(ctxt, host, instance.uuid)

    def _not_built(
        self,
        ctxt: context.RequestContext,
        instance: Instance,
        error: exception.LivemigError,
    ) -> None:
        """No host was asked to make it, so none tells of it."""
        ctxt = action.context_of(ctxt, instance.uuid, action.CREATE)
        with Recorded(
            ctxt,
            self._host,
            instance.uuid,
            str(instance.request_id),
            'conductor_build_instance',
        ) as recorded:
            recorded.refused(error.message)
        self._notifier.notify(
            ctxt,
            'create',
            notifications.Phase.ERROR,
            instance,
            error=error,
        )

    def _host_for(
        self, ctxt: context.RequestContext, instance: Instance
    ) -> str:
        """The host that was named, or the one with the most memory free.

        :raises NoValidHost: with all reasons.
        """
        reasons: list[checks.Reason] = []
        found: list[tuple[int, str]] = []
        for candidate in Service.list(ctxt, {'binary': service.COMPUTE}):
            if instance.host and candidate.host != instance.host:
                continue
            why = self._not_for(candidate, instance)
            facts = candidate.host_facts()
            if why or facts is None:
                reasons += why
                continue
            free_mib = facts.memory_mib - facts.memory_used_mib
            found.append((free_mib, candidate.host))
        if not found:
            raise exception.NoValidHost(
                reason=checks.text_of(reasons)
                or 'No compute manager has reported yet.'
            )
        return max(found)[1]

    def _not_for(
        self, candidate: Service, instance: Instance
    ) -> list[checks.Reason]:
        if not candidate.is_up(
            self._clock.now(), self._conf.service_down_time
        ):
            text = f'its compute manager is down ({candidate.last_seen_at}).'
            return [checks.Reason(candidate.host, text)]
        if candidate.disabled and not instance.host:
            return [checks.Reason(candidate.host, 'it is disabled.')]
        facts = candidate.host_facts()
        if facts is None:
            return [checks.Reason(candidate.host, 'nothing is known of it.')]
        return checks.enough_memory(
            facts,
            instance.memory_mb,
            self._conf.reserved_host_memory_mb,
            self._conf.ram_allocation_ratio,
        )

    # -- repair -------------------------------------------------------------
    def report(self) -> None:
        """Heartbeat."""
        self._store.service_report(
            {
                'host': self._host,
                'binary': service.CONDUCTOR,
                'topic': rpcapi.TOPIC,
                'version': service.SERVICE_VERSION,
                'last_seen_at': self._clock.now(),
                'facts': None,
            }
        )

    def run_periodic_tasks(self) -> None:
        """Send again what nobody seems to have taken."""
        sweep(self._left_undone(context.admin_context(self._store)))

    def _left_undone(
        self, ctxt: context.RequestContext
    ) -> Iterator[Callable[[], None]]:
        for migration in Migration.list(
            ctxt, {'status': str(Status.ACCEPTED)}
        ):
            if self._is_stale(migration.claimed_at or migration.created_at):
                yield functools.partial(
                    self.live_migrate_instance,
                    self._context_of(migration),
                    migration.id,
                    '',
                )
        for instance in Instance.list(
            ctxt, {'task_state': str(TaskState.SCHEDULING)}
        ):
            if self._is_stale(instance.created_at):
                yield functools.partial(
                    self.build_instance, ctxt, instance.uuid, ''
                )

    def _is_stale(self, since: datetime.datetime) -> bool:
        """Long ago; or ahead, by a clock that was put right since."""
        age_s = (self._clock.now() - since).total_seconds()
        return abs(age_s) > STALE_S

    def _context_of(self, migration: Migration) -> context.RequestContext:
        return context.RequestContext(
            user_id=migration.user_id,
            project_id=migration.project_id,
            request_id=migration.request_id,
            is_admin=True,
            store=self._store,
        )

    def reload(self) -> None:
        """Every option is read where it is used."""

    def stop(self) -> None:
        """Nothing of its own goes on."""
