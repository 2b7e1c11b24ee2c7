"""libvirt's numbers for a guest's state -> GuestState: a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import libvirt

from livemig.virt.job import GuestState, Power, Reason

#: virDomainState -> power. A domain that is just shutting down still runs;
#: BLOCKED is Xen's word for running idle.
POWER: Mapping[int, Power] = {
    libvirt.VIR_DOMAIN_NOSTATE: Power.RUNNING,
    libvirt.VIR_DOMAIN_RUNNING: Power.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: Power.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: Power.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: Power.RUNNING,
    libvirt.VIR_DOMAIN_SHUTOFF: Power.SHUTOFF,
    libvirt.VIR_DOMAIN_CRASHED: Power.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: Power.PAUSED,
}

#: (virDomainState, reason) -> reason; what is not here is _DEFAULT's.
REASON: Mapping[tuple[int, int], Reason] = {
    (state, reason): meaning
    for state, reasons in {
        libvirt.VIR_DOMAIN_RUNNING: {
            libvirt.VIR_DOMAIN_RUNNING_MIGRATED: Reason.MIGRATED,
            libvirt.VIR_DOMAIN_RUNNING_MIGRATION_CANCELED: (
                Reason.MIGRATION_CANCELED
            ),
            libvirt.VIR_DOMAIN_RUNNING_POSTCOPY: Reason.POST_COPY,
            libvirt.VIR_DOMAIN_RUNNING_POSTCOPY_FAILED: (
                Reason.POST_COPY_FAILED
            ),
            libvirt.VIR_DOMAIN_RUNNING_CRASHED: Reason.CRASHED,
        },
        libvirt.VIR_DOMAIN_PAUSED: {
            libvirt.VIR_DOMAIN_PAUSED_USER: Reason.USER,
            libvirt.VIR_DOMAIN_PAUSED_MIGRATION: Reason.MIGRATION,
            libvirt.VIR_DOMAIN_PAUSED_POSTCOPY: Reason.POST_COPY,
            libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED: (
                Reason.POST_COPY_FAILED
            ),
            libvirt.VIR_DOMAIN_PAUSED_CRASHED: Reason.CRASHED,
            # Being saved in this moment.
            libvirt.VIR_DOMAIN_PAUSED_SAVE: Reason.SAVED,
        },
        libvirt.VIR_DOMAIN_PMSUSPENDED: {
            libvirt.VIR_DOMAIN_PMSUSPENDED_UNKNOWN: Reason.ASLEEP,
        },
        libvirt.VIR_DOMAIN_SHUTOFF: {
            libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: Reason.SHUTDOWN,
            libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: Reason.SHUTDOWN,
            libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED: Reason.MIGRATED,
            libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: Reason.CRASHED,
            libvirt.VIR_DOMAIN_SHUTOFF_SAVED: Reason.SAVED,
        },
    }.items()
    for reason, meaning in reasons.items()
}

_DEFAULT: Mapping[Power, Reason] = {
    Power.RUNNING: Reason.NORMAL,
    Power.PAUSED: Reason.OTHER,
    Power.SHUTOFF: Reason.OTHER,
    Power.CRASHED: Reason.CRASHED,
}


def guest_state(state: int, reason: int, job: bool = False) -> GuestState:
    """What the two numbers of ``virDomainGetState`` mean.

    A number that this table does not know (a newer libvirt) counts as
    running: what may run is not touched.
    """
    power = POWER.get(state, Power.RUNNING)
    return GuestState(
        power=power,
        reason=REASON.get((state, reason), _DEFAULT[power]),
        job=job,
    )


def waits_for_memory(state: GuestState) -> bool:
    """Is this an incoming guest that has not run here yet?"""
    return state.power is Power.PAUSED and (
        state.reason is Reason.MIGRATION
        or (state.reason is Reason.OTHER and state.job)
    )


def runs(state: GuestState | None) -> bool:
    """Is there a QEMU with a guest in it (running or paused)?"""
    return state is not None and state.power in (Power.RUNNING, Power.PAUSED)
