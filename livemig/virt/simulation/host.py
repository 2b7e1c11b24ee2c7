"""What a simulated host holds: guests, disks, notes, faults on demand."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator

from livemig.virt import devices, driver, job
from livemig.virt.simulation.terms import (
    DEFAULT_DOWNTIME_MS,
    GIB,
    MIB,
    PAGE_BYTES,
    Load,
    Pace,
)

#: Of a thin disk's virtual size.
ALLOCATED_SHARE = 4


class Fault(enum.StrEnum):
    """What can be made to go wrong; the host it is set on in brackets."""

    #: [destination] Nothing listens on its migration URI.
    UNREACHABLE = 'unreachable'
    #: [destination] Nothing answers there, for minutes.
    BLACK_HOLE = 'black-hole'
    #: [destination] ``prepare_destination`` is refused.
    PREPARE_REFUSED = 'prepare-refused'
    #: [destination] Its hypervisor cannot start the empty guest.
    INCOMING_REFUSED = 'incoming-refused'
    #: [destination] Its disks are full.
    NO_ROOM = 'no-room'
    #: [any] A guest cannot be started.
    SPAWN_FAILS = 'spawn-fails'
    #: [source] The stream is reset ``after_s`` the call.
    TRANSFER_BREAKS = 'transfer-breaks'
    #: [source] The guest shuts itself down ``after_s`` the call.
    GUEST_SHUTS_DOWN = 'guest-shuts-down'
    #: [source] The guest's process dies ``after_s`` the call.
    GUEST_CRASHES = 'guest-crashes'
    #: [source] The switch to post-copy is refused.
    POST_COPY_REFUSED = 'post-copy-refused'
    #: [source] The stream is reset ``after_s`` the switch to post-copy.
    POST_COPY_BREAKS = 'post-copy-breaks'
    #: [source] The guest's definition stays, shut off, after it moved.
    LEFT_BEHIND = 'left-behind'
    #: [any] Its daemon is restarted ``after_s`` from now, and away for
    #: ``lasting_s``.
    HYPERVISOR_AWAY = 'hypervisor-away'


@dataclasses.dataclass
class Rule:
    """A fault in force."""

    fault: Fault
    after_s: float = 0.0
    #: How often it still strikes; None: until it is healed.
    times: int | None = None
    lasting_s: float = 0.0


@dataclasses.dataclass
class Machine:
    """A guest's inside, which moves with it from host to host."""

    spec: driver.GuestSpec
    load: Load
    #: It boots that; None: its own.
    rescue: driver.RescueSpec | None = None
    #: When it powers itself off, if ever (runs only while its CPUs do).
    off_at_s: float | None = None
    crashes: bool = False
    #: Part of its memory is gone for good.
    lost: bool = False

    @property
    def memory_bytes(self) -> int:
        return self.spec.memory_mib * MIB

    @property
    def disks(self) -> dict[str, str]:
        """Name of the file -> device, of all disks attached."""
        found = devices.attached(self.spec.disks, self.rescue)
        return {name: device for device, name, _ in found}


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a guest's hypervisor was last told, in force until it ends."""

    bandwidth_mib_s: int = 0
    max_downtime_ms: int = DEFAULT_DOWNTIME_MS


@dataclasses.dataclass
class Guest:
    """A guest as one host's hypervisor sees it."""

    machine: Machine
    power: job.Power = job.Power.RUNNING
    reason: job.Reason = job.Reason.NORMAL
    #: The migration that brings it here and is not over.
    incoming: int | None = None
    #: Left by a transfer that ended badly.
    limits: Limits = Limits()

    def set(self, power: job.Power, reason: job.Reason) -> None:
        self.power, self.reason = power, reason

    @property
    def alive(self) -> bool:
        return self.power in (job.Power.RUNNING, job.Power.PAUSED)

    @property
    def waits(self) -> bool:
        """Incoming, and not running yet."""
        return self.incoming is not None and self.power is job.Power.PAUSED


@dataclasses.dataclass
class Disk:
    """A disk file; its path is that of the host that made it."""

    facts: driver.DiskFacts
    #: It holds the guest's data, not merely room for them.
    filled: bool = True


@dataclasses.dataclass
class Storage:
    """A directory of instances; several hosts may see the same one."""

    name: str
    total_bytes: int = 1024 * GIB
    #: Guest id -> name of the file -> disk.
    directories: dict[str, dict[str, Disk]] = dataclasses.field(
        default_factory=dict
    )
    probes: set[str] = dataclasses.field(default_factory=set)

    @property
    def used_bytes(self) -> int:
        return sum(
            disk.facts.allocated_bytes
            for directory in self.directories.values()
            for disk in directory.values()
        )

    @property
    def free_bytes(self) -> int:
        return max(0, self.total_bytes - self.used_bytes)


@dataclasses.dataclass
class Note:
    """What a migration made at its destination, to be undone."""

    migration_id: int
    made_directory: bool = False
    devices: tuple[str, ...] = ()


