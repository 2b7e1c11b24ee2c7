"""Flavors: their extra specs, and which projects have access to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from livemig import exception, policy
from livemig.api import flavor_lookup
from livemig.api.action import Call, Errors, Operation, always
from livemig.api.flavors import EXTRA_SPECS
from livemig.api.validation import InvalidInput, Schema, closed
from livemig.api.views.common import STRINGS

_PATH = '/flavors/{flavor_id}/os-extra_specs'
_ONE = f'{_PATH}/{{spec_key}}'

_SPECS: Schema = {
    'type': 'object',
    'propertyNames': {'pattern': '^[a-zA-Z0-9-_:. ]{1,255}$'},
    'additionalProperties': {
        'anyOf': [
            {'type': 'string', 'maxLength': 255},
            {'type': 'number'},
        ]
    },
}


class ExtraSpecNotFound(exception.NotFound):
    template = 'Flavor {flavor_id} has no extra spec {key}.'


class NoAccessList(exception.NotFound):
    template = 'Flavor {flavor_id} is public: it has no list of projects.'


# -- extra specs ------------------------------------------------------------
def index(call: Call) -> dict[str, Any]:
    call.authorize()
    return {'extra_specs': _specs(call)}


def _specs(call: Call) -> dict[str, str]:
    """:raises FlavorNotFound:"""
    return dict(flavor_lookup.find(call, call.path['flavor_id']).extra_specs)


def show(call: Call) -> dict[str, str]:
    call.authorize()
    return _only(call, _specs(call))


def _only(call: Call, specs: Mapping[str, str]) -> dict[str, str]:
    """:raises ExtraSpecNotFound:"""
    key = call.path['spec_key']
    if key not in specs:
        raise ExtraSpecNotFound(
            flavor_id=call.path['flavor_id'], key=key[:255]
        )
    return {key: specs[key]}


def create(call: Call) -> dict[str, Any]:
    """Put some; the others stay."""
    call.authorize()
    put = _texts(call.body['extra_specs'])
    _change(call, put)
    return {'extra_specs': put}


def update(call: Call) -> dict[str, str]:
    put = _texts(call.body)
    if set(put) != {call.path['spec_key']}:
        raise InvalidInput(
            where='the body', reason='its key is not the one of the URL.'
        )
    call.authorize()
    _change(call, put)
    return put


def _texts(specs: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in specs.items()}


def delete(call: Call) -> None:
    call.authorize()
    specs = _specs(call)
    flavor_lookup.check_changeable(call, call.path['flavor_id'])
    _only(call, specs)
    _change(call, {}, (call.path['spec_key'],))


def _change(
    call: Call, put: Mapping[str, str], drop: tuple[str, ...] = ()
) -> None:
    """
    :raises FlavorNotFound:
    :raises FlavorOfCatalogue:
    """
    flavor_id = call.path['flavor_id']
    flavor_lookup.find(call, flavor_id)
    flavor_lookup.check_changeable(call, flavor_id)
    row = call.context.store.flavor_extra_specs(flavor_id, put, drop)
    if row is None:
        raise exception.FlavorNotFound(flavor_id=flavor_id)


# -- access -----------------------------------------------------------------
def access(call: Call) -> dict[str, Any]:
    """Nobody but administrators ever has access to one that is not public.

    :raises NoAccessList:
    """
    call.authorize()
    flavor = flavor_lookup.find(call, call.path['flavor_id'])
    if flavor.is_public:
        raise NoAccessList(flavor_id=flavor.id)
    return {'flavor_access': []}


# -- records ----------------------------------------------------------------
def _rule(
    verb: str, description: str, check: str = policy.ADMIN
) -> policy.Rule:
    return policy.Rule(
        f'os_compute_api:os-flavor-extra-specs:{verb}', check, description
    )


_ALL = closed({'extra_specs': STRINGS}, 'extra_specs')
_NOT_FOUND: Errors = {exception.FlavorNotFound: 404}
_NOT_CHANGED: Errors = {**_NOT_FOUND, exception.FlavorOfCatalogue: 409}

OPERATIONS = (
    Operation(
        name='flavor_extra_specs:index',
        method='GET',
        path=_PATH,
        summary="List a flavor's extra specs.",
        handler=index,
        policy=EXTRA_SPECS,
        success=200,
        response=always(_ALL),
        errors=_NOT_FOUND,
    ),
    Operation(
        name='flavor_extra_specs:create',
        method='POST',
        path=_PATH,
        summary='Give a flavor extra specs.',
        handler=create,
        policy=_rule('create', 'Give flavors extra specs.'),
        success=200,
        request=always(closed({'extra_specs': _SPECS}, 'extra_specs')),
        response=always(_ALL),
        errors=_NOT_CHANGED,
    ),
    Operation(
        name='flavor_extra_specs:show',
        method='GET',
        path=_ONE,
        summary="Show one of a flavor's extra specs.",
        handler=show,
        policy=_rule(
            'show', 'Show an extra spec of a flavor.', policy.READER_OR_ADMIN
        ),
        success=200,
        response=always({**STRINGS, 'minProperties': 1, 'maxProperties': 1}),
        errors={**_NOT_FOUND, ExtraSpecNotFound: 404},
    ),
    Operation(
        name='flavor_extra_specs:update',
        method='PUT',
        path=_ONE,
        summary="Change one of a flavor's extra specs.",
        handler=update,
        policy=_rule('update', 'Change extra specs of flavors.'),
        success=200,
        request=always({**_SPECS, 'minProperties': 1, 'maxProperties': 1}),
        response=always({**STRINGS, 'minProperties': 1, 'maxProperties': 1}),
        errors=_NOT_CHANGED,
    ),
    Operation(
        name='flavor_extra_specs:delete',
        method='DELETE',
        path=_ONE,
        summary="Remove one of a flavor's extra specs.",
        handler=delete,
        policy=_rule('delete', 'Remove extra specs of flavors.'),
        # As in Nova; a 204 would be nicer.
        success=200,
        errors={**_NOT_CHANGED, ExtraSpecNotFound: 404},
    ),
    Operation(
        name='flavor_access:index',
        method='GET',
        path='/flavors/{flavor_id}/os-flavor-access',
        summary='List the projects that have access to a flavor.',
        handler=access,
        policy=policy.Rule(
            'os_compute_api:os-flavor-access',
            policy.ADMIN,
            'List the projects that have access to a flavor.',
        ),
        success=200,
        response=always(
            closed(
                {'flavor_access': {'type': 'array', 'maxItems': 0}},
                'flavor_access',
            )
        ),
        errors={**_NOT_FOUND, NoAccessList: 404},
    ),
)
