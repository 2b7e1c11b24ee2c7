"""What of tempest's tests is run, and what is said of each."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from lab import tempest

APP = pathlib.Path(tempest.__file__).with_name('tempest_app.py')
TESTS = """
import unittest

class First(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.fail('so it is')
    def test_skipped(self): self.skipTest('why')

class FirstToo(unittest.TestCase):
    def test_good(self): pass

class Skipped(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise unittest.SkipTest('all of it')
    def test_one(self): pass
    def test_two(self): pass
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / 'some.py').write_text(TESTS)

    def run(*without):
        return subprocess.run(
            [sys.executable, '-P', str(APP), json.dumps(without), 'some'],
            env={'PYTHONPATH': str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def outcomes(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line)[:2] for line in done.stdout.splitlines()]


def test_each_test_has_its_outcome_and_a_skipped_class_one(run):
    assert outcomes(run()) == [
        ['some.First.test_bad', 'failed'],
        ['some.First.test_good', 'ok'],
        ['some.First.test_skipped', 'skip'],
        ['some.FirstToo.test_good', 'ok'],
        ['setUpClass (some.Skipped)', 'skip'],
    ]


def test_tests_and_classes_are_left_out(run):
    """FirstToo is no part of First."""
    assert outcomes(run('some.First', 'some.Skipped.test_one')) == [
        ['some.FirstToo.test_good', 'ok'],
        ['setUpClass (some.Skipped)', 'skip'],
    ]


@pytest.mark.parametrize('name', ['some.First.test_goo', 'some.Fir', 'other'])
def test_what_is_left_out_has_to_be_there(run, name):
    done = run(name)
    assert done.returncode
    assert f'there is no {name}' in done.stderr
