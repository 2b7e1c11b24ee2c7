"""The contract suite's rig with real libvirt, QEMU and the proof guest."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Callable, Iterator

import libvirt
from oslo_config import cfg

from lab import hosts, labs
from lab.guests import proof
from livemig import concurrency, conf
from livemig.virt import driver, job
from livemig.virt.libvirt import driver as libvirt_driver
from tests.contract import rig

POLL_S = 0.02


class LibvirtRig(rig.Rig):
    """The first two hosts of a lab; many rigs may have the same one, one
    after the other."""

    def __init__(self, lab: labs.Lab) -> None:
        super().__init__()
        self._lab = lab
        self._kernel = proof.build(lab.shared_path)
        self._watchers: dict[str, proof.Watcher] = {}
        #: Of guests that are given no size of a disk.
        self.disks: tuple[driver.DiskSpec, ...] = ()
        self._hosts = dict(
            zip(('source', 'destination'), lab.hosts, strict=False)
        )
        self._opened: list[driver.Driver] = []
        self.source = self._driver('source')
        self.destination = self._driver('destination')

    def _driver(self, name: str) -> driver.Driver:
        host = self._hosts[name]
        made = libvirt_driver.build(
            _options(self._lab, host), concurrency.Clock()
        )
        self._opened.append(made)
        return made

    # -- guests -------------------------------------------------------------
    def spec(
        self, guest_id: str, cmdline: str, disk_mib: int
    ) -> driver.GuestSpec:
        disks = self.disks
        if disk_mib:
            disks = (driver.DiskSpec('vda', 'qcow2', disk_mib * rig.MIB),)
        return driver.GuestSpec(
            guest_id=guest_id,
            name=f'guest-{guest_id[:8]}',
            memory_mib=rig.MEMORY_MIB,
            vcpus=1,
            kernel=str(self._kernel),
            cmdline=cmdline,
            disks=disks,
        )

    def rescue_spec(self, cmdline: str, disk_mib: int) -> driver.RescueSpec:
        return driver.RescueSpec(
            kernel=str(self._kernel),
            cmdline=cmdline,
            disk=driver.DiskSpec('vda', 'raw', disk_mib * rig.MIB)
            if disk_mib
            else None,
        )

    def boots(self, guest_id: str) -> int:
        return self._watchers[guest_id].proof().boots

    def files(self, guest_id: str, host: str) -> list[str]:
        path = self._hosts[host].instances_path / guest_id
        return sorted(
            file.stem for file in path.glob('*') if file.suffix != '.log'
        )

    def spawn(
        self, load: str = 'idle', *, disk_mib: int = 0, off_s: int = 0
    ) -> str:
        guest_id = super().spawn(load, disk_mib=disk_mib, off_s=off_s)
        watcher = proof.Watcher(
            host.instances_path / guest_id / 'console.log'
            for host in self._hosts.values()
        )
        self._watchers[guest_id] = watcher
        watcher.wait_ready()
        # A guest that is paused before its first line would prove nothing.
        self.wait_until(lambda: watcher.proof().last_n, 30.0)
        return guest_id

    def assert_intact(self, guest_id: str) -> None:
        watcher = self._watchers[guest_id]
        if self.running_at(guest_id):
            said = watcher.proof().last_n
            self.wait_until(lambda: watcher.proof().last_n > said, 30.0)
        assert watcher.proof().faults == ()

    def limits(self, guest_id: str) -> tuple[int, int]:
        conn = libvirt.open(self._hosts['source'].control_uri)
        try:
            domain = conn.lookupByUUIDString(guest_id)
            return domain.migrateGetMaxSpeed(), domain.migrateGetMaxDowntime()
        finally:
            conn.close()

    def second_source_driver(self) -> driver.Driver:
        return self._driver('source')

    def wait_until(
        self, happens: Callable[[], object], timeout_s: float = 60.0
    ) -> None:
        end_s = time.monotonic() + timeout_s
        while not happens():
            assert time.monotonic() < end_s, 'has not happened'
            time.sleep(POLL_S)

    # -- faults -------------------------------------------------------------
    def break_post_copy(self, guest_id: str) -> None:
        conn = libvirt.open(self._hosts['source'].control_uri)
        try:
            domain = conn.lookupByUUIDString(guest_id)
            domain.abortJobFlags(libvirt.VIR_DOMAIN_ABORT_JOB_POSTCOPY)
        finally:
            conn.close()

    def restart_daemon(self, host: str) -> None:
        self._hosts[host].kill_daemon()
        self._hosts[host].start_daemon()

    def freeze_daemon(self, host: str) -> Callable[[], None]:
        """The same with that host's libvirtd."""
        one = self._hosts[host]
        one.signal_daemon(signal.SIGSTOP)
        return lambda: one.signal_daemon(signal.SIGCONT)

    def image(self, name: str, data: bytes) -> pathlib.Path:
        """An image file where both hosts find it; the lab removes it."""
        path = self._lab.shared_path / name
        path.write_bytes(data)
        return path

    def disk(self, guest_id: str, host: str, name: str) -> pathlib.Path:
        return self._hosts[host].instances_path / guest_id / name

    def freeze(self, guest_id: str) -> Callable[[], None]:
        """Stop the guest's process at the source, so that nothing asked of
        it is answered; gives what lets it go on."""
        run = self._hosts['source'].path / 'run/libvirt/qemu/run'
        pid = int((run / f'livemig-{guest_id}.pid').read_text())
        os.kill(pid, signal.SIGSTOP)
        return lambda: os.kill(pid, signal.SIGCONT)

    def drop_broken(self, plan: driver.TransferPlan) -> None:
        """It is lost: resuming it is not among what a driver promises."""
        for one in (self.source, self.destination):
            one.destroy(plan.guest_id)

    def nowhere(self) -> str:
        return f'qemu+tcp://127.0.0.1:{self._lab.free_port()}/session'

    # -- what is left ---------------------------------------------------------
    def leftovers(self) -> list[str]:
        return list(self._leftovers())

    def _leftovers(self) -> Iterator[str]:
        for name, one in self._drivers():
            guests = one.guests()
            for guest_id, state in guests.items():
                if state.reason is job.Reason.MIGRATED and (
                    state.power is job.Power.SHUTOFF
                ):
                    yield f'{name}: definition of {guest_id}'
                elif state.job:
                    yield f'{name}: incoming or outgoing {guest_id}'
            for path in sorted(self._instances(one)):
                if path.name not in guests:
                    yield f'{name}: {path}'

    def _drivers(self) -> tuple[tuple[str, driver.Driver], ...]:
        return ('source', self.source), ('destination', self.destination)

    @staticmethod
    def _instances(one: driver.Driver) -> Iterator[pathlib.Path]:
        return pathlib.Path(one.host_facts().instances_path).iterdir()

    def close(self) -> None:
        try:
            for guest_id in self.spawned:
                for _, one in self._drivers():
                    one.destroy(guest_id)
            assert self.leftovers() == []
        finally:
            for watcher in self._watchers.values():
                watcher.close()
            for opened in self._opened:
                opened.close()


def _options(lab: labs.Lab, host: hosts.Host) -> cfg.ConfigOpts:
    """A compute manager's options for that host of the lab."""
    options = cfg.ConfigOpts()
    conf.register_opts(options)
    options([], default_config_files=[], default_config_dirs=[])
    uid, gid = lab.run_as
    for name, value, group in (
        ('host', host.name, None),
        ('instances_path', str(host.instances_path), None),
        ('connection_uri', host.control_uri, 'libvirt'),
        ('virt_type', 'qemu', 'libvirt'),
        ('live_migration_uri', host.migration_uri, 'libvirt'),
        (
            'live_migration_inbound_addr',
            host.migration_address,
            'libvirt',
        ),
        ('guest_file_owner', f'{uid}:{gid}', 'libvirt'),
        ('post_copy_capable', 'yes' if lab.post_copy else 'no', 'libvirt'),
    ):
        options.set_override(name, value, group)
    return options
