"""How a hypervisor looks on the wire: a host, as its manager reported it."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from livemig.api.action import Call
from livemig.api.fields import ABSENT, Field
from livemig.api.microversion import Microversion
from livemig.api.validation import NULLABLE_STRING, Schema, closed
from livemig.api.views.common import (
    INT,
    NOTHING,
    NULLABLE_INT,
    STRING,
    UUID,
    V,
    guest_name,
    is_up,
)
from livemig.objects.service import Service
from livemig.virt.driver import HostFacts

#: The last version with figures of a host: Nova leaves them to Placement.
_LAST_FIGURES = V(2, 87)
_GIB = 1024**3


@dataclasses.dataclass(frozen=True)
class Usage:
    """What the instances of a host take."""

    instances: int = 0
    vcpus: int = 0
    memory_mb: int = 0
    root_gb: int = 0
    busy: int = 0


@dataclasses.dataclass(frozen=True)
class HypervisorSource:
    """What a hypervisor's fields are made of.

    :ivar servers: id and uuid of its instances; None: nobody asked.
    """

    call: Call
    service: Service
    facts: HostFacts
    usage: Usage = dataclasses.field(default_factory=Usage)
    servers: Sequence[Mapping[str, Any]] | None = None


def host_ip(facts: HostFacts) -> str | None:
    """Its address, if its manager was told one."""
    address = (facts.migration_address or '').strip('[]')
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return None


def _service(source: HypervisorSource) -> dict[str, Any]:
    service = source.service
    return {
        'id': service.uuid if source.call.since(2, 53) else service.id,
        'host': service.host,
        'disabled_reason': service.disabled_reason,
    }


def _servers(source: HypervisorSource) -> Any:
    if source.servers is None:
        return ABSENT
    if not source.servers and not source.call.since(2, 75):
        return ABSENT
    return [
        {'name': guest_name(row['id']), 'uuid': row['uuid']}
        for row in source.servers
    ]


def _uptime(source: HypervisorSource) -> str | None:
    """Of a host that is down nobody knows."""
    if is_up(source.call, source.service):
        return source.facts.uptime or None
    return None


#: What a host has, and what is taken of it, by name on the wire.
FIGURES: Mapping[str, Callable[[HostFacts, Usage], int]] = {
    'vcpus': lambda facts, _usage: facts.vcpus,
    'vcpus_used': lambda _facts, usage: usage.vcpus,
    'memory_mb': lambda facts, _usage: facts.memory_mib,
    'memory_mb_used': lambda _facts, usage: usage.memory_mb,
    'free_ram_mb': lambda facts, usage: facts.memory_mib - usage.memory_mb,
    'local_gb': lambda facts, _usage: facts.disk_total_bytes // _GIB,
    'local_gb_used': lambda _facts, usage: usage.root_gb,
    'free_disk_gb': lambda facts, usage: (
        facts.disk_total_bytes // _GIB - usage.root_gb
    ),
    'disk_available_least': lambda facts, _usage: (
        facts.disk_free_bytes // _GIB
    ),
    'running_vms': lambda _facts, usage: usage.instances,
    'current_workload': lambda _facts, usage: usage.busy,
}


def _figure(name: str) -> Field:
    value = FIGURES[name]
    return Field(
        name,
        NULLABLE_INT,
        lambda source: value(source.facts, source.usage),
        last=_LAST_FIGURES,
    )


def _fact(name: str) -> Callable[[HypervisorSource], Any]:
    return lambda source: getattr(source.facts, name)


def _with_servers(
    first: Microversion, last: Microversion | None = None
) -> Field:
    return Field(
        'servers',
        _SERVERS,
        _servers,
        first=first,
        optional=True,
        **({'last': last} if last else {}),
    )


def _service_with(service_id: Schema) -> Schema:
    return closed(
        {
            'id': service_id,
            'host': STRING,
            'disabled_reason': NULLABLE_STRING,
        },
        'id',
        'host',
        'disabled_reason',
    )


_SERVERS: Schema = {
    'type': 'array',
    'items': closed({'name': STRING, 'uuid': UUID}, 'name', 'uuid'),
}
_IDENTITY: tuple[Field, ...] = (
    Field('id', INT, lambda s: s.service.id, last=V(2, 52)),
    Field('id', UUID, lambda s: s.service.uuid, first=V(2, 53)),
    # A host and its hypervisor have one name in livemig.
    Field('hypervisor_hostname', STRING, lambda s: s.service.host),
    Field(
        'state',
        {'enum': ['up', 'down']},
        lambda s: 'up' if is_up(s.call, s.service) else 'down',
    ),
    Field(
        'status',
        {'enum': ['enabled', 'disabled']},
        lambda s: 'disabled' if s.service.disabled else 'enabled',
    ),
)

BRIEF: tuple[Field, ...] = (*_IDENTITY, _with_servers(V(2, 53)))
#: Until 2.52 there was a URL for it.
BRIEF_WITH_SERVERS: tuple[Field, ...] = (
    *_IDENTITY,
    _with_servers(V(2, 1), V(2, 52)),
)
UPTIME: tuple[Field, ...] = (*_IDENTITY, Field('uptime', STRING, _uptime))

HYPERVISOR: tuple[Field, ...] = (
    *BRIEF,
    Field('hypervisor_type', STRING, _fact('hypervisor_type')),
    Field('hypervisor_version', INT, _fact('hypervisor_version')),
    Field('host_ip', NULLABLE_STRING, lambda s: host_ip(s.facts)),
    Field('service', _service_with(INT), _service, last=V(2, 52)),
    Field('service', _service_with(UUID), _service, first=V(2, 53)),
    *(_figure(name) for name in FIGURES),
    # Its manager says nothing of it that a client could read.
    Field('cpu_info', STRING, lambda _s: '', last=V(2, 27)),
    Field(
        'cpu_info',
        NOTHING,
        lambda _s: {},
        first=V(2, 28),
        last=_LAST_FIGURES,
    ),
    Field('uptime', NULLABLE_STRING, _uptime, first=V(2, 88)),
)
