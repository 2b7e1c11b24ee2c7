"""The guests, really booted and migrated by QEMU alone, keep their word."""

import json
import os
import pathlib
import socket
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from lab import kernel as linux_kernel
from lab.guests import busybox, images, proof

pytestmark = pytest.mark.libvirt

CACHE = pathlib.Path(
    os.environ.get('LIVEMIG_LAB_CACHE', '~/.cache/livemig-lab')
).expanduser()


class Qemu:
    """One QEMU process and its QMP connection; no libvirt."""

    def __init__(
        self,
        kernel: pathlib.Path,
        cmdline: str,
        memory_mib: int,
        console: pathlib.Path,
        more: Sequence[str] = (),
    ) -> None:
        ours, theirs = socket.socketpair()
        fd = theirs.fileno()
        self.process = subprocess.Popen(
            [
                *('qemu-system-x86_64', '-machine', 'pc,accel=tcg'),
                *('-cpu', 'qemu64', '-m', str(memory_mib)),
                *('-display', 'none', '-nodefaults', '-no-user-config'),
                *('-chardev', f'file,id=com1,path={console},append=on'),
                *('-serial', 'chardev:com1'),
                *('-kernel', str(kernel), '-append', cmdline),
                *('-chardev', f'socket,id=qmp,fd={fd}'),
                *('-mon', 'chardev=qmp,mode=control'),
                *more,
            ],
            pass_fds=[fd],
        )
        theirs.close()
        ours.settimeout(60)
        self._socket = ours
        self._stream = ours.makefile('rw')
        self._events: list[dict[str, Any]] = []
        self._message()
        self.ask('qmp_capabilities')

    def _message(self) -> dict[str, Any]:
        text = self._stream.readline()
        assert text, 'QEMU is gone'
        message: dict[str, Any] = json.loads(text)
        return message

    def ask(self, command: str, **arguments: Any) -> Any:
        request = {'execute': command, 'arguments': arguments}
        self._stream.write(json.dumps(request) + '\n')
        self._stream.flush()
        while True:
            message = self._message()
            if 'event' in message:
                self._events.append(message)
                continue
            assert 'error' not in message, message
            return message['return']

    def await_event(self, name: str, **data: Any) -> None:
        """Wait for an event whose data has these values."""
        while True:
            while self._events:
                event = self._events.pop(0)
                told = event.get('data', {})
                if event['event'] == name and data.items() <= told.items():
                    return
            self._events.append(self._message())

    def migrate(self, destination: 'Qemu', way: pathlib.Path) -> None:
        destination.ask('migrate-incoming', uri=f'unix:{way}')
        self.ask(
            'migrate-set-capabilities',
            capabilities=[{'capability': 'events', 'state': True}],
        )
        self.ask('migrate-set-parameters', **{'max-bandwidth': 100 << 20})
        self.ask('migrate', uri=f'unix:{way}')
        self.await_event('MIGRATION', status='completed')

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._stream.close()
        self._socket.close()


