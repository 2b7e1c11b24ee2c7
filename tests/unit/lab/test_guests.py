"""The guests' consoles are judged rightly, however they arrive."""

import functools
import itertools
import operator
import os
import pathlib
import stat
import struct
import threading
from collections.abc import Iterable

import pytest

from lab.guests import busybox, images, lines, proof, watcher

ID = 'ab40e3f9056960b5'
# Taken from a real console, so that the closing digits are not ours.
REAL = (
    'BOOT id=00000000058476ff ws=64 pages=16384 rate=1000 print=100 flush=1'
    ' sweep=64 full=0 off=0 ram_kib=130944 clock=pm*73\n'
    'READY id=00000000058476ff fill_ms=255*32\n'
    'T n=1 t=10 id=00000000058476ff gen=1 done=100 bad=0 sum=e2ab51d2'
    ' swept=0 up=345*52\n'
    'T n=2 t=20 id=00000000058476ff gen=1 done=200 bad=0 sum=e3ecc7d0'
    ' swept=0 up=445*00\n'
    'T n=3 t=30 id=00000000058476ff gen=1 done=300 bad=0 sum=6e3c034a'
    ' swept=0 up=545*05\n'
)


def closed(text: str) -> str:
    check = functools.reduce(operator.xor, text.encode(), 0)
    return f'{text}*{check:02x}\n'


def boot(guest_id: str = ID, print_ms: int = 100, clock: str = 'pm') -> str:
    return closed(f'BOOT id={guest_id} print={print_ms} clock={clock}')


def tick(n: int, guest_id: str = ID, bad: int = 0, more: str = '') -> str:
    return closed(
        f'T n={n} t={n * 10} id={guest_id} gen=1 done={n * 10} bad={bad}'
        f' sum=0 swept=0 up={n * 100}{more}'
    )


def ticks(numbers: Iterable[int]) -> str:
    return ''.join(tick(n) for n in numbers)


def judged(tmp_path: pathlib.Path, *texts: str) -> proof.Proof:
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f'console{number}')
        paths[-1].write_bytes(text.encode())
    return proof.read(paths)


# -- the proof guest's parser -------------------------------------------------


def test_a_real_console_is_intact(tmp_path):
    told = judged(tmp_path, REAL)
    assert told.intact, told.summary
    assert (told.boots, told.ready, told.ids) == (
        1,
        True,
        ('00000000058476ff',),
    )
    assert (told.first_n, told.last_n, told.print_ms) == (1, 3, 100)
    assert (told.done, told.scraps) == (300, ())
    assert 'counted 1-3 without a gap' in told.summary


def test_one_path_may_be_given_alone(tmp_path):
    (tmp_path / 'console').write_text(REAL)
    assert proof.read(tmp_path / 'console').intact
    assert proof.read(str(tmp_path / 'console')).intact


def test_no_console_proves_nothing(tmp_path):
    told = proof.read([tmp_path / 'nowhere'])
    assert not told.intact
    assert '0 BOOT lines' in told.faults
    assert 'no counter' in told.faults


@pytest.mark.parametrize(
    ('text', 'fault'),
    [
        (boot() + boot() + ticks([1, 2]), '2 BOOT lines'),
        (ticks([1, 2]), '0 BOOT lines'),
        (boot() + tick(1) + tick(2, guest_id='01'), '2 ids'),
        (boot() + ticks([1, 2, 5]), 'counters missing: 3, 4'),
        (boot() + ticks([1, 2, 2, 3]), 'counters repeated: 2'),
        (boot() + ticks([2, 3]), 'first counter is 2'),
        (boot() + tick(1) + tick(2, bad=3), '3 damaged pages'),
        (boot() + tick(1, bad=3) + tick(2), '3 damaged pages'),
        (boot() + tick(1) + closed(f'BAD page=1 id={ID}'), '1 damaged pages'),
        (boot() + tick(1) + closed(f'ERROR room=1 id={ID}'), 'it said: ERROR'),
        (boot() + tick(1) + closed(f'FAULT id={ID}'), 'it said: FAULT'),
        (boot(), 'no counter'),
    ],
)
def test_what_speaks_against_it(tmp_path, text, fault):
    told = judged(tmp_path, text)
    assert not told.intact
    assert any(fault in said for said in told.faults), told.faults
    assert told.summary.startswith('NOT intact: ')


def test_source_and_destination_are_taken_together(tmp_path):
    told = judged(tmp_path, boot() + ticks(range(1, 8)), ticks(range(8, 20)))
    assert told.intact, told.summary
    assert (told.first_n, told.last_n) == (1, 19)


def test_both_hosts_running_it_is_seen(tmp_path):
    told = judged(tmp_path, boot() + ticks(range(1, 9)), ticks(range(6, 20)))
    assert told.repeated == (6, 7, 8)


