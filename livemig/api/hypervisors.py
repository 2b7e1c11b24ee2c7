"""Hypervisors: the hosts, what they are, and what runs there.

A hypervisor is a compute service that has said what its host is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from oslo_utils import uuidutils

from livemig import exception, policy
from livemig.api import fields, lookup, validation
from livemig.api.action import Call, Errors, Operation, always
from livemig.api.links import Page
from livemig.api.microversion import Microversion as V
from livemig.api.validation import (
    BOOLEAN_WORD,
    PAGING,
    InvalidInput,
    Schema,
    closed,
    open_query,
)
from livemig.api.views import hypervisors as views
from livemig.api.views.common import INT, is_up
from livemig.api.views.hypervisors import HypervisorSource, Usage
from livemig.objects.service import COMPUTE, Service
from livemig.virt.driver import HostFacts

Found = tuple[Service, HostFacts]

#: From here on they have uuids, and patterns are part of the query.
_BY_UUID = V(2, 53)
_PATTERN: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 255}


class HypervisorNotFound(exception.NotFound):
    template = 'Hypervisor {hypervisor} could not be found.'


class UptimeUnknown(exception.LivemigError):
    template = 'The driver of host {host} does not tell its uptime.'


# -- finding ----------------------------------------------------------------
def _all(call: Call) -> list[Found]:
    """In order of registration; in one query."""
    services = Service.list(call.context, {'binary': COMPUTE})
    return [
        (service, facts)
        for service in services
        if (facts := service.host_facts()) is not None
    ]


def _matching(found: Iterable[Found], pattern: str) -> list[Found]:
    """Those whose name contains it.

    :raises HypervisorNotFound: none does.
    """
    matching = [one for one in found if pattern in one[0].host]
    if not matching:
        raise HypervisorNotFound(hypervisor=pattern[:80])
    return matching


def _id(call: Call, service: Service) -> str:
    return service.uuid if call.version >= _BY_UUID else str(service.id)


def _one(call: Call) -> Found:
    """The hypervisor of the URL.

    :raises InvalidInput: no uuid, from 2.53 on.
    :raises HypervisorNotFound:
    """
    text = call.path['hypervisor_id']
    if call.version >= _BY_UUID:
        if not uuidutils.is_uuid_like(text):
            raise InvalidInput(
                where='the URL', reason=f'{text[:40]!r} is no uuid.'
            )
        wanted: dict[str, Any] = {'uuid': text}
    else:
        wanted = {'id': lookup.number(text)}
    for service in Service.list(call.context, {'binary': COMPUTE, **wanted}):
        facts = service.host_facts()
        if facts is not None:
            return service, facts
    raise HypervisorNotFound(hypervisor=text[:80])


def _page(call: Call, found: list[Found], page: Page) -> list[Found]:
    """:raises MarkerNotFound:"""
    start = 0
    if page.marker is not None:
        ids = [_id(call, service) for service, _ in found]
        if page.marker not in ids:
            raise exception.MarkerNotFound(marker=page.marker[:80])
        start = ids.index(page.marker) + 1
    return found[start : start + page.limit]


def _sources(
    call: Call,
    found: Sequence[Found],
    usage: bool = False,
    servers: bool = False,
) -> list[HypervisorSource]:
    """What the views need of these: two queries at most."""
    hosts = [service.host for service, _ in found]
    used = _usage(call, hosts) if usage and hosts else {}
    run = _servers(call, hosts) if servers and hosts else {}
    return [
        HypervisorSource(
            call=call,
            service=service,
            facts=facts,
            usage=used.get(service.host, Usage()),
            servers=run.get(service.host, []) if servers else None,
        )
        for service, facts in found
    ]


def _usage(call: Call, hosts: Sequence[str]) -> dict[str, Usage]:
    rows = call.context.store.instance_sums('host', hosts)
    return {row.pop('host'): Usage(**row) for row in rows}


def _servers(
    call: Call, hosts: Sequence[str]
) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in call.context.store.instance_places(hosts):
        found.setdefault(row['host'], []).append(row)
    return found


# -- lists ------------------------------------------------------------------
def index(call: Call) -> dict[str, Any]:
    return _list(call, '/os-hypervisors', views.BRIEF)


def detail(call: Call) -> dict[str, Any]:
    return _list(call, '/os-hypervisors/detail', views.HYPERVISOR)


def _list(call: Call, path: str, table: fields.Fields) -> dict[str, Any]:
    call.authorize()
    page = Page(call.query, call.app.conf.api.max_limit)
    found = _asked_for(call, page)
    sources = _sources(
        call,
        found,
        usage=table is views.HYPERVISOR and not call.since(2, 88),
        servers=validation.is_true(call.query.get('with_servers')),
    )
    told = _rendered(call, table, sources)
    if call.since(2, 33) and page.is_full(found):
        told['hypervisors_links'] = call.links.next_page(
            path, call.query, _id(call, found[-1][0])
        )
    return told


def _asked_for(call: Call, page: Page) -> list[Found]:
    """
    :raises InvalidInput: a pattern, and a page of what it matches.
    :raises MarkerNotFound:
    :raises HypervisorNotFound: nothing matches the pattern.
    """
    pattern = call.query.get('hypervisor_hostname_pattern')
    if pattern is None:
        return _page(call, _all(call), page)
    if {'limit', 'marker'} & set(call.query):
        raise InvalidInput(
            where='the query',
            reason='what a pattern finds cannot be had in pages.',
        )
    return _matching(_all(call), pattern)


def _rendered(
    call: Call, table: fields.Fields, sources: Iterable[HypervisorSource]
) -> dict[str, Any]:
    return {
        'hypervisors': [
            fields.render(table, call.version, source) for source in sources
        ]
    }


def search(call: Call) -> dict[str, Any]:
    call.authorize()
    found = _matching(_all(call), call.path['pattern'])
    return _rendered(call, views.BRIEF, _sources(call, found))


def servers(call: Call) -> dict[str, Any]:
    call.authorize()
    found = _matching(_all(call), call.path['pattern'])
    sources = _sources(call, found, servers=True)
    return _rendered(call, views.BRIEF_WITH_SERVERS, sources)


# -- one --------------------------------------------------------------------
def show(call: Call) -> dict[str, Any]:
    call.authorize()
    (source,) = _sources(
        call,
        [_one(call)],
        usage=not call.since(2, 88),
        servers=validation.is_true(call.query.get('with_servers')),
    )
    return {
        'hypervisor': fields.render(views.HYPERVISOR, call.version, source)
    }


def uptime(call: Call) -> dict[str, Any]:
    """:raises ComputeServiceUnavailable: nobody is there to tell."""
    call.authorize()
    service, facts = _one(call)
    if not is_up(call, service):
        raise exception.ComputeServiceUnavailable(host=service.host)
    if not facts.uptime:
        raise UptimeUnknown(host=service.host)
    source = HypervisorSource(call, service, facts)
    return {'hypervisor': fields.render(views.UPTIME, call.version, source)}


def statistics(call: Call) -> dict[str, Any]:
    """Sums over the hosts in use, disabled ones left out."""
    call.authorize()
    found = [one for one in _all(call) if not one[0].disabled]
    sources = _sources(call, found, usage=True)
    sums = {
        name: sum(figure(s.facts, s.usage) for s in sources)
        for name, figure in views.FIGURES.items()
    }
    return {'hypervisor_statistics': {'count': len(sources), **sums}}


# -- records ----------------------------------------------------------------
_WITH_SERVERS: dict[str, Schema] = {'with_servers': BOOLEAN_WORD}
_LIST_QUERY = (
    (V(2, 1), open_query({})),
    (V(2, 33), open_query(PAGING)),
    (
        _BY_UUID,
        closed(
            {
                **PAGING,
                **_WITH_SERVERS,
                'hypervisor_hostname_pattern': _PATTERN,
            }
        ),
    ),
)
_LIST_ERRORS: Errors = {
    exception.MarkerNotFound: 400,
    HypervisorNotFound: 404,
}
_FIGURES = dict.fromkeys(('count', *views.FIGURES), INT)


def _operation(
    verb: str,
    path: str,
    handler: Callable[[Call], Any],
    summary: str,
    rule: str,
    **more: Any,
) -> Operation:
    return Operation(
        name=f'hypervisors:{verb}',
        method='GET',
        path=f'/os-hypervisors{path}',
        summary=summary,
        handler=handler,
        policy=policy.Rule(
            f'os_compute_api:os-hypervisors:{rule}', policy.ADMIN, summary
        ),
        success=200,
        **more,
    )


def _many(table: fields.Fields) -> Any:
    return fields.schemas(
        table, fields.many('hypervisors', V(2, 33)), borders=(V(2, 33),)
    )


OPERATIONS = (
    _operation(
        'index',
        '',
        index,
        'List hypervisors, briefly.',
        'list',
        query=_LIST_QUERY,
        response=_many(views.BRIEF),
        errors=_LIST_ERRORS,
    ),
    _operation(
        'detail',
        '/detail',
        detail,
        'List hypervisors with details.',
        'list-detail',
        query=_LIST_QUERY,
        response=_many(views.HYPERVISOR),
        errors=_LIST_ERRORS,
    ),
    _operation(
        'show',
        '/{hypervisor_id}',
        show,
        'Show a hypervisor.',
        'show',
        query=(
            (V(2, 1), open_query({})),
            (_BY_UUID, closed(_WITH_SERVERS)),
        ),
        response=fields.schemas(views.HYPERVISOR, fields.one('hypervisor')),
        errors={HypervisorNotFound: 404},
    ),
    _operation(
        'search',
        '/{pattern}/search',
        search,
        'Find hypervisors by a part of their name, before 2.53.',
        'search',
        last=_BY_UUID.previous,
        response=fields.schemas(views.BRIEF, fields.many('hypervisors')),
        errors={HypervisorNotFound: 404},
    ),
    _operation(
        'servers',
        '/{pattern}/servers',
        servers,
        'List the servers of the hypervisors so named, before 2.53.',
        'servers',
        last=_BY_UUID.previous,
        response=fields.schemas(
            views.BRIEF_WITH_SERVERS, fields.many('hypervisors')
        ),
        errors={HypervisorNotFound: 404},
    ),
    _operation(
        'statistics',
        '/statistics',
        statistics,
        'Show what all hypervisors have and use, before 2.88.',
        'statistics',
        last=V(2, 87),
        response=always(
            closed(
                {'hypervisor_statistics': closed(_FIGURES, *_FIGURES)},
                'hypervisor_statistics',
            )
        ),
    ),
    _operation(
        'uptime',
        '/{hypervisor_id}/uptime',
        uptime,
        'Show since when a hypervisor runs, before 2.88.',
        'uptime',
        last=V(2, 87),
        response=fields.schemas(views.UPTIME, fields.one('hypervisor')),
        errors={
            HypervisorNotFound: 404,
            exception.ComputeServiceUnavailable: 400,
            UptimeUnknown: 501,
        },
    ),
)
