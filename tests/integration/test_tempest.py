"""tempest's own tests pass, and the project's for tempest do."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Iterator, Sequence

import pytest
import yaml

from lab.cloud import Cloud, Options, image_id
from lab.tempest import PLUGIN, Outcome, Tempest
from tests.integration.conftest import OPTIONS, unchanged

# What needs minutes, even on a quiet machine.
pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(900)]

ROOT = pathlib.Path(__file__).parents[2]
OVERRIDE = ROOT / 'etc/livemig/nova-manager-policy.yaml'
SELECTION = yaml.safe_load(
    pathlib.Path(__file__).with_name('tempest.yaml').read_text()
)
TESTS = f'{PLUGIN}.tests'

#: 2 GiB are counted at least, so it is twice this.
TIMEOUT_S = 8


@pytest.fixture(scope='module')
def managers(nova_cloud) -> Iterator[Cloud]:
    """A project's manager may what Nova lets him; the file is read
    without a restart."""
    file = nova_cloud.directory / 'policy.yaml'
    file.write_text(OVERRIDE.read_text())
    yield nova_cloud
    file.unlink()


@pytest.fixture
def cloud(managers, request) -> Iterator[Cloud]:
    with unchanged(managers, request, OPTIONS):
        yield managers


@pytest.fixture
def without_post_copy(cloud) -> Iterator[None]:
    """Not permitted, which takes a restart."""

    def permit(word: str) -> None:
        options = {'live_migration_permit_post_copy': word}
        cloud.stop()
        cloud.set_options({'libvirt': options})
        cloud.start()

    permit('false')
    yield
    permit('true')


def tempest(cloud: Cloud, options: Options | None = None) -> Tempest:
    return Tempest(
        cloud,
        {
            'livemig': {
                'busy_image_ref': image_id('busy'),
                'force_completes_by': 'post-copy'
                if cloud.lab.post_copy
                else 'pause',
                **(options or {}).get('livemig', {}),
            }
        },
    )


def report(
    capsys: pytest.CaptureFixture[str], outcomes: Sequence[Outcome]
) -> collections.Counter[str]:
    """How many ended how; on the terminal also where all is well, since
    "passed" alone does not say how much was run."""
    counts = collections.Counter(one.outcome for one in outcomes)
    lines = [f'tempest: {dict(counts)}']
    for one in outcomes:
        if one.outcome == 'skip':
            lines.append(f'skip: {one.test}: {one.said}')
        elif one.outcome != 'ok':
            lines.append(f'{one.outcome}: {one.test}\n{one.said}')
    with capsys.disabled():
        print('', *lines, sep='\n')
    return counts


def failed(outcomes: Sequence[Outcome]) -> list[str]:
    return [one.test for one in outcomes if one.outcome == 'failed']


def test_tempests_own(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = tempest(cloud).run(
        SELECTION['modules'], without=SELECTION['left_out'], timeout_s=840
    )
    counts = report(capsys, outcomes)
    assert failed(outcomes) == []
    skipped = {
        one.test.rpartition('.')[2].rstrip(')')
        for one in outcomes
        if one.outcome == 'skip'
    }
    # None that is not explained, and no explanation without one.
    assert skipped == set(SELECTION['skipped'])
    assert counts['ok'] == SELECTION['passed']


def test_the_projects_own(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tempest(cloud)
    assert PLUGIN in run.command('list-plugins')
    outcomes = run.run(
        [f'{TESTS}.test_live_migration', f'{TESTS}.test_rescued']
    )
    report(capsys, outcomes)
    assert failed(outcomes) == []
    skipped = [one.test for one in outcomes if one.outcome == 'skip']
    assert skipped == [
        f'{TESTS}.test_live_migration.LiveMigrationControlTest.test_timeout'
    ]
    assert len(outcomes) == 10


@pytest.mark.parametrize('action', ['abort', 'force_complete'])
def test_timeouts(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    cloud.set_options(
        {
            'libvirt': {
                'live_migration_completion_timeout': TIMEOUT_S,
                'live_migration_timeout_action': action,
            }
        }
    )
    run = tempest(
        cloud,
        {
            'livemig': {
                'completion_timeout_s': 2 * TIMEOUT_S,
                'timeout_action': action,
            }
        },
    )
    control = f'{TESTS}.test_live_migration.LiveMigrationControlTest'
    outcomes = run.run([f'{control}.test_timeout'])
    report(capsys, outcomes)
    assert [one.outcome for one in outcomes] == ['ok']


def test_forcing_without_post_copy(
    cloud: Cloud,
    capsys: pytest.CaptureFixture[str],
    without_post_copy: None,
) -> None:
    """The same test, where the operator has not permitted it."""
    run = tempest(cloud, {'livemig': {'force_completes_by': 'pause'}})
    control = f'{TESTS}.test_live_migration.LiveMigrationControlTest'
    outcomes = run.run([f'{control}.test_force_complete'])
    report(capsys, outcomes)
    assert [one.outcome for one in outcomes] == ['ok']
