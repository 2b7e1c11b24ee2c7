"""Which columns of a list a person sees, and how cells read."""

import pytest

from livemig.client import cells, listing
from livemig.client.listing import Column

COLUMNS = (
    Column('ID', 'id'),
    Column('Kind', 'kind', 3),
    Column('State', 'state', 1),
    Column('Why', 'why', 2, wraps=True),
)
ROW = {
    'id': 7,
    'kind': 'live-migration',
    'state': 'failed',
    'why': 'There was no room for the disks at host2.',
}
# | 7  | live-migration | failed | There ... |
BARE = 1 + (2 + 3)
STATE = BARE + (6 + 3)
WHY = STATE + (41 + 3)
ALL = WHY + (14 + 3)


@pytest.mark.parametrize(
    ('width', 'titles'),
    [
        (None, 'ID Kind State Why'),
        (ALL, 'ID Kind State Why'),
        (ALL - 1, 'ID State Why'),
        (WHY, 'ID State Why'),
        (WHY - 1, 'ID State Why'),  # in two lines
        (STATE + 24 + 3, 'ID State Why'),
        (STATE + 23 + 3, 'ID Kind State'),
        (STATE + 16, 'ID State'),
        (STATE - 1, 'ID'),
        (1, 'ID'),
    ],
)
def test_columns_that_fit(width: int | None, titles: str) -> None:
    found, (row,) = listing.table([ROW], COLUMNS, width)
    assert ' '.join(found) == titles
    assert len(row) == len(found)
    lines = [
        len(line)
        for cell in row
        if isinstance(cell, cells.Cell)
        for line in cell.human_readable().split('\n')
    ]
    if width in (WHY - 1, STATE + 24 + 3):
        assert max(lines) <= width - STATE - 3


def test_no_rows() -> None:
    titles, rows = listing.table([], COLUMNS, 10)
    assert titles == ('ID', 'Kind', 'State', 'Why')
    assert rows == []


def test_other_formats_get_the_value_itself() -> None:
    _, (row,) = listing.table([ROW | {'why': None}], COLUMNS, None)
    assert row[0] == 7
    assert row[3].machine_readable() is None


@pytest.mark.parametrize(
    ('cell', 'text'),
    [
        (cells.Cell(None), '-'),
        (cells.Cell('a\x1b[2Jb'), 'a [2Jb'),
        (cells.Number(6.04), '6.0'),
        (cells.Number(0), '0'),
        (cells.Moment('2026-11-21T11:25:43.413761'), '2026-11-21 11:25:43'),
        (cells.Moment('2026-11-21T11:25:43Z'), '2026-11-21 11:25:43'),
        (cells.Moment('soon'), 'soon'),
        (cells.Power(1), 'running'),
        (cells.Power(17), '17'),
        (
            cells.Flavor({'original_name': 'm1', 'vcpus': 2, 'ram': 64}),
            'm1 (2 VCPU, 64 MiB)',
        ),
        (cells.Flavor({'id': '42', 'links': []}), '42'),
        (cells.Image({'id': 'abc', 'links': []}), 'abc'),
        (cells.Image(''), '-'),
        (cells.Fault({'code': 500, 'message': 'No.'}), 'No. (500)'),
        (
            cells.Events(
                [
                    {
                        'event': 'second',
                        'start_time': '2026-11-21T11:25:43.1',
                        'result': None,
                    },
                    {
                        'event': 'first',
                        'host': 'host1',
                        'start_time': '2026-11-21T11:25:42.1',
                        'result': 'Error',
                        'details': 'No room.',
                    },
                ]
            ),
            '2026-11-21 11:25:42 first on host1 -> Error: No room.\n'
            '2026-11-21 11:25:43 second -> under way',
        ),
    ],
)
def test_how_a_cell_reads(cell: cells.Cell, text: str) -> None:
    assert cell.human_readable() == text


@pytest.mark.parametrize('values', [['b', None, 'a'], [10, None, 9, 100]])
def test_what_is_not_known_is_sorted_last(values: list[object]) -> None:
    rows = [{'id': value} for value in values]
    _, found = listing.table(rows, COLUMNS[:1])
    known = sorted(value for value in values if value is not None)
    assert [str(cell) for (cell,) in sorted(found)] == [
        *map(str, known),
        '-',
    ]
