"""The lab itself: real hosts and servers come up, and nothing stays."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from lab import Host, Lab, LabError, registry
from tests.integration import machine

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(ROOT / 'tools')}

# A guest without a disk: its firmware waits for ever, which is enough to
# have a QEMU with memory that moves.
GUEST = """
<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""

pytestmark = pytest.mark.libvirt


@pytest.fixture(scope='module')
def lab() -> Iterator[Lab]:
    with Lab(hosts=2) as lab:
        yield lab


@pytest.fixture
def guest(lab: Lab) -> Iterator[str]:
    """The name of a guest that runs on the first host."""
    name = f'guest-{uuid.uuid4().hex[:8]}'
    with _connected(lab.hosts[0]) as first:
        first.createXML(_guest(name), 0)
    yield name
    for host in lab.hosts:
        with (
            _connected(host) as connection,
            contextlib.suppress(libvirt.libvirtError),
        ):
            connection.lookupByName(name).destroy()


# --- hosts ---


def test_hosts_can_start_guests_and_differ(lab: Lab) -> None:
    seen = set()
    for host in lab.hosts:
        with _connected(host) as connection:
            assert "<arch name='x86_64'>" in connection.getCapabilities()
            assert host.uuid in connection.getCapabilities()
            domain = connection.createXML(_guest('there'), 0)
            assert domain.isActive()
            domain.destroy()
        seen.add((host.uuid, host.port, host.control_uri, host.pid))
    assert len(seen) == 2


def test_the_control_socket_is_for_its_user_and_root_alone(lab: Lab) -> None:
    for host in lab.hosts:
        info = host.socket.stat()
        assert info.st_mode & 0o777 == 0o600
        assert info.st_uid == lab.run_as[0]
        assert len(os.fsencode(host.socket)) < 108


def test_the_hosts_user_can_connect_too(lab: Lab) -> None:
    # libvirt's binding may lie where that user cannot read it: this asks
    # with the lab's own few words of libvirt's protocol.
    copy = lab.shared_path / 'remote.py'
    copy.write_text((ROOT / 'tools/lab/remote.py').read_text())
    copy.chmod(0o644)
    code = (
        'import pathlib, sys, remote; '
        'print(remote.capabilities(pathlib.Path(sys.argv[1]), 10))'
    )
    handle = lab.spawn(
        'asks',
        ['/usr/bin/python3', '-c', code, lab.hosts[0].socket],
        user='run_as',
        cwd=lab.shared_path,
    )

    assert handle.wait(machine.LONG_S) == 0, handle.tail()
    assert lab.hosts[0].uuid in handle.log.read_text()


def test_libvirtd_holds_no_root(lab: Lab) -> None:
    for host in lab.hosts:
        status = Path(f'/proc/{host.pid}/status').read_text()
        fields = dict(
            line.split(':\t', 1)
            for line in status.splitlines()
            if ':\t' in line
        )
        assert fields['Uid'].split() == [str(lab.run_as[0])] * 4
        assert lab.run_as[0] != 0
        # CAP_SYS_PTRACE, bit 19, is all it may have
        assert int(fields['CapEff'], 16) & ~(1 << 19) == 0


def test_a_killed_libvirtd_keeps_its_guests(lab: Lab, guest: str) -> None:
    host = lab.hosts[0]
    before = host.pid
    qemu = _qemu(guest)

    host.kill_daemon()
    assert not host.running
    with pytest.raises(LabError):
        host.pid  # noqa: B018
    assert _qemu(guest) == qemu

    host.start_daemon()
    assert host.pid != before
    with _connected(host) as connection:
        assert connection.lookupByName(guest).isActive()
    assert _qemu(guest) == qemu


def test_a_guest_migrates_live(lab: Lab, guest: str) -> None:
    _migrate(lab, guest, libvirt.VIR_MIGRATE_LIVE)

    with _connected(lab.hosts[1]) as second:
        assert second.lookupByName(guest).isActive()
    with (
        _connected(lab.hosts[0]) as first,
        pytest.raises(libvirt.libvirtError),
    ):
        first.lookupByName(guest)


