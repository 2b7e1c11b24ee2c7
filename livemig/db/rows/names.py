"""The ``name`` filter: a regular expression, on three databases."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import regex
import sqlalchemy as sa
from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

#: Characters; a server's own name has no more.
MAX_LENGTH = 255

#: For all names of one listing, on SQLite.
BUDGET_S = 2.0

#: What PostgreSQL and MariaDB say of an expression that Python would take.
_REFUSALS = ('invalid regular expression', 'from regexp')


def check(pattern: str) -> None:
    """:raises ValueError: not a usable regular expression, and why."""
    if len(pattern) > MAX_LENGTH:
        raise ValueError(
            f'The regular expression is longer than {MAX_LENGTH} characters.'
        )
    if '\0' in pattern:
        raise ValueError('The regular expression contains a NUL.')
    try:
        regex.compile(pattern)
    except regex.error as error:
        raise ValueError(
            f'{pattern!r} is not a regular expression: {error}.'
        ) from error


@contextmanager
def matching(conn: sa.Connection, pattern: str) -> Iterator[None]:
    """Within it, this connection can run ``column.regexp_match(pattern)``.

    SQLite has no regular expressions: Python does it, in this process, for
    whoever may list servers. Python's ``re`` needs exponential time for
    some, and holds the interpreter's lock all the while; ``regex`` can be
    stopped and lets other threads run.

    :raises ValueError: the database does not take the expression, or it
        takes too long.
    """
    check(pattern)
    matcher = _Matcher(pattern)
    if conn.dialect.name == 'sqlite':
        raw: Any = conn.connection.driver_connection
        raw.create_function('regexp', 2, matcher)
    try:
        yield
    except (db_exc.DBError, sa_exc.DBAPIError) as error:
        if matcher.out_of_time:
            raise ValueError(
                f'{pattern!r} takes too long to match.'
            ) from error
        if any(text in str(error) for text in _REFUSALS):
            raise ValueError(
                f'The database does not take the regular expression '
                f'{pattern!r}.'
            ) from error
        raise


class _Matcher:
    """The function behind SQLite's REGEXP operator."""

    def __init__(self, pattern: str) -> None:
        self._search = regex.compile(pattern).search
        self._ends_s = time.monotonic() + BUDGET_S
        self.out_of_time = False

    def __call__(self, _pattern: str, text: str | None) -> bool | None:
        if text is None:
            return None
        left_s = self._ends_s - time.monotonic()
        try:
            if left_s <= 0:
                raise TimeoutError
            return (
                self._search(text, timeout=left_s, concurrent=True) is not None
            )
        except TimeoutError:
            self.out_of_time = True
            raise
