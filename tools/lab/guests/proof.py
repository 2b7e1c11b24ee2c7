"""The proof guest: builds it, words its command line, judges its console.

Lines it prints on COM1, each closed by ``*`` and the exclusive or of its
bytes in two hex digits:

``BOOT``
    once, with a number (``id``) that no other boot has, and its options
``READY``
    the working set is filled
``T``
    every ``print`` ms. ``n``: strictly counts these lines; ``t``: timer ticks;
    ``gen``: how often the working set was rewritten, from 1; ``done``: pages
    rewritten; ``bad``: pages found damaged; ``sum``: checksum of the working
    set; ``swept``: complete verifications of it; ``up``: ms of the virtual
    clock, which stands while the guest does (``clock=pm``; ``clock=pit``: no
    ACPI, so only ticks are counted); ``rtc``: time of day in s at its
    last full second, ``at``: virtual ms of that moment, both counted from the
    first full second
``BAD``, ``ERROR``, ``FAULT``, ``OFF``
    a damaged page; a request that cannot be met; an exception in the guest;
    it powers itself off
"""

import collections
import dataclasses
import functools
import hashlib
import operator
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence

from lab.client import LabError
from lab.guests.lines import Lines
from lab.guests.watcher import POLL_S, ConsoleWatcher

_PAYLOAD = pathlib.Path(__file__).with_name('payload')
_SOURCES = ('boot.S', 'guest.c', 'link.ld')
_CFLAGS = (
    '-m32',
    '-march=i686',
    '-O2',
    '-ffreestanding',
    '-fno-pic',
    '-fno-pie',
    '-fno-stack-protector',
    '-mgeneral-regs-only',
    '-fno-asynchronous-unwind-tables',
    '-fcf-protection=none',
    '-fno-tree-loop-distribute-patterns',
)
_LDFLAGS = ('-m', 'elf_i386', '-z', 'max-page-size=4096', '--build-id=none')
_START = re.compile(r'(?<![A-Za-z])(?:BOOT|READY|T|BAD|ERROR|FAULT|OFF) ')
_FIELD = re.compile(r'([a-z_]+)=(\S+)')

PathArgument = str | os.PathLike[str]


class BuildError(LabError):
    """The payload could not be compiled; the text is the compiler's."""


def build(cache_dir: PathArgument) -> pathlib.Path:
    """Compile the guest once and return its kernel file (mode 0644).

    The name carries a hash of sources and options; several processes may
    build at once.

    :raises BuildError: with what the compiler or linker said
    """
    cache = pathlib.Path(cache_dir)
    key = hashlib.sha256(repr((_CFLAGS, _LDFLAGS)).encode())
    for name in _SOURCES:
        key.update((_PAYLOAD / name).read_bytes())
    kernel = cache / f'proof-guest-{key.hexdigest()[:16]}.elf'
    if kernel.exists():
        return kernel
    cache.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix='.build-', dir=cache))
    try:
        objects = [str(work / 'boot.o'), str(work / 'guest.o')]
        for source, made in zip(_SOURCES, objects, strict=False):
            _run(['gcc', *_CFLAGS, '-c', str(_PAYLOAD / source), '-o', made])
        script = ['-T', str(_PAYLOAD / 'link.ld')]
        made = str(work / 'kernel')
        _run(['ld', *_LDFLAGS, *script, '-s', '-o', made, *objects])
        os.chmod(made, 0o644)
        os.replace(made, kernel)
    finally:
        shutil.rmtree(work)
    return kernel


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as missing:
        raise BuildError(f'{command[0]} is not installed') from missing
    if done.returncode:
        raise BuildError(f'{" ".join(command)}: {done.stderr.strip()}')


def cmdline(
    ws_mib: int = 16,
    rate: int = 0,
    print_ms: int = 100,
    *,
    sweep: int = 64,
    full: bool = False,
    flush: bool = True,
    off_s: int = 0,
    spoil_s: int = 0,
) -> str:
    """Word the kernel command line.

    :param ws_mib: working set; the guest needs 2 MiB more than that
    :param rate: pages rewritten a second
    :param print_ms: between two T lines; a multiple of 10
    :param sweep: pages verified whole at each of 100 ticks a second, in turn
    :param full: rewrite whole pages (default: three words of each)
    :param flush: empty the TLB before writing. Without it QEMU 7.2 without
        KVM loses writes in pre-copy
    :param off_s: power off so many seconds after READY; 0: never
    :param spoil_s: damage a page so many seconds after READY, to show that
        it is found; 0: never
    :raises ValueError: for values the guest cannot take
    """
    if print_ms < 10 or print_ms % 10:
        raise ValueError(f'print_ms={print_ms} is no multiple of 10')
    if ws_mib < 1 or min(rate, sweep, off_s, spoil_s) < 0:
        raise ValueError('ws_mib is at least 1, the others at least 0')
    options = {
        'ws': ws_mib,
        'rate': rate,
        'print': print_ms,
        'sweep': sweep,
        'full': int(full),
        'flush': int(flush),
        'off': off_s,
        'spoil': spoil_s,
    }
    return ' '.join(f'{name}={value}' for name, value in options.items())


