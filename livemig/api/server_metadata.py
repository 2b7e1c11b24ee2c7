"""Metadata of a server: words that its owner keeps with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from livemig import exception, policy
from livemig.api import lookup
from livemig.api.action import Call, Errors, Operation, always
from livemig.api.server_create import MAX_METADATA, METADATA
from livemig.api.validation import InvalidInput, Schema, closed
from livemig.api.views.common import STRINGS
from livemig.objects.instance import Instance
from livemig.objects.orders import METADATA_STATES

_PATH = '/servers/{server_id}/metadata'
_ITEM_PATH = f'{_PATH}/{{metadata_key}}'

#: How often a change that lost a race is tried again.
SWAPS = 5

_ALL: Schema = closed({'metadata': METADATA}, 'metadata')
_ONE: Schema = closed(
    {'meta': {**METADATA, 'minProperties': 1, 'maxProperties': 1}}, 'meta'
)
_ALL_TOLD: Schema = closed({'metadata': STRINGS}, 'metadata')
_ONE_TOLD: Schema = closed({'meta': STRINGS}, 'meta')

_READ: Errors = {exception.InstanceNotFound: 404}


class ItemNotFound(exception.NotFound):
    template = 'Instance {instance_id} has no metadata item {key}.'


class TooMany(exception.LivemigError):
    template = 'An instance has at most {limit} metadata items.'


_CHANGE: Errors = {
    **_READ,
    exception.InstanceLocked: 409,
    exception.InstanceInvalidState: 409,
    exception.StateConflict: 409,
    # As Nova answers to what goes beyond a quota.
    TooMany: 403,
}

Words = Mapping[str, str]


# -- read -------------------------------------------------------------------
def index(call: Call) -> dict[str, Words]:
    return {'metadata': lookup.instance(call).metadata}


def show(call: Call) -> dict[str, Words]:
    return _item(lookup.instance(call), call.path['metadata_key'])


def _item(instance: Instance, key: str) -> dict[str, Words]:
    """:raises ItemNotFound:"""
    try:
        return {'meta': {key: instance.metadata[key]}}
    except KeyError:
        raise ItemNotFound(instance_id=instance.uuid, key=key[:255]) from None


# -- change -----------------------------------------------------------------
def create(call: Call) -> dict[str, Words]:
    """Add items, or give those that are there another value."""
    added = call.body['metadata']
    return {'metadata': _changed(call, lambda old: {**old, **added})}


def update_all(call: Call) -> dict[str, Words]:
    """Replace all of them."""
    return {'metadata': _changed(call, lambda _old: call.body['metadata'])}


def update(call: Call) -> dict[str, Words]:
    """:raises InvalidInput: body and URL do not name the same item."""
    meta = call.body['meta']
    if call.path['metadata_key'] not in meta:
        raise InvalidInput(
            where='meta', reason='it is not about the item of the URL.'
        )
    _changed(call, lambda old: {**old, **meta})
    return {'meta': meta}


def delete(call: Call) -> None:
    """:raises ItemNotFound:"""
    key = call.path['metadata_key']

    def without(old: Words) -> Words:
        return {name: old[name] for name in old if name != key}

    _changed(call, without, needed=key)


def _changed(
    call: Call,
    change: Callable[[Words], Words],
    needed: str | None = None,
) -> Words:
    """The metadata after a change; one that raced another is made again.

    :param needed: an item that must be there.
    :raises ItemNotFound:
    :raises TooMany:
    :raises InstanceInvalidState:
    :raises StateConflict: others change it all the time.
    """
    instance = lookup.unlocked_instance(call)
    for _ in range(SWAPS):
        if needed is not None:
            _item(instance, needed)
        _check_state(instance)
        new = dict(change(instance.metadata))
        if len(new) > MAX_METADATA:
            raise TooMany(limit=MAX_METADATA)
        # JSON cannot be compared, when it was changed can.
        if instance.swap(
            {'metadata': new},
            {
                'updated_at': instance.updated_at,
                'vm_state': instance.vm_state,
            },
        ):
            return instance.metadata
        instance.refresh()
    raise exception.StateConflict(
        what=f'Instance {instance.uuid}',
        expected='nobody else to change it',
        found='another change each time',
    )


def _check_state(instance: Instance) -> None:
    """:raises InstanceInvalidState:"""
    if instance.vm_state not in METADATA_STATES:
        raise exception.InstanceInvalidState(
            action='change the metadata of',
            instance_id=instance.uuid,
            attribute='vm_state',
            state=instance.vm_state,
        )


def _rule(verb: str, check: str, description: str) -> policy.Rule:
    return policy.Rule(
        f'os_compute_api:server-metadata:{verb}', check, description
    )


OPERATIONS = (
    Operation(
        name='server_metadata:index',
        method='GET',
        path=_PATH,
        summary='List the metadata of a server.',
        handler=index,
        policy=_rule(
            'index', policy.READER_OR_ADMIN, 'List the metadata of a server.'
        ),
        success=200,
        response=always(_ALL_TOLD),
        errors=_READ,
    ),
    Operation(
        name='server_metadata:create',
        method='POST',
        path=_PATH,
        summary='Add metadata to a server.',
        handler=create,
        policy=_rule(
            'create', policy.MEMBER_OR_ADMIN, 'Add metadata to a server.'
        ),
        success=200,
        request=always(_ALL),
        response=always(_ALL_TOLD),
        errors=_CHANGE,
    ),
    Operation(
        name='server_metadata:update_all',
        method='PUT',
        path=_PATH,
        summary='Replace the metadata of a server.',
        handler=update_all,
        policy=_rule(
            'update_all',
            policy.MEMBER_OR_ADMIN,
            'Replace the metadata of a server.',
        ),
        success=200,
        request=always(_ALL),
        response=always(_ALL_TOLD),
        errors=_CHANGE,
    ),
    Operation(
        name='server_metadata:show',
        method='GET',
        path=_ITEM_PATH,
        summary='Show one metadata item of a server.',
        handler=show,
        policy=_rule(
            'show',
            policy.READER_OR_ADMIN,
            'Show one metadata item of a server.',
        ),
        success=200,
        response=always(_ONE_TOLD),
        errors={**_READ, ItemNotFound: 404},
    ),
    Operation(
        name='server_metadata:update',
        method='PUT',
        path=_ITEM_PATH,
        summary='Set one metadata item of a server.',
        handler=update,
        policy=_rule(
            'update',
            policy.MEMBER_OR_ADMIN,
            'Set one metadata item of a server.',
        ),
        success=200,
        request=always(_ONE),
        response=always(_ONE_TOLD),
        errors=_CHANGE,
    ),
    Operation(
        name='server_metadata:delete',
        method='DELETE',
        path=_ITEM_PATH,
        summary='Delete one metadata item of a server.',
        handler=delete,
        policy=_rule(
            'delete',
            policy.MEMBER_OR_ADMIN,
            'Delete one metadata item of a server.',
        ),
        success=204,
        errors={**_CHANGE, ItemNotFound: 404},
    ),
)
