"""The driver of a simulated hypervisor: the same promises as libvirt's.

What it simulates and how is in ``livemig.virt.simulation``; here is what a
compute manager may ask, and each refusal.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from livemig import exception
from livemig.virt import driver
from livemig.virt import job as jobs
from livemig.virt.simulation import (
    MIB,
    Fault,
    GuestsDriver,
    Host,
    Job,
    Load,
    Pace,
    Transfer,
    world,
)
from livemig.virt.simulation.host import (
    Disk,
    Guest,
    Limits,
    Note,
)
from livemig.virt.simulation.terms import DEFAULT_DOWNTIME_MS, Phase

_probes = itertools.count(1)


class FakeDriver(GuestsDriver):
    """One driver object of a simulated host.

    Several may serve the same host, at once or one after the other: what
    they share is the host's; what is lost with a manager is in here.
    """

    # -- about the host -------------------------------------------------------
    def capabilities(self) -> driver.Capabilities:
        return self._world.hosts[self._name].capabilities

    def host_facts(self) -> driver.HostFacts:
        with self._hypervisor() as host:
            return host.facts()

    # -- checks before a migration --------------------------------------------
    def make_probe(self) -> str:
        with self._hypervisor() as host:
            probe = f'probe-{next(_probes)}'
            host.storage.probes.add(probe)
            return probe

    def sees_probe(self, probe: str) -> bool:
        with self._hypervisor() as host:
            return probe in host.storage.probes

    def drop_probe(self, probe: str) -> None:
        with self._hypervisor() as host:
            host.storage.probes.discard(probe)

    def disks(self, guest_id: str) -> tuple[driver.DiskFacts, ...]:
        with self._hypervisor() as host:
            self._guest(host, guest_id)
            return host.disk_facts(guest_id)

    def cpu_fits(self, cpu: str) -> bool:
        with self._hypervisor() as host:
            return not cpu or cpu == host.cpu

    def reachable(self, destination: driver.HostFacts) -> str:
        with self._hypervisor() as host:
            return self._world.no_way(
                host, self._world.find(destination.migration_uri)
            )

    def alive(self, destination: driver.HostFacts) -> str:
        return self.reachable(destination)

    # -- destination side of a migration --------------------------------------
    def prepare_destination(self, plan: driver.TransferPlan) -> None:
        with self._hypervisor() as host:
            note = host.notes.get(plan.guest_id)
            if note and note.migration_id == plan.migration_id:
                return
            if reason := self._unprepared(host, plan, note):
                raise exception.DestinationNotPrepared(
                    host=host.name, guest_id=plan.guest_id, reason=reason
                )
            note = host.notes[plan.guest_id] = Note(plan.migration_id)
            if plan.shared_directory:
                return
            note.made_directory = True
            host.storage.directories[plan.guest_id] = {
                name: Disk(
                    dataclasses.replace(
                        facts,
                        path=host.disk_path(plan.guest_id, name),
                        allocated_bytes=0,
                    ),
                    filled=False,
                )
                for facts in self._copied(plan)
                if (name := facts.path.rsplit('/', 1)[1])
            }

    @staticmethod
    def _copied(plan: driver.TransferPlan) -> list[driver.DiskFacts]:
        if not plan.block_migration:
            return []
        return [disk for disk in plan.disks if not disk.read_only]

    def _unprepared(
        self, host: Host, plan: driver.TransferPlan, note: Note | None
    ) -> str:
        """'' or why this host cannot be prepared."""
        if host.strike(Fault.PREPARE_REFUSED):
            return 'Permission denied'
        if note:
            return f'migration {note.migration_id} has not been cleaned up'
        if plan.guest_id in host.guests:
            return 'a guest of that name exists'
        if plan.shared_directory:
            return ''
        if plan.guest_id in host.storage.directories:
            return "files of another guest's are in the way"
        needed = sum(disk.allocated_bytes for disk in self._copied(plan))
        if needed > host.room_bytes() or host.has(Fault.NO_ROOM):
            return 'No space left on device'
        return ''

    def prepared(self) -> list[tuple[str, int]]:
        with self._hypervisor() as host:
            return [
                (guest_id, note.migration_id)
                for guest_id, note in host.notes.items()
            ]

    def undo_destination(self, guest_id: str, migration_id: int) -> None:
        with self._hypervisor() as host:
            guest = host.guests.get(guest_id)
            if guest and guest.alive and not guest.waits:
                raise self._error(f'guest {guest_id} runs here')
            note = host.notes.get(guest_id)
            if guest and guest.incoming == migration_id:
                self._world.destroy(host, guest_id)
            if note is None or note.migration_id != migration_id:
                return
            if guest_id in host.guests:
                raise self._error(f'guest {guest_id} has run here')
            if note.made_directory:
                self._world.remove_directory(host, guest_id)
            del host.notes[guest_id]

    def finish_destination(self, guest_id: str, migration_id: int) -> None:
        with self._hypervisor() as host:
            self._guest(host, guest_id)
            note = host.notes.get(guest_id)
            if note and note.migration_id == migration_id:
                del host.notes[guest_id]

    # -- source side of a migration -------------------------------------------
    def start(
        self, plan: driver.TransferPlan, options: driver.TransferOptions
    ) -> None:
        with self._hypervisor() as host:
            guest = self._guest(host, plan.guest_id)
            self._refuse_start(host, plan, options, guest)
            paused = guest.power is jobs.Power.PAUSED
            if paused:
                # QEMU refuses the two together, and nothing has to be
                # forced: the flag is left out.
                options = dataclasses.replace(options, post_copy=False)
            self._memory.errors.pop(plan.guest_id, None)
            copied = 0
            if plan.block_migration:
                copied = sum(
                    disk.virtual_size_bytes
                    for disk in host.disk_facts(plan.guest_id)
                    if not disk.read_only
                )
            transfer = Transfer(
                self._world.now_s,
                host.pace,
                guest.machine.load,
                memory_bytes=guest.machine.memory_bytes,
                disk_bytes=copied,
                bandwidth_mib_s=options.bandwidth_mib_s,
                max_downtime_ms=options.max_downtime_ms,
                auto_converge=options.auto_converge,
                stopped=paused,
            )
            destination = self._world.find(plan.destination.migration_uri)
            self._world.begin(
                Job(transfer, plan, options, host, destination, self._memory)
            )

    def _refuse_start(
        self,
        host: Host,
        plan: driver.TransferPlan,
        options: driver.TransferOptions,
        guest: Guest,
    ) -> None:
        able = host.capabilities
        if not able.live_migration:
            raise exception.LiveMigrationNotSupported(host=host.name)
        if options.post_copy and not able.post_copy:
            raise exception.PostCopyNotSupported(host=host.name)
        if plan.block_migration and not able.block_migration:
            raise self._error('disks cannot be copied')
        if options.post_copy and plan.block_migration and plan.disks:
            # Should the switch break, the copy would be incomplete.
            raise self._error('post-copy and copied disks exclude each other')
        if plan.guest_id in self._world.jobs:
            raise self._error('another migration job is already running')
        if not guest.alive:
            raise self._error('domain is not running')

    def job(self, guest_id: str) -> jobs.JobStats:
        with self._hypervisor() as host:
            one = self._outgoing(host, guest_id)
            if one is None or (
                # Nobody else knows yet that it was called for.
                one.transfer.phase is Phase.CALLED
                and one.owner is not self._memory
            ):
                return jobs.JobStats(jobs.JobState.NONE)
            return one.transfer.stats()

    def transfer_error(self, guest_id: str) -> str:
        with self._hypervisor():
            return self._memory.errors.get(guest_id, '')

    def completed_job(self, guest_id: str) -> jobs.JobStats | None:
        with self._hypervisor() as host:
            mine = self._memory.completed.pop(guest_id, None)
            return host.completed.pop(guest_id, None) or mine

    def set_max_downtime(self, guest_id: str, downtime_ms: int) -> None:
        with self._hypervisor() as host:
            self._job(host, guest_id).transfer.set_max_downtime(downtime_ms)

    def set_bandwidth(
        self, guest_id: str, bandwidth_mib_s: int, *, post_copy: bool = False
    ) -> None:
        with self._hypervisor() as host:
            transfer = self._job(host, guest_id).transfer
            if post_copy:
                transfer.post_copy_mib_s = bandwidth_mib_s
            else:
                transfer.bandwidth_mib_s = bandwidth_mib_s

    def restore_limits(
        self, guest_id: str, options: driver.TransferOptions
    ) -> None:
        with self._hypervisor() as host:
            guest = self._guest(host, guest_id)
            if guest.alive:
                guest.limits = Limits(
                    options.bandwidth_mib_s,
                    options.max_downtime_ms or DEFAULT_DOWNTIME_MS,
                )

    def start_post_copy(self, guest_id: str) -> None:
        with self._hypervisor() as host:
            if not host.capabilities.post_copy:
                raise exception.PostCopyNotSupported(host=host.name)
            one = self._job(host, guest_id)
            reason = ''
            if one.transfer.was_post_copy:
                return
            if not one.options.post_copy:
                reason = (
                    'switching to post-copy requires migration to be '
                    'started with VIR_MIGRATE_POSTCOPY flag'
                )
            elif one.transfer.phase is not Phase.MEMORY:
                reason = 'post-copy was not enabled before the start'
            elif host.strike(Fault.POST_COPY_REFUSED):
                reason = 'internal error: unable to execute QEMU command'
            if reason:
                raise exception.PostCopyRefused(
                    guest_id=guest_id, host=host.name, reason=reason
                )
            self._world.switch_to_post_copy(one)

    def abort(self, guest_id: str) -> None:
        with self._hypervisor() as host:
            if not host.capabilities.abort:
                raise exception.AbortMigrationNotSupported(host=host.name)
            one = self._job(host, guest_id)
            if one.transfer.was_post_copy:
                raise exception.AbortRefused(
                    guest_id=guest_id,
                    host=host.name,
                    reason='cannot abort migration in post-copy mode',
                )
            one.transfer.abort()

    def finish_source(self, plan: driver.TransferPlan) -> None:
        with self._hypervisor() as host:
            guest = host.guests.get(plan.guest_id)
            if guest and guest.alive:
                one = self._outgoing(host, plan.guest_id)
                if one and one.transfer.phase is Phase.CONFIRMING:
                    raise exception.HypervisorUnavailable(
                        host=host.name, reason='the guest is just leaving'
                    )
                raise self._error('the guest has not left')
            self._world.clean_source(
                host, plan.guest_id, directory=not plan.shared_directory
            )
            host.notes.pop(plan.guest_id, None)

    def close(self) -> None:
        with self._world.present():
            drivers = self._world.hosts[self._name].drivers
            drivers[:] = [one for one in drivers if one is not self._memory]


def _rule(text: str) -> tuple[Fault, dict[str, Any]]:
    """A fault as [fake] faults words it: NAME [KEY=VALUE ...]."""
    name, *words = text.split() or ['']
    readers = {'after': float, 'lasting': float, 'times': int}
    keys = {'after': 'after_s', 'lasting': 'lasting_s', 'times': 'times'}
    try:
        given = dict(word.split('=', 1) for word in words)
        return Fault(name), {
            keys[key]: readers[key](value) for key, value in given.items()
        }
    except (KeyError, ValueError):
        raise exception.ConfigurationError(
            option='[fake] faults',
            reason=f'{text!r} names no fault or gives it wrong figures',
        ) from None


def build(conf: Any, clock: Any) -> FakeDriver:
    """The driver of ``[DEFAULT] host`` in the world of ``[fake] world``.

    Managers of one process that name the same world meet in it. A host
    that is in it already keeps its guests and its faults.
    """
    options = conf.fake
    here = world(options.world, clock)
    known = conf.host in here.hosts
    lacks = set(options.without)
    fields = {one.name for one in dataclasses.fields(driver.Capabilities)}
    if unknown := lacks - fields:
        raise exception.ConfigurationError(
            option='[fake] without', reason=f'{min(unknown)} is no capability'
        )
    here.add_host(
        conf.host,
        storage=options.shared_storage,
        instances_path=conf.instances_path,
        capabilities=driver.Capabilities(
            **{name: name not in lacks for name in fields}
        ),
        pace=Pace(
            link_bytes_per_s=options.bandwidth_mib_s * MIB,
            prepare_s=options.prepare_s,
            abort_s=options.abort_s,
        ),
        load=Load(
            int(options.working_set_mib * MIB), options.dirty_mib_s * MIB
        ),
        vcpus=options.vcpus,
        memory_mib=options.memory_mib,
    )
    if not known:
        for text in options.faults:
            fault, figures = _rule(text)
            here.fail(fault, conf.host, **figures)
    return FakeDriver(here, conf.host)
