"""What the demonstration shows at its end, and what it takes."""

import dataclasses
import subprocess
from pathlib import Path

import pytest

from demo import show

ROW = show.Row(
    'moves',
    'host1 > host2',
    'completed, converged',
    1.234,
    107.4,
    True,
    'intact: counted 1-20',
    True,
)
DEMO = Path(__file__).parents[3] / 'tools/demo.sh'


def cells(text: str, case: str) -> list[str]:
    (line,) = (t for t in text.splitlines() if t.startswith(f'| {case} '))
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_a_row_says_which_where_how_and_how_long() -> None:
    text = show.table([ROW])

    assert cells(text, 'moves') == [
        *('moves', 'host1 > host2', 'completed, converged'),
        *('1.2 s', '107 ms'),
    ]
    assert '  ok  moves: intact: counted 1-20' in text.splitlines()


def test_what_the_guest_did_not_feel_itself_is_marked() -> None:
    recorded = dataclasses.replace(ROW, case='disk', felt=False)
    unknown = dataclasses.replace(ROW, case='lost', downtime_ms=None)

    text = show.table([ROW, recorded, unknown])

    assert cells(text, 'moves')[-1] == '107 ms'
    assert cells(text, 'disk')[-1] == '107 ms *'
    assert cells(text, 'lost')[-1] == '-'
    assert '*: as livemig' in text


def test_a_simulated_guest_is_not_said_to_have_felt_anything() -> None:
    text = show.table([dataclasses.replace(ROW, felt=False, proof='')])

    assert cells(text, 'moves')[-1] == '107 ms'
    assert 'felt' not in text
    assert 'no guests' in text


def test_a_bad_row_is_told_apart() -> None:
    bad = dataclasses.replace(ROW, proof='NOT intact', good=False)

    assert '  BAD moves: NOT intact' in show.table([bad]).splitlines()


def test_all_lines_fit(capsys: pytest.CaptureFixture[str]) -> None:
    show.trouble('first line\n' + 'long ' * 40)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == '  first line'
    assert all(len(line) <= show.WIDTH for line in lines)


@pytest.mark.parametrize(
    ('words', 'code'),
    [
        (['--help'], 0),
        (['--nonsense'], 2),
        (['--full', '--simulated'], 2),
        (['--simulated', '--keep', '--full'], 2),
    ],
)
def test_it_explains_itself_before_it_installs(
    tmp_path: Path, words: list[str], code: int
) -> None:
    # Nothing but these is there: anything else would end with 3.
    for program in ('dirname', 'cat'):
        (tmp_path / program).symlink_to(f'/usr/bin/{program}')

    done = subprocess.run(
        ['/bin/sh', DEMO, *words],
        env={'PATH': str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code, done.stderr
    assert '--simulated' in (done.stderr if code else done.stdout)
