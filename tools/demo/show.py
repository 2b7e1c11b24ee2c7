"""What a person sees of the demonstration."""

import dataclasses
import sys
import textwrap
from collections.abc import Sequence

WIDTH = 78
_BOLD, _DIM, _RED, _PLAIN = '\033[1m', '\033[2m', '\033[31m', '\033[0m'


def _in(colour: str, text: str) -> str:
    return f'{colour}{text}{_PLAIN}' if sys.stdout.isatty() else text


def step(text: str) -> None:
    """A line of what is done."""
    for line in textwrap.wrap(text, WIDTH - 2):
        print(f'  {line}', flush=True)


def head(text: str) -> None:
    """A case, or a part of the demonstration."""
    print(f'\n{_in(_BOLD, text)}', flush=True)


def command(text: str) -> None:
    """A command as an operator would type it."""
    print(_in(_DIM, f'  $ {text}'), flush=True)


def trouble(text: str) -> None:
    """What went wrong; of a log each line stays one."""
    for told in text.splitlines():
        for line in textwrap.wrap(told, WIDTH - 2):
            print(_in(_RED, f'  {line}'), flush=True)


@dataclasses.dataclass
class Row:
    """One migration in the table at the end."""

    case: str
    route: str
    ended: str
    total_s: float
    #: None where nobody knows.
    downtime_ms: float | None
    #: Whether the guest itself felt it; else the record says so.
    felt: bool
    #: What its console says; '' if it has none.
    proof: str
    good: bool


def table(rows: Sequence[Row]) -> str:
    """All migrations, one a line, with the guests' proofs below."""
    simulated = not any(row.proof for row in rows)
    titles = ('migration', 'from > to', 'how it ended', 'total', 'downtime')
    cells = [
        (
            row.case,
            row.route,
            row.ended,
            f'{row.total_s:.1f} s',
            _downtime(row, simulated),
        )
        for row in rows
    ]
    widths = [
        max(len(line[i]) for line in [titles, *cells])
        for i in range(len(titles))
    ]
    rule = '+'.join('-' * (w + 2) for w in widths)
    lines = [f'+{rule}+', _line(titles, widths), f'+{rule}+']
    lines += [_line(cell, widths) for cell in cells]
    lines.append(f'+{rule}+')
    if simulated:
        lines.append('Simulated: there are no guests whose consoles to ask.')
    else:
        lines += [
            "Downtime: as the guest felt it, by its clocks; *: as livemig's",
            'record has it, of a guest that cannot feel so short a stop.',
            "What the guests' own consoles say:",
        ]
    for row in rows:
        mark = 'ok ' if row.good else 'BAD'
        if row.good and not row.proof:
            continue
        lines += textwrap.wrap(
            f'{mark} {row.case}: {row.proof}',
            WIDTH,
            initial_indent='  ',
            subsequent_indent='      ',
        )
    return '\n'.join(lines)


def _downtime(row: Row, simulated: bool) -> str:
    if row.downtime_ms is None:
        return '-'
    mark = '' if row.felt or simulated else ' *'
    return f'{row.downtime_ms:.0f} ms{mark}'


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return (
        '| '
        + ' | '.join(c.ljust(w) for c, w in zip(cells, widths, strict=True))
        + ' |'
    )
