"""The busybox guest: a Linux with disks, which proves what stands on them.

Lines it says on its first serial port, each closed by " .":

``LIVEMIG BOOT id=... disks=vda:16M,vdb:8M``
    once a boot; the id is of that boot only
``LIVEMIG MARK vda read=<hex or none> wrote=<hex or none>``
    the marker found on a disk, and the one written over it
``LIVEMIG BEAT n=... id=... up=... pulses=... wrote_kib=... bad=...``
    about each 100 ms, or as told. ``n`` strictly counts these lines; ``up``:
    s since the boot; ``pulses``: how often each disk was read, compared with
    what had been written there last, and written again (about each second);
    ``wrote_kib``: continuous writing; ``bad``: how often the disk did not
    give back what was written, or failed
``LIVEMIG BAD ...``
    each such case
"""

import collections
import dataclasses
import fcntl
import hashlib
import lzma
import os
import pathlib
import re
import shutil
import stat
import struct
import tempfile
from collections.abc import Iterable, Iterator, Sequence

from lab import archives
from lab.client import LabError
from lab.guests.images import check_mark
from lab.guests.lines import Lines
from lab.guests.watcher import POLL_S, ConsoleWatcher

_INIT = pathlib.Path(__file__).with_name('init.sh')
MODULES = ('virtio_pci', 'virtio_blk', 'button', 'evdev')
_APPLETS = (
    *('acpid', 'cat', 'cmp', 'date', 'dd', 'echo', 'insmod', 'mkfifo'),
    *('mount', 'poweroff', 'printf', 'sed', 'sh', 'sleep', 'tr', 'xxd'),
)
_DIRECTORIES = (
    *('bin', 'dev', 'etc', 'etc/acpi', 'etc/acpi/PWRF', 'modules', 'proc'),
    'sys',
)
_POWER = b'#!/bin/sh\npoweroff -f\n'
_PACKAGE = 'busybox-static'
_START = re.compile('LIVEMIG [A-Z]')
_LINE = re.compile(r'LIVEMIG [A-Z]+ (?:(?!LIVEMIG).)*[^ ] \.')
_FIELD = re.compile(r'([a-z_]+)=(\S+)')

PathArgument = str | os.PathLike[str]


class BuildError(LabError):
    """The initial RAM disk cannot be made; the text says what is missing."""


# -- the initial RAM disk ---------------------------------------------------


def build_initrd(
    cache_dir: PathArgument,
    modules: PathArgument | None = None,
    *,
    busybox: PathArgument | None = None,
) -> pathlib.Path:
    """Make the initial RAM disk once and return its file (mode 0644).

    :param modules: directory of the kernel's modules, searched for those in
        ``MODULES`` and what they depend on; None: all are built in
    :param busybox: a static one; default: the system's, else the one in the
        distribution's package, downloaded into cache_dir (1 MB, once)
    :raises BuildError: when there is none, or it is not static
    """
    cache = pathlib.Path(cache_dir)
    cache.mkdir(parents=True, exist_ok=True)
    content = b''.join(_members(modules, _busybox(busybox, cache)))
    name = hashlib.sha256(content).hexdigest()[:16]
    made = cache / f'busybox-guest-{name}.cpio'
    if made.exists():
        return made
    handle, work = tempfile.mkstemp(prefix='.build-', dir=cache)
    with os.fdopen(handle, 'wb') as file:
        file.write(content)
    os.chmod(work, 0o644)
    os.replace(work, made)
    return made


def _members(modules: PathArgument | None, busybox: bytes) -> Iterator[bytes]:
    for name in _DIRECTORIES:
        yield _member(name, stat.S_IFDIR | 0o755)
    yield _member('dev/console', stat.S_IFCHR | 0o600, device=(5, 1))
    yield _member('init', stat.S_IFREG | 0o755, _INIT.read_bytes())
    yield _member('etc/acpi/PWRF/00000080', stat.S_IFREG | 0o755, _POWER)
    yield _member('bin/busybox', stat.S_IFREG | 0o755, busybox)
    for applet in _APPLETS:
        yield _member(f'bin/{applet}', stat.S_IFLNK | 0o777, b'busybox')
    loaded = {} if modules is None else _modules(pathlib.Path(modules))
    order = ''.join(f'{name}\n' for name in loaded)
    yield _member('modules/order', stat.S_IFREG | 0o644, order.encode())
    for name, content in loaded.items():
        yield _member(f'modules/{name}', stat.S_IFREG | 0o644, content)
    yield _member('TRAILER!!!', 0)


def _member(
    name: str,
    mode: int,
    content: bytes = b'',
    device: tuple[int, int] = (0, 0),
) -> bytes:
    """One entry of a cpio archive, "newc" form, padded to 4 bytes.

    See the kernel's Documentation/driver-api/early-userspace/
    buffer-format.rst. The first number, the inode, may be 0 for all: it is
    looked at for hard links only.
    """
    numbers = [0, mode, 0, 0, 1, 0, len(content), 0, 0, *device]
    numbers += [len(name) + 1, 0]
    head = b'070701' + b''.join(b'%08X' % number for number in numbers)
    head += name.encode() + b'\0'
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b'\0' * (-len(data) % 4)


