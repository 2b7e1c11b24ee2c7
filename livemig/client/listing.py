"""Decides which columns of a list fit the terminal.

Pure: rows and a width in, titles and cells out. A table whose cells are
broken over many lines is read by nobody; so columns are left out instead.
"""

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

from livemig.client import cells

#: What a column takes besides its text: a rule and a space on both sides.
_FRAME = 3
#: Text that is wrapped gets so many characters, or is left out.
_NARROWEST = 24


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a list.

    :ivar rank: the greater, the sooner it is left out; 0: never.
    :ivar wraps: its text may be broken into several lines.
    """

    title: str
    key: str
    rank: int = 0
    cell: type[cells.Cell] = cells.Cell
    wraps: bool = False


Table = tuple[tuple[str, ...], list[tuple[Any, ...]]]


def table(
    rows: Sequence[dict[str, Any]],
    columns: Sequence[Column],
    width: int | None = None,
) -> Table:
    """Titles and cells.

    :param width: of the terminal, in characters; None: show everything.
    """
    found = {
        column: [_cell(column, row) for row in rows] for column in columns
    }
    if width is not None and rows:
        found = _fitting(found, width)
    return (
        tuple(column.title for column in found),
        list(zip(*found.values(), strict=True)),
    )


def _cell(column: Column, row: dict[str, Any]) -> Any:
    value = row.get(column.key)
    # Bare numbers are what cliff aligns to the right.
    if column.cell is cells.Cell and isinstance(value, (int, float)):
        return value
    return column.cell(value)


def _fitting(
    found: dict[Column, list[Any]], width: int
) -> dict[Column, list[Any]]:
    """The columns that fit, by rank, in the order they came."""
    left = width - 1
    kept = {}
    for column in sorted(found, key=lambda column: column.rank):
        texts = found[column]
        need = _FRAME + max(
            len(column.title), *(len(_text(one)) for one in texts)
        )
        if need > left and column.rank:
            room = left - _FRAME
            if not column.wraps or room < _NARROWEST:
                continue
            texts = [_Wrapped(one, room) for one in texts]
            need = left
        left -= need
        kept[column] = texts
    return {column: kept[column] for column in found if column in kept}


def _text(cell: Any) -> str:
    return cell.human_readable() if isinstance(cell, cells.Cell) else str(cell)


class _Wrapped(cells.Cell):
    """Text in lines of a given length."""

    def __init__(self, cell: Any, width: int) -> None:
        value = cell.machine_readable()
        super().__init__(value)
        self._lines = textwrap.wrap(_text(cell), width)

    def human_readable(self) -> str:
        return '\n'.join(self._lines)
