"""oslo.policy's own tools work on livemig's rules and files."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest
import yaml

from livemig import policy
from tests.functional.api.world import ADMIN, MANAGER, MEMBER, OWN

OVERRIDE = pathlib.Path(__file__).parents[3] / (
    'etc/livemig/nova-manager-policy.yaml'
)
#: What that file gives to a project's manager.
GIVEN = {
    'os_compute_api:os-migrate-server:migrate_live',
    'os_compute_api:servers:migrations:index',
    'os_compute_api:servers:migrations:force_complete',
    'os_compute_api:servers:migrations:delete',
    'os_compute_api:os-migrations:index',
}
ABORT = 'os_compute_api:servers:migrations:delete'


def run(tool: str, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [pathlib.Path(sys.executable).with_name(tool), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def config(tmp_path: pathlib.Path):
    """Writes livemig.conf, with that policy file; the words that name it."""

    def write(text: str) -> tuple[object, ...]:
        file = tmp_path / 'policy.yaml'
        file.write_text(text)
        conf = tmp_path / 'livemig.conf'
        conf.write_text(f'[oslo_policy]\npolicy_file = {file}\n')
        return ('--namespace', 'livemig', '--config-file', conf)

    return write


def test_the_sample_is_the_defaults(config) -> None:
    done = run('oslopolicy-sample-generator', '--namespace', 'livemig')
    assert done.returncode == 0, done.stderr
    # Each rule stands there as a comment, ready to be uncommented.
    lines = [
        line.removeprefix('#')
        for line in done.stdout.splitlines()
        if line.startswith('#"')
    ]
    defaults = {rule.name: rule.check_str for rule in policy.list_rules()}
    assert yaml.safe_load('\n'.join(lines)) == defaults
    words = config('\n'.join(lines))
    assert run('oslopolicy-validator', *words).returncode == 0
    redundant = run('oslopolicy-list-redundant', *words).stdout
    assert set(yaml.safe_load(redundant)) == set(defaults)


def test_the_override_is_valid_and_not_redundant(config) -> None:
    words = config(OVERRIDE.read_text())
    done = run('oslopolicy-validator', *words)
    assert (done.returncode, done.stdout) == (0, '')
    done = run('oslopolicy-list-redundant', *words)
    assert (done.returncode, done.stdout) == (0, '')


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('"no:such:rule": "@"', 'no:such:rule'),
        (f'"{ABORT}": "rule:nobody_wrote_it"', 'Invalid rules found'),
        (f'"{ABORT}": "role member"', 'Failed to parse rule'),
    ],
)
def test_mistakes_are_found(config, text: str, said: str) -> None:
    done = run('oslopolicy-validator', *config(text))
    assert done.returncode == 1
    assert said in done.stdout


def test_who_may_what(config, tmp_path: pathlib.Path) -> None:
    """The tool that answers from a token and the rules in force."""
    words = config(OVERRIDE.read_text())
    merged = tmp_path / 'merged.yaml'
    done = run('oslopolicy-policy-generator', *words, '--output-file', merged)
    assert done.returncode == 0, done.stderr

    def allowed(roles: tuple[str, ...]) -> set[str]:
        access = tmp_path / 'access.json'
        token = {
            'roles': [{'name': role} for role in roles],
            'project': {'id': OWN},
            'user': {'id': 'somebody'},
        }
        access.write_text(json.dumps({'token': token}))
        done = run(
            'oslopolicy-checker', '--policy', merged, '--access', access
        )
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        return {
            line.removeprefix('passed: ')
            for line in lines
            if line.startswith('passed: ')
        }

    assert allowed(MANAGER) - allowed(MEMBER) == GIVEN
    assert allowed(ADMIN) > allowed(MANAGER)
