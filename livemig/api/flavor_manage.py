"""Flavors: make, describe and remove those that are not the operator's."""

from __future__ import annotations

from typing import Any

from oslo_utils import uuidutils

from livemig import exception, policy
from livemig.api import fields, flavor_lookup, validation
from livemig.api.action import Call, Errors, Operation
from livemig.api.flavors import EXTRA_SPECS, told
from livemig.api.microversion import Microversion as V
from livemig.api.validation import (
    BOOLEAN,
    NULLABLE_STRING,
    InvalidInput,
    Schema,
    closed,
)
from livemig.api.views import flavors as views

_MOST = 2**31 - 1
_NAME: Schema = {
    'type': 'string',
    'minLength': 1,
    'maxLength': 255,
    # Printable, no white space at either end.
    'pattern': r'^(?!\s)[^\x00-\x1f\x7f]*(?<!\s)$',
}
_ID: Schema = {
    'anyOf': [
        {'type': 'null'},
        {'type': 'integer', 'minimum': 0, 'maximum': _MOST},
        {
            'type': 'string',
            'minLength': 1,
            'maxLength': 255,
            'pattern': r'^(?! )[a-zA-Z0-9. _-]+(?<! )$',
        },
    ]
}
_DESCRIPTION: Schema = {**NULLABLE_STRING, 'maxLength': 65535}


def _count(least: int) -> Schema:
    return {
        'anyOf': [
            {'type': 'integer', 'minimum': least, 'maximum': _MOST},
            {'type': 'string', 'pattern': '^[0-9]{1,10}$'},
        ]
    }


#: Name on the wire -> (name of the column, the least there must be).
_SIZES: dict[str, tuple[str, int]] = {
    'ram': ('ram_mib', 1),
    'vcpus': ('vcpus', 1),
    'disk': ('disk_gib', 0),
    'swap': ('swap_mib', 0),
    'OS-FLV-EXT-DATA:ephemeral': ('ephemeral_gib', 0),
}
_REQUIRED = ('name', 'ram', 'vcpus', 'disk')
_NEW: dict[str, Schema] = {
    'name': _NAME,
    'id': _ID,
    **{name: _count(least) for name, (_, least) in _SIZES.items()},
    'rxtx_factor': {'type': ['number', 'string']},
    'os-flavor-access:is_public': BOOLEAN,
}


def create(call: Call) -> dict[str, Any]:
    """Make a flavor; without an id, or with "auto", it gets a uuid."""
    asked = call.body['flavor']
    values = _values(asked)
    call.authorize()
    flavor_lookup.check_free(
        call.app.catalogue.content(), values['flavor_id'], values['name']
    )
    row = call.context.store.flavor_create(values)
    return told(call, flavor_lookup.from_row(row))


def _values(asked: Any) -> dict[str, Any]:
    """The columns of the new flavor. :raises InvalidInput:"""
    _check_factor(asked.get('rxtx_factor', 1))
    flavor_id = asked.get('id')
    if flavor_id in (None, 'auto'):
        flavor_id = uuidutils.generate_uuid()
    return {
        'flavor_id': str(flavor_id),
        'name': asked['name'],
        'description': asked.get('description'),
        'is_public': validation.is_true(
            asked.get('os-flavor-access:is_public', True)
        ),
        **{
            column: _size(name, asked.get(name, 0), least)
            for name, (column, least) in _SIZES.items()
        },
    }


def _size(name: str, value: int | str, least: int) -> int:
    """:raises InvalidInput: a text with too small or too large a number."""
    number = int(value)
    if not least <= number <= _MOST:
        raise InvalidInput(
            where=f'flavor.{name}',
            reason=f'{number} is not between {least} and {_MOST}.',
        )
    return number


def _check_factor(value: Any) -> None:
    """:raises InvalidInput: it would have no effect."""
    try:
        is_one = float(value) == 1.0
    except ValueError:
        is_one = False
    if not is_one:
        raise InvalidInput(
            where='flavor.rxtx_factor',
            reason='it can be nothing but 1: livemig limits no networks.',
        )


def update(call: Call) -> dict[str, Any]:
    """Describe it; nothing else of a flavor ever changes."""
    call.authorize()
    flavor_id = call.path['flavor_id']
    flavor_lookup.find(call, flavor_id)
    flavor_lookup.check_changeable(call, flavor_id)
    description = call.body['flavor']['description']
    row = call.context.store.flavor_update(
        flavor_id, {'description': description}
    )
    if row is None:
        raise exception.FlavorNotFound(flavor_id=flavor_id)
    return told(call, flavor_lookup.from_row(row))


def delete(call: Call) -> None:
    """Servers made of it keep all they need of it."""
    call.authorize()
    flavor_id = call.path['flavor_id']
    flavor_lookup.find(call, flavor_id)
    flavor_lookup.check_changeable(call, flavor_id)
    if not call.context.store.flavor_destroy(flavor_id):
        raise exception.FlavorNotFound(flavor_id=flavor_id)


def _rule(verb: str, description: str) -> policy.Rule:
    return policy.Rule(
        f'os_compute_api:os-flavor-manage:{verb}', policy.ADMIN, description
    )


_ERRORS: Errors = {
    exception.FlavorNotFound: 404,
    exception.FlavorOfCatalogue: 409,
}

OPERATIONS = (
    Operation(
        name='flavors:create',
        method='POST',
        path='/flavors',
        summary='Create a flavor.',
        handler=create,
        policy=_rule('create', 'Create flavors.'),
        more_policies=(EXTRA_SPECS,),
        success=200,
        request=(
            (V(2, 1), closed({'flavor': closed(_NEW, *_REQUIRED)}, 'flavor')),
            (
                V(2, 55),
                closed(
                    {
                        'flavor': closed(
                            {**_NEW, 'description': _DESCRIPTION}, *_REQUIRED
                        )
                    },
                    'flavor',
                ),
            ),
        ),
        response=fields.schemas(views.FLAVOR, fields.one('flavor')),
        errors={exception.FlavorExists: 409},
    ),
    Operation(
        name='flavors:update',
        method='PUT',
        path='/flavors/{flavor_id}',
        first=V(2, 55),
        summary='Describe a flavor.',
        handler=update,
        policy=_rule('update', 'Describe flavors.'),
        more_policies=(EXTRA_SPECS,),
        success=200,
        request=(
            (
                V(2, 55),
                closed(
                    {
                        'flavor': closed(
                            {'description': _DESCRIPTION}, 'description'
                        )
                    },
                    'flavor',
                ),
            ),
        ),
        response=fields.schemas(
            views.FLAVOR, fields.one('flavor'), first=V(2, 55)
        ),
        errors=_ERRORS,
    ),
    Operation(
        name='flavors:delete',
        method='DELETE',
        path='/flavors/{flavor_id}',
        summary='Delete a flavor; servers made of it stay as they are.',
        handler=delete,
        policy=_rule('delete', 'Delete flavors.'),
        success=202,
        errors=_ERRORS,
    ),
)