def test_a_line_cut_anywhere_by_the_switchover_is_joined(tmp_path):
    cut = tick(4)
    for at in range(1, len(cut)):
        source = boot() + ticks([1, 2, 3]) + cut[:at]
        destination = cut[at:] + ticks([5, 6])
        told = judged(tmp_path, source, destination)
        assert told.intact, (cut[:at], told.summary)
        assert told.last_n == 6
        told = judged(tmp_path, destination, source)
        assert told.intact, (cut[:at], told.summary)


def test_there_and_back_again_into_the_same_files(tmp_path):
    first, second = tick(3), tick(6)
    source = boot() + ticks([1, 2]) + first[:20] + ticks([6, 7])
    destination = first[20:] + ticks([4, 5])
    told = judged(tmp_path, source, destination)
    assert told.intact, told.summary
    assert told.last_n == 7
    source = boot() + ticks([1, 2, 3]) + second[30:] + ticks([7])
    destination = ticks([4, 5]) + second[:30]
    told = judged(tmp_path, source, destination)
    assert told.intact, told.summary


def test_a_damaged_line_is_no_line(tmp_path):
    damaged = tick(2).replace('bad=0', 'bad=1')
    told = judged(tmp_path, boot() + tick(1) + damaged + tick(3))
    assert told.missing == (2,)
    assert len(told.scraps) == 1


def test_carriage_returns_and_holes_do_not_matter(tmp_path):
    text = (boot() + ticks([1, 2])).replace('\n', '\r\n')
    told = judged(tmp_path, '\0' * 5000 + text)
    assert told.intact
    assert told.scraps == ()


def test_the_firmware_may_talk_before(tmp_path):
    told = judged(tmp_path, 'SeaBIOS (version 1)\n' + boot() + ticks([1]))
    assert told.intact
    assert told.scraps == ('SeaBIOS (version 1)',)


@pytest.mark.parametrize(
    ('seconds', 'clock', 'still_ms'),
    [
        ([(0, 0), (1, 1000), (2, 2000)], 'pm', 0),
        ([(0, 0), (1, 1000), (4, 1300)], 'pm', 2700),
        ([(0, 0), (1, 1009)], 'pm', 0),
        ([(0, 0)], 'pm', None),
        ([], 'pm', None),
        ([(0, 0), (4, 1300)], 'pit', None),
    ],
)
def test_the_guest_tells_how_long_it_stood_still(
    tmp_path, seconds, clock, still_ms
):
    text = boot(clock=clock) + tick(1)
    for n, (rtc, at) in enumerate(seconds, 2):
        text += tick(n, more=f' rtc={rtc} at={at}')
    assert judged(tmp_path, text).guest_stood_still_ms == still_ms


def test_the_command_line():
    assert proof.cmdline(64, 5000, 20, off_s=3) == (
        'ws=64 rate=5000 print=20 sweep=64 full=0 flush=1 off=3 spoil=0'
    )
    for wrong in ({'print_ms': 5}, {'print_ms': 25}, {'ws_mib': 0}):
        with pytest.raises(ValueError):
            proof.cmdline(**wrong)
    with pytest.raises(ValueError):
        proof.cmdline(rate=-1)


# -- following files ----------------------------------------------------------


@pytest.fixture
def follow():
    opened = []

    def make(*paths: pathlib.Path) -> proof.Watcher:
        opened.append(proof.Watcher(paths))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def append(path: pathlib.Path, text: str) -> None:
    with path.open('a') as file:
        file.write(text)


def test_files_may_come_later_and_lines_in_pieces(tmp_path, follow):
    source, destination = tmp_path / 'source', tmp_path / 'destination'
    seen = follow(source, destination)
    assert seen.counter == 0
    with pytest.raises(TimeoutError, match='source'):
        seen.wait_ready(0.05)
    append(source, boot())
    append(source, closed(f'READY id={ID}'))
    seen.wait_ready(10)
    append(source, ticks([1, 2]) + tick(3)[:25])
    assert seen.wait_counter(2, 10) == 2
    append(destination, tick(3)[25:])
    assert seen.wait_counter(3, 10) == 3
    append(destination, tick(4))
    assert seen.wait_counter(4, 10) == 4
    assert seen.proof().intact
    assert [n for n, _ in seen.arrivals] == [1, 2, 3, 4]


def test_a_truncated_and_a_replaced_file_are_read_anew(tmp_path, follow):
    console = tmp_path / 'console'
    append(console, boot() + ticks([1, 2, 3]))
    seen = follow(console)
    seen.wait_counter(3, 10)
    console.write_text(tick(4))
    seen.wait_counter(4, 10)
    other = tmp_path / 'other'
    other.write_text(boot() + ticks(range(5, 40)))
    os.replace(other, console)
    seen.wait_counter(39, 10)
    assert seen.proof().boots == 2


