"""Every operation at every version: there or not, and with which keys."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from livemig.api import router
from livemig.api.operations import OPERATIONS
from tests.functional.api import borders
from tests.functional.api import operation_borders as expected
from tests.functional.api.examples import EXAMPLES, Example
from tests.functional.api.test_borders import around, number, path_of, speaks
from tests.functional.api.world import World

#: Each border, the version before it, and both ends.
EVERYWHERE = [
    f'2.{n}'
    for n in sorted(
        {1, 202} | {b - d for b in expected.BORDERS for d in (0, 1)}
    )
]
READ, CHANGE = (
    [n for n in expected.SPOKEN if (EXAMPLES[n].method == 'GET') is reads]
    for reads in (True, False)
)


def asked_at(name: str, version: str) -> dict[str, Any]:
    """The operation's example in the form of that version."""
    example: Example = EXAMPLES[name]
    given = {
        'method': example.method,
        'path': example.url,
        'body': example.body,
        'version': version,
    }
    for last, changes in expected.EARLIER.get(name, []):
        if number(version) <= number(last):
            changes = dict(changes)
            given['path'] = changes.pop('url', given['path'])
            return {**given, **changes}
    return given


def check_presence(world: World, name: str, version: str) -> None:
    answer = world.ask(**asked_at(name, version))
    if speaks(version, *expected.SPOKEN[name]):
        assert answer.status_int in (200, 202, 204), (version, answer.text)
    else:
        assert answer.status_int == 404, (version, answer.text)
        assert list(answer.json_body) == ['itemNotFound'], version
    assert answer.headers['X-OpenStack-Nova-API-Version'] == version


@pytest.mark.parametrize('name', READ)
def test_reading_at_every_border(still_world: World, name: str) -> None:
    for version in EVERYWHERE:
        check_presence(still_world, name, version)


@pytest.mark.parametrize('name', CHANGE)
def test_changing_at_its_borders(name: str) -> None:
    earlier = [last for last, _ in expected.EARLIER.get(name, [])]
    for version in around(*expected.SPOKEN[name], *earlier):
        # A change that was made cannot be made again.
        world = World()
        check_presence(world, name, version)
        world.close()


def inside(found: Any, steps: str) -> Any:
    for step in filter(None, steps.split('.')):
        found = found[int(step) if step.isdigit() else step]
    return found


@pytest.mark.parametrize('name', expected.ANSWERS)
def test_keys_of_answers(name: str) -> None:
    steps, keys = expected.ANSWERS[name]
    marks = itertools.chain(expected.SPOKEN[name], *keys.values())
    world = World()
    for version in around(*marks):
        if not speaks(version, *expected.SPOKEN[name]):
            continue
        if EXAMPLES[name].method != 'GET':
            world.close()
            world = World()
        answer = world.ask(**asked_at(name, version))
        assert set(inside(answer.json_body, steps)) == {
            key for key, span in keys.items() if speaks(version, *span)
        }, version
    world.close()


# -- nothing is missing -----------------------------------------------------
def _told_by_fields() -> Iterator[str]:
    """The operations whose answers ``borders.FIELDS`` describes."""
    mapper = router.route_map(OPERATIONS)
    for path, _ in borders.FIELDS:
        url = f'/v2.1{path_of(path).split("?")[0]}'
        match = mapper.match(url, {'REQUEST_METHOD': 'GET'})
        for operation in OPERATIONS:
            if f'GET {operation.root}{operation.path}' == match['key']:
                yield operation.name


def test_every_operation_is_walked() -> None:
    walked = set(expected.SPOKEN) | expected.WITHOUT_VERSIONS
    assert walked == {operation.name for operation in OPERATIONS}


def test_every_answer_is_told() -> None:
    told = {
        *_told_by_fields(),
        *expected.ANSWERS,
        *expected.TOLD_ELSEWHERE,
        *expected.SILENT,
    }
    assert told == set(expected.SPOKEN)


def test_every_border_is_walked() -> None:
    """Whatever appears or goes in a table is a border."""
    spans = [
        *expected.SPOKEN.values(),
        *itertools.chain.from_iterable(
            keys.values()
            for keys in (
                *borders.FIELDS.values(),
                *(keys for _, keys in expected.ANSWERS.values()),
                borders.UPDATED_SERVER,
                borders.CREATE,
            )
        ),
    ]
    marks = {number(first) for first, _ in spans if first} | {
        number(last) + 1 for _, last in spans if last
    }
    assert marks - {1} <= set(expected.BORDERS)