def test_post_copy_works_as_the_lab_says(lab: Lab, guest: str) -> None:
    assert lab.post_copy_reason
    if not lab.post_copy:
        with pytest.raises(libvirt.libvirtError, match='[Pp]ostcopy'):
            _migrate(lab, guest, _POST_COPY)
        return
    reached: list[int] = []
    slow = {
        libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: 1,
        libvirt.VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY: 1,
    }
    thread = threading.Thread(
        target=_migrate, args=(lab, guest, _POST_COPY, slow)
    )
    thread.start()
    with _connected(lab.hosts[0]) as first:
        domain = first.lookupByName(guest)

        def switched() -> bool:
            try:
                domain.migrateStartPostCopy(0)
            except libvirt.libvirtError:
                assert thread.is_alive(), 'it ended before it could switch'
                return False
            return True

        machine.until(switched)
        with _connected(lab.hosts[1]) as second:

            def runs_there() -> bool:
                try:
                    state, reason = second.lookupByName(guest).state()
                except libvirt.libvirtError:
                    return False
                reached.append(reason)
                return bool(state == libvirt.VIR_DOMAIN_RUNNING)

            machine.until(runs_there)
            thread.join(machine.LONG_S)
            assert not thread.is_alive()
            assert second.lookupByName(guest).isActive()
    assert reached[-1] == libvirt.VIR_DOMAIN_RUNNING_POSTCOPY


# --- processes ---


def test_a_process_runs_ends_and_is_told(lab: Lab) -> None:
    handle = lab.spawn('says', ['sh', '-c', 'echo "$A"; exit 7'], {'A': 'b'})

    assert handle.wait(machine.LONG_S) == 7
    assert handle.poll() == 7
    assert handle.log.read_text() == 'b\n'


def test_a_process_can_be_killed_with_its_children(lab: Lab) -> None:
    handle = lab.spawn('waits', ['sh', '-c', 'sleep 1000 & echo $!; wait'])
    machine.until(lambda: handle.log.read_text().strip())
    child = int(handle.log.read_text())

    with pytest.raises(TimeoutError):
        handle.wait(0.1)
    handle.kill()

    assert handle.wait(machine.LONG_S) == -signal.SIGKILL
    machine.until(lambda: not machine.alive(child))


def test_a_program_that_is_not_there_is_an_error(lab: Lab) -> None:
    with pytest.raises(LabError, match='No such file'):
        lab.spawn('none', ['/nonexistent/program'])


def test_only_the_labs_own_processes_can_be_signalled(lab: Lab) -> None:
    other = subprocess.Popen(['sleep', '1000'])
    try:
        lab._keeper.ask('signal', pid=other.pid, number=int(signal.SIGKILL))
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_destination_can_be_a_black_hole(lab: Lab) -> None:
    with pytest.raises(TimeoutError):
        socket.create_connection(lab.blackhole_address(), 0.3)


# --- the end ---


def test_stopping_leaves_nothing() -> None:
    interfaces = sorted(os.listdir('/sys/class/net'))
    lab = Lab(hosts=2)
    with _connected(lab.hosts[0]) as connection:
        connection.createXML(_guest('orphan'), 0)
    lab.spawn('stubborn', ['sh', '-c', 'trap "" TERM; sleep 1000 & wait'])
    lab.spawn('far', ['setsid', '--fork', 'sleep', '1000'])
    assert machine.processes_of(lab.directory)

    lab.stop()

    assert machine.processes_of(lab.directory) == []
    assert not lab.directory.exists()
    assert str(lab.directory) not in Path('/proc/self/mounts').read_text()
    assert sorted(os.listdir('/sys/class/net')) == interfaces
    assert lab.name not in [entry.name for entry in registry.entries()]


def test_services_end_in_order_before_the_lab_does() -> None:
    with Lab(hosts=0) as lab:
        mark = lab.directory.with_name(f'{lab.directory.name}-mark')
        end = f'echo ended > {mark}; exit'
        script = f'trap "{end}" TERM; echo up; sleep 1000 & wait'
        handle = lab.spawn('service', ['sh', '-c', script])
        machine.until(lambda: handle.log.read_text())
    try:
        assert mark.read_text() == 'ended\n'
    finally:
        mark.unlink()


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
def test_an_owner_that_dies_leaves_nothing(number: int) -> None:
    owner, directory = _owner()
    # A process that it forked holds the pipe open: that must not matter.
    assert machine.processes_of(directory)

    owner.send_signal(number)
    owner.wait()

    machine.until(lambda: not directory.exists())
    machine.until(lambda: machine.processes_of(directory) == [])


def test_two_labs_live_side_by_side(lab: Lab) -> None:
    with Lab(hosts=2) as other:
        assert other.directory != lab.directory
        ports = [h.port for h in (*lab.hosts, *other.hosts)]
        assert len(set(ports)) == 4
        with _connected(other.hosts[0]) as connection:
            connection.createXML(_guest('same-name'), 0)
        with _connected(lab.hosts[0]) as connection:
            connection.createXML(_guest('same-name'), 0)
    # The end of one is not the other's.
    with _connected(lab.hosts[0]) as connection:
        domain = connection.lookupByName('same-name')
        assert domain.isActive()
        domain.destroy()


