"""Runs the gabbits: one file a resource, against the whole application."""

from __future__ import annotations

import pathlib
import warnings

from gabbi import driver
from gabbi.driver import test_pytest  # noqa: F401
from gabbi.handlers import base

from tests.functional.api import fixtures, world

DIRECTORY = pathlib.Path(__file__).parent / 'gabbits'


class ForbiddenStrings(base.ResponseHandler):
    """``response_forbidden_strings``: what an answer must not contain."""

    test_key_suffix = 'forbidden_strings'
    test_key_value: list[str] = []

    def action(self, test, item, value=None) -> None:
        expected = test.replace_template(item)
        test.assertNotIn(expected, test.output)


def pytest_generate_tests(metafunc) -> None:
    with warnings.catch_warnings():
        # gabbi's own files.
        warnings.simplefilter('ignore', ResourceWarning)
        driver.py_test_generator(
            str(DIRECTORY),
            intercept=world.current_app,
            fixture_module=fixtures,
            response_handlers=[ForbiddenStrings],
            metafunc=metafunc,
            test_loader_name=__name__,
        )
