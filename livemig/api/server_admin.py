"""Server actions about the record alone: lock, unlock, reset its state."""

from __future__ import annotations

from livemig import exception, policy
from livemig.api import lookup
from livemig.api.action import Call, Errors, Operation, always
from livemig.api.microversion import Microversion as V
from livemig.api.server_actions import ANYTHING, PATH
from livemig.api.validation import Schema, closed
from livemig.objects import action
from livemig.objects.instance import Instance
from livemig.objects.instance_states import TaskState

UNLOCK_OVERRIDE = policy.Rule(
    'os_compute_api:os-lock-server:unlock:unlock_override',
    policy.ADMIN,
    'Unlock a server whoever locked it.',
)

_ERRORS: Errors = {exception.InstanceNotFound: 404}


# -- lock and unlock --------------------------------------------------------
_LOCK: Schema = {
    'anyOf': [
        {'type': 'null'},
        closed(
            {
                'locked_reason': {
                    'type': 'string',
                    'minLength': 1,
                    'maxLength': 255,
                }
            }
        ),
    ]
}


def _locks_as(call: Call, instance: Instance) -> str:
    """Who locks, as the record has it."""
    own = instance.project_id == call.context.project_id
    return 'owner' if own else 'admin'


def lock(call: Call) -> None:
    """Only an admin changes it from then on; a lock of its own project
    leaves one that is there as it is."""
    instance = lookup.instance(call)
    locks_as = _locks_as(call, instance)
    if instance.locked and locks_as == 'owner':
        return
    # Below 2.73 nobody looks at the body.
    told = call.body if call.since(2, 73) else None
    _change(
        call,
        instance,
        action.LOCK,
        locked=True,
        locked_by=locks_as,
        locked_reason=(told or {}).get('locked_reason'),
    )


def unlock(call: Call) -> None:
    """:raises Denied: another locked it, and this is no admin."""
    instance = lookup.instance(call)
    locked_by = instance.locked_by
    if locked_by and locked_by != _locks_as(call, instance):
        call.app.policy.authorize(
            call.context, UNLOCK_OVERRIDE, lookup.target(instance)
        )
    _change(
        call,
        instance,
        action.UNLOCK,
        locked=False,
        locked_by=None,
        locked_reason=None,
    )


def _change(
    call: Call, instance: Instance, name: str, **values: str | bool | None
) -> None:
    """:raises InstanceNotFound: deleted meanwhile."""
    if not instance.swap(
        values, {}, action.values(call.context, instance.uuid, name)
    ):
        raise exception.InstanceNotFound(instance_id=instance.uuid)


# -- os-resetState ----------------------------------------------------------
_RESET: Schema = closed({'state': {'enum': ['active', 'error']}}, 'state')


def reset_state(call: Call) -> None:
    """Say that it is well, or not, and that nothing is under way.

    Never while it migrates: its migration is what knows better.

    :raises InstanceInvalidState: it migrates.
    :raises StateConflict: it changed meanwhile.
    """
    instance = lookup.instance(call)
    if instance.task_state == TaskState.MIGRATING:
        raise exception.InstanceInvalidState(
            action='reset the state of',
            instance_id=instance.uuid,
            attribute='task_state',
            state=instance.task_state,
        )
    expected = {'task_state': instance.task_state}
    if not instance.swap(
        {'vm_state': call.body['state'], 'task_state': None}, expected
    ):
        raise exception.StateConflict(
            what=f'Instance {instance.uuid}',
            expected=str(expected),
            found='another state',
        )


OPERATIONS = (
    Operation(
        name='servers:lock',
        method='POST',
        path=PATH,
        body_key='lock',
        summary='Lock a server: only an administrator changes it then.',
        handler=lock,
        policy=policy.Rule(
            'os_compute_api:os-lock-server:lock',
            policy.MEMBER_OR_ADMIN,
            'Lock a server.',
        ),
        success=202,
        request=((V(2, 1), ANYTHING), (V(2, 73), _LOCK)),
        errors=_ERRORS,
    ),
    Operation(
        name='servers:unlock',
        method='POST',
        path=PATH,
        body_key='unlock',
        summary='Unlock a server.',
        handler=unlock,
        policy=policy.Rule(
            'os_compute_api:os-lock-server:unlock',
            policy.MEMBER_OR_ADMIN,
            'Unlock a server.',
        ),
        more_policies=(UNLOCK_OVERRIDE,),
        success=202,
        request=always(ANYTHING),
        errors=_ERRORS,
    ),
    Operation(
        name='servers:reset_state',
        method='POST',
        path=PATH,
        body_key='os-resetState',
        summary='Reset the state of a server that got stuck.',
        description='Changes what livemig believes, not the guest. Refused '
        'while the server migrates.',
        handler=reset_state,
        policy=policy.Rule(
            'os_compute_api:os-admin-actions:reset_state',
            policy.ADMIN,
            'Reset the state of a server.',
        ),
        success=202,
        request=always(_RESET),
        errors={
            **_ERRORS,
            exception.InstanceInvalidState: 409,
            exception.StateConflict: 409,
        },
    ),
)
