#!/usr/bin/env python3
"""Writes the life-cycle tables of the documentation out of the code.

python tools/genstates.py          # write the file
python tools/genstates.py --check  # exit code 1 if it is out of date
"""

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from livemig.objects import migration_states as states  # noqa: E402
from livemig.objects.migration_states import (  # noqa: E402
    Event,
    Status,
)

FILE = ROOT / 'doc/source/contributor/life-cycle.inc'

_HEAD = """\
.. Written by tools/genstates.py out of livemig/objects/migration_states.py.
   Do not edit: change the table there and run the script.
"""

#: Sets of statuses that have a name in the code: name -> what for.
_SETS = {
    'UNFINISHED': 'not ended yet',
    'FINAL': 'ended for good',
    'ON_SOURCE': "in the hands of the source's compute manager",
    'IN_PROGRESS': 'listed by ``GET /servers/{id}/migrations`` up to 2.201',
    'IN_PROGRESS_WITH_POST_COPY': 'the same from 2.202 on',
    'ABORTABLE': 'can be aborted (up to 2.64: ``running`` alone)',
    'FORCEABLE': 'can be forced to complete',
}


def render() -> str:
    """The whole text of the generated file."""
    return '\n'.join([_HEAD, *_diagram(), '', *_sets(), ''])


def _diagram() -> list[str]:
    """Each status with the arrows that leave it."""
    lines = ['.. code-block:: text', '']
    width = max(len(event) for event in Event)
    for status, row in states.TRANSITIONS.items():
        lines.append(f'   {status}')
        lines += [
            f'     |-- {f"{event} ":-<{width + 1}}--> {becomes}'
            for event, becomes in row.items()
        ] or ['     (the end)']
        lines.append('')
    return lines[:-1]


def _sets() -> list[str]:
    rows = [['name', 'statuses', 'meaning']]
    for name, meaning in _SETS.items():
        found: Iterable[Status] = getattr(states, name)
        words = ', '.join(f'``{s}``' for s in Status if s in found)
        rows.append([f'``{name}``', words, meaning])
    return _list_table(rows)


def _list_table(rows: list[list[str]]) -> list[str]:
    lines = ['.. list-table::', '   :header-rows: 1', '']
    for row in rows:
        for index, cell in enumerate(row):
            mark = '*' if index == 0 else ' '
            lines.append(f'   {mark} - {cell}'.rstrip())
    return lines


def main(words: list[str]) -> int:
    text = render()
    if words == ['--check']:
        if FILE.is_file() and FILE.read_text('utf-8') == text:
            return 0
        print(f'{FILE} is out of date: run tools/genstates.py.')
        return 1
    if words:
        print(__doc__)
        return 2
    FILE.write_text(text, 'utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
