"""Every operation and the versions that have it, what it answers, and how
it was asked in earlier versions; as ``borders.py``, written from Nova's API
history, the specs and livemig's own list, never from the records."""

from __future__ import annotations

from typing import Any

from tests.functional.api import borders, resource_borders
from tests.functional.api.world import IMAGE

ALL = ('2.1', None)

#: Operation -> (first, last) version that has it; None is "to the end".
SPOKEN: dict[str, tuple[str, str | None]] = {
    **dict.fromkeys(
        (
            'aggregates:index', 'extensions:index', 'extensions:show',
            'flavor_access:index', 'flavor_extra_specs:create',
            'flavor_extra_specs:delete', 'flavor_extra_specs:index',
            'flavor_extra_specs:show', 'flavor_extra_specs:update',
            'flavors:create', 'flavors:delete', 'flavors:detail',
            'flavors:index', 'flavors:show', 'hypervisors:detail',
            'hypervisors:index', 'hypervisors:show',
            'instance_actions:index', 'instance_actions:show',
            'keypairs:index', 'limits:index', 'migrations:index',
            'quotas:defaults', 'quotas:detail', 'quotas:show',
            'server_groups:index', 'server_metadata:create',
            'server_metadata:delete', 'server_metadata:index',
            'server_metadata:show', 'server_metadata:update',
            'server_metadata:update_all', 'servers:create',
            'servers:delete', 'servers:detail', 'servers:index',
            'servers:lock', 'servers:migrate_live', 'servers:pause',
            'servers:reboot', 'servers:rescue', 'servers:reset_state',
            'servers:resume', 'servers:show', 'servers:start',
            'servers:stop', 'servers:suspend', 'servers:unlock',
            'servers:unpause', 'servers:unrescue', 'servers:update',
            'services:delete', 'services:index', 'versions:show',
            'zones:detail', 'zones:index',
        ),
        ALL,
    ),
    'services:force_down': ('2.11', '2.52'),
    **dict.fromkeys(
        (
            'services:enable', 'services:disable',
            'services:disable_log_reason', 'hypervisors:search',
            'hypervisors:servers',
        ),
        ('2.1', '2.52'),
    ),
    'services:update': ('2.53', None),
    'flavors:update': ('2.55', None),
    'hypervisors:statistics': ('2.1', '2.87'),
    'hypervisors:uptime': ('2.1', '2.87'),
    'server_migrations:force_complete': ('2.22', None),
    'server_migrations:index': ('2.23', None),
    'server_migrations:show': ('2.23', None),
    'server_migrations:abort': ('2.24', None),
    'servers:force_end': ('2.201', None),
}  # fmt: skip

#: Beside the compute API, and without versions.
WITHOUT_VERSIONS = {
    'images:index', 'images:show', 'images:schema_of_one',
    'images:schema_of_many',
}  # fmt: skip

#: Operation -> (last version, what differs from its example up to there),
#: the earliest first.
EARLIER: dict[str, list[tuple[str, dict[str, Any]]]] = {
    'servers:create': [
        ('2.36', {'body': {'server': {
            'name': 'new', 'flavorRef': '1',
            'imageRef': IMAGE,
        }}}),
    ],
    'servers:update': [('2.18', {'body': {'server': {'name': 'other'}}})],
    'servers:migrate_live': [
        ('2.24', {'body': {'os-migrateLive': {
            'host': None, 'block_migration': False,
            'disk_over_commit': False,
        }}}),
    ],
    # Numbers, before there were uuids.
    'hypervisors:show': [('2.52', {'url': '/os-hypervisors/1'})],
    'hypervisors:uptime': [('2.52', {'url': '/os-hypervisors/1/uptime'})],
    'services:delete': [('2.52', {'url': '/os-services/3'})],
}  # fmt: skip

#: Versions at which anything at all changes in what is served.
BORDERS = (
    3, 5, 9, 10, 11, 16, 19, 21, 22, 23, 24, 25, 26, 28, 30, 33, 34, 35, 36,
    37, 38, 39, 46, 47, 51, 52, 53, 55, 57, 58, 59, 61, 62, 63, 65, 66, 68,
    69, 71, 73, 74, 75, 80, 83, 84, 88, 90, 94, 96, 98, 100, 101, 200, 201,
    202,
)  # fmt: skip


def _always(text: str) -> dict[str, tuple[str, str | None]]:
    return dict.fromkeys(text.split(), ALL)