def test_alive_means_a_line_from_now_on(tmp_path, follow):
    console = tmp_path / 'console'
    append(console, boot() + tick(1))
    seen = follow(console)
    seen.wait_counter(1, 10)
    assert not seen.alive_within(0.05)
    said = threading.Timer(0.05, append, (console, tick(2)))
    said.start()
    assert seen.alive_within(10)
    said.join()


class Arrivals(watcher.ConsoleWatcher):
    """A watcher that is told when the lines came."""

    def __init__(self, times_s: Iterable[float]) -> None:
        super().__init__([], lines.Lines(proof.valid, proof._START), len)
        self.close()
        self._arrivals = list(zip(itertools.count(1), times_s, strict=False))


def test_the_largest_gap_counts_from_a_time_on():
    seen = Arrivals([1.0, 3.5, 4.0, 5.2])
    assert seen.largest_gap_ms() == pytest.approx(2500)
    assert seen.largest_gap_ms(3.6) == pytest.approx(1200)
    assert seen.largest_gap_ms(5.2) == 0
    assert Arrivals([]).largest_gap_ms() == 0


def test_the_standstill_is_the_gap_less_the_usual_time(tmp_path, follow):
    console = tmp_path / 'console'
    append(console, boot(print_ms=1000) + tick(1))
    seen = follow(console)
    seen.wait_counter(1, 10)
    append(console, tick(2))
    seen.wait_counter(2, 10)
    assert seen.stood_still_ms() == 0


def test_a_silence_that_still_lasts_counts(tmp_path, follow):
    console = tmp_path / 'console'
    append(console, boot(print_ms=10) + tick(1))
    seen = follow(console)
    seen.wait_counter(1, 10)
    assert not seen.alive_within(0.1)
    assert seen.stood_still_ms() >= 85


# -- the busybox guest's parser -----------------------------------------------

BID = '499961cd764144d1bc13105e9c67ccad6b0172ab'
LINUX = (
    f'LIVEMIG BOOT id={BID} disks=vda:16M,vdb:8M .\r\n'
    'LIVEMIG MARK vda read=6f6c64 wrote=68616c6c6f .\r\n'
    'LIVEMIG MARK vdb read=none wrote=none .\r\n'
)


def beats(numbers: Iterable[int], bad: int = 0) -> str:
    return ''.join(
        f'LIVEMIG BEAT n={n} id={BID} up={n}.5 pulses={n} wrote_kib={n * 4}'
        f' bad={bad} .\r\n'
        for n in numbers
    )


def linux(tmp_path: pathlib.Path, *texts: str) -> busybox.BusyboxConsole:
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f'console{number}')
        paths[-1].write_bytes(text.encode())
    return busybox.read(paths)


def test_a_linux_console_is_intact(tmp_path):
    told = linux(tmp_path, 'Linux says hello\n' + LINUX + beats(range(1, 9)))
    assert told.intact, told.summary
    assert told.disks == {'vda': '16M', 'vdb': '8M'}
    assert told.marks == {
        'vda': busybox.Mark('old', 'hallo'),
        'vdb': busybox.Mark(None, None),
    }
    assert (told.first_n, told.last_n, told.pulses) == (1, 8, 8)
    assert told.wrote_kib == 32
    assert 'vda 16M, vdb 8M checked 8 times' in told.summary


def test_a_linux_without_disks(tmp_path):
    told = linux(
        tmp_path, f'LIVEMIG BOOT id={BID} disks=none .\n' + beats([1])
    )
    assert told.intact
    assert told.disks == {}


@pytest.mark.parametrize(
    ('text', 'fault'),
    [
        ('', '0 boots'),
        (LINUX, 'no heartbeat'),
        (LINUX + beats([1, 2, 4]), '1 beats missing'),
        (LINUX + beats([1, 2, 2]), '1 beats repeated'),
        (LINUX + beats([2, 3]), 'first beat is 2'),
        (LINUX + beats([1, 2], bad=2), '2 disk errors'),
        (
            LINUX + beats([1]) + f'LIVEMIG BAD id={BID} disk=vda n=1 .\n',
            '1 disk errors',
        ),
        (LINUX + beats([1]) + LINUX, '2 boots'),
    ],
)
def test_what_speaks_against_a_linux(tmp_path, text, fault):
    told = linux(tmp_path, text)
    assert not told.intact
    assert any(fault in said for said in told.faults), told.faults


def test_a_linux_line_cut_anywhere_is_joined(tmp_path):
    cut = beats([3])
    for at in range(1, len(cut)):
        source = LINUX + beats([1, 2]) + cut[:at]
        told = linux(tmp_path, source, cut[at:] + beats([4]))
        assert told.intact, (cut[:at], told.summary)


