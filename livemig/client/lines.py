"""How a migration's progress reads: one line for a person, or JSON."""

import json
from typing import Any, NamedTuple

from livemig.client import progress
from livemig.client.errors import printable

MIB = 1024 * 1024


class Arrows(NamedTuple):
    """How a trend looks in the line."""

    falling: str
    growing: str
    steady: str


UNICODE = Arrows('↓', '↑', '→')
ASCII = Arrows('(falling)', '(growing)', '(steady)')


class Form(NamedTuple):
    """How much a line says besides its numbers."""

    total: bool
    words: bool


FULL = Form(total=True, words=True)
#: From long to short. All have the same moving numbers: a line that is cut
#: lacks the very last ones, which are the time and the timeout.
_FORMS = (FULL, Form(total=False, words=True), Form(total=False, words=False))


def line(
    now: progress.Progress, arrows: Arrows = UNICODE, form: Form = FULL
) -> str:
    """What is known now; a running migration and an ended one alike."""
    if now.ended:
        return _end_line(now)
    parts = [
        _phase(now, form),
        _remaining(now, arrows, form),
        *_rates(now),
        _time(now),
    ]
    return '  '.join(part for part in parts if part)


def fitting(
    now: progress.Progress, migration_id: int, arrows: Arrows, width: int
) -> str:
    """The line of a running migration, with its id, that fits a terminal.

    :param width: in characters; what does not fit even in the shortest form
        is cut.
    """
    text = ''
    for form in _FORMS:
        title = f'migration {migration_id}' if form.words else migration_id
        text = f'{title}  {line(now, arrows, form)}'
        if len(text) <= width:
            break
    return text[:width]


def as_json(now: progress.Progress, **ids: object) -> str:
    """One JSON object on one line; units are in the names, null: unknown."""
    sample = now.sample
    told: dict[str, Any] = {
        **ids,
        'status': sample.status,
        'phase': now.phase,
        'percent': now.percent,
        'pass_number': now.pass_number,
        'pass_exact': now.pass_exact,
        'remaining_bytes': sample.remaining_bytes,
        'total_bytes': sample.total_bytes,
        'trend': now.trend,
        'throughput_bytes_per_s': _whole(now.throughput_bytes_per_s),
        'dirty_rate_bytes_per_s': _whole(now.dirty_rate_bytes_per_s),
        'estimated': list(now.estimated),
        'elapsed_s': sample.elapsed_s,
        'timeout_s': sample.timeout_s,
        'reason': sample.reason,
        'completed_by': sample.completed_by,
        'downtime_ms': sample.downtime_ms,
    }
    return json.dumps(told)


def duration(seconds: float) -> str:
    """Hours only where there are any: 2:31, 1:02:03."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f'{hours}:{minute:02}:{second:02}'
    return f'{minute}:{second:02}'


def _phase(now: progress.Progress, form: Form) -> str:
    text = now.phase
    if now.phase == progress.RE_COPYING:
        more = '' if now.pass_exact else '+'
        number = f'pass {now.pass_number}{more}'
        text = f'{text}, {number}' if form.words else number
    return text if now.percent is None else f'{text} {now.percent}%'


def _remaining(now: progress.Progress, arrows: Arrows, form: Form) -> str:
    left = now.sample.remaining_bytes
    total = now.sample.total_bytes
    # A total of nought is a job that has not counted yet, and nothing left
    # of nothing would read like a finished one.
    if left is None or not total:
        return ''
    text = f'{_mib(left)} left'
    if form.total:
        text += f' of {_mib(total)}'
    if now.trend is None:
        return text
    return f'{text} {getattr(arrows, now.trend)}'


def _rates(now: progress.Progress) -> list[str]:
    said: list[str] = []
    if now.phase == progress.STARTING:
        return said
    if now.throughput_bytes_per_s is not None:
        said.append(f'{_mib(now.throughput_bytes_per_s)}/s')
    if now.dirty_rate_bytes_per_s is not None:
        guess = '~' if 'dirty_rate_bytes_per_s' in now.estimated else ''
        said.append(f'dirtied {guess}{_mib(now.dirty_rate_bytes_per_s)}/s')
    return said


def _time(now: progress.Progress) -> str:
    if now.sample.elapsed_s is None:
        return ''
    text = duration(now.sample.elapsed_s)
    if not now.sample.timeout_s:
        return text
    return f'{text} / {duration(now.sample.timeout_s)}'


def outcome(now: progress.Progress) -> str:
    """How an ended migration ended, without the reason."""
    sample = now.sample
    text = printable(sample.status)
    if sample.completed_by:
        text += f' ({printable(sample.completed_by)})'
    if sample.elapsed_s is not None:
        text += f' after {duration(sample.elapsed_s)}'
    if sample.downtime_ms is not None:
        text += f', downtime {sample.downtime_ms} ms'
    if sample.throughput_bytes_per_s is not None:
        text += f', {_mib(sample.throughput_bytes_per_s)}/s'
    return text


def _end_line(now: progress.Progress) -> str:
    text = outcome(now)
    if now.sample.reason:
        text += f': {printable(now.sample.reason)}'
    return text


def _mib(count: float) -> str:
    mib = count / MIB
    return f'{mib:.1f} MiB' if mib < 10 else f'{mib:.0f} MiB'


def _whole(rate: float | None) -> int | None:
    return None if rate is None else round(rate)
