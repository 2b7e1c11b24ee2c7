"""Gathers the facts of both hosts before a migration; ``checks`` judges.

Without side effects but for a probe file that is removed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

from livemig import context
from livemig.compute import checks
from livemig.compute.rpcapi import ComputeAPI
from livemig.objects.instance import Instance
from livemig.objects.instance_states import VmState
from livemig.objects.migration import Migration
from livemig.virt import driver as virt
from livemig.virt import job as jobs


class Prechecks:
    """One host's part in the checks, as destination or as source."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        host: str,
        driver: virt.Driver,
        compute_api: ComputeAPI,
    ) -> None:
        self._conf = conf
        self._host = host
        self._driver = driver
        self._compute_api = compute_api

    def destination(
        self, ctxt: context.RequestContext, migration: Migration
    ) -> dict[str, Any]:
        facts = self._driver.host_facts()
        instance = Instance.get(ctxt, migration.instance_uuid)
        reasons = _can_migrate(facts, instance) + checks.destination_is_free(
            self._host, self._driver.guest_state(migration.instance_uuid)
        )
        probe = self._driver.make_probe()
        try:
            answer = self._compute_api.check_can_live_migrate_source(
                ctxt,
                str(migration.source_compute),
                migration.id,
                facts.to_dict(),
                probe,
            )
        finally:
            self._driver.drop_probe(probe)
        cpu = answer.get('cpu')
        if cpu and not self._driver.cpu_fits(cpu):
            reasons.append(
                checks.Reason(
                    self._host,
                    'its CPU lacks features of the CPU of '
                    f'{migration.source_compute}.',
                )
            )
        if answer['plan']:
            plan = virt.TransferPlan.from_dict(answer['plan'])
            reasons += checks.enough_disk(
                plan.disks if plan.block_migration else (),
                facts,
                self._conf.reserved_host_disk_mb,
                migration.disk_over_commit,
            )
        return {
            'reasons': [r.to_dict() for r in reasons] + answer['reasons'],
            'plan': answer['plan'],
        }

    def source(
        self,
        ctxt: context.RequestContext,
        migration: Migration,
        there: virt.HostFacts,
        probe: str,
    ) -> dict[str, Any]:
        guest_id = migration.instance_uuid
        facts = self._driver.host_facts()
        state = self._driver.guest_state(guest_id)
        reasons = checks.guest_is_there(self._host, state)
        if reasons:
            return {
                'reasons': [r.to_dict() for r in reasons],
                'plan': None,
                'cpu': '',
            }
        instance = Instance.get(ctxt, guest_id)
        reasons += _can_migrate(facts, instance)
        reasons += checks.same_hypervisor(facts, there)
        if instance.mac_address:
            reasons += checks.network_there(facts, there)
        error = self._driver.reachable(there)
        if error:
            reasons.append(checks.Reason(self._host, error))
        shared = self._driver.sees_probe(probe)
        storage = checks.storage(
            migration.block_migration,
            shared,
            self._driver.disks(guest_id),
            self._host,
            there,
        )
        reasons += storage.reasons
        plan = virt.TransferPlan(
            guest_id=guest_id,
            migration_id=migration.id,
            destination=there,
            block_migration=storage.block_migration,
            disks=storage.copied,
            shared_directory=shared,
            paused=state is not None and state.power is jobs.Power.PAUSED,
        )
        return {
            'reasons': [r.to_dict() for r in reasons],
            'plan': plan.to_dict(),
            'cpu': facts.cpu,
        }


def reasons_of(answer: Mapping[str, Any]) -> str:
    """Why it cannot be, in words; '': it can."""
    return checks.text_of(checks.Reason(**r) for r in answer['reasons'])


def _can_migrate(
    facts: virt.HostFacts, instance: Instance
) -> list[checks.Reason]:
    reasons = checks.can_migrate(facts)
    if instance.vm_state == VmState.RESCUED:
        reasons += checks.can_migrate_rescued(facts)
    return reasons
