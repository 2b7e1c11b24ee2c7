"""Decides which servers a list query asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from livemig import exception, policy
from livemig.api import microversion, validation
from livemig.api.action import Call
from livemig.api.microversion import Microversion
from livemig.api.validation import (
    BOOLEAN_WORD,
    LIMIT,
    MANY,
    NO,
    ONCE,
    TIME,
    UUID,
    InvalidInput,
    Schema,
)
from livemig.objects import instance_states
from livemig.objects.instance_states import VmState

V = Microversion

ALL_FILTERS = policy.Rule(
    'os_compute_api:servers:allow_all_filters',
    policy.ADMIN,
    'Use every filter when listing servers.',
)


class AdminOnly(exception.LivemigError):
    template = 'Only administrators may {what}.'


def _text(value: Any) -> Any:
    return value


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _number(value: Any) -> list[int]:
    return [int(one) for one in _listed(value)]


def _time(value: Any) -> Any:
    return validation.parse_time(value)


@dataclasses.dataclass(frozen=True)
class Filter:
    """One parameter of the query.

    :ivar column: of the records; '' if it is treated on its own.
    :ivar constant: what all servers are; a filter by anything else finds
        none. None: they differ.
    :ivar everybody: the version from which all may use it, not only those
        whom ``allow_all_filters`` names.
    """

    name: str
    column: str = ''
    schema: Schema = dataclasses.field(default_factory=lambda: MANY)
    convert: Callable[[Any], Any] = _text
    first: Microversion = microversion.FIRST
    everybody: Microversion | None = None
    constant: frozenset[str] | None = None


#: All are without it, or it is not so.
_WITHOUT = frozenset({''})
_NOT_SO = frozenset({'', *(w for w in BOOLEAN_WORD['enum']
                           if not validation.is_true(w))})  # fmt: skip
_NUMBERS: Schema = {
    'anyOf': [
        {'type': 'string', 'pattern': '^[0-9]{1,9}$'},
        {
            'type': 'array',
            'items': {'type': 'string', 'pattern': '^[0-9]{1,9}$'},
        },
    ]
}
_EVER = microversion.FIRST
_REGEX: Schema = {'type': 'string', 'format': 'regex', 'maxLength': 255}

FILTERS: tuple[Filter, ...] = (
    Filter('name', 'name', _REGEX, everybody=_EVER),
    Filter('reservation_id', 'reservation_id', everybody=_EVER),
    Filter('image', 'image_ref', everybody=_EVER),
    Filter('image_ref', 'image_ref'),
    Filter('display_name', 'name', _REGEX),
    Filter('description', 'description'),
    Filter('display_description', 'description'),
    Filter('locked_by', 'locked_by'),
    Filter('launch_index', constant=frozenset({'0'})),
    Filter('kernel_id', constant=_WITHOUT),
    Filter('ramdisk_id', constant=_WITHOUT),
    Filter('root_device_name', constant=_WITHOUT),
    Filter('access_ip_v4', constant=_WITHOUT),
    Filter('access_ip_v6', constant=_WITHOUT),
    Filter('auto_disk_config', constant=_NOT_SO),
    Filter('soft_deleted', constant=_NOT_SO),
    Filter('uuid', 'uuid'),
    Filter('host', 'host'),
    Filter('node', 'node'),
    Filter('project_id', 'project_id'),
    Filter('tenant_id', 'project_id'),
    Filter('user_id', 'user_id', everybody=V(2, 83)),
    Filter('vm_state', 'vm_state', everybody=V(2, 83)),
    Filter('task_state', 'task_state', everybody=V(2, 83)),
    Filter('power_state', 'power_state', _NUMBERS, _number,
           everybody=V(2, 83)),
    Filter('progress', 'progress', _NUMBERS, _number, everybody=V(2, 83)),
    Filter('availability_zone', 'availability_zone', everybody=V(2, 83)),
    Filter('key_name', 'key_name', everybody=V(2, 83)),
    Filter('config_drive', 'config_drive', everybody=V(2, 83)),
    Filter('created_at', 'created_at', TIME, _time, everybody=V(2, 83)),
    Filter('launched_at', 'launched_at', TIME, _time, everybody=V(2, 83)),
    Filter('terminated_at', 'terminated_at', TIME, _time,
           everybody=V(2, 83)),
    Filter('hostname', 'hostname', everybody=V(2, 90)),
    Filter('locked', 'locked', BOOLEAN_WORD, validation.is_true,
           first=V(2, 73), everybody=V(2, 73)),
    Filter('changes-since', 'changes_since', TIME, _time, everybody=_EVER),
    Filter('changes-before', 'changes_before', TIME, _time,
           first=V(2, 66), everybody=V(2, 66)),
    Filter('deleted', 'deleted', BOOLEAN_WORD, validation.is_true),
    Filter('status', everybody=_EVER),
    Filter('flavor', 'flavor_ids', convert=_listed, everybody=_EVER),
    Filter('ip', everybody=_EVER, constant=_WITHOUT),
    Filter('ip6', everybody=V(2, 5), constant=_WITHOUT),
    Filter('tags', first=V(2, 26), everybody=V(2, 26), constant=_WITHOUT),
    Filter('tags-any', first=V(2, 26), everybody=V(2, 26),
           constant=_WITHOUT),
    # They have no tags: a filter against some finds all.
    Filter('not-tags', first=V(2, 26), everybody=V(2, 26)),
    Filter('not-tags-any', first=V(2, 26), everybody=V(2, 26)),
)  # fmt: skip

#: sort_key -> column; '' where all servers are alike. By the last two only
#: administrators may sort.
SORT_KEYS: Mapping[str, str] = {
    **{
        name: name
        for name in (
            'uuid', 'created_at', 'updated_at', 'launched_at',
            'terminated_at', 'display_name', 'hostname', 'image_ref',
            'power_state', 'progress', 'project_id', 'user_id', 'vm_state',
            'task_state', 'key_name', 'availability_zone', 'config_drive',
            'locked_by', 'locked', 'host', 'node',
        )
    },
    'display_description': 'description',
    **dict.fromkeys((
        'access_ip_v4', 'access_ip_v6', 'auto_disk_config', 'kernel_id',
        'launch_index', 'ramdisk_id', 'root_device_name',
    ), ''),
}  # fmt: skip
#: Before 2.75 these were taken and had no effect.
IGNORED_SORT_KEYS = (
    'architecture', 'cell_name', 'cleaned', 'default_ephemeral_device',
    'default_swap_device', 'deleted', 'deleted_at', 'disable_terminate',
    'ephemeral_gb', 'ephemeral_key_uuid', 'id', 'key_data', 'launched_on',
    'locked', 'memory_mb', 'os_type', 'reservation_id', 'root_gb',
    'shutdown_terminate', 'user_data', 'vcpus', 'vm_mode',
)  # fmt: skip
ADMINS_SORT_KEYS = frozenset({'host', 'node'})

#: Tables that Nova joins, which nobody may filter by.
_JOINED = (
    'block_device_mapping', 'extra', 'info_cache', 'metadata', 'pci_devices',
    'security_groups', 'services', 'system_metadata',
)  # fmt: skip


def query_schema(version: Microversion) -> Schema:
    """The schema of the lists' query at that version."""
    sort_keys = set(SORT_KEYS)
    if version < V(2, 75):
        sort_keys |= set(IGNORED_SORT_KEYS)
    properties: dict[str, Schema] = {
        **{f.name: f.schema for f in FILTERS if f.first <= version},
        'all_tenants': ONCE,
        'limit': LIMIT,
        'marker': UUID,
        'sort_key': _some_of(sorted(sort_keys)),
        'sort_dir': _some_of(['asc', 'desc']),
        **dict.fromkeys(_JOINED, NO),
    }
    schema: dict[str, Any] = {
        'type': 'object',
        'properties': properties,
        'patternProperties': {'^_': NO},
    }
    if version >= V(2, 75):
        schema['additionalProperties'] = False
    return schema


