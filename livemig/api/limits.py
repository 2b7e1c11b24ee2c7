"""Limits and quotas: livemig sets none, and tells what is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from livemig import policy
from livemig.api import fields
from livemig.api.action import Call, Operation
from livemig.api.microversion import Microversion as V
from livemig.api.validation import (
    BOOLEAN_WORD,
    ONCE,
    Schema,
    closed,
    open_query,
)
from livemig.api.views import limits as views

OTHER_PROJECT = policy.Rule(
    'os_compute_api:limits:other_project',
    policy.ADMIN,
    'Show the limits of another project.',
)


def _used(call: Call, project_id: str) -> Mapping[str, Any]:
    """What the project's servers take."""
    found = call.context.store.instance_sums('project_id', [project_id])
    return found[0] if found else {}


def index(call: Call) -> dict[str, Any]:
    call.authorize()
    own = str(call.context.project_id)
    project_id = call.query.get('tenant_id', own)
    if project_id != own:
        call.app.policy.authorize(
            call.context, OTHER_PROJECT, {'project_id': project_id}
        )
    absolute = fields.render(
        views.ABSOLUTE, call.version, _used(call, project_id)
    )
    return {'limits': {'rate': [], 'absolute': absolute}}


def quota(call: Call) -> dict[str, Any]:
    return _quotas(call, views.QUOTAS, {'project_id': call.path['project']})


def quota_defaults(call: Call) -> dict[str, Any]:
    """The same for all, since nobody can change them."""
    return _quotas(call, views.QUOTAS)


def quota_detail(call: Call) -> dict[str, Any]:
    project = call.path['project']
    target = {'project_id': project}
    call.authorize(target)
    return _told(call, views.QUOTA_DETAILS, _used(call, project))


def _quotas(
    call: Call,
    table: fields.Fields,
    target: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    call.authorize(target)
    return _told(call, table, {})


def _told(
    call: Call, table: fields.Fields, used: Mapping[str, Any]
) -> dict[str, Any]:
    rendered = fields.render(table, call.version, used)
    return {'quota_set': {'id': call.path['project'], **rendered}}


# -- records ----------------------------------------------------------------
def _limits(schema: Schema, _version: V) -> Schema:
    inner = closed(
        {'rate': {'type': 'array', 'maxItems': 0}, 'absolute': schema},
        'rate',
        'absolute',
    )
    return closed({'limits': inner}, 'limits')


def _quota_set(schema: Schema, _version: V) -> Schema:
    properties = {'id': {'type': 'string'}, **schema['properties']}
    return closed({'quota_set': closed(properties, *properties)}, 'quota_set')


_LIMITS_OF: dict[str, Schema] = {'tenant_id': ONCE, 'reserved': BOOLEAN_WORD}
_QUOTA_OF: dict[str, Schema] = {'user_id': ONCE}


def _quota(
    verb: str,
    path: str,
    handler: Callable[[Call], Any],
    summary: str,
    check: str,
    table: fields.Fields = views.QUOTAS,
    query: Mapping[str, Schema] | None = None,
) -> Operation:
    known = query or {}
    return Operation(
        name=f'quotas:{verb}',
        method='GET',
        path=f'/os-quota-sets/{{project}}{path}',
        summary=summary,
        handler=handler,
        policy=policy.Rule(
            f'os_compute_api:os-quota-sets:{verb}', check, summary
        ),
        success=200,
        query=(
            (V(2, 1), open_query(known)),
            *([(V(2, 75), closed(known))] if query is not None else []),
        ),
        response=fields.schemas(table, _quota_set),
    )


OPERATIONS = (
    Operation(
        name='limits:index',
        method='GET',
        path='/limits',
        summary='Show what a project may have, and has.',
        handler=index,
        policy=policy.Rule(
            'os_compute_api:limits',
            policy.ANY_USER,
            "Show the own project's limits.",
        ),
        more_policies=(OTHER_PROJECT,),
        success=200,
        query=(
            (V(2, 1), open_query(_LIMITS_OF)),
            (V(2, 75), closed(_LIMITS_OF)),
        ),
        response=fields.schemas(views.ABSOLUTE, _limits),
    ),
    _quota(
        'show',
        '',
        quota,
        "Show a project's quotas.",
        policy.READER_OR_ADMIN,
        query=_QUOTA_OF,
    ),
    _quota(
        'detail',
        '/detail',
        quota_detail,
        "Show a project's quotas, and what is used of them.",
        policy.READER_OR_ADMIN,
        table=views.QUOTA_DETAILS,
        query=_QUOTA_OF,
    ),
    _quota(
        'defaults',
        '/defaults',
        quota_defaults,
        'Show the quotas that projects have by default.',
        policy.ANY_USER,
    ),
)
