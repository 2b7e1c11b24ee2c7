"""Availability zones: one for all hosts, and the one of the conductors."""

from __future__ import annotations

from typing import Any

from livemig import policy
from livemig.api.action import Call, Operation, always
from livemig.api.validation import NULLABLE_STRING, Schema, closed
from livemig.api.views.common import (
    BOOL,
    INTERNAL_ZONE,
    STRING,
    ZONE,
    exact_time,
    is_up,
)
from livemig.objects.service import COMPUTE, Service


def index(call: Call) -> dict[str, Any]:
    """The zone that servers can ask for."""
    call.authorize()
    services = Service.list(call.context, {'binary': COMPUTE})
    usable = any(not service.disabled for service in services)
    return {'availabilityZoneInfo': [_zone(ZONE, usable, None)]}


def detail(call: Call) -> dict[str, Any]:
    call.authorize()
    zones: dict[str, list[Service]] = {ZONE: [], INTERNAL_ZONE: []}
    for service in Service.list(call.context, {}):
        name = ZONE if service.binary == COMPUTE else INTERNAL_ZONE
        zones[name].append(service)
    return {
        'availabilityZoneInfo': [
            _zone(
                name,
                any(not service.disabled for service in services),
                _hosts(call, services),
            )
            for name, services in zones.items()
        ]
    }


def _zone(
    name: str, available: bool, hosts: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        'zoneName': name,
        'zoneState': {'available': available},
        'hosts': hosts,
    }


def _hosts(call: Call, services: list[Service]) -> dict[str, Any]:
    hosts: dict[str, Any] = {}
    for service in services:
        hosts.setdefault(service.host, {})[service.binary] = {
            'active': not service.disabled,
            'available': is_up(call, service),
            'updated_at': exact_time(service.last_seen_at),
        }
    return hosts


def _answer(hosts: Schema) -> Schema:
    zone = {
        'zoneName': STRING,
        'zoneState': closed({'available': BOOL}, 'available'),
        'hosts': hosts,
    }
    key = 'availabilityZoneInfo'
    return closed({key: {'type': 'array', 'items': closed(zone, *zone)}}, key)


_STATE: dict[str, Schema] = {
    'active': BOOL,
    'available': BOOL,
    'updated_at': NULLABLE_STRING,
}
_HOSTS: Schema = {
    'type': 'object',
    'additionalProperties': {
        'type': 'object',
        'additionalProperties': closed(_STATE, *_STATE),
    },
}

OPERATIONS = (
    Operation(
        name='zones:index',
        method='GET',
        path='/os-availability-zone',
        summary='List availability zones.',
        handler=index,
        policy=policy.Rule(
            'os_compute_api:os-availability-zone:list',
            policy.ANY_USER,
            'List availability zones.',
        ),
        success=200,
        response=always(_answer({'type': 'null'})),
    ),
    Operation(
        name='zones:detail',
        method='GET',
        path='/os-availability-zone/detail',
        summary='List availability zones with their hosts.',
        handler=detail,
        policy=policy.Rule(
            'os_compute_api:os-availability-zone:detail',
            policy.ADMIN,
            'List availability zones with their hosts.',
        ),
        success=200,
        response=always(_answer(_HOSTS)),
    ),
)
