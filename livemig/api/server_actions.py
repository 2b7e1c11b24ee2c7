"""Server actions that a host carries out: pause, stop, reboot, rescue ...

The handlers write what is to be done on the instance, if its state allows
(``orders``), and tell its host; the host reads it there.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from livemig import catalogue, exception, policy
from livemig.api import lookup
from livemig.api.action import Call, Errors, Handler, Operation, always
from livemig.api.validation import UUID, InvalidInput, Schema, closed
from livemig.api.views.common import STRING
from livemig.objects import action, orders
from livemig.objects.instance import Instance
from livemig.objects.orders import Order

PATH = '/servers/{server_id}/action'

#: Clients send null, or an empty object; Nova looks at neither.
ANYTHING: Schema = {}

ERRORS: Errors = {
    exception.InstanceNotFound: 404,
    exception.InstanceLocked: 409,
    exception.InstanceInvalidState: 409,
    exception.StateConflict: 409,
}


# -- what all have in common ------------------------------------------------
def check(instance: Instance, order: Order) -> None:
    """:raises InstanceInvalidState: it cannot be asked for now."""
    obstacle = order.obstacle(instance.vm_state, instance.task_state)
    if obstacle is not None:
        raise exception.InstanceInvalidState(
            action=order.action,
            instance_id=instance.uuid,
            attribute=obstacle[0],
            state=obstacle[1],
        )
    if instance.launched_at is None or instance.host is None:
        raise exception.InstanceInvalidState(
            f'Cannot {order.action} instance {instance.uuid}: it was never '
            'launched.',
            instance_id=instance.uuid,
        )


def give(
    call: Call,
    instance: Instance,
    order: Order,
    values: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> None:
    """Write the order on the instance, then tell its host.

    :param values: what else is written on the instance.
    :param arguments: of the message.
    :raises InstanceInvalidState:
    :raises StateConflict: the instance is not as it was read any more.
    """
    check(instance, order)
    expected = {
        'vm_state': instance.vm_state,
        'task_state': instance.task_state,
        'host': instance.host,
    }
    written = instance.swap(
        {'task_state': str(order.task_state), **(values or {})},
        expected,
        action.values(call.context, instance.uuid, order.action),
    )
    if not written:
        raise exception.StateConflict(
            what=f'Instance {instance.uuid}',
            expected=str(expected),
            found='another state',
        )
    try:
        call.app.compute.operate_instance(
            call.context,
            str(instance.host),
            f'{order.action}_instance',
            instance.uuid,
            **arguments,
        )
    except exception.BrokerUnreachable:
        # It stands on the record; the manager finds it there.
        return


def _giver(order: Order) -> Handler:
    """A handler that gives this order and nothing else."""

    def handler(call: Call) -> None:
        give(call, lookup.unlocked_instance(call), order)

    return handler


# -- reboot -----------------------------------------------------------------
_REBOOT: Schema = closed(
    {'type': {'enum': ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']}},
    'type',
)


def reboot(call: Call) -> None:
    """SOFT asks the guest's system; HARD makes the guest anew, and may
    take the place of something that got stuck."""
    reboot_type = call.body['type'].upper()
    hard = reboot_type == 'HARD'
    order = orders.HARD_REBOOT if hard else orders.SOFT_REBOOT
    give(call, lookup.unlocked_instance(call), order, reboot_type=reboot_type)


# -- rescue -----------------------------------------------------------------
_RESCUE: Schema = {
    'anyOf': [
        {'type': 'null'},
        closed({'adminPass': STRING, 'rescue_image_ref': UUID}),
    ]
}


def rescue(call: Call) -> dict[str, Any]:
    """Boot it from another image, with its own disks beside.

    Snapshot in hand: whatever becomes of the catalogue, and wherever the
    instance moves, its record says what it is rescued with.
    """
    asked = call.body or {}
    instance = lookup.unlocked_instance(call)
    check(instance, orders.RESCUE)
    image = _rescue_image(call, instance, asked.get('rescue_image_ref'))
    give(call, instance, orders.RESCUE, {'rescue': image})
    if not call.app.conf.api.enable_instance_password:
        return {}
    return {'adminPass': asked.get('adminPass') or secrets.token_urlsafe(9)}


def _rescue_image(
    call: Call, instance: Instance, named: str | None
) -> dict[str, Any]:
    """The image named, else the configured one, else the instance's own.

    :raises ImageNotFound: there is no such image.
    :raises InvalidInput: it is asked for as Nova 2.87 has it.
    """
    image_id = named or call.app.conf.api.rescue_image_ref
    if not image_id:
        return instance.image
    image = call.app.catalogue.content().image(image_id.lower())
    # From 2.87 on these two say how to rescue a server that boots from a
    # volume, and before that where the rescue disk is attached. livemig
    # has no volumes, and boots rescued guests in one way only.
    wanted = {'hw_rescue_bus', 'hw_rescue_device'} & image.properties.keys()
    if wanted:
        raise InvalidInput(
            where='rescue.rescue_image_ref',
            reason=f'image {image.id} has the property '
            f'{" and ".join(sorted(wanted))}; livemig does not offer that '
            'way of rescuing.',
        )
    flavor = instance.flavor
    return image.snapshot(
        catalogue.Flavor(
            id=str(flavor['id']),
            name=flavor['name'],
            ram_mib=flavor['ram'],
            vcpus=flavor['vcpus'],
            disk_gib=flavor['disk'],
        )
    )


# -- the operations ---------------------------------------------------------
def _plain(
    verb: str, body_key: str, rule: str, summary: str, order: Order
) -> Operation:
    """An action that is one order, with nothing in its body."""
    return Operation(
        name=f'servers:{verb}',
        method='POST',
        path=PATH,
        body_key=body_key,
        summary=summary,
        handler=_giver(order),
        policy=policy.Rule(
            f'os_compute_api:{rule}', policy.MEMBER_OR_ADMIN, summary
        ),
        success=202,
        request=always(ANYTHING),
        errors=ERRORS,
    )


OPERATIONS = (
    _plain(
        'pause',
        'pause',
        'os-pause-server:pause',
        'Pause a server; it keeps its memory.',
        orders.PAUSE,
    ),
    _plain(
        'unpause',
        'unpause',
        'os-pause-server:unpause',
        'Let a paused server go on.',
        orders.UNPAUSE,
    ),
    _plain(
        'suspend',
        'suspend',
        'os-suspend-server:suspend',
        'Suspend a server; its memory is saved.',
        orders.SUSPEND,
    ),
    _plain(
        'resume',
        'resume',
        'os-suspend-server:resume',
        'Let a suspended server go on.',
        orders.RESUME,
    ),
    _plain(
        'start',
        'os-start',
        'servers:start',
        'Start a stopped server.',
        orders.START,
    ),
    _plain(
        'stop',
        'os-stop',
        'servers:stop',
        'Stop a server.',
        orders.STOP,
    ),
    _plain(
        'unrescue',
        'unrescue',
        'os-unrescue',
        'Boot a rescued server as it was before.',
        orders.UNRESCUE,
    ),
    Operation(
        name='servers:reboot',
        method='POST',
        path=PATH,
        body_key='reboot',
        summary='Reboot a server, asking its system or not.',
        description='A hard reboot makes the guest anew from its record, and '
        'is also the way out if an operation on it got stuck.',
        handler=reboot,
        policy=policy.Rule(
            'os_compute_api:servers:reboot',
            policy.MEMBER_OR_ADMIN,
            'Reboot a server.',
        ),
        success=202,
        request=always(_REBOOT),
        errors=ERRORS,
    ),
    Operation(
        name='servers:rescue',
        method='POST',
        path=PATH,
        body_key='rescue',
        summary='Boot a server from another image, to repair it.',
        description='The guest boots from the rescue image, with its own '
        'disks beside. It can migrate in that state from 2.200 on.',
        handler=rescue,
        policy=policy.Rule(
            'os_compute_api:os-rescue',
            policy.MEMBER_OR_ADMIN,
            'Boot a server from another image, to repair it.',
        ),
        success=200,
        request=always(_RESCUE),
        response=always(closed({'adminPass': STRING})),
        errors={**ERRORS, exception.ImageNotFound: 400},
    ),
)
