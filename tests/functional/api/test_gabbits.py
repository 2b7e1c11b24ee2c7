"""Runs the gabbits: one file a resource, against the whole application.

Not by gabbi's own pytest plug-in: that one takes every test of the session
whose parameters have a colon for one of its own.
"""

from __future__ import annotations

import pathlib
import unittest
from collections.abc import Iterator

import pytest
from gabbi import driver
from gabbi.handlers import base

from tests.functional.api import fixtures, world

DIRECTORY = pathlib.Path(__file__).parent / 'gabbits'
FILES = sorted(path.stem for path in DIRECTORY.glob('*.yaml'))


class ForbiddenStrings(base.ResponseHandler):
    """``response_forbidden_strings``: what an answer must not contain."""

    test_key_suffix = 'forbidden_strings'
    test_key_value: list[str] = []

    def action(self, test, item, value=None) -> None:
        expected = test.replace_template(item)
        test.assertNotIn(expected, test.output)


@pytest.fixture(scope='module')
def suites() -> dict[str, unittest.TestSuite]:
    built = driver.build_tests(
        str(DIRECTORY),
        unittest.TestLoader(),
        intercept=world.current_app,
        fixture_module=fixtures,
        response_handlers=[ForbiddenStrings],
        test_loader_name='gabbi',
    )
    return {_file_of(suite): suite for suite in built}


def _file_of(suite: unittest.TestSuite) -> str:
    """A test's class is called file_name-of-the-test."""
    return type(next(iter(suite))).__name__.split('_')[0]


def _told(failures: list[tuple[unittest.TestCase, str]]) -> Iterator[str]:
    for test, text in failures:
        # The traceback is gabbi's; its last lines say what was wrong.
        tail = '\n'.join(text.strip().splitlines()[-3:])
        yield f'{type(test).__name__}: {tail}'


@pytest.mark.parametrize('name', FILES)
def test_gabbit(suites: dict[str, unittest.TestSuite], name: str) -> None:
    result = unittest.TestResult()
    suites[name].run(result)
    assert result.testsRun > 1
    assert not result.skipped
    failed = [*result.failures, *result.errors]
    assert not failed, '\n\n'.join(_told(failed))
