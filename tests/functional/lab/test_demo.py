"""The demonstration as a program: what it runs, says and returns."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo import __main__ as demo
from demo import cases, stage
from lab.client import LabError
from lab.cloud import Cloud

DEMO = Path(__file__).parents[3] / 'tools/demo.sh'


class Stage:
    """Hosts that are there, and a livemig that does as it is told."""

    post_copy = True
    post_copy_reason = 'on this stage'
    simulated = ()
    hosts = ('host1', 'host2')
    url = 'http://127.0.0.1:1/v2.1'

    def __init__(self):
        self.stopped = False

    def facts(self):
        return {'user': 'nobody'}

    def stop(self):
        self.stopped = True


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, 'argv', ['demo', *words])
    return demo.main()


@pytest.fixture
def lab(monkeypatch):
    made = Stage()
    monkeypatch.setattr(demo, 'Lab', lambda hosts: made)
    return made


def no_lab(hosts):
    raise LabError('no libvirtd on this machine')


def test_where_libvirt_cannot_run(monkeypatch, capsys):
    monkeypatch.setattr(demo, 'Lab', no_lab)
    assert run(monkeypatch) == 3
    said = ' '.join(capsys.readouterr().out.split())
    assert 'no libvirtd on this machine' in said
    assert 'tools/demo.sh --simulated' in said


def test_where_not_even_the_simulation_starts(monkeypatch, capsys):
    monkeypatch.setattr(demo, 'Lab', no_lab)
    assert run(monkeypatch, '--simulated') == 1
    assert 'cannot run here' not in capsys.readouterr().out


def test_a_livemig_that_does_not_start_is_no_reason_to_skip(
    monkeypatch, capsys, lab
):
    def broken(words, its_lab, began_s):
        raise LabError('livemig-all ended with 1')

    monkeypatch.setattr(demo, '_livemig', broken)
    assert run(monkeypatch) == 1
    said = capsys.readouterr().out
    assert 'livemig did not start: livemig-all ended with 1' in said
    assert 'cannot run here' not in said
    assert lab.stopped


@pytest.mark.parametrize('kind', [LabError, TimeoutError])
def test_a_case_that_broke_off_is_bad(monkeypatch, capsys, lab, kind):
    def breaks(play):
        raise kind('it is stuck')

    monkeypatch.setattr(demo, '_livemig', lambda *given: lab)
    monkeypatch.setattr(stage.Play, 'run', breaks)
    assert run(monkeypatch) == 1
    said = capsys.readouterr().out
    assert said.count('BROKE OFF') == len(cases.CASES)
    assert lab.stopped


@pytest.mark.parametrize(
    ('post_copy', 'by', 'faults'),
    [
        (True, 'post-copy', []),
        (True, 'pause', ['it completed by pause, not by post-copy']),
        (False, 'pause', []),
        (False, 'post-copy', ['it completed by post-copy, not by pause']),
    ],
)
def test_post_copy_is_asked_for_where_there_is_one(lab, post_copy, by, faults):
    (case,) = (c for c in cases.CASES if c.title == 'post-copied')
    lab.post_copy = post_copy
    shown = {'OS-EXT-SRV-ATTR:host': 'host2', 'status': 'ACTIVE'}
    ended = {'status': 'completed', 'completed_by': by}
    assert stage.Play(lab, case)._faults(ended, shown) == faults


def test_one_case_on_the_simulated_hypervisor(monkeypatch, capsys):
    """Kept, and then used as it tells people to."""
    kept = []
    monkeypatch.setattr(cases, 'CASES', cases.CASES[:1])
    monkeypatch.setattr(
        demo, 'Cloud', lambda *a, **k: kept.append(Cloud(*a, **k)) or kept[0]
    )
    try:
        assert run(monkeypatch, '--simulated', '--keep') == 0
        said = capsys.readouterr().out
        (file,) = re.findall(r'credentials  (\S+)', said)
        assert Path(file).stat().st_mode & 0o777 == 0o600
        commands = re.findall(r'^  (\. /.*|/.*/livemig .*)$', said, re.M)
        assert len(commands) == 4, said
        done = subprocess.run(
            ['/bin/sh', '-ec', '\n'.join(commands)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert 'completed' in done.stdout
    finally:
        for cloud in kept:
            done = subprocess.run(
                [DEMO.with_name('lab.sh'), 'stop', cloud.lab.name],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert not cloud.lab.directory.exists()
