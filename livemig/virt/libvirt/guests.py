"""Guests as domains of the daemon: found, read, started, ended.

Functions that take a connection or a domain run in a native thread and
raise libvirt's own errors; ``Connection.run`` translates them.
"""

from __future__ import annotations

import libvirt

from livemig.virt.job import GuestState, Power, Reason
from livemig.virt.libvirt import errors, states, transfer

_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


def find(conn: libvirt.virConnect, guest_id: str) -> libvirt.virDomain | None:
    """The guest's domain; None: the daemon does not know it."""
    try:
        return conn.lookupByUUIDString(guest_id)
    except libvirt.libvirtError as error:
        if errors.code(error) == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def state(domain: libvirt.virDomain) -> GuestState | None:
    """The domain's state; None: it has gone meanwhile."""
    try:
        number, reason = domain.state()
        found = states.guest_state(number, reason)
        if not states.runs(found):
            return _saved(domain, found)
        return states.guest_state(number, reason, transfer.has_job(domain))
    except libvirt.libvirtError as error:
        if errors.code(error) == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _saved(domain: libvirt.virDomain, found: GuestState) -> GuestState:
    """A restarted daemon knows no reasons any more, but it knows of the
    memory it has kept."""
    if found != GuestState(Power.SHUTOFF, Reason.OTHER):
        return found
    try:
        kept = domain.hasManagedSaveImage(0)
    except libvirt.libvirtError as error:
        if errors.code(error) == libvirt.VIR_ERR_NO_SUPPORT:
            return found
        raise
    return GuestState(Power.SHUTOFF, Reason.SAVED) if kept else found


def state_of(conn: libvirt.virConnect, guest_id: str) -> GuestState | None:
    domain = find(conn, guest_id)
    return None if domain is None else state(domain)


def all_powers(conn: libvirt.virConnect) -> dict[str, GuestState]:
    """All guests, without their jobs: reading these may block, the rest
    never does."""
    found = {}
    for domain in conn.listAllDomains():
        try:
            found[domain.UUIDString()] = states.guest_state(*domain.state())
        except libvirt.libvirtError as error:
            if errors.code(error) != libvirt.VIR_ERR_NO_DOMAIN:
                raise
    return found


def make_lasting(conn: libvirt.virConnect, domain: libvirt.virDomain) -> None:
    """Define a guest that came without a definition."""
    if not domain.isPersistent():
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
        conn.defineXML(domain.XMLDesc(flags))


def stop(domain: libvirt.virDomain) -> None:
    """End its QEMU; a guest that has none is left as it is."""
    try:
        domain.destroyFlags(0)
    except libvirt.libvirtError as error:
        if errors.code(error) not in (
            libvirt.VIR_ERR_NO_DOMAIN,
            # "domain is not running"
            libvirt.VIR_ERR_OPERATION_INVALID,
        ):
            raise


def undefine(domain: libvirt.virDomain) -> None:
    """Take the definition away; a guest without one is left as it is."""
    try:
        if domain.isPersistent():
            domain.undefineFlags(_UNDEFINE)
    except libvirt.libvirtError as error:
        if errors.code(error) != libvirt.VIR_ERR_NO_DOMAIN:
            raise


def define_and_start(conn: libvirt.virConnect, xml: str) -> None:
    domain = conn.defineXML(xml)
    try:
        domain.create()
    except libvirt.libvirtError:
        undefine(domain)
        raise


def end(conn: libvirt.virConnect, guest_id: str) -> None:
    """Stop and undefine; it may be gone."""
    domain = find(conn, guest_id)
    if domain is not None:
        stop(domain)
        undefine(domain)


def undefine_stopped(conn: libvirt.virConnect, guest_id: str) -> None:
    """Take the definition of a guest that has no QEMU away."""
    domain = find(conn, guest_id)
    if domain is not None and not domain.isActive():
        undefine(domain)