def valid(text: str) -> bool:
    """Say whether a line is complete and undamaged."""
    body, star, check = text.rpartition('*')
    if not star or not _START.match(body):
        return False
    total = functools.reduce(operator.xor, body.encode('utf-8'), 0)
    return check == f'{total:02x}'


def fields(text: str) -> dict[str, str]:
    """The ``name=value`` pairs of a line."""
    return dict(_FIELD.findall(text.rpartition('*')[0]))


def _counter(text: str) -> int | None:
    return int(fields(text)['n']) if text.startswith('T ') else None


def _lines() -> Lines:
    return Lines(valid, _START)


@dataclasses.dataclass(frozen=True)
class Proof:
    """What the consoles of a guest say about it, source's and destination's
    taken together.

    Times are in ms. ``guest_stood_still_ms`` is what the guest itself can
    tell: how far its virtual clock fell behind the time of day, from the
    first full second to the last one seen; None before two seconds have
    passed or without ACPI. A standstill shows there within a second.
    """

    boots: int = 0
    ready: bool = False
    ids: tuple[str, ...] = ()
    first_n: int = 0
    last_n: int = 0
    missing: tuple[int, ...] = ()
    repeated: tuple[int, ...] = ()
    bad: int = 0
    done: int = 0
    swept: int = 0
    errors: tuple[str, ...] = ()
    off: str = ''
    print_ms: int = 0
    guest_stood_still_ms: int | None = None
    scraps: tuple[str, ...] = ()

    @property
    def gaps(self) -> tuple[int, ...]:
        """The counters that ought to have come and did not."""
        return self.missing

    @property
    def intact(self) -> bool:
        """Booted once, ran on one host at a time, lost and damaged nothing."""
        return not self.faults

    @property
    def faults(self) -> tuple[str, ...]:
        """All that speaks against ``intact``, in words."""
        told = {
            f'{self.boots} BOOT lines': self.boots != 1,
            f'{len(self.ids)} ids': len(self.ids) != 1,
            'no counter': self.last_n == 0,
            f'counters missing: {_some(self.missing)}': self.missing,
            f'counters repeated: {_some(self.repeated)}': self.repeated,
            f'first counter is {self.first_n}': self.first_n > 1,
            f'{self.bad} damaged pages': self.bad,
            f'it said: {_some(self.errors)}': self.errors,
        }
        return tuple(text for text, wrong in told.items() if wrong)

    @property
    def summary(self) -> str:
        """One line for a person."""
        if not self.intact:
            return 'NOT intact: ' + '; '.join(self.faults)
        still = self.guest_stood_still_ms
        return (
            f'intact: booted once (id {self.ids[0]}), counted'
            f' {self.first_n}-{self.last_n} without a gap, {self.done} pages'
            f' rewritten, {self.swept} full sweeps, 0 damaged'
            + ('' if still is None else f', stood still {still} ms in all')
        )

    def __str__(self) -> str:
        return self.summary


def _some(items: Sequence[object]) -> str:
    shown = ', '.join(str(item) for item in items[:5])
    return shown + (f' and {len(items) - 5} more' if len(items) > 5 else '')