@dataclasses.dataclass
class Memory:
    """What one driver object, and nobody after it, remembers."""

    #: Figures of migrations whose end it heard of, at the source.
    completed: dict[str, job.JobStats] = dataclasses.field(
        default_factory=dict
    )
    #: How transfers it called for ended badly.
    errors: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Host:
    """A simulated host; everything in it outlives its compute manager."""

    name: str
    storage: Storage
    pace: Pace = dataclasses.field(default_factory=Pace)
    #: Of guests whose command line does not say.
    load: Load = Load(64 * MIB, 10 * MIB)
    capabilities: driver.Capabilities = driver.Capabilities(
        post_copy=True, supports_live_migrate_rescued=True
    )
    vcpus: int = 16
    memory_mib: int = 65536
    #: As ``HostFacts.cpu``: a guest fits where it is the same.
    cpu: str = ''
    instances_path: str = '/var/lib/livemig/instances'
    guests: dict[str, Guest] = dataclasses.field(default_factory=dict)
    notes: dict[str, Note] = dataclasses.field(default_factory=dict)
    #: Figures of guests that came here, until asked for.
    completed: dict[str, job.JobStats] = dataclasses.field(
        default_factory=dict
    )
    drivers: list[Memory] = dataclasses.field(default_factory=list)
    rules: list[Rule] = dataclasses.field(default_factory=list)
    #: Its daemon answers again from then on.
    away_until_s: float = 0.0

    @property
    def migration_uri(self) -> str:
        return f'fake://{self.name}/'

    def facts(self) -> driver.HostFacts:
        return driver.HostFacts(
            host=self.name,
            hypervisor_type='fake',
            hypervisor_version=1000000,
            migration_uri=self.migration_uri,
            migration_address=None,
            instances_path=self.instances_path,
            vcpus=self.vcpus,
            memory_mib=self.memory_mib,
            memory_used_mib=sum(
                g.machine.spec.memory_mib
                for g in self.guests.values()
                if g.alive
            ),
            disk_total_bytes=self.storage.total_bytes,
            disk_free_bytes=self.room_bytes(),
            capabilities=self.capabilities,
            cpu=self.cpu,
        )

    def room_bytes(self) -> int:
        return 0 if self.has(Fault.NO_ROOM) else self.storage.free_bytes

    def has(self, fault: Fault) -> bool:
        return any(rule.fault is fault for rule in self.rules)

    def strike(self, fault: Fault) -> Rule | None:
        """The rule for that fault, if any, used once."""
        for rule in self.rules:
            if rule.fault is fault:
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times <= 0:
                        self.rules.remove(rule)
                return rule
        return None

    # -- files ----------------------------------------------------------------
    def disk_path(self, guest_id: str, name: str) -> str:
        return f'{self.instances_path}/{guest_id}/{name}'

    def disk_facts(self, guest_id: str) -> tuple[driver.DiskFacts, ...]:
        """The guest's disks, with their paths on this host."""
        disks = self.storage.directories.get(guest_id, {})
        return tuple(
            dataclasses.replace(
                disks[name].facts,
                device=device,
                path=self.disk_path(guest_id, name),
            )
            for name, device in self.guests[guest_id].machine.disks.items()
            if name in disks
        )

    def new_disk(
        self, guest_id: str, name: str, spec: driver.DiskSpec
    ) -> Disk:
        thin = spec.format == 'qcow2'
        return Disk(
            driver.DiskFacts(
                device=spec.device,
                path=self.disk_path(guest_id, name),
                format=spec.format,
                virtual_size_bytes=spec.size_bytes,
                allocated_bytes=spec.size_bytes
                // (ALLOCATED_SHARE if thin else 1),
                backing_file=spec.image_file if thin else '',
                backing_format=spec.image_format
                if thin and spec.image_file
                else '',
            )
        )

    def belongings(self, guest_id: str) -> Iterator[str]:
        """All this host keeps of a guest, but for its storage, in words."""
        guest = self.guests.get(guest_id)
        if guest:
            yield f'{self.name}: guest {guest.power}/{guest.reason}'
        if guest_id in self.notes:
            migration_id = self.notes[guest_id].migration_id
            yield f'{self.name}: note of migration {migration_id}'


def machine_of(
    spec: driver.GuestSpec,
    default: Load,
    now_s: float,
    rescue: driver.RescueSpec | None = None,
) -> Machine:
    """Boot a guest; its command line may say how it behaves.

    The proof guest's options are understood: ``ws`` (MiB written again and
    again), ``rate`` (pages/s), ``off`` (s until it powers itself off).
    """
    options = dict(
        word.split('=', 1)
        for word in (rescue or spec).cmdline.split()
        if '=' in word
    )

    def number(name: str) -> int | None:
        value = options.get(name, '')
        return int(value) if value.isdecimal() else None

    working_set, rate, off_s = number('ws'), number('rate'), number('off')
    memory_bytes = spec.memory_mib * MIB
    return Machine(
        spec,
        Load(
            min(
                memory_bytes,
                default.working_set_bytes
                if working_set is None
                else working_set * MIB,
            ),
            default.dirty_bytes_per_s if rate is None else rate * PAGE_BYTES,
        ),
        rescue=rescue,
        off_at_s=now_s + off_s if off_s else None,
    )
