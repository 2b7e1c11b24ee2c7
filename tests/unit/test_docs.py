"""The documentation names what there is, and leaves nothing out."""

from __future__ import annotations

import configparser
import pathlib
import re

import genstates
import pytest

from livemig import conf, notifications
from livemig import notification_payloads as payloads
from livemig.api import microversion
from livemig.api.views import migrations as views
from livemig.cmd import old_options
from livemig.objects import action
from livemig.objects.migration_states import Status

ROOT = pathlib.Path(__file__).parents[2]
SOURCE = ROOT / 'doc/source'
PAGES = [
    ROOT / 'README.rst',
    *sorted(SOURCE.glob('**/*.rst')),
]
OPTIONS = {
    (group, opt.name): opt for group, opts in conf.list_opts() for opt in opts
}


def _page(name: str) -> str:
    return (SOURCE / f'{name}.rst').read_text('utf-8')


def _rows(text: str) -> list[list[str]]:
    """The rows of all list-tables of a page: cells without line breaks."""
    rows = []
    for row in re.split(r'^   \* - ', text, flags=re.MULTILINE)[1:]:
        cells = re.split(r'^     - ', row, flags=re.MULTILINE)
        # What follows a table is not part of its last cell.
        last = re.split(r'^(?=\S)', cells[-1], flags=re.MULTILINE)[0]
        rows.append([' '.join(c.split()) for c in (*cells[:-1], last)])
    return rows


def _quoted(text: str) -> set[str]:
    return set(re.findall(r'``([^`]+)``', text))


def test_the_life_cycle_is_the_code_s():
    assert genstates.FILE.read_text('utf-8') == genstates.render(), (
        'run tools/genstates.py'
    )


def test_the_script_sees_a_file_that_is_out_of_date(tmp_path, monkeypatch):
    old = tmp_path / 'life-cycle.inc'
    old.write_text(genstates.render() + 'more')
    monkeypatch.setattr(genstates, 'FILE', old)
    assert genstates.main(['--check']) == 1
    assert genstates.main([]) == 0
    assert genstates.main(['--check']) == 0


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.name)
def test_options_that_pages_name_exist(page):
    own = {group for group, _ in OPTIONS}
    named = re.findall(
        r'``\[(\w+)\]\s+(\w+)(?:\s+=[^`]*)?``', page.read_text('utf-8')
    )
    for group, name in named:
        if (group, name) in old_options.REMARKS:
            assert page.name == 'installation.rst'
        elif group in own and (group, name) != ('DEFAULT', 'debug'):
            assert (group, name) in OPTIONS


def test_the_mutable_options_are_told():
    told = {
        cell
        for row in _rows(_page('admin/configuration'))
        for cell in re.findall(r'^``\[(\w+)\] (\w+)``$', row[0])
    } - {('DEFAULT', 'debug')}
    assert told == {key for key, opt in OPTIONS.items() if opt.mutable}


def test_what_each_status_means_is_told():
    rows = _rows(_page('admin/operations'))
    told = [row[0].strip('`') for row in rows if len(row) == 3]
    assert [word for word in told if word in set(Status)] == list(Status)


def test_each_notification_is_told():
    told = {
        (row[1].strip('`'), row[2].strip('`'))
        for row in _rows(_page('reference/notifications'))
        if row[1].startswith('``')
    }
    assert told == set(notifications.EVENTS.values())


class _Anything:
    """A record with every attribute; for the keys of the payloads only."""

    power_state = root_gb = 0

    def __getattr__(self, name: str) -> None:
        return None


def _keys(payload: object) -> set[str]:
    """All keys of it and of what is in it, but those of its objects."""
    if not isinstance(payload, dict):
        return set()
    inner = set().union(*map(_keys, payload.values()))
    return inner | {key for key in payload if 'nova_object.' not in key}


@pytest.mark.parametrize('operation', ['create', 'rescue', 'pause'])
def test_each_key_of_the_payloads_is_told(operation):
    record, error = _Anything(), ValueError()
    made = [
        payloads.legacy(operation, record, record, error),
        payloads.versioned(record, operation, record, record, error),
        payloads.legacy_compute_task(record, error),
        payloads.compute_task(record, error),
        payloads.legacy_exception(error, {}),
    ]
    in_code = set().union(*map(_keys, made)) - {'base_image_ref'}
    assert {'flavorid', 'downtime_ms', 'cell_name', 'reason'} < in_code
    told = _quoted(_page('reference/notifications'))
    assert in_code - told == set()


def test_the_objects_of_the_payloads_are_told():
    page = ' '.join(_page('reference/notifications').split())
    for name, version in (
        payloads.ACTION,
        payloads.OWN_OBJECT,
        *payloads.OBJECTS.values(),
    ):
        assert f'``{name}`` {version}' in page
    for name in (*notifications.NOT_PLACED, notifications.MESSAGE_FAILED):
        assert f'``{name}``' in page


def test_each_action_is_told():
    told = {
        row[0].strip('`')
        for row in _rows(_page('reference/instance-actions'))
        if len(row) == 3
    }
    assert {
        action.CREATE,
        action.DELETE,
        action.LOCK,
        action.UNLOCK,
        action.LIVE_MIGRATION,
        action.ABORT,
        action.FORCE_COMPLETE,
        action.PAUSED_VM,
    } <= told


def test_each_event_of_the_code_is_told():
    told = _quoted(_page('reference/instance-actions'))
    in_code = {
        name
        for directory in ('compute', 'conductor')
        for file in ROOT.glob(f'livemig/{directory}/*.py')
        for name in re.findall(
            r"'((?:compute|conductor)_[a-z_]+)'", file.read_text('utf-8')
        )
    }
    assert 'compute_live_migration' in in_code
    assert in_code - told == set()


def test_livemig_s_own_versions_are_told():
    page = _page('reference/microversions')
    for version in microversion.OWN:
        assert f'\n{version}\n---' in page
    assert str(max(microversion.OWN)) == str(microversion.LATEST)


def test_the_keys_of_2_202_are_told():
    first = microversion.Microversion(2, 202)
    page = _page('reference/microversions')
    told = {
        name
        for row in _rows(page[page.index('\n2.202\n') :])
        for name in _quoted(row[0])
    }
    assert told == {
        field.name for field in views.MIGRATION if field.first == first
    }


def _requirements(text: str) -> set[str]:
    """Names of packages, without versions and extras."""
    return {
        re.split(r'[\[<>=]', line)[0].lower()
        for line in text.split('\n')
        if line.strip()
    }


def test_each_dependency_has_its_reason():
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    page = _page('contributor/dependencies')
    start, extras, end = (
        page.index(f'\n{title}\n')
        for title in ('At run time', 'Extras', 'Servers')
    )
    told = {
        name.partition('[')[0].lower()
        for row in _rows(page[start:extras])
        for name in row[0].split(', ')
    } - {'package'}
    assert told == _requirements(setup['options']['install_requires'])
    told_extras = {
        row[0].strip('`'): row[1].lower() for row in _rows(page[extras:end])
    }
    for extra, packages in setup['options.extras_require'].items():
        for package in _requirements(packages):
            # Stubs go by one name.
            name = 'type stubs' if package.startswith('types-') else package
            assert name in told_extras[extra], package


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.name)
def test_files_that_pages_name_exist(page):
    places = (ROOT, ROOT / 'livemig', page.parent)
    for name in _quoted(page.read_text('utf-8')):
        if re.fullmatch(r'[\w./-]+/[\w.-]+\.(py|rst|inc|yaml)', name) and (
            not name.startswith('/')
        ):
            assert any((place / name).is_file() for place in places), name
