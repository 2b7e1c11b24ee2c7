"""Instance actions: what was asked of a server, and how it ended."""

from __future__ import annotations

from typing import Any

from livemig import exception, policy
from livemig.api import fields, lookup, validation
from livemig.api.action import Call, Operation
from livemig.api.links import Page
from livemig.api.microversion import Microversion as V
from livemig.api.validation import (
    PAGING,
    TIME,
    InvalidInput,
    closed,
    open_query,
)
from livemig.api.views import instance_actions as views
from livemig.objects.instance import Instance

EVENTS = policy.Rule(
    'os_compute_api:os-instance-actions:events',
    policy.ADMIN,
    'See host and traceback of the events of an action; before 2.51 see '
    'events at all.',
)
DETAILS = policy.Rule(
    'os_compute_api:os-instance-actions:events:details',
    policy.ADMIN,
    'See the details of the events of an action.',
)

_PATH = '/servers/{server_id}/os-instance-actions'
_PAGED = {**PAGING, 'changes-since': TIME}
QUERY = (
    (V(2, 1), open_query({})),
    (V(2, 58), closed(_PAGED)),
    (V(2, 66), closed({**_PAGED, 'changes-before': TIME})),
)


class ActionNotFound(exception.NotFound):
    template = 'Instance {instance_id} has no action {request_id}.'


def _instance(call: Call) -> Instance:
    return lookup.instance(call, deleted=call.since(2, 21))


def index(call: Call) -> dict[str, Any]:
    instance = _instance(call)
    page = Page(call.query, call.app.conf.api.max_limit)
    rows = (
        call.context.store.action_list(
            instance.uuid, _filters(call), page.limit, page.marker
        )
        if page.limit
        else []
    )
    told: dict[str, Any] = {
        'instanceActions': [
            fields.render(
                views.ACTION, call.version, views.ActionSource(call, row)
            )
            for row in rows
        ]
    }
    if call.since(2, 58) and page.is_full(rows):
        told['links'] = call.links.next_page(
            f'/servers/{instance.uuid}/os-instance-actions',
            call.query,
            rows[-1]['request_id'],
        )
    return told


def _filters(call: Call) -> dict[str, Any]:
    """:raises InvalidInput: the times are the wrong way round."""
    times = {
        name.replace('-', '_'): validation.parse_time(call.query[name])
        for name in ('changes-since', 'changes-before')
        if name in call.query
    }
    if len(times) == 2 and times['changes_since'] > times['changes_before']:
        raise InvalidInput(
            where='the query',
            reason='changes-since is later than changes-before.',
        )
    return times


def show(call: Call) -> dict[str, Any]:
    instance = _instance(call)
    request_id = call.path['request_id']
    row = call.context.store.action_get(instance.uuid, request_id)
    if row is None:
        raise ActionNotFound(
            instance_id=instance.uuid, request_id=request_id[:80]
        )
    target = lookup.target(instance)
    sees_events = call.may(EVENTS, target)
    source = views.ActionSource(
        call=call,
        row=row,
        project_id=instance.project_id,
        shows_events=sees_events or call.since(2, 51),
        shows_traceback=sees_events,
        shows_details=call.since(2, 84) and call.may(DETAILS, target),
    )
    return {
        'instanceAction': fields.render(
            views.SINGLE_ACTION, call.version, source
        )
    }


OPERATIONS = (
    Operation(
        name='instance_actions:index',
        method='GET',
        path=_PATH,
        summary='List what was asked of a server.',
        handler=index,
        policy=policy.Rule(
            'os_compute_api:os-instance-actions:list',
            policy.READER_OR_ADMIN,
            'List what was asked of a server.',
        ),
        success=200,
        query=QUERY,
        response=fields.schemas(
            views.ACTION,
            fields.many('instanceActions', V(2, 58), 'links'),
        ),
        errors={
            exception.InstanceNotFound: 404,
            exception.MarkerNotFound: 400,
        },
    ),
    Operation(
        name='instance_actions:show',
        method='GET',
        path=f'{_PATH}/{{request_id}}',
        summary='Show how something that was asked of a server went.',
        handler=show,
        policy=policy.Rule(
            'os_compute_api:os-instance-actions:show',
            policy.READER_OR_ADMIN,
            'Show how something that was asked of a server went.',
        ),
        more_policies=(EVENTS, DETAILS),
        success=200,
        response=fields.schemas(
            views.SINGLE_ACTION, fields.one('instanceAction')
        ),
        errors={exception.InstanceNotFound: 404, ActionNotFound: 404},
    ),
)
