"""Servers: list, show and delete them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from livemig import exception, policy
from livemig.api import fields, lookup, server_filters
from livemig.api.action import Call, Errors, Operation
from livemig.api.links import Page
from livemig.api.microversion import Microversion as V
from livemig.api.server_filters import AdminOnly, Wanted
from livemig.api.validation import InvalidInput
from livemig.api.views import servers as views
from livemig.objects import action
from livemig.objects.instance import Instance
from livemig.objects.instance_states import TaskState
from livemig.objects.service import COMPUTE, Service

ATTRIBUTES = policy.Rule(
    'os_compute_api:os-extended-server-attributes',
    policy.ADMIN,
    'See the host of a server and its other extended attributes.',
)
HOST_STATUS = policy.Rule(
    'os_compute_api:servers:show:host_status',
    policy.ADMIN,
    'See whether the host of a server is up.',
)
HOST_UNKNOWN = policy.Rule(
    'os_compute_api:servers:show:host_status:unknown-only',
    policy.ADMIN,
    'See of a server that nothing is heard of its host, if the status of '
    'hosts may not be seen as such.',
)
EXTRA_SPECS = policy.Rule(
    'os_compute_api:servers:show:flavor-extra-specs',
    policy.READER_OR_ADMIN,
    "See the extra specs of a server's flavor.",
)
INDEX_ALL = policy.Rule(
    'os_compute_api:servers:index:get_all_tenants',
    policy.ADMIN,
    'List the servers of all projects.',
)
DETAIL_ALL = policy.Rule(
    'os_compute_api:servers:detail:get_all_tenants',
    policy.ADMIN,
    'List the servers of all projects with details.',
)
#: How often a change that lost a race is tried again.
SWAPS = 5


# -- show -------------------------------------------------------------------
def sources(
    call: Call, instances: Sequence[Instance]
) -> list[views.ServerSource]:
    """What the views need of these instances: two queries at most, and the
    rules are asked once, not for each."""
    target = lookup.target(instances[0]) if len(instances) == 1 else None
    shows_host_status = call.since(2, 16) and call.may(HOST_STATUS, target)
    shows_unknown_host = call.since(2, 16) and call.may(HOST_UNKNOWN, target)
    faults = _faults(call, instances)
    asked = (shows_host_status or shows_unknown_host) and instances
    services = _services(call) if asked else {}
    shows_attributes = call.may(ATTRIBUTES, target)
    shows_extra_specs = call.since(2, 47) and call.may(EXTRA_SPECS, target)
    return [
        views.ServerSource(
            call=call,
            instance=instance,
            fault=faults.get(instance.uuid),
            service=services.get(instance.host or ''),
            shows_attributes=shows_attributes,
            shows_host_status=shows_host_status,
            shows_unknown_host=shows_unknown_host,
            shows_extra_specs=shows_extra_specs,
        )
        for instance in instances
    ]


def _faults(
    call: Call, instances: Sequence[Instance]
) -> Mapping[str, Mapping[str, Any]]:
    with_fault = [
        i.uuid for i in instances if i.deleted or i.status in views.WITH_FAULT
    ]
    if not with_fault:
        return {}
    rows = call.context.store.instance_faults(with_fault)
    return {row['instance_uuid']: row for row in rows}


def _services(call: Call) -> dict[str, Service]:
    rows = Service.list(call.context, {'binary': COMPUTE})
    return {service.host: service for service in rows}


def show(call: Call) -> dict[str, Any]:
    instance = lookup.instance(call)
    (source,) = sources(call, [instance])
    return {'server': fields.render(views.SINGLE_SERVER, call.version, source)}


# -- list -------------------------------------------------------------------
def index(call: Call) -> dict[str, Any]:
    instances, links = _page(call, INDEX_ALL, '/servers')
    return {
        'servers': [
            fields.render(
                views.BRIEF_SERVER,
                call.version,
                views.ServerSource(call, instance),
            )
            for instance in instances
        ],
        **links,
    }


def detail(call: Call) -> dict[str, Any]:
    instances, links = _page(call, DETAIL_ALL, '/servers/detail')
    return {
        'servers': [
            fields.render(views.SERVER, call.version, source)
            for source in sources(call, instances)
        ],
        **links,
    }


def _page(
    call: Call, all_tenants: policy.Rule, path: str
) -> tuple[list[Instance], dict[str, Any]]:
    """One page of the servers asked for, and the link to the next."""
    call.authorize()
    wanted = server_filters.wanted(call, all_tenants)
    page = Page(call.query, call.app.conf.api.max_limit)
    found = _find(call, wanted, page)
    links = {}
    if page.is_full(found):
        links['servers_links'] = call.links.next_page(
            path, call.query, found[-1].uuid
        )
    return found, links


def _find(call: Call, wanted: Wanted, page: Page) -> list[Instance]:
    if wanted.nothing or page.limit == 0:
        return []
    try:
        return Instance.list(
            call.context,
            wanted.filters,
            page.limit,
            page.marker,
            sort_keys=wanted.sort_keys,
        )
    except ValueError as error:
        # Databases differ in the regular expressions they know.
        if 'name' not in wanted.filters:
            raise
        raise InvalidInput(
            where='the query.name', reason=str(error)[:200]
        ) from error


# -- delete -----------------------------------------------------------------
def delete(call: Call) -> None:
    """Also while it migrates: whoever migrates it sees the task state,
    aborts, and destroys it on both sides."""
    instance = lookup.unlocked_instance(call)
    action.start(call.context, instance.uuid, action.DELETE)
    if not _mark_deleting(instance):
        return
    if instance.host is None:
        # Nobody has it, and nobody will: placing it compares the state.
        instance.destroy()
        return
    try:
        call.app.compute.terminate_instance(
            call.context, instance.host, instance.uuid
        )
    except exception.BrokerUnreachable:
        # It stands on the record; the manager finds it there.
        return


def _mark_deleting(instance: Instance) -> bool:
    """False: it is gone already.

    :raises StateConflict: it changes all the time.
    """
    for _ in range(SWAPS):
        expected = {'task_state': instance.task_state, 'host': instance.host}
        if instance.swap({'task_state': str(TaskState.DELETING)}, expected):
            return True
        try:
            instance.refresh()
        except exception.InstanceNotFound:
            return False
    raise exception.StateConflict(
        what=f'Instance {instance.uuid}',
        expected=str(expected),
        found='another state',
    )


_LIST_ERRORS: Errors = {
    exception.MarkerNotFound: 400,
    AdminOnly: 403,
}

OPERATIONS = (
    Operation(
        name='servers:index',
        method='GET',
        path='/servers',
        summary='List servers, briefly.',
        handler=index,
        policy=policy.Rule(
            'os_compute_api:servers:index',
            policy.READER_OR_ADMIN,
            'List servers.',
        ),
        more_policies=(INDEX_ALL, server_filters.ALL_FILTERS),
        success=200,
        query=server_filters.QUERY,
        response=fields.schemas(
            views.BRIEF_SERVER, fields.many('servers', V(2, 1))
        ),
        errors=_LIST_ERRORS,
    ),
    Operation(
        name='servers:detail',
        method='GET',
        path='/servers/detail',
        summary='List servers with details.',
        handler=detail,
        policy=policy.Rule(
            'os_compute_api:servers:detail',
            policy.READER_OR_ADMIN,
            'List servers with details.',
        ),
        more_policies=(
            DETAIL_ALL,
            server_filters.ALL_FILTERS,
            ATTRIBUTES,
            HOST_STATUS,
            HOST_UNKNOWN,
            EXTRA_SPECS,
        ),
        success=200,
        query=server_filters.QUERY,
        response=fields.schemas(views.SERVER, fields.many('servers', V(2, 1))),
        errors=_LIST_ERRORS,
    ),
    Operation(
        name='servers:show',
        method='GET',
        path='/servers/{server_id}',
        summary='Show a server.',
        handler=show,
        policy=policy.Rule(
            'os_compute_api:servers:show',
            policy.READER_OR_ADMIN,
            'Show a server.',
        ),
        more_policies=(ATTRIBUTES, HOST_STATUS, HOST_UNKNOWN, EXTRA_SPECS),
        success=200,
        response=fields.schemas(views.SINGLE_SERVER, fields.one('server')),
        errors={exception.InstanceNotFound: 404},
    ),
    Operation(
        name='servers:delete',
        method='DELETE',
        path='/servers/{server_id}',
        summary='Delete a server, also while it migrates.',
        description='A migration under way is aborted first; one in post-copy '
        'ends first. Then the guest and its files are removed from '
        'both hosts.',
        handler=delete,
        policy=policy.Rule(
            'os_compute_api:servers:delete',
            policy.MEMBER_OR_ADMIN,
            'Delete a server.',
        ),
        success=204,
        errors={
            exception.InstanceNotFound: 404,
            exception.InstanceLocked: 409,
            exception.StateConflict: 409,
        },
    ),
)
