"""Server actions about migrations: begin one live, force one to end."""

from __future__ import annotations

from collections.abc import Iterable

from oslo_utils import uuidutils

from livemig import exception, policy
from livemig.api import lookup, validation
from livemig.api.action import Call, Operation, always
from livemig.api.microversion import Microversion as V
from livemig.api.validation import BOOLEAN, HOST, InvalidInput, Schema, closed
from livemig.api.views.migrations import flavor_number
from livemig.compute import rpcapi
from livemig.objects import action, base, instance_states, migration_states
from livemig.objects.instance import Instance
from livemig.objects.instance_states import TaskState, VmState
from livemig.objects.migration import Migration
from livemig.objects.migration_states import Event
from livemig.objects.service import Service, rescued_refusal

TO_HOST = policy.Rule(
    'os_compute_api:os-migrate-server:migrate_live:host',
    policy.ADMIN,
    'Name the host that a server migrates to.',
)

#: What Nova's server actions are called that livemig does not have.
ACTIONS_OF_NOVA = (
    'addFixedIp', 'addFloatingIp', 'addSecurityGroup', 'changePassword',
    'confirmResize', 'createBackup', 'createImage', 'evacuate',
    'forceDelete', 'injectNetworkInfo', 'migrate', 'os-getConsoleOutput',
    'os-getRDPConsole', 'os-getSPICEConsole', 'os-getSerialConsole',
    'os-getVNCConsole', 'rebuild', 'removeFixedIp', 'removeFloatingIp',
    'removeSecurityGroup', 'resetNetwork', 'resize', 'restore',
    'revertResize', 'shelve', 'shelveOffload', 'trigger_crash_dump',
    'unshelve',
)  # fmt: skip


def elsewhere(known: Iterable[str | None]) -> dict[str, str]:
    """What to say of Nova's actions that are not among the known ones."""
    return {
        name: f'livemig does not offer the action {name}.'
        for name in set(ACTIONS_OF_NOVA).difference(known)
    }


# -- os-migrateLive ---------------------------------------------------------
_HOST_OR_NULL: Schema = {'anyOf': [{'type': 'null'}, HOST]}
_AUTO: Schema = {'enum': [*BOOLEAN['enum'], 'auto']}

MIGRATE_LIVE_REQUEST = (
    (
        V(2, 1),
        closed(
            {
                'block_migration': BOOLEAN,
                'disk_over_commit': BOOLEAN,
                'host': _HOST_OR_NULL,
            },
            'block_migration',
            'disk_over_commit',
            'host',
        ),
    ),
    (
        V(2, 25),
        closed(
            {'block_migration': _AUTO, 'host': _HOST_OR_NULL},
            'block_migration',
            'host',
        ),
    ),
    (
        V(2, 30),
        closed(
            {
                'block_migration': _AUTO,
                'host': _HOST_OR_NULL,
                'force': BOOLEAN,
            },
            'block_migration',
            'host',
        ),
    ),
    (
        V(2, 68),
        closed(
            {'block_migration': _AUTO, 'host': _HOST_OR_NULL},
            'block_migration',
            'host',
        ),
    ),
)


def migrate_live(call: Call) -> None:
    """Take the instance, write the migration, have it placed."""
    host = call.body['host']
    forced = _bypasses_scheduler(call)
    instance = lookup.instance(call)
    if host is not None:
        call.app.policy.authorize(
            call.context, TO_HOST, lookup.target(instance)
        )
    lookup.check_unlocked(call, instance)
    _check_state(call, instance)
    if host is not None:
        Service.compute_of(call.context, host)
    if instance.vm_state == VmState.RESCUED:
        _check_rescued(call, instance, host)
    migration = _begin(call, instance, host, forced)
    _place(call, migration)


def _bypasses_scheduler(call: Call) -> bool:
    """Whether the host given is taken as it is.

    :raises InvalidInput: force says so, but there is no host.
    """
    host = call.body['host']
    if not call.since(2, 30):
        return host is not None
    # Only the schemas of 2.30 to 2.67 let this key in.
    forced = validation.is_true(call.body.get('force', False))
    if forced and host is None:
        raise InvalidInput(
            where='os-migrateLive.force',
            reason='it needs a host.',
        )
    return forced


