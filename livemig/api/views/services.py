"""How a service looks on the wire."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from livemig.api.action import Call
from livemig.api.fields import Field
from livemig.api.validation import NULLABLE_STRING
from livemig.api.views.common import (
    BOOL,
    INT,
    INTERNAL_ZONE,
    STRING,
    UUID,
    ZONE,
    V,
    exact_time,
    is_up,
)
from livemig.objects.service import COMPUTE, Service


@dataclasses.dataclass(frozen=True)
class ServiceSource:
    """What a service's fields are made of."""

    call: Call
    service: Service


def _service(name: str) -> Callable[[ServiceSource], Any]:
    return lambda source: getattr(source.service, name)


SERVICE: tuple[Field, ...] = (
    Field('id', INT, _service('id'), last=V(2, 52)),
    Field('id', UUID, _service('uuid'), first=V(2, 53)),
    Field('binary', STRING, _service('binary')),
    Field('host', STRING, _service('host')),
    Field(
        'zone',
        STRING,
        lambda s: ZONE if s.service.binary == COMPUTE else INTERNAL_ZONE,
    ),
    Field(
        'status',
        {'enum': ['enabled', 'disabled']},
        lambda s: 'disabled' if s.service.disabled else 'enabled',
    ),
    Field(
        'state',
        {'enum': ['up', 'down']},
        lambda s: 'up' if is_up(s.call, s.service) else 'down',
    ),
    Field(
        'updated_at',
        NULLABLE_STRING,
        lambda s: exact_time(s.service.last_seen_at),
    ),
    Field('disabled_reason', NULLABLE_STRING, _service('disabled_reason')),
    Field('forced_down', BOOL, _service('forced_down'), first=V(2, 11)),
)