def _busybox(path: PathArgument | None, cache: pathlib.Path) -> bytes:
    if path is not None:
        content = pathlib.Path(path).read_bytes()
        if _is_dynamic(content):
            raise BuildError(f'{os.fspath(path)} is not static')
        return content
    installed = shutil.which('busybox')
    if installed is not None:
        content = pathlib.Path(installed).read_bytes()
        if not _is_dynamic(content):
            return content
    return _downloaded(cache).read_bytes()


def _downloaded(cache: pathlib.Path) -> pathlib.Path:
    """The static one of the distribution, taken from its package.

    Installing that would remove the package "busybox", which initial RAM
    disks of the machine itself may be made with.
    """
    kept = cache / 'busybox-static'
    with (cache / 'busybox.lock').open('a') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            return kept
        try:
            with archives.unpacked(cache, lambda: ['busybox-static']) as tree:
                found = [
                    *tree.glob('bin/busybox'),
                    *tree.glob('usr/bin/busybox'),
                ]
                found[0].rename(kept)
        except archives.ArchiveError as error:
            raise BuildError(f'there is no static busybox: {error}') from None
    return kept


def _is_dynamic(elf: bytes) -> bool:
    """Whether a 64 bit program asks for a dynamic linker (PT_INTERP)."""
    table, size, count = struct.unpack_from('<32xQ14xHH', elf)[:3]
    kinds = (
        struct.unpack_from('<I', elf, table + size * i)[0]
        for i in range(count)
    )
    return 3 in kinds


def _modules(directory: pathlib.Path) -> dict[str, bytes]:
    """The wanted modules that are there, each after those it needs.

    One that is not there is taken to be built in: then the guest finds its
    disks without it.
    """
    files = {
        path.name.partition('.')[0].replace('-', '_'): path
        for path in sorted(directory.rglob('*.ko*'))
    }
    loaded: dict[str, bytes] = {}

    def load(name: str) -> None:
        name = name.replace('-', '_')
        path = files.get(name)
        if path is None or f'{name}.ko' in loaded:
            return
        content = path.read_bytes()
        if path.suffix == '.xz':
            content = lzma.decompress(content)
        for needed in _depends(content):
            load(needed)
        loaded[f'{name}.ko'] = content

    for name in MODULES:
        load(name)
    return loaded


def _depends(module: bytes) -> list[str]:
    """What the module's .modinfo section says under "depends"."""
    found = re.search(rb'\0depends=([^\0]*)\0', module)
    names = found[1].decode().split(',') if found else []
    return [name for name in names if name]


def cmdline(
    mark: str | None = None, write_kib_s: int = 0, beat_tenths: int = 1
) -> str:
    """Word the kernel command line.

    :param mark: write this marker on vda at boot
    :param write_kib_s: write to vda without end, about that fast (some
        1000 at most without KVM); 0: only the pulse
    :param beat_tenths: tenths of a second between two beats. QEMU 7.2
        without KVM loses writes of a guest that moves (see payload/boot.S);
        a Linux kernel then panics, some time later. Least is lost if the
        guest sleeps most of the time, empties its TLB whenever it enters or
        leaves the kernel, and moves over a fast link: with beats of a second
        and no limit of bandwidth 0 of 30 moves were bad, with beats of 0.1 s
        at 20 MiB/s every tenth
    :raises ValueError: for a marker the guest cannot take
    """
    words = ['console=ttyS0', 'quiet', 'loglevel=1', 'panic=-1']
    words += ['mitigations=off', 'random.trust_cpu=on', 'no_timer_check']
    if mark is not None:
        words.append(f'livemig.mark={check_mark(mark)}')
    if write_kib_s:
        words.append(f'livemig.write={write_kib_s:d}')
    if beat_tenths != 1:
        words += [f'livemig.beat={beat_tenths:d}', 'pti=on']
    return ' '.join(words)


# -- its console ------------------------------------------------------------


def valid(text: str) -> bool:
    """Say whether a line is complete."""
    return _LINE.fullmatch(text) is not None


def fields(text: str) -> dict[str, str]:
    """The ``name=value`` pairs of a line."""
    return dict(_FIELD.findall(text))


def _kind(text: str) -> str:
    return text.split(' ', 2)[1]


def _counter(text: str) -> int | None:
    return int(fields(text)['n']) if _kind(text) == 'BEAT' else None


@dataclasses.dataclass(frozen=True)
class Mark:
    """A disk's marker at boot: found there, then written; None: none."""

    read: str | None
    wrote: str | None


