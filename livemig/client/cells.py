"""How single values read to a person; other formats get them as they are."""

import datetime
from typing import Any

from cliff import columns

from livemig.client.errors import printable

_POWER_STATES = {
    0: 'no state',
    1: 'running',
    3: 'paused',
    4: 'shut down',
    6: 'crashed',
    7: 'suspended',
}


class Cell(columns.FormattableColumn[Any]):
    """A value that the table shows otherwise than JSON does."""

    def human_readable(self) -> str:
        """Nothing is a dash: in a table `None` reads like a name."""
        return '-' if self._value is None else self.text()

    def text(self) -> str:
        """The value, which is not None."""
        return printable(self._value)

    def __lt__(self, other: object) -> bool:
        return _order(self) < _order(other)

    def __gt__(self, other: object) -> bool:
        return _order(self) > _order(other)


def _order(cell: object) -> tuple[bool, Any]:
    """For --sort-column: what is not known comes last."""
    value = cell.machine_readable() if isinstance(cell, Cell) else cell
    return value is None, value


class Number(Cell):
    """Shown at the right margin."""

    def text(self) -> str:
        if isinstance(self._value, float):
            return f'{self._value:.1f}'
        return str(self._value)


class Moment(Cell):
    """A time, UTC as the API has it, to the second."""

    def text(self) -> str:
        try:
            read = datetime.datetime.fromisoformat(self._value)
        except (TypeError, ValueError):
            return super().text()
        return read.strftime('%Y-%m-%d %H:%M:%S')


class Power(Cell):
    """power_state, which is a number on the wire."""

    def text(self) -> str:
        return _POWER_STATES.get(self._value, str(self._value))


class Flavor(Cell):
    """A server's flavor: embedded from 2.47, before that by its id."""

    def text(self) -> str:
        flavor = self._value
        if not isinstance(flavor, dict) or 'original_name' not in flavor:
            return _reference(flavor)
        name = printable(flavor['original_name'])
        return f'{name} ({flavor["vcpus"]} VCPU, {flavor["ram"]} MiB)'


class Image(Cell):
    """A server's image; there is none where it was booted from a volume."""

    def text(self) -> str:
        return _reference(self._value) or '-'


class Fault(Cell):
    """Why a server is in ERROR."""

    def text(self) -> str:
        fault = self._value
        if not isinstance(fault, dict):
            return super().text()
        return printable(f'{fault.get("message")} ({fault.get("code")})')


class Events(Cell):
    """The events of an action, oldest first, one a paragraph."""

    def text(self) -> str:
        if not isinstance(self._value, list):
            return super().text()
        return '\n'.join(_event(event) for event in reversed(self._value))


def _reference(value: Any) -> str:
    if isinstance(value, dict):
        return printable(value.get('id', ''))
    return printable(value)


def _event(event: dict[str, Any]) -> str:
    began = Moment(event.get('start_time')).human_readable()
    parts = [began, printable(event.get('event'))]
    if event.get('host'):
        parts.append(f'on {printable(event["host"])}')
    parts.append(f'-> {printable(event.get("result") or "under way")}')
    text = ' '.join(parts)
    if event.get('details'):
        text += f': {printable(event["details"])}'
    return text
