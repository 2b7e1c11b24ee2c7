"""The operations and types of what surrounds servers, version by version."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional.api import resource_borders as borders
from tests.functional.api.test_borders import around, path_of, speaks
from tests.functional.api.world import World


@pytest.mark.parametrize('case', borders.OPERATIONS, ids=str)
def test_operations(world: World, case) -> None:
    method, path, body, first, last = case
    for version in around(first, last):
        answer = world.ask(method, path_of(path), version, body)
        if speaks(version, first, last):
            assert answer.status_int in (200, 202, 204, 409), version
        else:
            # A number is no uuid, and the other way round.
            assert answer.status_int in (400, 404), version


@pytest.mark.parametrize('key', borders.UNKNOWN_PARAMETER_REFUSED, ids=str)
def test_unknown_parameters(still_world: World, key) -> None:
    first = borders.UNKNOWN_PARAMETER_REFUSED[key]
    for version in around(first):
        answer = still_world.ask('GET', f'{key}?colour=red', version)
        refused = speaks(version, first, None)
        assert answer.status_int == (400 if refused else 200), version


def _at(found: Any, inside: str) -> Any:
    """What stands there; None: nothing does."""
    for step in inside.split('.'):
        if isinstance(found, list):
            found = found[int(step)]
        else:
            found = found.get(step)
    return found


@pytest.mark.parametrize('key', borders.TYPES, ids=str)
def test_types(still_world: World, key) -> None:
    path, inside = key
    for kind, first, last in borders.TYPES[key]:
        for version in around(first, last):
            answer = still_world.ask('GET', path, version)
            found = _at(answer.json_body, inside)
            if speaks(version, first, last):
                assert type(found) is kind, (version, found)
            else:
                assert type(found) is not kind, (version, found)