def judge(texts: Iterable[str], scraps: Iterable[str] = ()) -> Proof:
    """Judge valid lines, in any order."""
    by_kind: dict[str, list[dict[str, str]]] = collections.defaultdict(list)
    errors = []
    for text in texts:
        kind = text.split(' ', 1)[0]
        by_kind[kind].append(fields(text))
        if kind in ('ERROR', 'FAULT'):
            errors.append(text.rpartition('*')[0])
    told = sorted(by_kind['T'], key=lambda line: int(line['n']))
    times_seen = collections.Counter(int(line['n']) for line in told)
    numbers = sorted(times_seen)
    first, last = (numbers[0], numbers[-1]) if numbers else (0, 0)
    ids = {
        line['id']: None
        for lines in by_kind.values()
        for line in lines
        if 'id' in line
    }
    boot = by_kind['BOOT'][0] if by_kind['BOOT'] else {}
    counted_bad = max((int(line['bad']) for line in told), default=0)
    return Proof(
        boots=len(by_kind['BOOT']),
        ready=bool(by_kind['READY']),
        ids=tuple(ids),
        first_n=first,
        last_n=last,
        missing=tuple(n for n in range(first, last) if n not in times_seen),
        repeated=tuple(n for n in numbers if times_seen[n] > 1),
        bad=max(counted_bad, len(by_kind['BAD'])),
        done=int(told[-1]['done']) if told else 0,
        swept=int(told[-1]['swept']) if told else 0,
        errors=tuple(errors),
        off=by_kind['OFF'][-1]['why'] if by_kind['OFF'] else '',
        print_ms=int(boot.get('print', 0)),
        guest_stood_still_ms=_fell_behind_ms(told, boot),
        scraps=tuple(scraps),
    )


def _fell_behind_ms(
    told: Sequence[dict[str, str]], boot: dict[str, str]
) -> int | None:
    timed = [line for line in told if 'rtc' in line]
    if not timed or boot.get('clock') == 'pit':
        return None
    first, last = timed[0], timed[-1]
    passed_s = int(last['rtc']) - int(first['rtc'])
    if not passed_s:
        return None
    ran_ms = int(last['at']) - int(first['at'])
    return max(0, passed_s * 1000 - ran_ms)


def read(paths: PathArgument | Iterable[PathArgument]) -> Proof:
    """Judge one console file or several of the same guest.

    Files that do not exist count as empty.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    lines = _lines()
    for path in map(pathlib.Path, paths):
        if path.exists():
            lines.feed(str(path), path.read_bytes(), 0.0)
            lines.end(str(path), 0.0)
    return judge((line.text for line in lines.lines), lines.scraps)


class Watcher(ConsoleWatcher):
    """Follows the consoles of a proof guest while it runs and moves."""

    def __init__(
        self, paths: Iterable[PathArgument], poll_s: float = POLL_S
    ) -> None:
        super().__init__(paths, _lines(), _counter, poll_s)

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until the working set is filled.

        :raises TimeoutError: naming the last lines seen
        """
        self.wait_line(lambda text: text.startswith('READY '), timeout_s)

    def wait_swept(self, times: int = 1, timeout_s: float = 60.0) -> None:
        """Wait until the whole memory has been verified, begun after now.

        :raises TimeoutError: naming the last lines seen
        """
        goal = self.proof().swept + 1 + times

        def swept(text: str) -> bool:
            return text.startswith('T ') and int(fields(text)['swept']) >= goal

        self.wait_line(swept, timeout_s)

    def proof(self) -> Proof:
        """Judge all that has come up to now."""
        with self._changed:
            texts = [line.text for line in self._lines.lines]
            scraps = list(self._lines.scraps)
        return judge(texts, scraps)

    def guest_stood_still_ms(
        self, since_s: float = 0.0, timeout_s: float = 30.0
    ) -> int:
        """All standstills after ``since_s`` together, as the guest tells.

        Right to about 10 ms, also on a busy machine. Waits for two more full
        seconds of the guest, since a standstill shows with the next one.

        :raises TimeoutError: if they do not come
        """
        first = judge(line.text for line in self.lines if line.at_s < since_s)
        goal_s = self._rtc_s() + 2
        self.wait_line(
            lambda text: int(fields(text).get('rtc', -1)) >= goal_s, timeout_s
        )
        all_ms = self.proof().guest_stood_still_ms or 0
        return all_ms - (first.guest_stood_still_ms or 0)

    def _rtc_s(self) -> int:
        told = (fields(line.text).get('rtc') for line in self.lines)
        return max((int(value) for value in told if value), default=0)

    def stood_still_ms(self, since_s: float = 0.0) -> float:
        """The longest standstill seen from outside after ``since_s``: the
        largest gap between two lines less the time there always is.

        On a busy machine lines come late too: 174 ms of standstill were seen
        where there was none, with four busy loops on two cores. Where
        that matters, ask ``guest_stood_still_ms``, which was 8 ms off.
        """
        usual_ms = self.proof().print_ms
        return max(0.0, self.largest_gap_ms(since_s) - usual_ms)
