"""What this host is and can: facts, addresses, post-copy."""

from __future__ import annotations

import logging
import re
import subprocess
import urllib.parse
from xml.etree import ElementTree

import libvirt

from livemig import exception
from livemig.virt.libvirt import domain_xml, errors

LOG = logging.getLogger(__name__)

UPTIME = ['uptime']
USERFAULTFD = '/proc/sys/vm/unprivileged_userfaultfd'

#: Host names and IPv4 addresses (RFC 1123, and the underscore that hosts
#: are given anyway); IPv6 has the colon, and a zone's percent sign.
_NAME = re.compile(r'[A-Za-z0-9]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?')
_IPV6 = re.compile(r'[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9._-]{1,32})?')


def is_address(text: str) -> bool:
    """May this stand for a host in a URI?"""
    if ':' in text:
        return _IPV6.fullmatch(text) is not None
    return _NAME.fullmatch(text) is not None


def migration_uri(
    uri: str, scheme: str, address: str | None, host: str
) -> str:
    """The URI that others reach this host's daemon by. Pure.

    :raises ConfigurationError: an option cannot be made one.
    """
    name = address or host
    if not is_address(name):
        raise exception.ConfigurationError(
            option='[libvirt] live_migration_inbound_addr',
            reason=f'{name!r} is not a host name or address',
        )
    if uri:
        _check_uri(uri)
        return uri
    shown = f'[{name}]' if ':' in name else name
    return f'qemu+{scheme or "tcp"}://{shown}/system'


def _check_uri(uri: str) -> None:
    try:
        parts = urllib.parse.urlsplit(uri)
        named = is_address(parts.hostname or '') and parts.port != 0
    except ValueError:
        named = False
    if not named or any(c.isspace() for c in uri):
        raise exception.ConfigurationError(
            option='[libvirt] live_migration_uri',
            reason=f'{uri!r} names no host that others could reach',
        )


def memory_used_mib(conn: libvirt.virConnect) -> int:
    """Memory promised to the guests that run or wait here."""
    used_kib = 0
    for domain in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        try:
            used_kib += domain.info()[1]
        except libvirt.libvirtError as error:
            if errors.code(error) != libvirt.VIR_ERR_NO_DOMAIN:
                raise
    return used_kib // 1024


def cpu_xml(conn: libvirt.virConnect) -> str:
    """The host's CPU as libvirt describes it for ``compareCPU``."""
    cpu = domain_xml.parse(conn.getCapabilities()).find('host/cpu')
    if cpu is None:
        return ''
    return ElementTree.tostring(cpu, encoding='unicode').strip()


def cpu_fits(conn: libvirt.virConnect, cpu: str) -> bool:
    """Has this host all that a CPU described by another one has?"""
    try:
        verdict = conn.compareCPU(cpu, 0)
    except libvirt.libvirtError as error:
        if errors.code(error) in (
            libvirt.VIR_ERR_CPU_INCOMPATIBLE,
            libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
            libvirt.VIR_ERR_XML_ERROR,
            libvirt.VIR_ERR_XML_DETAIL,
        ):
            LOG.info('CPU of the other host: %s', errors.text(error))
            return False
        raise
    return verdict in (
        libvirt.VIR_CPU_COMPARE_IDENTICAL,
        libvirt.VIR_CPU_COMPARE_SUPERSET,
    )


def qemu_runs_as_root(capabilities: str) -> bool:
    """Does the daemon give QEMU to root? It tells the numbers of QEMU's
    user and group as the label of its ``dac`` security model.

    A session daemon has no such label. Pure.
    """
    for model in domain_xml.parse(capabilities).iterfind('host/secmodel'):
        if model.findtext('model') == 'dac':
            labels = [e.text or '' for e in model.iterfind('baselabel')]
            return bool(labels) and all(
                re.fullmatch(r'\+?0:.*', label) for label in labels
            )
    return False


def userfaultfd_for_all() -> bool:
    """May any process handle page faults of the kernel itself?"""
    try:
        with open(USERFAULTFD, encoding='ascii') as file:
            return file.read().strip() == '1'
    except OSError:
        # Kernels before 5.2 have no such file and let everybody.
        LOG.info('%s cannot be read; post-copy counts as no', USERFAULTFD)
        return False


def uptime() -> str:
    """This host's own words, which clients know how to read; '': none."""
    try:
        done = subprocess.run(
            UPTIME,
            env={'LC_ALL': 'C', 'PATH': '/usr/bin:/bin'},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors='replace',
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        LOG.debug('uptime: %s', error)
        return ''
    return done.stdout.strip()[:255]