class Bench:
    """Starts QEMUs and watchers in a directory and ends them again."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.consoles = [path / 'source.log', path / 'destination.log']
        self.opened: list[Any] = []

    def proof_guest(
        self,
        memory_mib: int,
        *,
        to: int = 0,
        more: Sequence[str] = (),
        **k: Any,
    ) -> Qemu:
        kernel = proof.build(CACHE)
        words = proof.cmdline(**k)
        guest = Qemu(kernel, words, memory_mib, self.consoles[to], more)
        self.opened.append(guest)
        return guest

    def linux(self, words: str, *, to: int = 0, more: Sequence[str]) -> Qemu:
        initrd = busybox.build_initrd(
            CACHE, linux_kernel.kernel_modules(CACHE)
        )
        more = ['-initrd', str(initrd), *more]
        kernel = linux_kernel.kernel(CACHE)
        guest = Qemu(kernel, words, 128, self.consoles[to], more)
        self.opened.append(guest)
        return guest

    def watch_proof(self) -> proof.Watcher:
        self.opened.append(proof.Watcher(self.consoles))
        return self.opened[-1]

    def watch_linux(self) -> busybox.Watcher:
        self.opened.append(busybox.Watcher(self.consoles))
        return self.opened[-1]


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for opened in reversed(made.opened):
        opened.close()


INCOMING = ('-incoming', 'defer')


def drive(path: pathlib.Path, image_format: str) -> tuple[str, str]:
    return '-drive', f'file={path},format={image_format},if=virtio'


def test_the_proof_guest_survives_a_migration(bench):
    source = bench.proof_guest(96, ws_mib=64, rate=5000, print_ms=20)
    destination = bench.proof_guest(
        96, to=1, more=INCOMING, ws_mib=64, rate=5000, print_ms=20
    )
    seen = bench.watch_proof()
    seen.wait_ready(30)
    seen.wait_counter(100, 30)
    source.migrate(destination, bench.path / 'way')
    source.close()
    assert seen.alive_within(10)
    seen.wait_swept(1, 60)
    told = seen.proof()
    assert told.intact, told.summary
    assert told.scraps == ()
    assert bench.consoles[1].stat().st_size > 0
    assert proof.read(bench.consoles).intact


def test_a_standstill_is_seen_from_outside_and_inside(bench):
    guest = bench.proof_guest(32, ws_mib=16, rate=1000, print_ms=20)
    seen = bench.watch_proof()
    seen.wait_line(lambda text: ' rtc=1 ' in text, 30)
    since_s = seen.lines[-1].at_s
    guest.ask('stop')
    guest.await_event('STOP')
    assert not seen.alive_within(0.7)
    guest.ask('cont')
    assert seen.alive_within(10)
    inside_ms = seen.guest_stood_still_ms(since_s)
    outside_ms = seen.stood_still_ms(since_s)
    assert 680 <= inside_ms < 2000
    assert 680 <= outside_ms < 2000
    assert abs(inside_ms - outside_ms) < 300
    assert seen.proof().intact


def test_damage_is_found(bench):
    bench.proof_guest(32, ws_mib=16, rate=1000, spoil_s=1)
    seen = bench.watch_proof()
    found = seen.wait_line(lambda text: text.startswith('BAD '), 30)
    assert ' word=77 ' in found.text
    assert not seen.proof().intact


def test_too_little_memory_is_an_error(bench):
    bench.proof_guest(16, ws_mib=64)
    seen = bench.watch_proof()
    seen.wait_counter(1, 30)
    told = seen.proof()
    assert not told.intact
    assert 'ERROR too little memory' in told.errors[0]


def test_the_proof_guest_powers_itself_off(bench):
    guest = bench.proof_guest(32, ws_mib=4, off_s=1)
    assert guest.process.wait(30) == 0
    told = proof.read(bench.consoles)
    assert told.intact, told.summary
    assert told.off == 'option'


def test_the_proof_guest_obeys_the_power_button(bench):
    guest = bench.proof_guest(32, ws_mib=4)
    bench.watch_proof().wait_counter(1, 30)
    guest.ask('system_powerdown')
    assert guest.process.wait(30) == 0
    assert proof.read(bench.consoles).off == 'button'


def test_linux_marks_its_disk_and_finds_the_marker_again(bench):
    raw = images.make_raw(bench.path / 'a.raw', 16, 'first')
    qcow2 = images.make_qcow2(bench.path / 'b.qcow2', 8, 'other')
    disks = [*drive(raw, 'raw'), *drive(qcow2, 'qcow2')]
    guest = bench.linux(busybox.cmdline('second'), more=disks)
    bench.watch_linux().wait_ready(60)
    assert images.read_mark(raw, 'raw') == 'second'
    guest.ask('system_powerdown')
    assert guest.process.wait(30) == 0
    told = busybox.read(bench.consoles[0])
    assert told.intact, told.summary
    assert told.disks == {'vda': '16M', 'vdb': '8M'}
    assert told.marks == {
        'vda': busybox.Mark('first', 'second'),
        'vdb': busybox.Mark('other', None),
    }
    again = bench.linux(busybox.cmdline(), to=1, more=disks)
    seen = bench.watch_linux()
    seen.wait_line(lambda text: 'MARK vda' in text and 'none' in text, 60)
    again.close()
    assert busybox.read(bench.consoles[1]).marks['vda'] == busybox.Mark(
        'second', None
    )


def test_linux_notices_a_disk_that_forgets(bench):
    raw = images.make_raw(bench.path / 'a.raw', 16)
    bench.linux(busybox.cmdline(), more=drive(raw, 'raw'))
    seen = bench.watch_linux()
    seen.wait_line(lambda text: ' pulses=2 ' in text, 60)
    with raw.open('r+b') as disk:
        disk.seek(2 << 20)  # the pulse
        disk.write(b'LIVEMIG:something else\n')
    seen.wait_line(lambda text: text.startswith('LIVEMIG BAD '), 30)
    seen.wait_line(lambda text: ' bad=1 ' in text, 30)
    assert not seen.console().intact


def test_linux_survives_a_migration_while_it_writes(bench):
    raw = images.make_raw(bench.path / 'a.raw', 16)
    words = busybox.cmdline('kept', 300)
    source = bench.linux(words, more=drive(raw, 'raw'))
    destination = bench.linux(
        words, to=1, more=[*drive(raw, 'raw'), *INCOMING]
    )
    seen = bench.watch_linux()
    seen.wait_counter(10, 60)
    source.migrate(destination, bench.path / 'way')
    source.close()
    before = seen.console()
    seen.wait_counter(seen.counter + 25, 30)
    told = seen.console()
    assert told.intact, told.summary
    assert told.pulses >= before.pulses + 2
    assert told.wrote_kib > before.wrote_kib
    assert images.read_mark(raw, 'raw') == 'kept'
