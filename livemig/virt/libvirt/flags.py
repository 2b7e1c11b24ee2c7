"""How a transfer is asked for: libvirt's flags and parameters. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

import libvirt

from livemig.virt.driver import TransferOptions, TransferPlan

#: libvirt multiplies MiB/s by 2**20 into a signed 64 bit number.
MAX_BANDWIDTH_MIB_S = (2**63 - 1) // 2**20

#: QEMU's own limit, and its default.
MAX_DOWNTIME_MS = 2_000_000
DEFAULT_DOWNTIME_MS = 300

_ALWAYS: int = (
    libvirt.VIR_MIGRATE_LIVE
    # It goes on when this process dies, and libvirtd at the source undoes
    # what it began at the destination.
    | libvirt.VIR_MIGRATE_PEER2PEER
    # Defined at exactly one host: a definition left behind can be started
    # while the guest runs at the destination.
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    | libvirt.VIR_MIGRATE_PERSIST_DEST
)


class Refused(ValueError):
    """This combination is never asked of libvirt; the text says why."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What ``migrateToURI3`` is called with."""

    uri: str
    flags: int
    params: dict[str, Any]


def choose_flags(
    plan: TransferPlan,
    options: TransferOptions,
    *,
    paused: bool,
    unsafe_storage: bool = False,
) -> int:
    """The flags.

    Never VIR_MIGRATE_PARALLEL: together with a switch to post-copy it
    destroys the guest, and the call reports success (measured with libvirt
    9.0 and QEMU 7.2).

    :param paused: the guest is paused now; libvirt then refuses post-copy
        ("not supported with non-live or paused migration"), and there is
        nothing to converge.
    :raises Refused: post-copy together with copied disks: the disk at the
        destination would be incomplete should the switch break.
    """
    flags: int = _ALWAYS
    copied = plan.block_migration and copied_disks(plan)
    if copied:
        if options.post_copy:
            raise Refused(
                'post-copy and the copying of disks exclude each other'
            )
        backed = any(d.backing_file for d in plan.disks if not d.read_only)
        flags |= (
            libvirt.VIR_MIGRATE_NON_SHARED_INC
            if backed
            else libvirt.VIR_MIGRATE_NON_SHARED_DISK
        )
    writes = not (paused or plan.paused)
    if options.post_copy and writes:
        flags |= libvirt.VIR_MIGRATE_POSTCOPY
    if options.auto_converge and writes:
        flags |= libvirt.VIR_MIGRATE_AUTO_CONVERGE
    if unsafe_storage and plan.shared_directory and not copied:
        flags |= libvirt.VIR_MIGRATE_UNSAFE
    return flags


def copied_disks(plan: TransferPlan) -> list[str]:
    """Names of the disks that a block migration copies."""
    return [d.device for d in plan.disks if not d.read_only]


def migrate_uri(address: str) -> str:
    """``tcp:ADDRESS``; libvirt adds the port. IPv6 goes in brackets."""
    try:
        if ipaddress.ip_address(address).version == 6:
            return f'tcp:[{address}]'
    except ValueError:
        pass
    return f'tcp:{address}'


def params(
    plan: TransferPlan,
    options: TransferOptions,
    destination_xml: str | None,
    persistent_xml: str | None,
) -> dict[str, Any]:
    """The typed parameters.

    :param destination_xml: None: the guest's own.
    """
    # Without a bandwidth libvirt takes the one last set on this guest,
    # maybe by a migration that was aborted: "no limit" must be said.
    result: dict[str, Any] = {
        libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: bandwidth(options.bandwidth_mib_s)
    }
    address = plan.destination.migration_address
    if address:
        result[libvirt.VIR_MIGRATE_PARAM_URI] = migrate_uri(address)
    if destination_xml is not None:
        result[libvirt.VIR_MIGRATE_PARAM_DEST_XML] = destination_xml
    if persistent_xml is not None:
        result[libvirt.VIR_MIGRATE_PARAM_PERSIST_XML] = persistent_xml
    if plan.block_migration and copied_disks(plan):
        result[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = copied_disks(plan)
    return result


def bandwidth(mib_s: int) -> int:
    """libvirt's number for a limit; 0 means none and so becomes the most
    that it takes."""
    if mib_s <= 0:
        return MAX_BANDWIDTH_MIB_S
    return min(mib_s, MAX_BANDWIDTH_MIB_S)


def first_downtime(options: TransferOptions) -> int:
    """The maximum downtime that a transfer begins with."""
    return downtime(options.max_downtime_ms or DEFAULT_DOWNTIME_MS)


def downtime(downtime_ms: int) -> int:
    """A maximum downtime that QEMU takes."""
    return max(1, min(downtime_ms, MAX_DOWNTIME_MS))
