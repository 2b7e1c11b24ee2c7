"""Aggregates: there are none, and clients that ask are told so.

``openstack hypervisor show`` lists them, and fails if it cannot.
"""

from __future__ import annotations

from typing import Any

from livemig import policy
from livemig.api.action import Call, Operation, always


def index(call: Call) -> dict[str, Any]:
    call.authorize()
    return {'aggregates': []}


OPERATIONS = (
    Operation(
        name='aggregates:index',
        method='GET',
        path='/os-aggregates',
        summary='List aggregates of hosts, of which there are none.',
        handler=index,
        policy=policy.Rule(
            'os_compute_api:os-aggregates:index',
            policy.ADMIN,
            'List aggregates of hosts.',
        ),
        success=200,
        response=always(
            {
                'type': 'object',
                'properties': {'aggregates': {'type': 'array', 'maxItems': 0}},
                'required': ['aggregates'],
                'additionalProperties': False,
            }
        ),
    ),
)
