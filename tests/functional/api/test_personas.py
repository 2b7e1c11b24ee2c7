"""Who is answered what, by default and with Nova's rights of managers."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from livemig.api import operations
from tests.functional.api.world import (
    ADMIN,
    FOREIGN,
    IMAGE,
    MANAGER,
    MEMBER,
    MIGRATIONS,
    NOBODY,
    OTHER_SERVICE,
    OWN,
    READER,
    SERVERS,
    SERVICE,
    SPARE_SERVICE,
    World,
)

PERSONAS = {
    'admin': (ADMIN, OWN),
    'manager': (MANAGER, OWN),
    'member': (MEMBER, OWN),
    'reader': (READER, OWN),
    'nobody': (NOBODY, OWN),
    'other': (MEMBER, FOREIGN),
}
NAMES = {
    **SERVERS,
    'foreign-server': SERVERS['foreign'],
    'own': OWN,
    'foreign': FOREIGN,
    'image': IMAGE,
    'service': SERVICE,
    'spare-service': SPARE_SERVICE,
    'migration': str(MIGRATIONS['running']),
    'service-1': OTHER_SERVICE,
}

HERE = pathlib.Path(__file__)
TABLE = yaml.safe_load(HERE.with_name('personas.yaml').read_text())
OVERRIDE = HERE.parents[3] / 'etc/livemig/nova-manager-policy.yaml'


def filled(text: str) -> str:
    return re.sub('<([a-z0-9-]+)>', lambda found: NAMES[found[1]], text)


class Case:
    """A row of the table."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.ask: str = row['ask']
        self.operation: str = row['operation']
        self.method, _, path = self.ask.partition(' ')
        self.path = filled(path)
        body = json.dumps(row['body']) if 'body' in row else 'null'
        self.body = json.loads(filled(body))
        assert len(row['codes']) == len(TABLE['columns'])
        self.version: str = row.get('version', '2.202')
        self.root: str = row.get('root', '/v2.1')
        self.codes = dict(zip(TABLE['columns'], row['codes'], strict=True))

    def answers(self, override: bool) -> Iterator[tuple[str, int, str]]:
        """(persona, code, what was said), each in a world of its own
        unless nothing changes."""
        world = made = None
        try:
            for persona, (roles, project) in PERSONAS.items():
                if world is None:
                    world = made = World()
                    if override:
                        file = world.directory / 'policy.yaml'
                        file.write_text(OVERRIDE.read_text())
                answer = world.ask(
                    self.method,
                    self.path,
                    self.version,
                    body=self.body,
                    root=self.root,
                    roles=roles,
                    project=project,
                )
                yield persona, answer.status_int, answer.text
                if self.method != 'GET' and answer.status_int < 300:
                    made.close()
                    world = None
        finally:
            if world is not None:
                world.close()


CASES = [Case(row) for row in TABLE['rows']]


def ids(case: Case) -> str:
    inner = case.body if isinstance(case.body, dict) else {}
    return ' '.join((case.ask, *inner))


@pytest.mark.parametrize('case', CASES, ids=ids)
def test_by_default(case: Case) -> None:
    told = {}
    for persona, code, text in case.answers(override=False):
        told[persona] = code
        if code == 403:
            # Which right it takes.
            assert 'compute' in text, text
    assert told == {name: case.codes[name] for name in PERSONAS}


@pytest.mark.parametrize('case', CASES, ids=ids)
def test_with_novas_managers(case: Case) -> None:
    told = {persona: code for persona, code, _ in case.answers(override=True)}
    assert told == {
        **{name: case.codes[name] for name in PERSONAS},
        'manager': case.codes['nova'],
    }


def test_every_operation_has_a_row() -> None:
    assert {case.operation for case in CASES} == {
        operation.name for operation in operations.OPERATIONS
    }


def test_every_right_is_granted_and_denied_somewhere() -> None:
    """A rule that no row touches could have any default."""
    for operation in operations.OPERATIONS:
        codes = [
            code
            for case in CASES
            if case.operation == operation.name
            for code in case.codes.values()
        ]
        assert operation.success in codes
        open_to_all = operation.policy.check == '@'
        if open_to_all and operation.more_policies:
            # Some of what it does may be refused.
            continue
        assert (403 in codes) is not open_to_all, operation.name
