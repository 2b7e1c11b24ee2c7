"""Runs the tests that are named and prints each one's outcome as JSON.

Stands alone and runs in the virtual environment of lab.tempest:
``tempest_app.py JSON-LIST NAME...`` runs NAME... but for the tests and
classes that are listed.
"""

import json
import sys
import unittest

LONGEST = 4000


class Printer(unittest.TestResult):
    """Prints a line a test: its name, the outcome, what was said.

    A class whose set-up or end fails, or skips it, is told as a test.
    """

    def addSuccess(self, test, details=None):  # noqa: N802
        self._print(test, 'ok')

    def addSkip(self, test, reason=None, details=None):  # noqa: N802
        self._print(test, 'skip', reason or _text(details, 'reason'))

    def addError(self, test, error=None, details=None):  # noqa: N802
        self._print(test, 'failed', _text(details) or str(error))

    addFailure = addUnexpectedSuccess = addError  # noqa: N815

    def addExpectedFailure(  # noqa: N802
        self, test, error=None, details=None
    ):
        self._print(test, 'skip', 'expected failure')

    def _print(self, test, outcome, said=''):
        print(json.dumps([_name(test), outcome, said[-LONGEST:]]), flush=True)


def _name(test):
    """Without [id-..., attributes]."""
    return test.id().partition('[')[0]


def _tests(suite):
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from _tests(part)
        else:
            yield part


def _is_of(test, name):
    """It is that test, or in that class or module."""
    return f'{_name(test)}.'.startswith(f'{name}.')


def _text(details, *names):
    return '\n'.join(
        content.as_text()
        for name, content in (details or {}).items()
        if not names or name in names
    )


def main():
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(sys.argv[2:])
    if loader.errors:
        sys.exit('\n'.join(loader.errors))
    tests = list(_tests(suite))
    without = json.loads(sys.argv[1])
    for name in without:
        if not any(_is_of(test, name) for test in tests):
            sys.exit(f'there is no {name}')
    unittest.TestSuite(
        test
        for test in tests
        if not any(_is_of(test, name) for name in without)
    ).run(Printer())


if __name__ == '__main__':
    main()
