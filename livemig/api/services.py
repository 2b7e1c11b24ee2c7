"""Services: which processes there are, and whether they report."""

from __future__ import annotations

from typing import Any

from livemig import policy
from livemig.api import fields
from livemig.api.action import Call, Operation
from livemig.api.microversion import Microversion as V
from livemig.api.validation import ONCE, Schema, closed, open_query
from livemig.api.views import services as views
from livemig.objects.service import Service

_PARAMETERS: dict[str, Schema] = {'host': ONCE, 'binary': ONCE}


def index(call: Call) -> dict[str, Any]:
    call.authorize()
    found = Service.list(call.context, dict(call.query))
    return {
        'services': [
            fields.render(
                views.SERVICE,
                call.version,
                views.ServiceSource(call, service),
            )
            for service in found
        ]
    }


OPERATIONS = (
    Operation(
        name='services:index',
        method='GET',
        path='/os-services',
        summary='List services.',
        handler=index,
        policy=policy.Rule(
            'os_compute_api:os-services:list',
            policy.ADMIN,
            'List services.',
        ),
        success=200,
        query=(
            (V(2, 1), open_query(_PARAMETERS)),
            (V(2, 75), closed(_PARAMETERS)),
        ),
        response=fields.schemas(views.SERVICE, fields.many('services')),
    ),
)
