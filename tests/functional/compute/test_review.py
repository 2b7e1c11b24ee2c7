"""Races, losses and deaths found by reading: one test each."""

from livemig.compute.rpcapi import ComputeAPI
from livemig.conductor.manager import ConductorManager
from livemig.objects.migration_states import Status
from tests.functional.compute.test_faults import (
    BUSY,
    SLOW,
    go_on,
    moved,
)


class Slow(ComputeAPI):
    """Asks a destination, and something happens before it answers."""

    def __init__(self, client, meanwhile):
        super().__init__(client)
        self._meanwhile = meanwhile

    def check_can_live_migrate_destination(self, ctxt, host, migration_id):
        answer = super().check_can_live_migrate_destination(
            ctxt, host, migration_id
        )
        self._meanwhile()
        return answer


def test_a_conductor_that_is_too_slow_fails_nobody_elses_migration(deploy):
    """Its claim went stale during the checks; another one placed it."""
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    migration = deployment.begin(instance)
    slow = ConductorManager(
        deployment.conf, deployment.database, deployment.rpc, deployment.clock
    )

    def another_places_it():
        deployment.clock.advance(61)
        for manager in deployment.managers.values():
            manager.report()
        deployment.conductor.live_migrate_instance(
            migration._context, migration.id, ''
        )
        deployment.clock.limit_s = 65
        deployment.clock.until(65)
        migration.refresh()
        assert migration.status == Status.RUNNING

    slow._compute_api = Slow(
        deployment.rpc.client('compute'), another_places_it
    )
    slow.live_migrate_instance(migration._context, migration.id, '')
    migration.refresh()
    assert migration.status == Status.RUNNING
    deployment.force(migration)
    go_on(deployment)
    moved(deployment, instance, migration)
