"""Flavors: list and show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from livemig import catalogue, exception, policy
from livemig.api import fields, flavor_lookup, validation
from livemig.api.action import Call, Operation
from livemig.api.links import Page
from livemig.api.microversion import Microversion as V
from livemig.api.validation import ONCE, PAGING, Schema, closed, open_query
from livemig.api.views import flavors as views

EXTRA_SPECS = policy.Rule(
    'os_compute_api:os-flavor-extra-specs:index',
    policy.READER_OR_ADMIN,
    'See the extra specs of flavors.',
)

_NUMBER: Schema = {'type': 'string', 'pattern': '^[0-9]{1,9}$'}
_SORT_KEYS: dict[str, Callable[[catalogue.Flavor], Any]] = {
    'flavorid': lambda flavor: flavor.id,
    'name': lambda flavor: flavor.name,
    'memory_mb': lambda flavor: flavor.ram_mib,
    'vcpus': lambda flavor: flavor.vcpus,
    'root_gb': lambda flavor: flavor.disk_gib,
    'ephemeral_gb': lambda flavor: flavor.ephemeral_gib,
    'swap': lambda flavor: flavor.swap_mib,
}
_PARAMETERS: dict[str, Schema] = {
    **PAGING,
    'minRam': _NUMBER,
    'minDisk': _NUMBER,
    'is_public': ONCE,
    'sort_key': {'enum': sorted(_SORT_KEYS)},
    'sort_dir': {'enum': ['asc', 'desc']},
}
_QUERY = (
    (V(2, 1), open_query(_PARAMETERS)),
    (V(2, 75), closed(_PARAMETERS)),
)


def index(call: Call) -> dict[str, Any]:
    return _list(call, '/flavors', views.BRIEF_FLAVOR)


def detail(call: Call) -> dict[str, Any]:
    return _list(call, '/flavors/detail', views.FLAVOR)


def _list(call: Call, path: str, table: fields.Fields) -> dict[str, Any]:
    call.authorize()
    page = Page(call.query, call.app.conf.api.max_limit)
    found = _paged(_chosen(call), page)
    shows_extra_specs = _shows_extra_specs(call)
    told: dict[str, Any] = {
        'flavors': [
            fields.render(
                table,
                call.version,
                views.FlavorSource(call, flavor, shows_extra_specs),
            )
            for flavor in found
        ]
    }
    if page.is_full(found):
        told['flavors_links'] = call.links.next_page(
            path, call.query, found[-1].id
        )
    return told


def _chosen(call: Call) -> list[catalogue.Flavor]:
    """The flavors asked for, sorted."""
    query = call.query
    public = _wanted_public(call)
    least_ram, least_disk = (
        int(query.get('minRam', 0)),
        int(query.get('minDisk', 0)),
    )
    flavors = [
        flavor
        for flavor in flavor_lookup.everything(call).values()
        if public in (None, flavor.is_public)
        and flavor.ram_mib >= least_ram
        and flavor.disk_gib >= least_disk
    ]
    flavors.sort(key=lambda flavor: flavor.id)
    flavors.sort(
        key=_SORT_KEYS[query.get('sort_key', 'flavorid')],
        reverse=query.get('sort_dir') == 'desc',
    )
    return flavors


def _wanted_public(call: Call) -> bool | None:
    """None: all of them, which only administrators see."""
    word = str(call.query.get('is_public', 'true'))
    if not call.context.is_admin:
        return True
    if word.lower() == 'none':
        return None
    if word not in validation.BOOLEAN_WORD['enum']:
        raise validation.InvalidInput(
            where='the query.is_public', reason=f'{word[:40]!r} is no flag.'
        )
    return validation.is_true(word)


def _paged(
    flavors: list[catalogue.Flavor], page: Page
) -> list[catalogue.Flavor]:
    """:raises MarkerNotFound:"""
    start = 0
    if page.marker is not None:
        ids = [flavor.id for flavor in flavors]
        if page.marker not in ids:
            raise exception.MarkerNotFound(marker=page.marker[:80])
        start = ids.index(page.marker) + 1
    return flavors[start : start + page.limit]


def _shows_extra_specs(call: Call) -> bool:
    return call.since(2, 61) and call.may(EXTRA_SPECS)


def show(call: Call) -> dict[str, Any]:
    call.authorize()
    return told(call, flavor_lookup.find(call, call.path['flavor_id']))


def told(call: Call, flavor: catalogue.Flavor) -> dict[str, Any]:
    """The answer about a single flavor."""
    source = views.FlavorSource(call, flavor, _shows_extra_specs(call))
    return {'flavor': fields.render(views.FLAVOR, call.version, source)}


def _rule(verb: str, description: str) -> policy.Rule:
    # In Nova everybody may; it has no rules for it.
    return policy.Rule(
        f'os_compute_api:flavors:{verb}', policy.ANY_USER, description
    )


OPERATIONS = (
    Operation(
        name='flavors:index',
        method='GET',
        path='/flavors',
        summary='List flavors, briefly.',
        handler=index,
        policy=_rule('index', 'List flavors.'),
        success=200,
        query=_QUERY,
        response=fields.schemas(
            views.BRIEF_FLAVOR, fields.many('flavors', V(2, 1))
        ),
        errors={exception.MarkerNotFound: 400},
    ),
    Operation(
        name='flavors:detail',
        method='GET',
        path='/flavors/detail',
        summary='List flavors with details.',
        handler=detail,
        policy=_rule('detail', 'List flavors with details.'),
        more_policies=(EXTRA_SPECS,),
        success=200,
        query=_QUERY,
        response=fields.schemas(views.FLAVOR, fields.many('flavors', V(2, 1))),
        errors={exception.MarkerNotFound: 400},
    ),
    Operation(
        name='flavors:show',
        method='GET',
        path='/flavors/{flavor_id}',
        summary='Show a flavor.',
        handler=show,
        policy=_rule('show', 'Show a flavor.'),
        more_policies=(EXTRA_SPECS,),
        success=200,
        response=fields.schemas(views.FLAVOR, fields.one('flavor')),
        errors={exception.FlavorNotFound: 404},
    ),
)
