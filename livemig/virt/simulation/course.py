"""What a simulated migration does to the guests of its two hosts.

Each of the transfer's happenings has one reaction here. Also where guests
begin and end, and where what must never happen is noticed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from livemig.virt import driver, job
from livemig.virt.simulation.host import (
    Fault,
    Guest,
    Host,
    Limits,
    Machine,
    Memory,
    Storage,
)
from livemig.virt.simulation.terms import Happening, Phase
from livemig.virt.simulation.transfer import Transfer

#: libvirt's words.
CANCELLED_TEXT = 'operation aborted: migration out: canceled by client'
PEER_LOST_TEXT = 'internal error: client socket is closed'


@dataclasses.dataclass
class Job:
    """A transfer between two hosts of the world."""

    transfer: Transfer
    plan: driver.TransferPlan
    options: driver.TransferOptions
    source: Host
    #: None: its address leads nowhere.
    destination: Host | None
    owner: Memory

    @property
    def guest_id(self) -> str:
        return self.plan.guest_id

    @property
    def there(self) -> Host:
        """The destination, once it was reached."""
        if self.destination is None:
            raise LookupError(f'{self.plan.destination.migration_uri}')
        return self.destination


class Course:
    """Hosts, guests and jobs at one moment; called with the lock held."""

    def __init__(self, now_s: float) -> None:
        self.hosts: dict[str, Host] = {}
        self.storages: dict[str, Storage] = {}
        self.jobs: dict[str, Job] = {}
        #: What must never happen and did, in words.
        self.violations: list[str] = []
        #: How often each guest was started from nothing.
        self.boots: dict[str, int] = {}
        self.now_s = now_s
        self._cut: set[frozenset[str]] = set()
        self._reactions: dict[Happening, Callable[[Job], None]] = {
            Happening.CONNECTING: self._connect,
            Happening.PREPARED: self._make_incoming,
            Happening.SWITCHOVER: self._stop_source,
            Happening.ARRIVED: self._arrive,
            Happening.ENDED: self._let_go,
            Happening.CANCELLED: self._roll_back,
            Happening.FAILED: self._roll_back,
            Happening.POST_COPY_BROKEN: self._post_copy_broken,
            Happening.POST_COPY_GIVEN_UP: self._post_copy_given_up,
        }

    def _run_job(self, one: Job, moment_s: float) -> None:
        while (happening := one.transfer.step(moment_s)) is not None:
            self._react(one, happening)

    def _settle(self, one: Job) -> None:
        """Let follow what is due at this moment."""
        self._run_job(one, self.now_s)

    def _react(self, one: Job, happening: Happening) -> None:
        self._reactions[happening](one)
        self._check_guest(one.guest_id)

    def _executing(self) -> Iterator[tuple[Host, str, Guest]]:
        for host in self.hosts.values():
            for guest_id, guest in host.guests.items():
                if guest.power is job.Power.RUNNING:
                    yield host, guest_id, guest

    # -- the course of a job --------------------------------------------------
    def begin(self, one: Job) -> None:
        """A hypervisor was called to migrate; inside ``present``."""
        transfer, source = one.transfer, one.source
        machine = source.guests[one.guest_id].machine
        if rule := source.strike(Fault.TRANSFER_BREAKS):
            transfer.breaks_at_s = self.now_s + rule.after_s
        if rule := source.strike(Fault.POST_COPY_BREAKS):
            transfer.post_copy_breaks_after_s = rule.after_s
        for fault in (Fault.GUEST_SHUTS_DOWN, Fault.GUEST_CRASHES):
            if rule := source.strike(fault):
                machine.off_at_s = self.now_s + rule.after_s
                machine.crashes = fault is Fault.GUEST_CRASHES
        self.jobs[one.guest_id] = one
        self._settle(one)

    def _connect(self, one: Job) -> None:
        transfer = one.transfer
        guest = one.source.guests[one.guest_id]
        if one.options.post_copy and not self._runs(guest):
            transfer.refuse(
                'unsupported configuration: post-copy migration is not '
                'supported with non-live or paused migration'
            )
            return
        name = one.destination.name if one.destination else ''
        if one.destination and one.destination.has(Fault.BLACK_HOLE):
            transfer.refuse(
                'unable to connect to server: Connection timed out',
                transfer.pace.connect_s,
            )
        elif reason := self.no_way(one.source, one.destination):
            transfer.refuse(f'unable to connect to server {name}: {reason}')

    def no_way(self, source: Host, destination: Host | None) -> str:
        """'' or why the one hypervisor does not reach the other."""
        if destination is None:
            return 'Name or service not known'
        if destination.has(Fault.BLACK_HOLE):
            return 'Connection timed out'
        if frozenset((source.name, destination.name)) in self._cut:
            return 'No route to host'
        if destination.has(Fault.UNREACHABLE) or self.away(destination):
            return 'Connection refused'
        return ''

    def away(self, host: Host) -> bool:
        return self.now_s < host.away_until_s

    @staticmethod
    def _runs(guest: Guest) -> bool:
        return guest.power is job.Power.RUNNING

    def _make_incoming(self, one: Job) -> None:
        source, host, guest_id = one.source, one.there, one.guest_id
        if reason := self._unfit(one, source, host):
            one.transfer.refuse(reason)
            return
        host.guests[guest_id] = Guest(
            source.guests[guest_id].machine,
            job.Power.PAUSED,
            job.Reason.MIGRATION,
            incoming=one.plan.migration_id,
        )

    def _unfit(self, one: Job, source: Host, host: Host) -> str:
        """'' or why the destination's hypervisor will not take it."""
        guest_id = one.guest_id
        if self.away(host):
            return PEER_LOST_TEXT
        if host.strike(Fault.INCOMING_REFUSED):
            return (
                'internal error: process exited while connecting to '
                'monitor: cannot set up guest memory'
            )
        if guest_id in host.guests and host.guests[guest_id].alive:
            return f"operation failed: domain '{guest_id}' is already active"
        disks = source.storage.directories.get(guest_id, {})
        writable = [d for d in disks.values() if not d.facts.read_only]
        shared = source.storage is host.storage
        if not one.plan.block_migration:
            if writable and not shared:
                return (
                    'Unsafe migration: Migration without shared storage '
                    'is unsafe'
                )
            return ''
        if shared and writable:
            self._violated(
                f'{guest_id}: its disks would be copied onto themselves'
            )
            return 'the disks of both guests are the same files'
        there = host.storage.directories.get(guest_id, {})
        for name, disk in disks.items():
            if disk.facts.read_only:
                continue
            target = there.get(name)
            if target is None:
                return 'Storage pool not found: no pool with matching path'
            size = target.facts.virtual_size_bytes
            if size != disk.facts.virtual_size_bytes:
                return 'Source and target image have different sizes'
        return ''

    def _stop_source(self, one: Job) -> None:
        guest = one.source.guests[one.guest_id]
        if self._runs(guest):
            guest.set(job.Power.PAUSED, job.Reason.MIGRATION)

    def _arrive(self, one: Job) -> None:
        """All memory is there: the destination takes over."""
        source, host, guest_id = one.source, one.there, one.guest_id
        guest = host.guests[guest_id]
        if source.guests[guest_id].reason is job.Reason.USER:
            guest.set(job.Power.PAUSED, job.Reason.USER)
        else:
            guest.set(job.Power.RUNNING, job.Reason.MIGRATED)
        guest.incoming = None
        if one.plan.block_migration:
            self._fill_disks(source.storage, host.storage, guest_id)
        figures = dataclasses.replace(
            one.transfer.stats(), state=job.JobState.NONE
        )
        source.completed.pop(guest_id, None)
        host.completed[guest_id] = figures
        if not one.transfer.given_up:
            for memory in source.drivers:
                memory.completed[guest_id] = figures

    @staticmethod
    def _fill_disks(source: Storage, storage: Storage, guest_id: str) -> None:
        originals = source.directories.get(guest_id, {})
        for name, disk in storage.directories.get(guest_id, {}).items():
            if name in originals:
                facts = originals[name].facts
                disk.filled = True
                disk.facts = dataclasses.replace(
                    disk.facts, allocated_bytes=facts.allocated_bytes
                )

    def _let_go(self, one: Job) -> None:
        """The source's hypervisor removes its guest, or should."""
        del self.jobs[one.guest_id]
        one.owner.errors.pop(one.guest_id, None)
        guest = one.source.guests.get(one.guest_id)
        if guest is None:
            return
        if one.transfer.given_up or one.source.strike(Fault.LEFT_BEHIND):
            guest.set(job.Power.SHUTOFF, job.Reason.MIGRATED)
        else:
            del one.source.guests[one.guest_id]

    def _roll_back(self, one: Job) -> None:
        """What libvirt does by itself when a migration ends badly: the
        destination's guest goes, the source's goes on; files stay."""
        guest_id = one.guest_id
        self.jobs.pop(guest_id, None)
        one.owner.errors[guest_id] = one.transfer.error or CANCELLED_TEXT
        if one.destination:
            incoming = one.destination.guests.get(guest_id)
            if incoming and incoming.incoming is not None:
                del one.destination.guests[guest_id]
        guest = one.source.guests.get(guest_id)
        if guest is None:
            return
        guest.limits = Limits(
            one.transfer.bandwidth_mib_s, one.transfer.max_downtime_ms
        )
        if (
            guest.power is job.Power.PAUSED
            and guest.reason is job.Reason.MIGRATION
        ):
            guest.set(job.Power.RUNNING, job.Reason.MIGRATION_CANCELED)

    def _post_copy_broken(self, one: Job) -> None:
        self._post_copy_given_up(one)
        incoming = one.there.guests[one.guest_id]
        incoming.reason = job.Reason.POST_COPY_FAILED

    def _post_copy_given_up(self, one: Job) -> None:
        guest = one.source.guests[one.guest_id]
        if one.transfer.phase is not Phase.CONFIRMING:
            guest.set(job.Power.PAUSED, job.Reason.POST_COPY_FAILED)
        one.owner.errors[one.guest_id] = PEER_LOST_TEXT

    def switch_to_post_copy(self, one: Job) -> None:
        """Inside ``present``, in the memory phase."""
        one.transfer.switch_to_post_copy()
        source = one.source.guests[one.guest_id]
        source.set(job.Power.PAUSED, job.Reason.POST_COPY)
        destination = one.there.guests[one.guest_id]
        destination.set(job.Power.RUNNING, job.Reason.POST_COPY)
        self._settle(one)
        self._check_guest(one.guest_id)

    # -- ends -----------------------------------------------------------------
    def _stop_guest(
        self,
        host: Host,
        guest_id: str,
        power: job.Power,
        reason: job.Reason,
    ) -> None:
        """A guest's process ends, in whatever it was engaged."""
        guest = host.guests[guest_id]
        guest.set(power, reason)
        one = self.jobs.get(guest_id)
        if one is None or one.transfer.phase is Phase.CONFIRMING:
            # It had all its memory: the source lets go as ever.
            return
        if one.transfer.in_post_copy:
            del self.jobs[guest_id]
            if reason is not job.Reason.SHUTDOWN:
                guest.machine.lost = True
            other = one.source if host is one.there else one.there
            if guest_id in other.guests:
                other.guests[guest_id].reason = job.Reason.POST_COPY_FAILED
        else:
            one.transfer.error = (
                'operation failed: domain is not running'
                if host is one.source
                else 'internal error: qemu unexpectedly closed the monitor'
            )
            self._roll_back(one)

    def destroy(self, host: Host, guest_id: str) -> None:
        """Kill and undefine a guest; inside ``present``."""
        if guest_id not in host.guests:
            return
        one = self.jobs.get(guest_id)
        if one and one.transfer.in_post_copy:
            self._violated(
                f'{guest_id}: destroyed on {host.name} in post-copy'
            )
        self._stop_guest(host, guest_id, job.Power.CRASHED, job.Reason.CRASHED)
        host.guests.pop(guest_id, None)

    def power_off(self, host: Host, guest_id: str) -> None:
        """A guest obeys its power button; inside ``present``."""
        self._stop_guest(
            host, guest_id, job.Power.SHUTOFF, job.Reason.SHUTDOWN
        )

    def boot(self, host: Host, guest_id: str, machine: Machine) -> None:
        """Start a guest from nothing; inside ``present``."""
        host.guests[guest_id] = Guest(machine)
        self.boots[guest_id] = self.boots.get(guest_id, 0) + 1
        self._check_guest(guest_id)

    def resume(self, host: Host, guest_id: str) -> None:
        """Let a paused guest's CPUs go on; inside ``present``."""
        guest = host.guests[guest_id]
        if guest.reason in (
            job.Reason.POST_COPY,
            job.Reason.POST_COPY_FAILED,
        ):
            self._violated(
                f'{guest_id}: resumed on {host.name} after it had run '
                f'elsewhere'
            )
        guest.set(job.Power.RUNNING, job.Reason.NORMAL)
        self._check_guest(guest_id)

    def find(self, migration_uri: str) -> Host | None:
        """The host of that address."""
        for host in self.hosts.values():
            if host.migration_uri == migration_uri:
                return host
        return None

    def clean_source(
        self, host: Host, guest_id: str, *, directory: bool
    ) -> None:
        """Forget a guest that has moved away; inside ``present``."""
        lives_elsewhere = any(
            other is not host
            and (guest := other.guests.get(guest_id))
            # Or has ended there since.
            and (guest.alive or guest.reason is not job.Reason.MIGRATED)
            and not guest.waits
            for other in self.hosts.values()
        )
        directory = directory and guest_id in host.storage.directories
        if not lives_elsewhere and (directory or guest_id in host.guests):
            self._violated(
                f'{guest_id}: {host.name} was told that it moved, but it '
                f'lives nowhere else'
            )
        host.guests.pop(guest_id, None)
        if directory:
            self.remove_directory(host, guest_id)

    def remove_directory(self, host: Host, guest_id: str) -> None:
        """Remove a guest's files; inside ``present``."""
        if host.storage.directories.pop(guest_id, None) is not None:
            for other in self.hosts.values():
                guest = other.guests.get(guest_id)
                if guest and guest.alive and other.storage is host.storage:
                    self._violated(
                        f'{guest_id}: its disks were removed by '
                        f'{host.name} while it lives on {other.name}'
                    )

    def _check_guest(self, guest_id: str) -> None:
        running = [h for h, g, _ in self._executing() if g == guest_id]
        if len(running) > 1:
            names = ', '.join(host.name for host in running)
            self._violated(f'{guest_id}: runs on {names} at once')
        for host in running:
            disks = host.storage.directories.get(guest_id, {})
            machine = host.guests[guest_id].machine
            if not machine.disks.keys() <= disks.keys():
                self._violated(
                    f'{guest_id}: runs on {host.name} without its disks'
                )
            elif any(not d.filled for d in disks.values()) and (
                guest_id not in self.jobs
            ):
                self._violated(
                    f'{guest_id}: runs on {host.name} with empty disks'
                )

    def _violated(self, text: str) -> None:
        if text not in self.violations:
            self.violations.append(text)
