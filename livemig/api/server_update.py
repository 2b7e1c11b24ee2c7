"""Servers: change what they are called."""

from __future__ import annotations

from typing import Any

from livemig import exception, policy
from livemig.api import fields, lookup, servers
from livemig.api.action import Call, Operation, Since
from livemig.api.microversion import Microversion as V
from livemig.api.server_create import property_schemas
from livemig.api.validation import closed
from livemig.api.views import servers as views

#: Property of the request -> column. The others say what is so anyway.
_COLUMNS = {
    'name': 'display_name',
    'description': 'description',
    'hostname': 'hostname',
}
_PROPERTIES = (
    *_COLUMNS, 'OS-DCF:diskConfig', 'accessIPv4', 'accessIPv6',
)  # fmt: skip

REQUEST: Since = tuple(
    (
        version,
        closed(
            {
                'server': closed(
                    {
                        name: schema
                        for name, schema in property_schemas(version).items()
                        if name in _PROPERTIES
                    }
                )
            },
            'server',
        ),
    )
    for version in (V(2, 1), V(2, 19), V(2, 90), V(2, 94))
)


def update(call: Call) -> dict[str, Any]:
    """:raises InstanceNotFound: deleted meanwhile."""
    instance = lookup.instance(call)
    asked = call.body['server']
    values = {
        column: asked[name]
        for name, column in _COLUMNS.items()
        if name in asked
    }
    if values and not instance.swap(values, {}):
        raise exception.InstanceNotFound(instance_id=instance.uuid)
    (source,) = servers.sources(call, [instance])
    return {
        'server': fields.render(views.UPDATED_SERVER, call.version, source)
    }


OPERATIONS = (
    Operation(
        name='servers:update',
        method='PUT',
        path='/servers/{server_id}',
        summary='Change name, description or host name of a server.',
        handler=update,
        policy=policy.Rule(
            'os_compute_api:servers:update',
            policy.MEMBER_OR_ADMIN,
            'Change name, description or host name of a server.',
        ),
        more_policies=(
            servers.ATTRIBUTES,
            servers.HOST_STATUS,
            servers.HOST_UNKNOWN,
            servers.EXTRA_SPECS,
        ),
        success=200,
        request=REQUEST,
        response=fields.schemas(views.UPDATED_SERVER, fields.one('server')),
        errors={exception.InstanceNotFound: 404},
    ),
)
