"""What all views have in common: types, times, hosts."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from typing import Any

from livemig.api.action import Call
from livemig.api.microversion import Microversion
from livemig.api.validation import Schema
from livemig.objects import base
from livemig.objects.service import Service

V = Microversion

#: livemig has one zone, named as Nova's default one.
ZONE = 'nova'
INTERNAL_ZONE = 'internal'

STRING: Schema = {'type': 'string'}
BOOL: Schema = {'type': 'boolean'}
INT: Schema = {'type': 'integer'}
NULLABLE_INT: Schema = {'type': ['integer', 'null']}
NULLABLE_NUMBER: Schema = {'type': ['number', 'null']}
#: Objects and lists that are always empty.
NOTHING: Schema = {'type': 'object', 'maxProperties': 0}
NONE_OF_THEM: Schema = {'type': 'array', 'maxItems': 0}
STRINGS: Schema = {
    'type': 'object',
    'additionalProperties': {'type': 'string'},
}
UUID: Schema = {'type': 'string', 'format': 'uuid'}


def attribute(name: str) -> Callable[[Any], Any]:
    """The value is that attribute of what the table is about."""
    return lambda source: getattr(source, name)


def seconds_time(value: datetime.datetime | None) -> str | None:
    """As servers have it."""
    if value is None:
        return None
    return base.time_text(value)


def exact_time(value: datetime.datetime | None) -> str | None:
    """As all others have it: microseconds and no zone."""
    if value is None:
        return None
    return value.astimezone(datetime.UTC).strftime('%Y-%m-%dT%H:%M:%S.%f')


def host_id(project_id: str | None, host: str | None) -> str:
    """A name for a host that says nothing of it; '' if there is none."""
    if not host:
        return ''
    text = f'{project_id or ""}{host}'
    return hashlib.sha224(text.encode()).hexdigest()


def guest_name(instance_id: int) -> str:
    """What Nova's clients know as the name of the guest."""
    return f'instance-{instance_id:08x}'


def is_up(call: Call, service: Service) -> bool:
    return service.is_up(call.app.clock.now(), call.app.conf.service_down_time)
