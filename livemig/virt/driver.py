"""What a compute manager needs of a hypervisor: a small interface.

The driver reports and obeys; it decides nothing. It knows no database, no
messages and no records: guests are named by ``guest_id`` (the instance's
uuid), hosts by what the two drivers told each other. Every method may be
called from any thread. Methods raise ``livemig.exception`` errors only:
``HypervisorUnavailable`` from any of them, others as each one says.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from livemig.virt import job as jobs


def _known(kind: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """What this version knows of what a newer one may have sent."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: data[name] for name in names & set(data)}


@dataclasses.dataclass(frozen=True)
class Capabilities:
    """What this driver can do; reported by each compute service."""

    live_migration: bool = True
    abort: bool = True
    pause_during_migration: bool = True
    post_copy: bool = False
    block_migration: bool = True
    supports_live_migrate_rescued: bool = False

    def to_dict(self) -> dict[str, bool]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, bool]) -> Self:
        return cls(**_known(cls, data))


@dataclasses.dataclass(frozen=True)
class HostFacts:
    """What a destination (or source) says about itself.

    ``migration_uri`` is how another host's hypervisor reaches this one;
    ``migration_address`` where the guest's memory is sent to (``None``:
    the hypervisor chooses). Both come from this host's own options.
    """

    host: str
    hypervisor_type: str
    hypervisor_version: int
    migration_uri: str
    migration_address: str | None
    instances_path: str
    vcpus: int
    memory_mib: int
    memory_used_mib: int
    disk_total_bytes: int
    disk_free_bytes: int
    capabilities: Capabilities
    #: Hypervisor's own description of the host CPU, for ``cpu_fits`` of
    #: another host; empty where CPUs are emulated.
    cpu: str = ''
    #: What guests' interfaces are connected to here (``InterfaceSpec``);
    #: '': guests get none.
    guest_network: str = ''
    #: What ``uptime`` says on that host; '': nobody knows.
    uptime: str = ''

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        fields = _known(cls, data)
        fields['capabilities'] = Capabilities.from_dict(data['capabilities'])
        return cls(**fields)


@dataclasses.dataclass(frozen=True)
class DiskSpec:
    """A disk a guest shall have."""

    #: Device name in the guest: vda, vdb ...
    device: str
    #: qcow2 or raw.
    format: str
    #: Virtual size; at least the image's own.
    size_bytes: int
    #: The image file it is made of: backing file (qcow2) or copied (raw);
    #: '' for an empty disk. The same path on every host.
    image_file: str = ''
    image_format: str = 'raw'


@dataclasses.dataclass(frozen=True)
class InterfaceSpec:
    """A network interface a guest shall have."""

    mac: str
    #: ``bridge:NAME`` of the host, or ``network:NAME`` of the hypervisor.
    network: str


@dataclasses.dataclass(frozen=True)
class RescueSpec:
    """What a guest boots from instead, while it is rescued.

    A kernel, or ``disk``, or both.
    """

    kernel: str = ''
    initrd: str = ''
    cmdline: str = ''
    #: Becomes the guest's first disk; its ``device`` does not count.
    disk: DiskSpec | None = None


@dataclasses.dataclass(frozen=True)
class GuestSpec:
    """All a driver needs to build and start a guest."""

    guest_id: str
    name: str
    memory_mib: int
    vcpus: int
    #: Direct boot; '' boots from the first disk. Same path on every host.
    kernel: str = ''
    initrd: str = ''
    cmdline: str = ''
    disks: tuple[DiskSpec, ...] = ()
    interfaces: tuple[InterfaceSpec, ...] = ()


@dataclasses.dataclass(frozen=True)
class DiskFacts:
    """A disk a guest has, as its present host sees it."""

    device: str
    #: Path on the host that reports it.
    path: str
    format: str
    virtual_size_bytes: int
    allocated_bytes: int
    #: '' if it has none.
    backing_file: str = ''
    backing_format: str = ''
    #: Tells the backing file from another one of the same path at another
    #: host; '' if it cannot be read.
    backing_fingerprint: str = ''
    read_only: bool = False


@dataclasses.dataclass(frozen=True)
class TransferPlan:
    """What both pre-checks agreed on; kept on the migration as JSON."""

    guest_id: str
    migration_id: int
    destination: HostFacts
    #: Disks are copied too.
    block_migration: bool
    #: The guest's disks, as the source sees them.
    disks: tuple[DiskFacts, ...] = ()
    #: Both hosts see the instance's directory.
    shared_directory: bool = False
    #: The guest was paused by its user when the plan was made.
    paused: bool = False

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            **{
                **_known(cls, data),
                'destination': HostFacts.from_dict(data['destination']),
                'disks': tuple(
                    DiskFacts(**_known(DiskFacts, d)) for d in data['disks']
                ),
            }
        )


@dataclasses.dataclass(frozen=True)
class TransferOptions:
    """How a transfer is begun."""

    #: MiB/s; 0 = no limit.
    bandwidth_mib_s: int = 0
    #: Started so that a switch to post-copy is possible later.
    post_copy: bool = False
    auto_converge: bool = False
    #: The first maximum downtime; None leaves the hypervisor's default.
    max_downtime_ms: int | None = None