@dataclasses.dataclass(frozen=True)
class BusyboxConsole:
    """What the consoles of a guest say about it, source's and destination's
    taken together. Of several boots all lines count: a guest that was
    restarted is not ``intact``, but its last markers are told."""

    boots: int = 0
    ids: tuple[str, ...] = ()
    disks: dict[str, str] = dataclasses.field(default_factory=dict)
    marks: dict[str, Mark] = dataclasses.field(default_factory=dict)
    first_n: int = 0
    last_n: int = 0
    missing: tuple[int, ...] = ()
    repeated: tuple[int, ...] = ()
    pulses: int = 0
    wrote_kib: int = 0
    bad: int = 0
    complaints: tuple[str, ...] = ()
    scraps: tuple[str, ...] = ()

    @property
    def gaps(self) -> tuple[int, ...]:
        """The counters that ought to have come and did not."""
        return self.missing

    @property
    def faults(self) -> tuple[str, ...]:
        """All that speaks against ``intact``, in words."""
        told = {
            f'{self.boots} boots': self.boots != 1,
            f'{len(self.ids)} ids': len(self.ids) != 1,
            'no heartbeat': self.last_n == 0,
            f'{len(self.missing)} beats missing': self.missing,
            f'{len(self.repeated)} beats repeated': self.repeated,
            f'first beat is {self.first_n}': self.first_n > 1,
            f'{self.bad} disk errors': self.bad,
        }
        return tuple(text for text, wrong in told.items() if wrong)

    @property
    def intact(self) -> bool:
        """Booted once, ran on one host at a time, its disks are right."""
        return not self.faults

    @property
    def summary(self) -> str:
        """One line for a person."""
        if not self.intact:
            return 'NOT intact: ' + '; '.join(self.faults)
        disks = ', '.join(f'{n} {size}' for n, size in self.disks.items())
        return (
            f'intact: booted once (id {self.ids[0]}), beat'
            f' {self.first_n}-{self.last_n} without a gap, disks'
            f' {disks or "none"} checked {self.pulses} times,'
            f' {self.wrote_kib} KiB written'
        )

    def __str__(self) -> str:
        return self.summary


def judge(texts: Iterable[str], scraps: Iterable[str] = ()) -> BusyboxConsole:
    """Judge valid lines, in the order they came."""
    by_kind: dict[str, list[str]] = collections.defaultdict(list)
    for text in texts:
        by_kind[_kind(text)].append(text)
    boots = [fields(text) for text in by_kind['BOOT']]
    beats = [fields(text) for text in by_kind['BEAT']]
    beats.sort(key=lambda beat: int(beat['n']))
    times_seen = collections.Counter(int(beat['n']) for beat in beats)
    numbers = sorted(times_seen)
    first, last = (numbers[0], numbers[-1]) if numbers else (0, 0)
    final = beats[-1] if beats else collections.defaultdict(lambda: '0')
    counted_bad = max((int(beat['bad']) for beat in beats), default=0)
    return BusyboxConsole(
        boots=len(boots),
        ids=tuple(dict.fromkeys(line['id'] for line in boots + beats)),
        disks=_disks(boots[-1]['disks']) if boots else {},
        marks=_marks(by_kind['MARK']),
        first_n=first,
        last_n=last,
        missing=tuple(n for n in range(first, last) if n not in times_seen),
        repeated=tuple(n for n in numbers if times_seen[n] > 1),
        pulses=int(final['pulses']),
        wrote_kib=int(final['wrote_kib']),
        bad=max(counted_bad, len(by_kind['BAD'])),
        complaints=tuple(by_kind['BAD']),
        scraps=tuple(scraps),
    )


def _disks(told: str) -> dict[str, str]:
    if told == 'none':
        return {}
    return dict(disk.split(':', 1) for disk in told.split(','))


def _marks(texts: Sequence[str]) -> dict[str, Mark]:
    marks = {}
    for text in texts:
        told = fields(text)
        disk = text.split(' ', 3)[2]
        marks[disk] = Mark(_from_hex(told['read']), _from_hex(told['wrote']))
    return marks


def _from_hex(text: str) -> str | None:
    if text == 'none':
        return None
    return bytes.fromhex(text).decode('ascii', 'replace')


def _lines() -> Lines:
    return Lines(valid, _START)


def read(paths: PathArgument | Iterable[PathArgument]) -> BusyboxConsole:
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
    """Follows the consoles of a busybox guest while it runs and moves."""

    def __init__(
        self, paths: Iterable[PathArgument], poll_s: float = POLL_S
    ) -> None:
        super().__init__(paths, _lines(), _counter, poll_s)

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until the markers are read and written and the heart beats.

        :raises TimeoutError: naming the last lines seen
        """
        self.wait_counter(1, timeout_s)

    def console(self) -> BusyboxConsole:
        """Judge all that has come up to now."""
        with self._changed:
            texts = [line.text for line in self._lines.lines]
            scraps = list(self._lines.scraps)
        return judge(texts, scraps)