def _check_state(call: Call, instance: Instance) -> None:
    """:raises InstanceInvalidState:"""
    allowed = (
        instance_states.MIGRATABLE_FROM_2_200
        if call.since(2, 200)
        else instance_states.MIGRATABLE
    )
    wrong = None
    if instance.vm_state not in allowed:
        wrong = ('vm_state', instance.vm_state)
    elif instance.task_state is not None:
        wrong = ('task_state', instance.task_state)
    if wrong is not None:
        raise exception.InstanceInvalidState(
            action='migrate',
            instance_id=instance.uuid,
            attribute=wrong[0],
            state=wrong[1],
        )
    if instance.launched_at is None or instance.host is None:
        raise exception.InstanceInvalidState(
            f'Cannot migrate instance {instance.uuid}: it was never launched.',
            instance_id=instance.uuid,
        )


# -- rescued instances ------------------------------------------------------
def _check_rescued(call: Call, instance: Instance, host: str | None) -> None:
    """Refuse a host whose driver or version cannot move a rescued guest.

    :raises NotSupportedByDriver: naming the host and which end it is.
    :raises RpcVersionTooOld:
    """
    call.app.compute.require(
        f'{instance.host} (source)',
        'migrate a rescued instance',
        rpcapi.RESCUED_VERSION,
    )
    why = rescued_refusal(call.context, instance, host)
    if why:
        raise exception.NotSupportedByDriver(why)


# -- beginning --------------------------------------------------------------
def _begin(
    call: Call, instance: Instance, host: str | None, forced: bool
) -> Migration:
    """Instance, migration and action at once, if nothing has changed.

    :raises StateConflict:
    """
    ctxt = call.context
    block_migration = call.body['block_migration']
    over_commit = call.body.get('disk_over_commit')
    flavor_id = str(instance.flavor['id'])
    return Migration.begin(
        ctxt,
        instance.uuid,
        {
            'uuid': uuidutils.generate_uuid(),
            'source_compute': instance.host,
            'source_node': instance.node,
            'requested_host': host,
            'block_migration': None
            if block_migration == 'auto'
            else validation.is_true(block_migration),
            'disk_over_commit': None
            if over_commit is None
            else validation.is_true(over_commit),
            'forced': forced,
            'hidden': False,
            'old_flavor_id': flavor_id,
            'new_flavor_id': flavor_id,
            'old_instance_type_id': flavor_number(flavor_id),
            'new_instance_type_id': flavor_number(flavor_id),
            'user_id': ctxt.user_id,
            'project_id': ctxt.project_id,
            'request_id': ctxt.request_id,
        },
        instance_values={'task_state': str(TaskState.MIGRATING)},
        instance_expected={
            'task_state': None,
            'vm_state': [instance.vm_state],
            'host': instance.host,
        },
        action=action.values(ctxt, instance.uuid, action.LIVE_MIGRATION),
    )


def _place(call: Call, migration: Migration) -> None:
    """Below 2.34 the answer waits for both pre-checks.

    :raises BrokerUnreachable: the migration is taken back.
    :raises ReplyTimeout: it may go on.
    """
    conductor = call.app.conductor
    waits = not call.since(2, 34)
    try:
        if waits:
            conductor.migrate_server(call.context, migration.id)
        else:
            conductor.live_migrate_instance(call.context, migration.id)
    except exception.BrokerUnreachable as error:
        if _take_back(call, migration, error, waits):
            raise
    except exception.ReplyTimeout as error:
        raise exception.ReplyTimeout(
            f'{error.message} Migration {migration.id} may be going on all '
            'the same.',
            **error.kwargs,
        ) from error


def _take_back(
    call: Call,
    migration: Migration,
    error: exception.LivemigError,
    waits: bool,
) -> bool:
    """End a migration that nobody was told of; the instance is as before.

    :return: False if somebody was: a conductor has it, and it goes on.
    """
    try:
        migration.fire(
            Event.FAIL,
            {'reason': error.message},
            {'task_state': None},
            {'task_state': str(TaskState.MIGRATING)},
        )
    except (exception.StateConflict, exception.UnexpectedTransition):
        return False
    method = 'migrate_server' if waits else 'live_migrate_instance'
    event = {
        'event': f'conductor_{method}',
        'host': call.app.conf.host,
    }
    now = base.utcnow()
    store = call.context.store
    ids = (migration.instance_uuid, str(call.context.request_id))
    store.event_start(*ids, {**event, 'start_time': now})
    store.event_finish(
        *ids,
        {
            **event,
            'finish_time': now,
            'result': action.ERROR,
            'details': error.message[:255],
            'traceback': None,
        },
    )
    return True


