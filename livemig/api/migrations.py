"""All migrations, of all servers and ended ones too."""

from __future__ import annotations

from typing import Any

from livemig import exception, policy
from livemig.api import fields, validation
from livemig.api.action import Call, Operation
from livemig.api.links import Page
from livemig.api.microversion import Microversion as V
from livemig.api.validation import (
    ONCE,
    PAGING,
    TIME,
    InvalidInput,
    Schema,
    closed,
    open_query,
)
from livemig.api.views import migrations as views
from livemig.objects.migration import Migration

ALL_PROJECTS = policy.Rule(
    'os_compute_api:os-migrations:index:all_projects',
    policy.ADMIN,
    'List the migrations that other projects asked for.',
)
HOSTS = policy.Rule(
    'os_compute_api:os-migrations:index:host',
    policy.ADMIN,
    'See the hosts in the list of migrations.',
)

_PLAIN = ('status', 'instance_uuid', 'migration_type')
_QUERY_AT_FIRST: dict[str, Schema] = {
    **dict.fromkeys((*_PLAIN, 'host', 'source_compute'), ONCE),
    # Nova takes it, and never shows a hidden one all the same.
    'hidden': ONCE,
}
_QUERY_PAGED = {**_QUERY_AT_FIRST, **PAGING, 'changes-since': TIME}
_QUERY_BEFORE = {**_QUERY_PAGED, 'changes-before': TIME}
_QUERY_OWNER = {**_QUERY_BEFORE, 'user_id': ONCE, 'project_id': ONCE}

QUERY = (
    (V(2, 1), open_query(_QUERY_AT_FIRST)),
    (V(2, 59), closed(_QUERY_PAGED)),
    (V(2, 66), closed(_QUERY_BEFORE)),
    (V(2, 80), closed(_QUERY_OWNER)),
)


def index(call: Call) -> dict[str, Any]:
    call.authorize()
    query = call.query
    project_id = query.get('project_id')
    if project_id is None or project_id != call.context.project_id:
        call.app.policy.authorize(call.context, ALL_PROJECTS)
    page = Page(query, call.app.conf.api.max_limit)
    filters = _filters(call)
    found = (
        Migration.list(call.context, filters, page.limit, page.marker)
        if page.limit
        else []
    )
    shows_hosts = call.may(HOSTS)
    told: dict[str, Any] = {
        'migrations': [
            fields.render(
                views.MIGRATION,
                call.version,
                views.MigrationSource(call, migration, shows_hosts),
            )
            for migration in found
        ]
    }
    if call.since(2, 59) and page.is_full(found):
        told['migrations_links'] = call.links.next_page(
            '/os-migrations', query, found[-1].uuid
        )
    return told


def _filters(call: Call) -> dict[str, Any]:
    """:raises InvalidInput: the times are the wrong way round."""
    query = call.query
    filters: dict[str, Any] = {'hidden': False}
    for name in (*_PLAIN, 'user_id', 'project_id'):
        if name in query:
            filters[name] = query[name]
    for name in ('host', 'source_compute'):
        if name in query:
            filters[name] = query[name]
            break
    times = {
        name: validation.parse_time(query[name])
        for name in ('changes-since', 'changes-before')
        if name in query
    }
    if len(times) == 2 and times['changes-since'] > times['changes-before']:
        raise InvalidInput(
            where='the query',
            reason='changes-since is later than changes-before.',
        )
    filters.update(
        {name.replace('-', '_'): time for name, time in times.items()}
    )
    return filters


OPERATIONS = (
    Operation(
        name='migrations:index',
        method='GET',
        path='/os-migrations',
        summary='List migrations, ended ones too.',
        handler=index,
        policy=policy.Rule(
            'os_compute_api:os-migrations:index',
            policy.ADMIN,
            'List migrations that the own project asked for.',
        ),
        more_policies=(ALL_PROJECTS, HOSTS),
        success=200,
        query=QUERY,
        response=fields.schemas(
            views.MIGRATION,
            fields.many('migrations', V(2, 59)),
            borders=(V(2, 59),),
        ),
        errors={exception.MarkerNotFound: 400},
    ),
)