class Driver(abc.ABC):
    """One host's hypervisor. See the module's docstring for the rules."""

    @abc.abstractmethod
    def capabilities(self) -> Capabilities:
        """What this driver on this host can do; cheap."""

    @abc.abstractmethod
    def host_facts(self) -> HostFacts:
        """Read the host's facts afresh."""

    # -- guests -----------------------------------------------------------
    @abc.abstractmethod
    def guests(self) -> Mapping[str, jobs.GuestState]:
        """All guests defined or running here, by guest id."""

    @abc.abstractmethod
    def guest_state(self, guest_id: str) -> jobs.GuestState | None:
        """One guest's state; None if this hypervisor does not know it."""

    @abc.abstractmethod
    def spawn(self, spec: GuestSpec) -> None:
        """Make the guest's directory and disks, define and start it.

        Repeating after a crash half way is harmless: what is there is
        used or replaced, a guest that runs already is left alone.
        :raises HypervisorError: it could not be started; nothing is left.
        """

    @abc.abstractmethod
    def destroy(self, guest_id: str) -> None:
        """Stop and undefine the guest and remove its directory.

        A guest that is not there is no error (repeating is harmless).
        """

    @abc.abstractmethod
    def pause(self, guest_id: str, *, forced: bool = False) -> None:
        """Stop the guest's CPUs; during a migration: force it to finish.

        A guest that is paused already is no error.
        :param forced: only to finish a migration: one that has ended in
            this moment must not leave a guest that looks as if its user
            had paused it.
        :raises GuestNotFound:
        :raises NoActiveJob: forced, and no job is active: it goes on.
        :raises PauseMigrationNotSupported: a job is active and the driver
            cannot do it then.
        """

    @abc.abstractmethod
    def resume(self, guest_id: str) -> None:
        """Let the guest's CPUs go on; running already is no error.

        Never called while a job is active: libvirt blocks then (measured
        with libvirt 9.0: 30 s, then VIR_ERR_OPERATION_TIMEOUT).
        :raises GuestNotFound:
        """

    @abc.abstractmethod
    def power_off(self, guest_id: str, timeout_s: float) -> None:
        """Shut the guest down; its definition and its disks stay.

        It is asked to (ACPI) and given ``timeout_s``; then, or at once if
        that is 0 or the guest is paused, its power is cut. A guest that is
        shut off already is no error.
        :raises GuestNotFound:
        :raises HypervisorError: a migration job is active.
        """

    @abc.abstractmethod
    def hard_reboot(self, spec: GuestSpec) -> None:
        """Build the guest anew as the spec says, on the disks it has, and
        start it; whatever it was before, running, suspended, rescued, or
        not known here at all.

        Nothing but its disks is taken from this host; what a rescue has
        left is removed. Repeating is harmless.
        :raises HypervisorError: a disk is missing, or a migration job is
            active, or it has moved away from here (nothing is changed);
            or it could not be started (it is not defined then, its disks
            stay).
        """

    def soft_reboot(self, spec: GuestSpec, timeout_s: float) -> None:
        """The same, but the guest may shut itself down before."""
        if self.guest_state(spec.guest_id) is not None:
            self.power_off(spec.guest_id, timeout_s)
        self.hard_reboot(spec)

    @abc.abstractmethod
    def suspend(self, guest_id: str) -> None:
        """Write the guest's memory to disk and end it (state SHUTOFF,
        reason SAVED); suspended already is no error.

        It survives a restart of this process, of the hypervisor's daemon
        and of the host.
        :raises GuestNotFound:
        :raises HypervisorError: a migration job is active; or it could
            not be saved (it goes on).
        """

    @abc.abstractmethod
    def wake(self, guest_id: str) -> None:
        """Let a suspended guest go on; running already is no error.

        :raises GuestNotFound:
        :raises HypervisorError: it is not suspended, or its memory cannot
            be read.
        """

    @abc.abstractmethod
    def rescue(self, spec: GuestSpec, rescue: RescueSpec) -> None:
        """Like ``hard_reboot``, but boot the rescue image.

        Its disk is made anew and put before the guest's own
        (``devices.attached``).
        No file but that disk, ``rescue.<format>``, is written: the way back
        is ``hard_reboot(spec)``, on whatever host the guest is then.
        """

    # -- checks before a migration ------------------------------------------
    @abc.abstractmethod
    def make_probe(self) -> str:
        """Destination: put a probe file where disks live; its name."""

    @abc.abstractmethod
    def sees_probe(self, probe: str) -> bool:
        """Source: is that file in this host's directory too (= shared)?"""

    @abc.abstractmethod
    def drop_probe(self, probe: str) -> None:
        """Destination: remove the probe; missing is no error."""

    @abc.abstractmethod
    def disks(self, guest_id: str) -> tuple[DiskFacts, ...]:
        """Source: the guest's disks.

        :raises GuestNotFound:
        """

    @abc.abstractmethod
    def cpu_fits(self, cpu: str) -> bool:
        """Destination: can a guest of a host with that CPU run here?"""

    @abc.abstractmethod
    def reachable(self, destination: HostFacts) -> str:
        """Source: '' if the destination's hypervisor answers on its
        migration URI, else why not. Bounded: a few seconds.

        libvirt itself takes 133 s to notice a black hole.
        """

    @abc.abstractmethod
    def alive(self, destination: HostFacts) -> str:
        """Source: '' if the destination's hypervisor not only takes
        connections but does what it is asked, else why not. Bounded: a few
        seconds.

        To be asked before a switch to post-copy: a libvirtd that stands
        still does not learn of it, and when it is restarted then, it ends
        the only running half of the guest (libvirt 9.0).
        """

    # -- destination side of a migration ------------------------------------
    @abc.abstractmethod
    def prepare_destination(self, plan: TransferPlan) -> None:
        """Make what the guest needs here before it comes.

        Unless both hosts share it: the instance's directory (its console
        goes there), and for each copied disk a file with the right
        virtual size and backing file; and a note of what was made by this
        migration, so that ``undo_destination`` removes that and nothing
        else. Repeating for the same migration is harmless.
        :raises DestinationNotPrepared: no room, files of somebody else in
            the way ...; what it had made is removed again.
        """

    @abc.abstractmethod
    def prepared(self) -> list[tuple[str, int]]:
        """(guest id, migration id) of every note that lies here: what
        ``prepare_destination`` made and nobody finished or undid yet."""

    @abc.abstractmethod
    def undo_destination(self, guest_id: str, migration_id: int) -> None:
        """Remove all that this migration made here.

        A guest that *runs* here is never touched; an incoming one that
        still waits is destroyed. Repeating is harmless, also when nothing
        was ever made.
        :raises HypervisorError: the guest runs here, or did and is shut
            off by now (nothing is undone).
        """

    @abc.abstractmethod
    def finish_destination(self, guest_id: str, migration_id: int) -> None:
        """The guest runs here now: make it lasting, drop the note.

        Repeating is harmless.
        :raises GuestNotFound:
        """

    # -- source side of a migration -----------------------------------------
    @abc.abstractmethod
    def start(self, plan: TransferPlan, options: TransferOptions) -> None:
        """Begin the transfer and return at once; ``job`` shows its end.

        The transfer goes on when this process dies (peer to peer).
        :raises GuestNotFound:
        :raises HypervisorError: refused at once.
        """

    @abc.abstractmethod
    def job(self, guest_id: str) -> jobs.JobStats:
        """Read the guest's outgoing job.

        Also for a job begun by another process. NONE says only that
        nothing is under way: the outcome is what both hypervisors say.
        """

    @abc.abstractmethod
    def transfer_error(self, guest_id: str) -> str:
        """What the hypervisor said when our last transfer of this guest
        ended badly; '' if it ended well or was not ours. A hint only.
        """

    @abc.abstractmethod
    def completed_job(self, guest_id: str) -> jobs.JobStats | None:
        """The figures of this guest's last *successful* migration, on
        either side, kept until asked or replaced; None if unknown.
        """

    @abc.abstractmethod
    def set_max_downtime(self, guest_id: str, downtime_ms: int) -> None:
        """Limit the guest's stop at switchover (clamped to 2,000,000).

        :raises NoActiveJob:
        """

    @abc.abstractmethod
    def set_bandwidth(
        self, guest_id: str, bandwidth_mib_s: int, *, post_copy: bool = False
    ) -> None:
        """Limit the transfer's speed, 0 = no limit.

        :param post_copy: the limit of the post-copy phase instead.
        :raises NoActiveJob:
        """

    @abc.abstractmethod
    def restore_limits(self, guest_id: str, options: TransferOptions) -> None:
        """Give a guest that stayed here the limits its transfer began with.

        What was lifted to force it outlives the job in its hypervisor, and
        whoever moves the guest next, by whatever tool, would find it so.
        Needs no job; a guest that does not run keeps none. Repeating is
        harmless.
        :raises GuestNotFound:
        """

    @abc.abstractmethod
    def start_post_copy(self, guest_id: str) -> None:
        """Switch to post-copy; twice is no error.

        :raises PostCopyRefused: too early, or the job cannot.
        :raises PostCopyNotSupported:
        :raises NoActiveJob:
        """

    @abc.abstractmethod
    def abort(self, guest_id: str) -> None:
        """Ask the hypervisor to abort the job; returns before it has.

        :raises NoActiveJob: too early (our call runs but has no job yet:
            try again) or too late.
        :raises AbortRefused: in post-copy.
        :raises AbortMigrationNotSupported:
        """

    @abc.abstractmethod
    def finish_source(self, plan: TransferPlan) -> None:
        """The guest runs at the destination: remove what is left here.

        Undefines a definition left SHUTOFF, removes the directory unless
        both hosts see it. Repeating is harmless.
        :raises HypervisorError: the guest runs or is paused here, or its
            disks are open: nothing is touched.
        """

    def close(self) -> None:  # noqa: B027 - an optional hook
        """Let go of connections and threads; guests and jobs go on."""