def test_the_linux_command_line():
    words = busybox.cmdline('rescue-1', 500).split()
    assert 'livemig.mark=rescue-1' in words
    assert 'livemig.write=500' in words
    assert not any('livemig' in word for word in busybox.cmdline().split())
    for wrong in ('a b', '', 'a' * 65, "a'"):
        with pytest.raises(ValueError):
            busybox.cmdline(wrong)


# -- what is built ------------------------------------------------------------


def test_the_proof_guest_is_built_once_and_readable_by_all(tmp_path):
    kernel = proof.build(tmp_path / 'cache')
    made = kernel.stat()
    assert stat.S_IMODE(made.st_mode) == 0o644
    # A multiboot header in the first 8 KiB, as the specification wants it.
    assert struct.pack('<I', 0x1BADB002) in kernel.read_bytes()[:8192]
    assert proof.build(tmp_path / 'cache') == kernel
    assert kernel.stat().st_mtime_ns == made.st_mtime_ns
    assert os.listdir(tmp_path / 'cache') == [kernel.name]


def test_a_compiler_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(proof.BuildError, match='gcc is not installed'):
        proof.build(tmp_path / 'cache')
    assert os.listdir(tmp_path / 'cache') == []


def elf(interpreted: bool) -> bytes:
    """The least that looks like a 64 bit program with one program header."""
    head = bytearray(64)
    struct.pack_into('<Q', head, 32, 64)
    struct.pack_into('<HH', head, 54, 56, 1)
    return bytes(head) + struct.pack('<I52x', 3 if interpreted else 1)


def members(archive: bytes) -> dict[str, bytes]:
    """Read a "newc" archive again, by the kernel's description of it."""
    found = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b'070701'
        numbers = [
            int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16)
            for i in range(13)
        ]
        size, name_size = numbers[6], numbers[11]
        name = archive[at + 110 : at + 109 + name_size].decode()
        body = (at + 110 + name_size + 3) & ~3
        found[name] = archive[body : body + size]
        at = (body + size + 3) & ~3
        if name == 'TRAILER!!!':
            return found


def test_the_initrd_loads_modules_after_those_they_need(tmp_path):
    modules = tmp_path / 'modules' / 'kernel'
    modules.mkdir(parents=True)
    for name, needs in (
        ('virtio_blk', 'virtio'),
        ('virtio_pci', 'virtio,virtio-ring'),
        ('virtio', 'virtio_ring'),
        ('virtio_ring', ''),
        ('other', ''),
    ):
        content = b'\x7fELF\0license=GPL\0depends=' + needs.encode() + b'\0'
        (modules / f'{name}.ko').write_bytes(content)
    program = tmp_path / 'busybox'
    program.write_bytes(elf(interpreted=False))
    initrd = busybox.build_initrd(
        tmp_path / 'cache', tmp_path / 'modules', busybox=program
    )
    found = members(initrd.read_bytes())
    order = found['modules/order'].decode().split()
    assert set(order) == {
        *('virtio_ring.ko', 'virtio.ko', 'virtio_pci.ko', 'virtio_blk.ko'),
    }
    assert order.index('virtio_ring.ko') < order.index('virtio.ko')
    assert order.index('virtio.ko') < order.index('virtio_pci.ko')
    assert order.index('virtio.ko') < order.index('virtio_blk.ko')
    assert found['bin/sh'] == b'busybox'
    assert found['init'].startswith(b'#!/bin/sh\n')
    assert stat.S_IMODE(initrd.stat().st_mode) == 0o644


def test_a_busybox_that_needs_libraries_is_refused(tmp_path):
    program = tmp_path / 'busybox'
    program.write_bytes(elf(interpreted=True))
    with pytest.raises(busybox.BuildError, match='not static'):
        busybox.build_initrd(tmp_path / 'cache', busybox=program)


def test_images_keep_their_marker(tmp_path):
    raw = images.make_raw(tmp_path / 'a.raw', 4, 'one')
    qcow2 = images.make_qcow2(tmp_path / 'b.qcow2', 4, 'two')
    upper = images.make_qcow2(tmp_path / 'c.qcow2', 4, backing=qcow2)
    empty = images.make_qcow2(tmp_path / 'd.qcow2', 4)
    assert raw.stat().st_size == 4 << 20
    assert images.read_mark(raw, 'raw') == 'one'
    assert images.read_mark(qcow2, 'qcow2') == 'two'
    assert images.read_mark(upper, 'qcow2') == 'two'
    assert images.read_mark(empty, 'qcow2') is None
    with pytest.raises(ValueError):
        images.make_raw(tmp_path / 'e.raw', 4, 'a b')
    with pytest.raises(ValueError):
        images.make_qcow2(tmp_path / 'e.qcow2', 4, 'x', backing=qcow2)
    with pytest.raises(images.ImageError, match='qemu-img'):
        images.read_mark(tmp_path / 'nowhere', 'raw')
