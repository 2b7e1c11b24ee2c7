"""How an instance action looks on the wire."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from typing import Any

from livemig.api import fields
from livemig.api.action import Call
from livemig.api.fields import ABSENT, Field
from livemig.api.validation import NULLABLE_STRING
from livemig.api.views.common import STRING, UUID, V, exact_time, host_id
from livemig.objects.action import ERROR


@dataclasses.dataclass(frozen=True)
class ActionSource:
    """What an instance action's fields are made of."""

    call: Call
    row: Mapping[str, Any]
    project_id: str | None = None
    shows_events: bool = False
    shows_traceback: bool = False
    shows_details: bool = False


def _column(name: str) -> Callable[[ActionSource], Any]:
    return lambda source: source.row.get(name)


def _column_time(name: str) -> Callable[[ActionSource], Any]:
    def value(source: ActionSource) -> str | None:
        time = source.row.get(name)
        if isinstance(time, str):
            time = datetime.datetime.fromisoformat(time)
        return exact_time(time)

    return value


def _events(source: ActionSource) -> Any:
    if not source.shows_events:
        return ABSENT
    return [
        fields.render(
            EVENT,
            source.call.version,
            dataclasses.replace(source, row=row),
        )
        for row in source.row.get('events', ())
    ]


def _result(source: ActionSource) -> Any:
    return source.row.get('result')


EVENT: tuple[Field, ...] = (
    Field('event', STRING, _column('event')),
    Field('start_time', STRING, _column_time('start_time')),
    Field('finish_time', NULLABLE_STRING, _column_time('finish_time')),
    Field('result', NULLABLE_STRING, _result),
    Field(
        'traceback', NULLABLE_STRING,
        lambda s: s.row.get('traceback') if s.shows_traceback else ABSENT,
        optional=True,
    ),
    Field(
        'hostId', STRING,
        lambda s: host_id(s.project_id, s.row.get('host')), first=V(2, 62),
    ),
    Field(
        'host', NULLABLE_STRING,
        lambda s: s.row.get('host') if s.shows_traceback else ABSENT,
        first=V(2, 62), optional=True,
    ),
    Field(
        'details', NULLABLE_STRING,
        lambda s: s.row.get('details') if s.shows_details else ABSENT,
        first=V(2, 84), optional=True,
    ),
)  # fmt: skip

ACTION: tuple[Field, ...] = (
    Field('action', STRING, _column('action')),
    Field('instance_uuid', UUID, _column('instance_uuid')),
    Field('request_id', STRING, _column('request_id')),
    Field('user_id', NULLABLE_STRING, _column('user_id')),
    Field('project_id', NULLABLE_STRING, _column('project_id')),
    Field('start_time', STRING, _column_time('start_time')),
    Field('message', {'enum': [None, ERROR]}, _column('message')),
    Field(
        'updated_at', NULLABLE_STRING, _column_time('updated_at'),
        first=V(2, 58),
    ),
)  # fmt: skip

SINGLE_ACTION: tuple[Field, ...] = (
    *ACTION,
    *fields.nested('events', EVENT, _events, optional=True),
)
