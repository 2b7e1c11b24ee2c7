"""Where what of the resources around servers appears and disappears; as
``borders.py``, written from Nova's API history and never from the records."""

from __future__ import annotations

from typing import Any

from tests.functional.api.world import OTHER_SERVICE, SERVICE

Fields = dict[str, tuple[str, str | None]]
_FLAVOR = {'name': 'new', 'ram': 64, 'vcpus': 1, 'disk': 0}
_NAMED = {'host': 'host2', 'binary': 'nova-compute'}

#: (method, path, body), in the version's own form -> (first, last).
OPERATIONS: list[tuple[str, str, Any, str, str | None]] = [
    ('PUT', '/os-services/enable', _NAMED, '2.1', '2.52'),
    ('PUT', '/os-services/disable', _NAMED, '2.1', '2.52'),
    (
        'PUT', '/os-services/disable-log-reason',
        {**_NAMED, 'disabled_reason': 'why'}, '2.1', '2.52',
    ),
    (
        'PUT', '/os-services/force-down', {**_NAMED, 'forced_down': True},
        '2.11', '2.52',
    ),
    (
        'PUT', f'/os-services/{SERVICE}', {'status': 'disabled'},
        '2.53', None,
    ),
    ('POST', '/flavors', {'flavor': _FLAVOR}, '2.1', None),
    (
        'POST', '/flavors', {'flavor': {**_FLAVOR, 'description': None}},
        '2.55', None,
    ),
    (
        'PUT', '/flavors/made', {'flavor': {'description': 'x'}},
        '2.55', None,
    ),
    ('GET', '/flavors/1/os-extra_specs', None, '2.1', None),
    ('GET', '/flavors/made/os-flavor-access', None, '2.1', None),
    ('GET', '/os-hypervisors/host/search', None, '2.1', '2.52'),
    ('GET', '/os-hypervisors/host/servers', None, '2.1', '2.52'),
    ('GET', '/os-hypervisors/statistics', None, '2.1', '2.87'),
    ('GET', '/os-hypervisors/1/uptime', None, '2.1', '2.52'),
    (
        'GET', f'/os-hypervisors/{OTHER_SERVICE}/uptime', None,
        '2.53', '2.87',
    ),
]  # fmt: skip


def _words(text: str) -> list[str]:
    return text.split()


def _since(first: str, text: str, last: str | None = None) -> Fields:
    return dict.fromkeys(_words(text), (first, last))


HYPERVISOR = {
    **_since(
        '2.1',
        'id hypervisor_hostname state status hypervisor_type '
        'hypervisor_version host_ip service',
    ),
    **_since(
        '2.1',
        'vcpus vcpus_used memory_mb memory_mb_used local_gb local_gb_used '
        'free_ram_mb free_disk_gb disk_available_least running_vms '
        'current_workload cpu_info',
        last='2.87',
    ),
    **_since('2.88', 'uptime'),
}

_QUOTAS = {
    **_since(
        '2.1',
        'id instances cores ram metadata_items key_pairs server_groups '
        'server_group_members',
    ),
    **_since(
        '2.1',
        'fixed_ips floating_ips security_groups security_group_rules',
        last='2.35',
    ),
    **_since(
        '2.1',
        'injected_files injected_file_content_bytes injected_file_path_bytes',
        last='2.56',
    ),
}

#: (path, path to the object in the answer) -> key -> (first, last).
FIELDS: dict[tuple[str, str], Fields] = {
    ('/os-hypervisors', 'hypervisors.0'): _since(
        '2.1', 'id hypervisor_hostname state status'
    ),
    ('/os-hypervisors/detail', 'hypervisors.0'): HYPERVISOR,
    # An unknown parameter before 2.53.
    ('/os-hypervisors/detail?with_servers=1', 'hypervisors.0'): {
        **HYPERVISOR,
        **_since('2.53', 'servers'),
    },
    ('/os-hypervisors/detail?with_servers=1', 'hypervisors.1'): {
        **HYPERVISOR,
        **_since('2.75', 'servers'),
    },
    ('/limits', 'limits.absolute'): {
        **_since(
            '2.1',
            'maxTotalInstances maxTotalCores maxTotalRAMSize maxServerMeta '
            'maxTotalKeypairs maxServerGroups maxServerGroupMembers '
            'totalInstancesUsed totalCoresUsed totalRAMUsed '
            'totalServerGroupsUsed',
        ),
        **_since(
            '2.1',
            'maxTotalFloatingIps maxSecurityGroups maxSecurityGroupRules '
            'totalFloatingIpsUsed totalSecurityGroupsUsed',
            last='2.35',
        ),
        **_since('2.1', 'maxImageMeta', last='2.38'),
        **_since('2.1', 'maxPersonality maxPersonalitySize', last='2.56'),
    },
    ('/os-quota-sets/any', 'quota_set'): _QUOTAS,
    ('/os-quota-sets/any/detail', 'quota_set'): _QUOTAS,
    ('/os-quota-sets/any/defaults', 'quota_set'): _QUOTAS,
    ('/os-hypervisors/detail', 'hypervisors.0.service'): _since(
        '2.1', 'id host disabled_reason'
    ),
}

#: Path -> the first version at which an unknown parameter is refused.
UNKNOWN_PARAMETER_REFUSED = {
    '/os-hypervisors': '2.53',
    '/os-hypervisors/detail': '2.53',
    '/limits': '2.75',
    '/os-quota-sets/any': '2.75',
    '/os-server-groups': '2.75',
    '/os-keypairs': '2.75',
}

#: (path, path to a value in the answer) -> its type from .. to.
TYPES: dict[tuple[str, str], list[tuple[type, str, str | None]]] = {
    ('/os-hypervisors/detail', 'hypervisors.0.id'): [
        (int, '2.1', '2.52'),
        (str, '2.53', None),
    ],
    ('/os-hypervisors/detail', 'hypervisors.0.service.id'): [
        (int, '2.1', '2.52'),
        (str, '2.53', None),
    ],
    ('/os-hypervisors/detail', 'hypervisors.0.cpu_info'): [
        (str, '2.1', '2.27'),
        (dict, '2.28', '2.87'),
    ],
    ('/flavors/1', 'flavor.swap'): [
        (str, '2.1', '2.74'),
        (int, '2.75', None),
    ],
    ('/os-services', 'services.0.id'): [
        (int, '2.1', '2.52'),
        (str, '2.53', None),
    ],
    ('/os-hypervisors?limit=1', 'hypervisors_links'): [
        (list, '2.33', None),
    ],
}
