"""Options that files bring along from Nova, or from older libraries.

A file that still has them is read without a word: what livemig does not
know, it does not look at.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping

from oslo_utils import strutils


class Level(enum.IntEnum):
    """Also the command's exit code."""

    OK = 0
    WARNING = 1
    FAILURE = 2


def _whatever(_value: str) -> bool:
    return True


def _is_on(value: str) -> bool:
    on: bool = strutils.bool_from_string(value)
    return on


def _has_placeholder(value: str) -> bool:
    return '%s' in value


def _is_long(seconds: str) -> bool:
    """As long as Nova's own default, or longer."""
    try:
        return float(seconds) >= 5
    except ValueError:
        return False


@dataclasses.dataclass(frozen=True)
class Remark:
    """
    :ivar text: goes on from "option X in FILE".
    :ivar about: whether a value deserves it.
    """

    text: str
    level: Level = Level.WARNING
    about: Callable[[str], bool] = _whatever


def _without_effect(
    why: str, about: Callable[[str], bool] = _whatever
) -> Remark:
    return Remark(f'has no effect: {why}', about=about)


_FLAGS = _without_effect('livemig chooses the flags')
_OF_NETWORKS = _without_effect(
    'livemig waits for no network service; [libvirt] guest_network says '
    'what guests are connected to'
)
_STATE_CHANGES = _without_effect(
    'there is no instance.update; each change has a notification of its own'
)
_RESCUE_KERNEL = _without_effect(
    'a rescued guest boots with the kernel that its image names in the '
    'catalogue'
)
_NO_CPU_MODEL = _without_effect(
    'livemig names no CPU models; see [libvirt] cpu_mode'
)
_ALWAYS_CHECKED = _without_effect('the check is made all the same', _is_on)
_NOT_COUNTED = _without_effect(
    'where guests may be placed depends on memory, see ram_allocation_ratio, '
    'and on the room for disks that are copied'
)

#: (group, name) -> what is to be said of it.
REMARKS: Mapping[tuple[str, str], Remark] = {
    ('libvirt', 'live_migration_with_native_tls'): Remark(
        'has no effect, and is true: livemig asks QEMU for no TLS, so the '
        "guests' memory and disks would travel UNENCRYPTED. Give migrations "
        'a network that nobody else can listen to '
        '(live_migration_inbound_addr: hosts only, or a tunnel such as '
        'WireGuard or IPsec), then take the option out',
        Level.FAILURE,
        _is_on,
    ),
    ('libvirt', 'live_migration_tunnelled'): Remark(
        'has no effect, and is true: libvirt sends memory between the QEMUs '
        'directly, not through the connection of the libvirtds (it could '
        'not be together with copied disks or post-copy), so it would '
        "travel UNENCRYPTED even if that one is. Let the firewall take QEMU's "
        'ports, give migrations a network that nobody else can listen to '
        '(live_migration_inbound_addr), then take the option out',
        Level.FAILURE,
        _is_on,
    ),
    ('libvirt', 'live_migration_uri'): Remark(
        "has %s, which livemig does not replace by a host's name: it is no "
        "pattern for all hosts but the URI of this host's own libvirtd as "
        'the others reach it, such as qemu+tls://node1.example.org/system. '
        'Nothing can be migrated to a host that says it so. Write the name, '
        'or set live_migration_scheme instead',
        Level.FAILURE,
        _has_placeholder,
    ),
    ('libvirt', 'live_migration_parallel_connections'): _without_effect(
        'one connection carries the memory; several lose the guest together '
        'with post-copy'
    ),
    ('libvirt', 'live_migration_monitor_interval'): Remark(
        'is the time between two looks at a migration, not between two '
        'writes of its figures: an abort, and the next step of the downtime, '
        'take effect that much later. The default is 0.5',
        about=_is_long,
    ),
    ('libvirt', 'live_migration_progress_timeout'): _without_effect(
        'a transfer without progress is no reason to abort it; see '
        'live_migration_completion_timeout'
    ),
    ('libvirt', 'live_migration_flag'): _FLAGS,
    ('libvirt', 'block_migration_flag'): _FLAGS,
    ('libvirt', 'rescue_image_id'): _without_effect(
        '[api] rescue_image_ref says it, where the API runs; until that is '
        'set, servers are rescued with the image they were made of'
    ),
    ('libvirt', 'rescue_kernel_id'): _RESCUE_KERNEL,
    ('libvirt', 'rescue_ramdisk_id'): _RESCUE_KERNEL,
    ('libvirt', 'hw_machine_type'): _without_effect(
        '[libvirt] machine_type says it, without the architecture'
    ),
    ('libvirt', 'cpu_model'): _NO_CPU_MODEL,
    ('libvirt', 'cpu_models'): _NO_CPU_MODEL,
    ('libvirt', 'cpu_model_extra_flags'): _NO_CPU_MODEL,
    ('libvirt', 'images_type'): _without_effect(
        'disks are files below instances_path, qcow2 or raw as the catalogue '
        'says'
    ),
    ('DEFAULT', 'live_migration_retry_count'): _OF_NETWORKS,
    ('DEFAULT', 'vif_plugging_is_fatal'): _OF_NETWORKS,
    ('DEFAULT', 'vif_plugging_timeout'): _OF_NETWORKS,
    ('compute', 'live_migration_wait_for_vif_plug'): _OF_NETWORKS,
    ('DEFAULT', 'notify_on_state_change'): _STATE_CHANGES,
    ('notifications', 'notify_on_state_change'): _STATE_CHANGES,
    ('DEFAULT', 'cpu_allocation_ratio'): _NOT_COUNTED,
    ('DEFAULT', 'disk_allocation_ratio'): _NOT_COUNTED,
    ('DEFAULT', 'resume_guests_state_on_host_boot'): _without_effect(
        'guests that a restart of their host has ended stay SHUTOFF until '
        'somebody starts them',
        _is_on,
    ),
    ('workarounds', 'skip_cpu_compare_on_dest'): _ALWAYS_CHECKED,
    ('workarounds', 'skip_hypervisor_version_check_on_lm'): _ALWAYS_CHECKED,
    ('oslo_messaging_rabbit', 'heartbeat_in_pthread'): _without_effect(
        'oslo.messaging has it no more; heartbeats have their own thread'
    ),
    ('oslo_messaging_rabbit', 'rabbit_ha_queues'): _without_effect(
        'RabbitMQ 4 has no mirrored queues; see rabbit_quorum_queue'
    ),
    ('oslo_policy', 'enforce_scope'): _without_effect(
        'oslo.policy has it no more; scopes are always enforced'
    ),
    ('DEFAULT', 'rpc_backend'): _without_effect('transport_url says it'),
}