_FLAVOR = {
    **_always(
        'id name links ram disk vcpus swap OS-FLV-EXT-DATA:ephemeral '
        'os-flavor-access:is_public rxtx_factor OS-FLV-DISABLED:disabled'
    ),
    'description': ('2.55', None),
    'extra_specs': ('2.61', None),
}
_NAMED = 'host binary status'
_BRIEF_HYPERVISOR = 'id hypervisor_hostname state status'
_ZONE = 'zoneName zoneState hosts'
_EXTENSION = 'name alias description updated namespace links'

#: Operation -> where in the answer to its example -> the keys there, of
#: which versions. Those that ``borders.FIELDS`` has are not here again.
ANSWERS: dict[str, tuple[str, dict[str, tuple[str, str | None]]]] = {
    'servers:create': (
        'server',
        _always('id links OS-DCF:diskConfig security_groups adminPass'),
    ),
    'servers:rescue': ('', _always('adminPass')),
    'server_metadata:create': ('metadata', _always('a kind')),
    'server_metadata:update_all': ('metadata', _always('kind')),
    'server_metadata:update': ('meta', _always('kind')),
    'services:update': (
        'service',
        _always(
            'id binary host zone status state updated_at disabled_reason '
            'forced_down'
        ),
    ),
    'services:enable': ('service', _always(_NAMED)),
    'services:disable': ('service', _always(_NAMED)),
    'services:disable_log_reason': (
        'service', _always(f'{_NAMED} disabled_reason'),
    ),
    'services:force_down': ('service', _always('host binary forced_down')),
    'flavors:create': ('flavor', _FLAVOR),
    'flavors:update': ('flavor', _FLAVOR),
    'flavor_extra_specs:create': ('', _always('extra_specs')),
    'flavor_extra_specs:update': ('', _always('colour')),
    'versions:show': (
        'version',
        _always('id status version min_version updated links media-types'),
    ),
    'server_metadata:index': ('metadata', _always('kind')),
    'server_metadata:show': ('meta', _always('kind')),
    'server_migrations:show': (
        'migration',
        borders.FIELDS['/servers/{running}/migrations', 'migrations.0'],
    ),
    'flavor_extra_specs:index': ('extra_specs', _always('hw:cpu')),
    'flavor_extra_specs:show': ('', _always('hw:cpu')),
    'flavor_access:index': ('', _always('flavor_access')),
    'hypervisors:show': ('hypervisor', resource_borders.HYPERVISOR),
    'hypervisors:search': ('hypervisors.0', _always(_BRIEF_HYPERVISOR)),
    'hypervisors:servers': (
        'hypervisors.0', _always(f'{_BRIEF_HYPERVISOR} servers'),
    ),
    'hypervisors:statistics': (
        'hypervisor_statistics',
        _always(
            'count vcpus vcpus_used memory_mb memory_mb_used local_gb '
            'local_gb_used free_ram_mb free_disk_gb disk_available_least '
            'running_vms current_workload'
        ),
    ),
    'hypervisors:uptime': (
        'hypervisor', _always(f'{_BRIEF_HYPERVISOR} uptime'),
    ),
    'zones:index': ('availabilityZoneInfo.0', _always(_ZONE)),
    'zones:detail': ('availabilityZoneInfo.0', _always(_ZONE)),
    'extensions:index': ('extensions.0', _always(_EXTENSION)),
    'extensions:show': ('extension', _always(_EXTENSION)),
    'aggregates:index': ('', _always('aggregates')),
    'server_groups:index': ('', _always('server_groups')),
    'keypairs:index': ('', _always('keypairs')),
}  # fmt: skip

#: What answers with nothing but a code.
SILENT = {
    'flavor_extra_specs:delete', 'flavors:delete', 'server_metadata:delete',
    'server_migrations:abort', 'server_migrations:force_complete',
    'servers:delete', 'servers:force_end', 'servers:lock',
    'servers:migrate_live', 'servers:pause', 'servers:reboot',
    'servers:reset_state', 'servers:resume', 'servers:start',
    'servers:stop', 'servers:suspend', 'servers:unlock', 'servers:unpause',
    'servers:unrescue', 'services:delete',
}  # fmt: skip

#: Told by ``borders.UPDATED_SERVER``.
TOLD_ELSEWHERE = {'servers:update'}
