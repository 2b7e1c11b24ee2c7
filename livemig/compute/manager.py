"""Receiving side of the messages to a host: a method a message.

Each hands over at once. A message is a nudge: what is to be done is read
from the record, and what is not (any more) so there is dropped.
"""

from __future__ import annotations

import functools
from typing import Any

from oslo_config import cfg
from oslo_log import log

from livemig import concurrency, context, notifications
from livemig import rpc as rpcs
from livemig.compute import (
    instances,
    power,
    powering,
    prechecks,
    requests,
    rpcapi,
    story,
)
from livemig.compute.convergence import Do
from livemig.compute.hands import Hands
from livemig.compute.incoming import Incoming
from livemig.compute.registry import Registry
from livemig.compute.runner import Runner
from livemig.compute.sweep import sweep
from livemig.compute.tools import Tools
from livemig.conductor import rpcapi as conductor_rpcapi
from livemig.objects import migration_states, service
from livemig.objects.migration import Migration
from livemig.objects.migration_states import Event, Status
from livemig.objects.store import Store
from livemig.virt import driver as virt

LOG = log.getLogger(__name__)


#: What may be asked of a host from outside; nothing else is reachable.
MESSAGES = (
    'build_instance',
    'terminate_instance',
    'guest_state',
    'check_can_live_migrate_destination',
    'check_can_live_migrate_source',
    'live_migration',
    'live_migration_abort',
    'live_migration_force_complete',
    'pre_live_migration',
    'post_live_migration_at_destination',
    'rollback_live_migration_at_destination',
)

#: Those asked again and again while a guest moves.
POLLED = frozenset({'guest_state'})

#: How many of the last migrations are looked at after a start.
ENDINGS = 50