# -- live-migrate-force-end -------------------------------------------------
class NotMigrating(exception.InvalidState):
    template = 'Instance {instance_id} is not being migrated.'


def force_end(call: Call) -> None:
    """Force the running migration to end by pausing the guest, never by
    post-copy."""
    instance = lookup.unlocked_instance(call)
    unfinished = Migration.get_by_instance_and_status(
        call.context, instance.uuid, migration_states.UNFINISHED
    )
    if instance.task_state != TaskState.MIGRATING or not unfinished:
        raise NotMigrating(instance_id=instance.uuid)
    force(call, instance, unfinished[0], 'pause')


def force(
    call: Call, instance: Instance, migration: Migration, method: str
) -> None:
    """Write the request on the migration, then nudge its source.

    A second request changes nothing, and is no error.

    :param method: ``auto`` or ``pause``.
    :raises InstanceInvalidState:
    :raises InvalidMigrationState:
    :raises AbortUnderWay:
    :raises RpcVersionTooOld: nothing was written.
    """
    if instance.vm_state not in instance_states.FORCEABLE:
        raise exception.InstanceInvalidState(
            action='force the migration of',
            instance_id=instance.uuid,
            attribute='vm_state',
            state=instance.vm_state,
        )
    if migration.status not in migration_states.FORCEABLE:
        raise migration.invalid_state('force')
    source = str(migration.source_compute)
    call.app.compute.require(
        source, 'force a migration', rpcapi.FORCE_COMPLETE_VERSION
    )
    ctxt = call.context
    if not migration.request_force(
        ctxt.user_id,
        str(ctxt.request_id),
        method,
        action.values(ctxt, instance.uuid, action.FORCE_COMPLETE),
    ):
        return
    try:
        call.app.compute.live_migration_force_complete(
            ctxt, source, migration.id
        )
    except exception.BrokerUnreachable:
        # It stands on the migration; its manager finds it there.
        return


OPERATIONS = (
    Operation(
        name='servers:migrate_live',
        method='POST',
        path='/servers/{server_id}/action',
        body_key='os-migrateLive',
        summary='Migrate a server live.',
        description='Takes the server, writes a migration down and asks a '
        'conductor to place it. Up to 2.33 the answer waits for the '
        'checks on both hosts; from 2.34 on it does not. A rescued '
        'server is accepted from 2.200 on. From 2.30 to 2.67 a host '
        'that is named is checked unless ``force`` is true; before, '
        'it was taken as it is, and from 2.68 on it is always '
        'checked.',
        handler=migrate_live,
        policy=policy.Rule(
            'os_compute_api:os-migrate-server:migrate_live',
            policy.ADMIN,
            'Migrate a server live.',
        ),
        more_policies=(TO_HOST,),
        success=202,
        request=MIGRATE_LIVE_REQUEST,
        errors={
            exception.InstanceNotFound: 404,
            exception.InstanceLocked: 409,
            exception.InstanceInvalidState: 409,
            exception.StateConflict: 409,
            exception.HostNotFound: 400,
            exception.RpcVersionTooOld: 400,
            # The answers of a conductor that is waited for.
            exception.MigrationPreCheckError: 400,
            exception.NoValidHost: 400,
            exception.UnableToMigrateToSelf: 400,
            exception.ComputeServiceUnavailable: 400,
            exception.HypervisorError: 400,
        },
    ),
    Operation(
        name='servers:force_end',
        method='POST',
        path='/servers/{server_id}/action',
        body_key='live-migrate-force-end',
        first=V(2, 201),
        summary='End a running live migration by pausing the guest.',
        description='The guest is paused until all is copied, and goes on at '
        'the destination; never by post-copy. A second request '
        'changes nothing and is no error.',
        handler=force_end,
        policy=policy.Rule(
            'os_compute_api:servers:live_migrate_force_end',
            policy.ADMIN,
            'End a running live migration by pausing the guest.',
        ),
        success=202,
        request=always({'type': 'null'}),
        errors={
            exception.InstanceNotFound: 404,
            exception.InvalidState: 409,
            # The spec knows no other refusal than this.
            exception.RpcVersionTooOld: 409,
        },
    ),
)
