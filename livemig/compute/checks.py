"""May this guest move from here to there? Pure, on facts both hosts gave.

Every check returns reasons, not a boolean: all of them are told at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from livemig.virt.driver import DiskFacts, HostFacts
from livemig.virt.job import GuestState, Power


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why not: on which host, in words a person can act on."""

    host: str
    text: str

    def to_dict(self) -> dict[str, str]:
        return dataclasses.asdict(self)


def text_of(reasons: Iterable[Reason]) -> str:
    """All reasons in one sentence each."""
    return ' '.join(f'{r.host}: {r.text}' for r in reasons)


def same_hypervisor(source: HostFacts, destination: HostFacts) -> list[Reason]:
    """A guest moves between hypervisors of one kind, never to an older."""
    if source.hypervisor_type != destination.hypervisor_type:
        return [
            Reason(
                destination.host,
                f'its hypervisor is {destination.hypervisor_type}, that of '
                f'{source.host} is {source.hypervisor_type}.',
            )
        ]
    if destination.hypervisor_version < source.hypervisor_version:
        return [
            Reason(
                destination.host,
                f'its hypervisor version {destination.hypervisor_version} '
                f'is older than {source.hypervisor_version} of '
                f'{source.host}.',
            )
        ]
    return []


def can_migrate(facts: HostFacts) -> list[Reason]:
    """The driver can migrate live at all."""
    if facts.capabilities.live_migration:
        return []
    return [Reason(facts.host, 'its driver cannot migrate live.')]


def can_migrate_rescued(facts: HostFacts) -> list[Reason]:
    """The driver can move a guest that is rescued."""
    if facts.capabilities.supports_live_migrate_rescued:
        return []
    return [Reason(facts.host, 'its driver cannot move a rescued instance.')]


def network_there(source: HostFacts, destination: HostFacts) -> list[Reason]:
    """For a guest with an interface: it can be plugged in there."""
    if destination.guest_network or not source.guest_network:
        return []
    return [
        Reason(
            destination.host,
            'its option [libvirt] guest_network names nothing that the '
            "guest's interface could be connected to.",
        )
    ]


def enough_memory(
    destination: HostFacts, needed_mib: int, reserved_mib: int, ratio: float
) -> list[Reason]:
    """Room for the guest's memory under the overcommit ratio."""
    free_mib = (
        destination.memory_mib - reserved_mib
    ) * ratio - destination.memory_used_mib
    if needed_mib <= free_mib:
        return []
    return [
        Reason(
            destination.host,
            f'not enough memory: {needed_mib} MiB needed, '
            f'{max(0, int(free_mib))} MiB free of '
            f'{destination.memory_mib} MiB (ram_allocation_ratio '
            f'{ratio:g}).',
        )
    ]


def guest_is_there(host: str, state: GuestState | None) -> list[Reason]:
    """The guest runs (or is paused) where the record says it does."""
    if state is None:
        return [
            Reason(
                host,
                'its hypervisor does not know the guest, though the record '
                'says that it runs here.',
            )
        ]
    if state.power not in (Power.RUNNING, Power.PAUSED):
        return [Reason(host, f'the guest is {state.power}, not running.')]
    if state.job:
        return [Reason(host, 'another migration of the guest is active.')]
    return []


def destination_is_free(host: str, state: GuestState | None) -> list[Reason]:
    """No guest of that id is there already."""
    if state is None:
        return []
    return [
        Reason(
            host,
            f'a guest with the same uuid is there already ({state.power}). '
            'It is not touched; find out what it is.',
        )
    ]


@dataclasses.dataclass(frozen=True)
class Storage:
    """How the guest's disks will come along."""

    block_migration: bool
    copied: tuple[DiskFacts, ...]
    reasons: tuple[Reason, ...] = ()


def storage(
    asked: bool | None,
    shared: bool,
    disks: tuple[DiskFacts, ...],
    source: str,
    destination: HostFacts,
) -> Storage:
    """Copy the disks or not?

    :param asked: ``block_migration`` of the request; None = auto.
    :param shared: both hosts see the instance's directory.
    """
    local = tuple(d for d in disks if not d.read_only)
    if asked is None:
        asked = bool(local) and not shared
    if asked and shared:
        return Storage(
            False,
            (),
            (
                Reason(
                    destination.host,
                    f'block_migration is true, but {source} and '
                    f'{destination.host} share the instance directory '
                    f'{destination.instances_path}; ask for false or '
                    '"auto".',
                ),
            ),
        )
    if not asked and not shared and local:
        return Storage(
            False,
            (),
            (
                Reason(
                    destination.host,
                    f'block_migration is false, but {source} and '
                    f'{destination.host} do not share the instance '
                    'directory and the guest has local disks '
                    f'({", ".join(d.device for d in local)}); ask for '
                    'true or "auto".',
                ),
            ),
        )
    if not asked or not local:
        return Storage(False, ())
    return Storage(True, local, tuple(_block(local, destination)))


def _block(
    local: tuple[DiskFacts, ...], destination: HostFacts
) -> list[Reason]:
    if not destination.capabilities.block_migration:
        return [Reason(destination.host, 'its driver cannot copy disks.')]
    return []


def enough_disk(
    copied: tuple[DiskFacts, ...],
    destination: HostFacts,
    reserved_mib: int,
    over_commit: bool | None,
) -> list[Reason]:
    """Room for the copied disks.

    :param reserved_mib: what the destination keeps free.
    :param over_commit: count what is allocated, not the virtual size
        (``disk_over_commit``, up to 2.24; None: virtual size).
    """
    needed = sum(
        d.allocated_bytes if over_commit else d.virtual_size_bytes
        for d in copied
    )
    free = destination.disk_free_bytes - reserved_mib * 1024**2
    if needed <= max(0, free):
        return []
    return [
        Reason(
            destination.host,
            f'not enough room in {destination.instances_path}: the disks '
            f'need {needed // 1024**2} MiB, {max(0, free) // 1024**2} MiB '
            'are free.',
        )
    ]