def _some_of(words: list[str]) -> Schema:
    return {
        'anyOf': [
            {'enum': words},
            {'type': 'array', 'items': {'enum': words}},
        ]
    }


QUERY = tuple(
    (V(2, minor), query_schema(V(2, minor))) for minor in (1, 26, 66, 73, 75)
)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a query asks for.

    :ivar nothing: no server can be what is asked for.
    """

    filters: Mapping[str, Any]
    sort_keys: tuple[tuple[str, str], ...]
    nothing: bool = False


def wanted(call: Call, all_tenants: policy.Rule) -> Wanted:
    """
    :param all_tenants: the rule for looking at other projects.
    :raises InvalidInput:
    :raises Denied:
    :raises AdminOnly:
    """
    asked = _allowed(call)
    filters = {
        f.column: f.convert(asked[f.name])
        for f in FILTERS
        if f.column and f.name in asked
    }
    if not _all_tenants(call, all_tenants):
        filters['project_id'] = call.context.project_id
    since, before = (
        filters.get('changes_since'),
        filters.get('changes_before'),
    )
    if since and before and since > before:
        raise InvalidInput(
            where='the query',
            reason='changes-since is later than changes-before.',
        )
    nothing = any(
        not f.constant.issuperset(_listed(asked[f.name]))
        for f in FILTERS
        if f.constant is not None and f.name in asked
    )
    if 'status' in asked:
        states = _states(call, asked['status'])
        nothing = nothing or not states
        if any(vm_state == VmState.DELETED for vm_state, _ in states):
            if not call.context.is_admin:
                raise AdminOnly(what='list deleted servers')
            filters['deleted'] = True
        filters['states'] = [list(pair) for pair in states]
    return Wanted(filters=filters, sort_keys=_sorting(call), nothing=nothing)


def _allowed(call: Call) -> dict[str, Any]:
    """The filters this user may use; the others are dropped silently."""
    everything = call.may(ALL_FILTERS)
    return {
        f.name: call.query[f.name]
        for f in FILTERS
        if f.name in call.query
        and (
            everything
            or (f.everybody is not None and f.everybody <= call.version)
        )
    }


def _all_tenants(call: Call, rule: policy.Rule) -> bool:
    """:raises Denied: they are asked for, but not by one who may."""
    text = call.query.get('all_tenants')
    if text is None:
        return False
    if text not in ('', *BOOLEAN_WORD['enum']):
        raise InvalidInput(
            where='the query.all_tenants', reason=f'{text[:40]!r} is no flag.'
        )
    if text and not validation.is_true(text):
        return False
    call.app.policy.authorize(call.context, rule)
    return True


def _states(call: Call, status: Any) -> list[tuple[str, str | None]]:
    """:raises InvalidInput: there is no such status (from 2.38)."""
    found = []
    for word in _listed(status):
        states = instance_states.states_of(word)
        if not states and call.since(2, 38):
            raise InvalidInput(
                where='the query.status',
                reason=f'{word[:40]!r} is no status of a server.',
            )
        found += states
    return found


def _sorting(call: Call) -> tuple[tuple[str, str], ...]:
    """:raises InvalidInput: more directions than keys."""
    keys = _listed(call.query.get('sort_key', []))
    directions = _listed(call.query.get('sort_dir', []))
    for key in keys:
        if key in ADMINS_SORT_KEYS and not call.context.is_admin:
            raise AdminOnly(what=f'sort servers by {key}')
    if not keys and len(directions) < 2:
        direction = directions[0] if directions else 'desc'
        return (('created_at', direction), ('id', direction))
    if len(directions) > len(keys):
        raise InvalidInput(
            where='the query.sort_dir',
            reason='there are more of them than sort keys.',
        )
    directions += ['desc'] * (len(keys) - len(directions))
    # A column that comes twice sorts once.
    columns: dict[str, str] = {}
    for key, direction in zip(keys, directions, strict=True):
        column = _sort_column(call, key)
        if column:
            columns.setdefault(column, direction)
    return (*columns.items(), ('id', 'desc'))


def _sort_column(call: Call, key: str) -> str:
    """'' if sorting by that key has no effect."""
    if key == 'locked' and not call.since(2, 73):
        return ''
    return SORT_KEYS.get(key, '')
