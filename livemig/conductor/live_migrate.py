"""Places a migration: which host, and do both sides agree?

All reasons of all hosts tried are collected; no check has a side effect.
"""

from __future__ import annotations

from oslo_config import cfg
from oslo_log import log

from livemig import concurrency, context, exception
from livemig.compute import checks
from livemig.compute.checks import Reason
from livemig.compute.rpcapi import RESCUED_VERSION, ComputeAPI
from livemig.objects import service
from livemig.objects.instance import Instance
from livemig.objects.instance_states import VmState
from livemig.objects.migration import Migration
from livemig.objects.migration_states import Status
from livemig.objects.service import Service
from livemig.virt import driver as virt

LOG = log.getLogger(__name__)

#: Says nothing about any host: all of it is tried again later.
NOBODY_THERE = (exception.BrokerUnreachable, exception.DatabaseUnreachable)


class Placement:
    """Chooses or verifies the destination of one migration."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        compute_api: ComputeAPI,
        clock: concurrency.Clock,
        ctxt: context.RequestContext,
        migration: Migration,
    ) -> None:
        self._conf = conf
        self._compute_api = compute_api
        self._clock = clock
        self._ctxt = ctxt
        self._migration = migration
        self._reasons: list[Reason] = []

    def place(self) -> None:
        """Find a destination and write it, with the plan, on the record.

        :raises MigrationPreCheckError: a host was named and cannot.
        :raises NoValidHost: no host at all can.
        :raises StateConflict: the migration is not accepted any more.
        """
        instance = Instance.get(self._ctxt, self._migration.instance_uuid)
        source = self.require_source_up()
        able = self._can_leave(source, instance)
        # Also if it cannot leave: all reasons are told at once.
        for host in self._candidates(instance):
            if not able:
                break
            plan = self._check(host)
            if plan is not None:
                self._write(host, plan)
                return
        self._give_up()

    # -- which hosts --------------------------------------------------------
    def _candidates(self, instance: Instance) -> list[str]:
        """Hosts worth asking, best first."""
        services = Service.list(self._ctxt, {'binary': service.COMPUTE})
        wanted = self._migration.requested_host
        if wanted is not None:
            found = [s for s in services if s.host == wanted]
            if not found:
                raise exception.HostNotFound(host=wanted)
            if wanted == self._migration.source_compute:
                self._refuse(wanted, 'the instance runs there already.')
            elif self._usable(found[0], instance):
                return [wanted]
            return []
        usable = [
            s
            for s in services
            if s.host != self._migration.source_compute
            and self._usable(s, instance)
        ]
        usable.sort(key=_free_memory_mib, reverse=True)
        return [s.host for s in usable][: self._tries()]

    def _tries(self) -> int | None:
        retries = self._conf.migrate_max_retries
        return None if retries < 0 else retries + 1

    def _usable(self, candidate: Service, instance: Instance) -> bool:
        """It is up, enabled, able and large enough; else a reason is
        noted."""
        before = len(self._reasons)
        if instance.vm_state == VmState.RESCUED:
            self._check_rescued('destination', candidate)
        if not candidate.is_up(
            self._clock.now(), self._conf.service_down_time
        ):
            self._refuse(
                candidate.host,
                'its compute manager is down (last seen '
                f'{candidate.last_seen_at}).',
            )
        elif not self._migration.forced:
            self._check_room(candidate, instance)
        return len(self._reasons) == before

    def _check_room(self, candidate: Service, instance: Instance) -> None:
        if candidate.disabled:
            self._refuse(
                candidate.host,
                'its compute service is disabled: '
                f'{candidate.disabled_reason or "no reason given"}.',
            )
        facts = candidate.host_facts()
        if facts is None:
            self._refuse(candidate.host, 'it has not told what it can.')
            return
        self._reasons += checks.enough_memory(
            facts,
            instance.memory_mb,
            self._conf.reserved_host_memory_mb,
            self._conf.ram_allocation_ratio,
        )

    def _can_leave(self, source: Service, instance: Instance) -> bool:
        """
        :raises RpcVersionTooOld: messages are pinned below what a rescued
            instance needs.
        """
        if instance.vm_state != VmState.RESCUED:
            return True
        self._compute_api.require(
            f'{source.host} (source)',
            'migrate a rescued instance',
            RESCUED_VERSION,
        )
        return self._check_rescued('source', source)

    def _check_rescued(self, end: str, host: Service) -> bool:
        why = host.why_not_rescued()
        if why:
            self._refuse(host.host, f'({end}) {why}')
        return not why

    def require_source_up(self) -> Service:
        """:raises ComputeServiceUnavailable: nobody would begin it."""
        host = str(self._migration.source_compute)
        source = Service.compute_of(self._ctxt, host)
        if not source.is_up(self._clock.now(), self._conf.service_down_time):
            raise exception.ComputeServiceUnavailable(host=host)
        return source

    # -- do both sides agree ------------------------------------------------
    def _check(self, host: str) -> virt.TransferPlan | None:
        """Ask the destination, which asks the source; None = cannot."""
        try:
            answer = self._compute_api.check_can_live_migrate_destination(
                self._ctxt, host, self._migration.id
            )
        except NOBODY_THERE:
            raise
        except exception.LivemigError as exc:
            self._refuse(host, exc.message)
            return None
        found = [Reason(**reason) for reason in answer['reasons']]
        self._reasons += found
        if found or answer['plan'] is None:
            return None
        return virt.TransferPlan.from_dict(answer['plan'])

    def _write(self, host: str, plan: virt.TransferPlan) -> None:
        row = self._ctxt.store.migration_update(
            self._migration.id,
            {
                'dest_compute': host,
                'dest_node': host,
                'plan': plan.to_dict(),
                'block_migration': plan.block_migration,
            },
            {'status': str(Status.ACCEPTED)},
        )
        if row is None:
            self._migration.refresh()
            raise exception.StateConflict(
                what=f'Migration {self._migration.id}',
                expected=str(Status.ACCEPTED),
                found=self._migration.status,
            )
        self._migration.refresh_from(row)
        LOG.info(
            'Migration %(id)s of instance %(uuid)s goes from %(source)s to '
            '%(destination)s%(disks)s.',
            {
                'id': self._migration.id,
                'uuid': self._migration.instance_uuid,
                'source': self._migration.source_compute,
                'destination': host,
                'disks': f', copying {len(plan.disks)} disks'
                if plan.block_migration
                else '',
            },
        )

    def _refuse(self, host: str, text: str) -> None:
        self._reasons.append(Reason(host, text))

    def _give_up(self) -> None:
        told = [r.to_dict() for r in self._reasons]
        text = checks.text_of(self._reasons) or (
            'There is no other compute host.'
        )
        if self._migration.requested_host is not None:
            raise exception.MigrationPreCheckError(text=text, reasons=told)
        raise exception.NoValidHost(reason=text, reasons=told)


def _free_memory_mib(candidate: Service) -> int:
    facts = candidate.host_facts()
    return facts.memory_mib - facts.memory_used_mib if facts else 0