class ComputeManager:
    """One host's manager.

    :param store: where the records are kept; by default they are asked of
        the conductor.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        driver: virt.Driver,
        rpc: rpcs.Rpc,
        clock: concurrency.Clock,
        store: Store | None = None,
    ) -> None:
        self._conf = conf
        self.host: str = conf.host
        self._driver = driver
        self._store = store or conductor_rpcapi.conductor_store(
            rpc.client(conductor_rpcapi.TOPIC)
        )
        self._compute_api = compute_api = rpcapi.ComputeAPI(
            rpc.client(rpcapi.TOPIC), conf.upgrade_levels.compute
        )
        self._notifier = notifier = notifications.of_service(
            conf, rpc, 'compute', self.host
        )
        self._clock = clock
        self._stop = concurrency.Event()
        self._tools = Tools(
            conf,
            host=self.host,
            driver=driver,
            compute_api=compute_api,
            notifier=notifier,
            clock=clock,
            stop=self._stop,
        )
        #: What the manager before this one could not tell, is told.
        self._endings_told = False
        self.registry = Registry(
            lambda: int(conf.max_concurrent_live_migrations), self._ended
        )
        self._prechecks = prechecks.Prechecks(
            conf, self.host, driver, compute_api
        )
        self._incoming = Incoming(self.host, driver, notifier)
        hands = Hands()
        self._instances = instances.Instances(
            self.host,
            driver,
            notifier,
            self._compute_api,
            hands,
            conf.libvirt.guest_network,
        )
        self.powering = powering.Powering(
            conf,
            driver,
            notifier,
            clock,
            hands,
            self._context,
            self._let_go,
        )

    # -- life of the process ------------------------------------------------
    def rpc_endpoints(self) -> list[Any]:
        """What is to be served on topic ``compute``, server ``host``."""
        return [
            rpcs.Endpoint(
                notifications.Watched(
                    manager, messages, self._notifier, POLLED
                ),
                messages,
                rpcapi.VERSION,
            )
            for manager, messages in (
                (self, MESSAGES),
                (self.powering.receivers(), power.MESSAGES),
            )
        ]

    def start(self) -> None:
        """Everything is found by the first ``run_periodic_tasks``."""

    def run_periodic_tasks(self) -> None:
        """Look for work; each kind on its own.

        :raises LivemigError: the last thing that went wrong.
        """
        sweep(
            (
                self.look_for_work,
                self.tidy_up,
                lambda: self._instances.sync_power_states(
                    self._context(), self.registry
                ),
            )
        )

    def reload(self) -> None:
        """SIGHUP: mutable options changed."""
        self.registry.reload()

    def stop(self) -> None:
        """Let go of everything; transfers go on in the hypervisor."""
        self._stop.set()
        # 0 is no limit.
        patience_s = self._conf.graceful_shutdown_timeout or None
        if not self.registry.close(patience_s):
            LOG.warning('Some migrations did not let go in time.')
        if not self.powering.close(patience_s):
            LOG.warning('Something that is done to instances takes on.')
        self._driver.close()

    def report(self) -> None:
        """Heartbeat, with what this host is and can."""
        facts = self._driver.host_facts().to_dict() | {
            'rpc_version': rpcapi.VERSION
        }
        self._store.service_report(
            {
                'host': self.host,
                'binary': service.COMPUTE,
                'topic': rpcapi.TOPIC,
                'version': service.SERVICE_VERSION,
                'last_seen_at': self._clock.now(),
                'facts': facts,
            }
        )

    def look_for_work(self) -> None:
        """Casts get lost with their receiver: the record is what counts.

        Takes up every unfinished migration that leaves this host, brings
        their requests to those that are here, and carries on with
        instances that were being made or deleted.
        """
        ctxt = self._context()
        found = Migration.list(
            ctxt,
            {
                'source_compute': self.host,
                'status': sorted(map(str, migration_states.UNFINISHED)),
            },
        )
        # Those under way do not wait behind those that wait; then: first
        # come, first served.
        ordered = sorted(found, key=lambda m: (_waits(m), m.id))
        sweep(
            (
                *(functools.partial(self._take_up, one) for one in ordered),
                lambda: self._instances.carry_on(ctxt, self.registry),
                lambda: self.powering.carry_on(ctxt),
                lambda: self._tell_endings(ctxt),
                self.registry.start_waiting,
            )
        )

    def _tell_endings(self, ctxt: context.RequestContext) -> None:
        """Once after the start: tell the end of those migrations that the
        manager before this one ended with its last breath."""
        if self._endings_told:
            return
        found = Migration.list(
            ctxt,
            {
                'source_compute': self.host,
                'status': sorted(map(str, migration_states.FINAL)),
            },
            limit=ENDINGS,
        )
        for migration in found:
            if self.registry.get(migration.id) is None:
                story.end_late(
                    self._context_of(migration),
                    self.host,
                    self._notifier,
                    migration,
                )
        self._endings_told = True

    def tidy_up(self) -> None:
        """Remove what ended migrations left here while nobody answered."""
        self._incoming.tidy_up(self._context())

    def _take_up(self, migration: Migration) -> None:
        if self._hand_over(migration):
            return
        if Status(migration.status) is Status.ACCEPTED:
            # Not placed yet: the conductor's.
            if not migration.plan:
                return
            migration.fire(Event.ENQUEUE)
        ctxt = self._context_of(migration)
        fresh = Migration.get(ctxt, migration.id)
        if Status(fresh.status) in migration_states.FINAL:
            # It ended after it had been listed.
            return
        runner = Runner(self._tools, ctxt, fresh)
        if not self.registry.add(runner):
            # Taken up by another thread meanwhile, which may not have read
            # the requests that brought us here.
            runner.close()
            self._hand_over(fresh)
            return
        LOG.info(
            'Migration %(id)s is taken up in status %(status)s.',
            {'id': fresh.id, 'status': fresh.status},
        )
        if fresh.abort_requested_at is not None or not _waits(fresh):
            # It is about to end, or under way in the hypervisor: nobody
            # else would see to it meanwhile.
            self.registry.start_now(fresh.id)

    def _hand_over(self, migration: Migration) -> bool:
        """Bring what stands on the record to its runner.

        :returns: False if it has none.
        """
        known = self.registry.get(migration.id)
        if known is None:
            return False
        for do, request in requests.of(migration):
            self._deliver(known, do, request)
        return True

    def _deliver(self, known: Runner, do: Do, request: Any) -> None:
        known.request(do, request)
        if do is Do.ABORT:
            # One that still waits for its turn need not wait to end.
            self.registry.start_now(known.migration_id)

    def _ended(self, done: Runner) -> None:
        """A runner is done: was its instance deleted meanwhile?"""
        self._let_go(done.instance_uuid)

    def _let_go(self, instance_uuid: str) -> None:
        if not self._stop.is_set():
            self._instances.after_work(self._context(), instance_uuid)

    # -- messages: instances ------------------------------------------------
    def build_instance(
        self,
        ctxt: context.RequestContext,
        instance_uuid: str,
        issued_at: str,
    ) -> None:
        """Make the instance, if it still is to be made here."""
        self._instances.build(ctxt, instance_uuid)

    def terminate_instance(
        self,
        ctxt: context.RequestContext,
        instance_uuid: str,
        issued_at: str,
    ) -> None:
        """Destroy the instance, after its migration if there is one."""
        known = self.registry.of_instance(instance_uuid)
        if known is not None:
            self._deliver(known, Do.ABORT, requests.deletion_of(instance_uuid))
            return
        self._instances.terminate(ctxt, instance_uuid)

    def guest_state(
        self, ctxt: context.RequestContext, instance_uuid: str
    ) -> dict[str, Any] | None:
        """What the hypervisor here says; asked, never remembered."""
        state = self._driver.guest_state(instance_uuid)
        return state.to_dict() if state else None

    # -- messages: checks ---------------------------------------------------
    def check_can_live_migrate_destination(
        self, ctxt: context.RequestContext, migration_id: int
    ) -> dict[str, Any]:
        """Can it come here? All reasons; and the plan if there is none."""
        migration = Migration.get(ctxt, migration_id)
        with self._recorded(ctxt, migration, 'destination') as event:
            answer = self._prechecks.destination(ctxt, migration)
            event.refused(prechecks.reasons_of(answer))
        return answer

    def check_can_live_migrate_source(
        self,
        ctxt: context.RequestContext,
        migration_id: int,
        destination: dict[str, Any],
        probe: str,
    ) -> dict[str, Any]:
        """Can it leave for that destination? Makes the plan."""
        migration = Migration.get(ctxt, migration_id)
        with self._recorded(ctxt, migration, 'source') as event:
            answer = self._prechecks.source(
                ctxt, migration, virt.HostFacts.from_dict(destination), probe
            )
            event.refused(prechecks.reasons_of(answer))
        return answer

    # -- messages: a migration's way ----------------------------------------
    def live_migration(
        self,
        ctxt: context.RequestContext,
        migration_id: int,
        issued_at: str,
    ) -> None:
        """The migration was placed: begin it, if it still is so."""
        migration = Migration.get(ctxt, migration_id)
        if migration.source_compute != self.host:
            LOG.warning('Migration %s is not of this host.', migration_id)
        elif Status(migration.status) in (Status.ACCEPTED, Status.QUEUED):
            self._take_up(migration)
        else:
            LOG.info(
                'Migration %(id)s is %(status)s already; the message of '
                '%(issued)s comes too late.',
                {
                    'id': migration_id,
                    'status': migration.status,
                    'issued': issued_at,
                },
            )

    def live_migration_abort(
        self,
        ctxt: context.RequestContext,
        migration_id: int,
        issued_at: str,
    ) -> None:
        """An abort stands on the record."""
        self._requests_changed(ctxt, migration_id, issued_at)

    def live_migration_force_complete(
        self,
        ctxt: context.RequestContext,
        migration_id: int,
        issued_at: str,
    ) -> None:
        """A force complete stands on the record."""
        self._requests_changed(ctxt, migration_id, issued_at)

    def _requests_changed(
        self,
        ctxt: context.RequestContext,
        migration_id: int,
        issued_at: str,
    ) -> None:
        migration = Migration.get(ctxt, migration_id)
        if (
            migration.source_compute == self.host
            and Status(migration.status) in migration_states.ON_SOURCE
        ):
            self._take_up(migration)
        else:
            LOG.info(
                'Migration %(id)s is %(status)s: the request of %(issued)s '
                'comes too late.',
                {
                    'id': migration_id,
                    'status': migration.status,
                    'issued': issued_at,
                },
            )

    def pre_live_migration(
        self, ctxt: context.RequestContext, migration_id: int
    ) -> None:
        """Prepare for a guest that is to come here."""
        self._incoming.prepare(ctxt, migration_id)

    def post_live_migration_at_destination(
        self, ctxt: context.RequestContext, migration_id: int
    ) -> dict[str, Any]:
        """The guest has come: make it lasting; say how it does."""
        return self._incoming.finish(ctxt, migration_id)

    def rollback_live_migration_at_destination(
        self, ctxt: context.RequestContext, migration_id: int
    ) -> None:
        """Remove what this migration made here, and nothing else."""
        self._incoming.undo(ctxt, migration_id)

    # -- helpers ------------------------------------------------------------
    def _context(self) -> context.RequestContext:
        return context.admin_context(self._store)

    def _context_of(self, migration: Migration) -> context.RequestContext:
        """The context of the one who asked for the migration."""
        return context.RequestContext(
            user_id=migration.user_id,
            project_id=migration.project_id,
            request_id=migration.request_id,
            is_admin=True,
            store=self._store,
        )

    def _recorded(
        self, ctxt: context.RequestContext, migration: Migration, side: str
    ) -> instances.Recorded:
        return instances.Recorded(
            ctxt,
            self.host,
            migration.instance_uuid,
            str(migration.request_id),
            f'compute_check_can_live_migrate_{side}',
        )


def _waits(migration: Migration) -> bool:
    """Nothing has been begun for it at any host."""
    return Status(migration.status) in (Status.ACCEPTED, Status.QUEUED)
