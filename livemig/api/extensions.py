"""Extensions: which parts of the compute API there are.

Of no use since there are microversions, but clients still ask. Nothing is
listed here by hand: a part is what operations ask a right of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from livemig import exception, policy
from livemig.api import versions
from livemig.api.action import Call, Operation, always
from livemig.api.validation import Schema, closed
from livemig.api.views.common import NONE_OF_THEM, STRING

_RULE = policy.Rule(
    'os_compute_api:extensions',
    policy.ANY_USER,
    'List the parts of the API, and show one.',
)


class ExtensionNotFound(exception.NotFound):
    template = 'There is no extension {alias}.'


def _aliases(operations: Iterable[Operation]) -> dict[str, list[str]]:
    """What each part is for, by Nova's names of the parts."""
    found: dict[str, list[str]] = {}
    for operation in operations:
        part = operation.policy.name.split(':')[1]
        if part.startswith('os-'):
            found.setdefault(part, []).append(operation.summary)
    return found


def _told(alias: str, summaries: Iterable[str]) -> dict[str, Any]:
    words = alias.removeprefix('os-').split('-')
    return {
        'name': ''.join(word.capitalize() for word in words),
        'alias': alias,
        'description': ' '.join(summaries),
        'updated': versions.UPDATED,
        'namespace': '',
        'links': [],
    }


_EXTENSION: dict[str, Schema] = {
    **dict.fromkeys(
        ('name', 'alias', 'description', 'updated', 'namespace'), STRING
    ),
    'links': NONE_OF_THEM,
}
_ONE = closed(_EXTENSION, *_EXTENSION)


def operations(of: Iterable[Operation]) -> tuple[Operation, ...]:
    """The operations that tell of those others."""
    parts: Mapping[str, dict[str, Any]] = {
        alias: _told(alias, summaries)
        for alias, summaries in sorted(_aliases(of).items())
    }

    def index(call: Call) -> dict[str, Any]:
        call.authorize()
        return {'extensions': list(parts.values())}

    def show(call: Call) -> dict[str, Any]:
        call.authorize()
        alias = call.path['alias']
        if alias not in parts:
            raise ExtensionNotFound(alias=alias[:80])
        return {'extension': parts[alias]}

    return (
        Operation(
            name='extensions:index',
            method='GET',
            path='/extensions',
            summary='List the parts of the API.',
            handler=index,
            policy=_RULE,
            success=200,
            response=always(
                closed(
                    {'extensions': {'type': 'array', 'items': _ONE}},
                    'extensions',
                )
            ),
        ),
        Operation(
            name='extensions:show',
            method='GET',
            path='/extensions/{alias}',
            summary='Show a part of the API.',
            handler=show,
            policy=_RULE,
            success=200,
            response=always(closed({'extension': _ONE}, 'extension')),
            errors={ExtensionNotFound: 404},
        ),
    )
