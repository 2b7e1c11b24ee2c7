"""Fixtures of the API's functional tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functional.api.world import World


@pytest.fixture
def world() -> Iterator[World]:
    """A fresh, full world."""
    made = World()
    yield made
    made.close()


@pytest.fixture(scope='module')
def still_world() -> Iterator[World]:
    """A world that tests only look at."""
    made = World()
    yield made
    made.close()
