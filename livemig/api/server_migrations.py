"""Migrations of one server: watch, abort and force them to complete."""

from __future__ import annotations

from typing import Any

from livemig import exception, policy
from livemig.api import fields, lookup, migrate
from livemig.api.action import Call, Errors, Operation, always
from livemig.api.microversion import Microversion as V
from livemig.api.views import migrations as views
from livemig.compute import rpcapi
from livemig.objects import action, migration_states
from livemig.objects.instance import Instance
from livemig.objects.instance_states import TaskState
from livemig.objects.migration import LIVE_MIGRATION, Migration
from livemig.objects.migration_states import Status

INDEX_HOSTS = policy.Rule(
    'os_compute_api:servers:migrations:index:host',
    policy.ADMIN,
    "See the hosts in the list of a server's migrations.",
)
_PATH = '/servers/{server_id}/migrations'


def index(call: Call) -> dict[str, Any]:
    instance = lookup.instance(call)
    shows_hosts = call.may(INDEX_HOSTS, lookup.target(instance))
    found = Migration.get_by_instance_and_status(
        call.context, instance.uuid, views.in_progress(call.version)
    )
    return {
        'migrations': [
            _view(call, migration, shows_hosts)
            for migration in found
            if migration.migration_type == LIVE_MIGRATION
        ]
    }


def show(call: Call) -> dict[str, Any]:
    instance = lookup.instance(call)
    migration = lookup.migration(call, instance)
    if (
        migration.migration_type != LIVE_MIGRATION
        or migration.status not in views.in_progress(call.version)
    ):
        raise exception.MigrationNotFoundForInstance(
            migration_id=migration.id, instance_id=instance.uuid
        )
    return {'migration': _view(call, migration)}


def _view(
    call: Call, migration: Migration, shows_hosts: bool = True
) -> dict[str, Any]:
    source = views.MigrationSource(call, migration, shows_hosts)
    return fields.render(views.SERVER_MIGRATION, call.version, source)


# -- requests ---------------------------------------------------------------
def _subject(call: Call, verb: str) -> tuple[Instance, Migration]:
    """The migration a request is about: a live one, under way."""
    instance = lookup.unlocked_instance(call)
    migration = lookup.migration(call, instance)
    if migration.migration_type != LIVE_MIGRATION:
        raise migration.invalid_state(verb)
    if instance.task_state != TaskState.MIGRATING:
        raise exception.InstanceInvalidState(
            action=f'{verb} the migration of',
            instance_id=instance.uuid,
            attribute='task_state',
            state=instance.task_state,
        )
    return instance, migration


def abort(call: Call) -> None:
    """Write the request on the migration, then nudge its source."""
    instance, migration = _subject(call, 'abort')
    if migration.status not in (
        migration_states.ABORTABLE if call.since(2, 65) else {Status.RUNNING}
    ):
        raise migration.invalid_state('abort')
    source = str(migration.source_compute)
    call.app.compute.require(source, 'abort a migration', rpcapi.ABORT_VERSION)
    ctxt = call.context
    migration.request_abort(
        ctxt.user_id,
        str(ctxt.request_id),
        action.values(ctxt, instance.uuid, action.ABORT),
    )
    try:
        call.app.compute.live_migration_abort(ctxt, source, migration.id)
    except exception.BrokerUnreachable:
        # It stands on the migration; its manager finds it there.
        return


def force_complete(call: Call) -> None:
    instance, migration = _subject(call, 'force')
    migrate.force(call, instance, migration, 'auto')


_REFUSALS: Errors = {
    exception.InstanceNotFound: 404,
    exception.InstanceLocked: 409,
    # The specs: 400 for each state that does not fit.
    exception.InvalidState: 400,
    exception.RpcVersionTooOld: 400,
}

OPERATIONS = (
    Operation(
        name='server_migrations:index',
        method='GET',
        path=_PATH,
        first=V(2, 23),
        summary="List a server's live migrations that are under way.",
        description='Empty if there is none. Up to 2.201 one in post-copy is '
        'not in the list.',
        handler=index,
        policy=policy.Rule(
            'os_compute_api:servers:migrations:index',
            policy.ADMIN,
            "List a server's live migrations that are under way.",
        ),
        more_policies=(INDEX_HOSTS,),
        success=200,
        response=fields.schemas(
            views.SERVER_MIGRATION, fields.many('migrations'), V(2, 23)
        ),
        errors={exception.InstanceNotFound: 404},
    ),
    Operation(
        name='server_migrations:show',
        method='GET',
        path=f'{_PATH}/{{migration_id}}',
        first=V(2, 23),
        summary='Show a live migration that is under way.',
        handler=show,
        policy=policy.Rule(
            'os_compute_api:servers:migrations:show',
            policy.ADMIN,
            'Show a live migration that is under way.',
        ),
        success=200,
        response=fields.schemas(
            views.SERVER_MIGRATION, fields.one('migration'), V(2, 23)
        ),
        errors={
            exception.InstanceNotFound: 404,
            exception.MigrationNotFoundForInstance: 404,
        },
    ),
    Operation(
        name='server_migrations:abort',
        method='DELETE',
        path=f'{_PATH}/{{migration_id}}',
        first=V(2, 24),
        summary='Abort a live migration.',
        description='The guest goes on at the source, nothing is left at the '
        'destination, and the migration becomes ``cancelled``. Up '
        'to 2.64 only a ``running`` migration can be aborted. In '
        'post-copy none can: the guest runs at the destination '
        'already.',
        handler=abort,
        policy=policy.Rule(
            'os_compute_api:servers:migrations:delete',
            policy.ADMIN,
            'Abort a live migration.',
        ),
        success=202,
        errors={**_REFUSALS, exception.MigrationNotFoundForInstance: 404},
    ),
    Operation(
        name='server_migrations:force_complete',
        method='POST',
        path=f'{_PATH}/{{migration_id}}/action',
        body_key='force_complete',
        first=V(2, 22),
        summary='Force a live migration to complete.',
        description='By post-copy where the operator permits it and both '
        'hosts and the guest can, else by pausing the guest until all is '
        'copied. A guest that was paused before stays paused. A '
        'second request changes nothing and is no error.',
        handler=force_complete,
        policy=policy.Rule(
            'os_compute_api:servers:migrations:force_complete',
            policy.ADMIN,
            'Force a live migration to complete.',
        ),
        success=202,
        request=always({'type': 'null'}),
        # As in Nova an unknown migration is 400 here.
        errors={**_REFUSALS, exception.MigrationNotFoundForInstance: 400},
    ),
)
