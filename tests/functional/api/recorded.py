"""What really goes over the wire in the example of an operation, with what
differs from time to time replaced; the API's reference shows it."""

from __future__ import annotations

import http
import json
import pathlib
import re
from typing import Any

import webob

from livemig.api.action import Operation
from tests.functional.api import world as worlds
from tests.functional.api.examples import EXAMPLES

_UUID = re.compile(r'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')
#: Those that the world is filled with; all others are made at random.
_FIXED = re.compile(
    '|'.join(
        [
            r'\d{8}-aaaa-4aaa-8aaa-aaaaaaaaaaaa',
            worlds.OWN, worlds.FOREIGN, worlds.IMAGE, worlds.STABLE_IMAGE,
        ]
    )
)  # fmt: skip
#: A time of the real clock, which actions are noted with.
_NOW = re.compile(r'(?!2025-12-31|2026-01-01)\d{4}-\d\d-\d\dT[0-9:]{8}\.\d{6}')
_THEN = '2026-01-01T00:00:00.000000'
_PASSWORD = 'zzUFmAy5xJ4x'


#: Stands between the request and its answer.
BORDER = '----'

#: Where the examples are kept, one file an operation.
DIRECTORY = pathlib.Path(__file__).parents[3] / 'api-ref/examples'


def file_of(operation: Operation) -> pathlib.Path:
    return DIRECTORY / f'{operation.name.replace(":", "-")}.txt'


def record(operation: Operation) -> str:
    """Send the example of that operation to a fresh, full world."""
    example = EXAMPLES[operation.name]
    world = worlds.World()
    try:
        answer = world.ask(
            example.method,
            example.url,
            example.version,
            example.body,
            root=example.root,
        )
    finally:
        world.close()
    assert answer.status_int == operation.success, answer.text
    request = [f'{example.method} {example.root}{example.url} HTTP/1.1']
    if operation.is_versioned:
        request.append(f'OpenStack-API-Version: compute {example.version}')
    told = [f'HTTP/1.1 {answer.status_int} {_phrase(answer.status_int)}']
    if 'Location' in answer.headers:
        told.append(f'Location: {answer.headers["Location"]}')
    return _steady(
        '\n'.join(
            [
                *_message(request, example.body),
                BORDER,
                *_message(told, _body(answer)),
                '',
            ]
        )
    )


def _phrase(code: int) -> str:
    return http.HTTPStatus(code).phrase


def _message(head: list[str], body: Any) -> list[str]:
    if body is None:
        return head
    text = json.dumps(body, indent=2, ensure_ascii=False)
    return [*head, 'Content-Type: application/json', '', text]


def _body(answer: webob.Response) -> Any:
    """Of a longer list the first; and no password that chance has made."""
    body = answer.json_body if answer.body else None
    if not isinstance(body, dict):
        return body
    for inner in (body, *body.values()):
        if isinstance(inner, dict) and 'adminPass' in inner:
            inner['adminPass'] = _PASSWORD
    return {
        key: value[:1] if isinstance(value, list) else value
        for key, value in body.items()
    }


def _steady(text: str) -> str:
    """Each uuid that was made at random becomes one that stays, and so does
    each time of today."""
    made: dict[str, str] = {}

    def replaced(found: re.Match[str]) -> str:
        uuid = found.group()
        if _FIXED.fullmatch(uuid):
            return uuid
        return made.setdefault(
            uuid, f'{len(made) + 1:08d}-bbbb-4bbb-8bbb-bbbbbbbbbbbb'
        )

    return _NOW.sub(_THEN, _UUID.sub(replaced, text))