def test_without_tcp_nobody_else_gets_in_and_guests_migrate() -> None:
    with Lab(hosts=2, tcp=False) as lab:
        name = 'over-unix'
        with _connected(lab.hosts[0]) as connection:
            connection.createXML(_guest(name), 0)
        for host in lab.hosts:
            assert machine.listening(host.pid) == []

        _migrate(lab, name, libvirt.VIR_MIGRATE_LIVE)

        with _connected(lab.hosts[1]) as connection:
            assert connection.lookupByName(name).isActive()


def test_a_second_lab_of_that_name_is_refused(lab: Lab) -> None:
    with pytest.raises(LabError):
        Lab(hosts=0, name=lab.name)

    assert all(host.running for host in lab.hosts)


def test_a_directory_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match='too long'):
        Lab(hosts=1, directory=tmp_path / ('x' * 60))


# --- the command line ---


def test_a_detached_lab_stays_until_it_is_stopped() -> None:
    name = f'test-{uuid.uuid4().hex[:6]}'
    facts = json.loads(
        _command('start', '--hosts', '1', '--name', name, '--json')
    )
    directory = Path(facts['directory'])
    try:
        conn = libvirt.open(facts['hosts'][0]['control_uri'])
        assert conn.listAllDomains() == []
        conn.close()
        listed = {
            lab['name']: lab for lab in json.loads(_command('list', '--json'))
        }
        assert listed[name]['state'] == 'running'
        assert listed[name]['processes'] == 1
        assert name in _command('list')
    finally:
        _command('stop', name)

    assert not directory.exists()
    assert machine.processes_of(directory) == []
    assert name not in _command('list')


def test_what_a_killed_keeper_left_can_be_stopped() -> None:
    name = f'test-{uuid.uuid4().hex[:6]}'
    facts = json.loads(
        _command('start', '--hosts', '1', '--name', name, '--json')
    )
    directory = Path(facts['directory'])
    conn = libvirt.open(facts['hosts'][0]['control_uri'])
    conn.createXML(_guest('orphan'), 0)
    conn.close()
    (entry,) = [e for e in registry.entries() if e.name == name]
    os.kill(entry.pid, signal.SIGKILL)
    machine.until(lambda: not entry.alive)
    assert len(machine.processes_of(directory)) == 2  # libvirtd and QEMU

    _command('stop', name)

    assert machine.processes_of(directory) == []
    assert not directory.exists()
    assert name not in _command('list')


# --- means ---

_POST_COPY = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_POSTCOPY


@contextlib.contextmanager
def _connected(host: Host) -> Iterator[Any]:
    connection = libvirt.open(host.control_uri)
    try:
        yield connection
    finally:
        connection.close()


def _guest(name: str) -> str:
    return GUEST.format(name=name, uuid=uuid.uuid4())


def _migrate(
    lab: Lab,
    guest: str,
    flags: int,
    more: dict[str, int] | None = None,
) -> None:
    destination = lab.hosts[1]
    with _connected(lab.hosts[0]) as first:
        first.lookupByName(guest).migrateToURI3(
            destination.migration_uri,
            {
                libvirt.VIR_MIGRATE_PARAM_URI: 'tcp:127.0.0.1',
                libvirt.VIR_MIGRATE_PARAM_LISTEN_ADDRESS: (
                    destination.migration_address
                ),
                **(more or {}),
            },
            flags | libvirt.VIR_MIGRATE_PEER2PEER,
        )


def _command(*arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, '-m', 'lab', *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=machine.LONG_S,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def _owner() -> tuple[subprocess.Popen[str], Path]:
    """A process that owns a lab with a guest, and has forked another."""
    code = f"""
import os, sys, time, libvirt
from lab import Lab
lab = Lab(hosts=1)
connection = libvirt.open(lab.hosts[0].control_uri)
connection.createXML({_guest('orphan')!r}, 0)
if os.fork() == 0:
    os.close(1)
    while os.path.exists(lab.directory):
        time.sleep(0.1)
    os._exit(0)
print(lab.directory, flush=True)
sys.stdin.read()
"""
    owner = subprocess.Popen(
        [sys.executable, '-c', code],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    with owner.stdout:
        line = owner.stdout.readline()
    assert line
    return owner, Path(line.strip())


def _qemu(guest: str) -> list[int]:
    return [
        int(path.parent.name)
        for path in Path('/proc').glob('[0-9]*/cmdline')
        if f'guest={guest},'.encode() in machine.read(path)
    ]
