"""Where what appears and disappears, written from Nova's API history, the
five specs and livemig's own list of versions. Never from the records.

A pair is (first version, last version); None is "to the end".
"""

from __future__ import annotations

from tests.functional.api import resource_borders

#: Operations that were not always there: (method, path, body) -> first.
OPERATIONS = {
    ('POST', '/servers/{running}/migrations/4/action'): (
        {'force_complete': None},
        '2.22',
    ),
    ('GET', '/servers/{running}/migrations'): (None, '2.23'),
    ('GET', '/servers/{running}/migrations/4'): (None, '2.23'),
    ('DELETE', '/servers/{running}/migrations/4'): (None, '2.24'),
    ('POST', '/servers/{running}/action'): (
        {'live-migrate-force-end': None},
        '2.201',
    ),
}


def _words(text: str) -> list[str]:
    return text.split()


_SERVER_AT_FIRST = _words(
    'id name status tenant_id user_id metadata hostId image flavor created '
    'updated addresses accessIPv4 accessIPv6 links progress config_drive '
    'key_name OS-DCF:diskConfig OS-EXT-AZ:availability_zone '
    'OS-EXT-STS:task_state OS-EXT-STS:vm_state OS-EXT-STS:power_state '
    'OS-SRV-USG:launched_at OS-SRV-USG:terminated_at '
    'os-extended-volumes:volumes_attached OS-EXT-SRV-ATTR:host '
    'OS-EXT-SRV-ATTR:hypervisor_hostname OS-EXT-SRV-ATTR:instance_name'
)
_SERVER_LATER = {
    'OS-EXT-SRV-ATTR:reservation_id': '2.3',
    'OS-EXT-SRV-ATTR:launch_index': '2.3',
    'OS-EXT-SRV-ATTR:ramdisk_id': '2.3',
    'OS-EXT-SRV-ATTR:kernel_id': '2.3',
    'OS-EXT-SRV-ATTR:hostname': '2.3',
    'OS-EXT-SRV-ATTR:root_device_name': '2.3',
    'OS-EXT-SRV-ATTR:user_data': '2.3',
    'locked': '2.9',
    'host_status': '2.16',
    'description': '2.19',
    'tags': '2.26',
    'trusted_image_certificates': '2.63',
    'locked_reason': '2.73',
    'pinned_availability_zone': '2.96',
    'scheduler_hints': '2.100',
}
#: What PUT /servers/{id} did not tell before 2.75.
_NOT_AT_FIRST_AFTER_UPDATE = _words(
    'config_drive key_name host_status OS-EXT-AZ:availability_zone '
    'OS-EXT-STS:task_state OS-EXT-STS:vm_state OS-EXT-STS:power_state '
    'OS-SRV-USG:launched_at OS-SRV-USG:terminated_at '
    'os-extended-volumes:volumes_attached OS-EXT-SRV-ATTR:host '
    'OS-EXT-SRV-ATTR:hypervisor_hostname OS-EXT-SRV-ATTR:instance_name '
    'OS-EXT-SRV-ATTR:reservation_id OS-EXT-SRV-ATTR:launch_index '
    'OS-EXT-SRV-ATTR:ramdisk_id OS-EXT-SRV-ATTR:kernel_id '
    'OS-EXT-SRV-ATTR:hostname OS-EXT-SRV-ATTR:root_device_name '
    'OS-EXT-SRV-ATTR:user_data'
)
_OWN = _words(
    'old_flavor_id new_flavor_id reason completed_by downtime_ms '
    'throughput_bytes_per_s pass_number dirty_rate_bytes_per_s elapsed_s '
    'timeout_s'
)


def _fields(
    at_first: list[str], later: dict[str, str], first: str = '2.1'
) -> dict[str, tuple[str, str | None]]:
    return {
        **{name: (first, None) for name in at_first},
        **{name: (since, None) for name, since in later.items()},
    }


#: (path, path to the object in the answer) -> key -> (first, last).
FIELDS = {
    **resource_borders.FIELDS,
    ('/servers/{active}', 'server'): _fields(
        _SERVER_AT_FIRST, {**_SERVER_LATER, 'server_groups': '2.71'}
    ),
    # No server_groups in a list.
    ('/servers/detail?name=^active', 'servers.0'): _fields(
        _SERVER_AT_FIRST, _SERVER_LATER
    ),
    ('/servers?name=^active', 'servers.0'): _fields(
        ['id', 'name', 'links'], {}
    ),
    ('/servers/{active}', 'server.flavor'): {
        'id': ('2.1', '2.46'),
        'links': ('2.1', '2.46'),
        **{
            name: ('2.47', None)
            for name in _words(
                'vcpus ram disk ephemeral swap original_name extra_specs'
            )
        },
    },
    ('/servers/{active}', 'server.image'): _fields(
        ['id', 'links'], {'properties': '2.98'}
    ),
    ('/servers/{running}/migrations', 'migrations.0'): _fields(
        _words(
            'id server_uuid status source_compute source_node dest_compute '
            'dest_node dest_host memory_total_bytes memory_processed_bytes '
            'memory_remaining_bytes disk_total_bytes disk_processed_bytes '
            'disk_remaining_bytes created_at updated_at'
        ),
        {
            'uuid': '2.59',
            'user_id': '2.80',
            'project_id': '2.80',
            **dict.fromkeys(_OWN, '2.202'),
        },
        first='2.23',
    ),
    ('/os-migrations?instance_uuid={running}', 'migrations.0'): _fields(
        _words(
            'id instance_uuid status source_compute source_node '
            'dest_compute dest_node dest_host old_instance_type_id '
            'new_instance_type_id created_at updated_at'
        ),
        {
            'migration_type': '2.23',
            'links': '2.23',
            'uuid': '2.59',
            'user_id': '2.80',
            'project_id': '2.80',
            **dict.fromkeys(_OWN, '2.202'),
        },
    ),
    ('/servers/{running}/os-instance-actions', 'instanceActions.0'): _fields(
        _words(
            'action instance_uuid request_id user_id project_id start_time '
            'message'
        ),
        {'updated_at': '2.58'},
    ),
    (
        '/servers/{running}/os-instance-actions/req-{running}',
        'instanceAction',
    ): _fields(
        _words(
            'action instance_uuid request_id user_id project_id start_time '
            'message events'
        ),
        {'updated_at': '2.58'},
    ),
    (
        '/servers/{running}/os-instance-actions/req-{running}',
        'instanceAction.events.0',
    ): _fields(
        ['event', 'start_time', 'finish_time', 'result', 'traceback'],
        {'hostId': '2.62', 'host': '2.62', 'details': '2.84'},
    ),
    ('/os-services?host=host1', 'services.0'): _fields(
        _words('id binary host zone status state updated_at disabled_reason'),
        {'forced_down': '2.11'},
    ),
    ('/flavors', 'flavors.0'): _fields(
        ['id', 'name', 'links'], {'description': '2.55'}
    ),
    ('/flavors/1', 'flavor'): _fields(
        _words(
            'id name links ram disk vcpus swap OS-FLV-EXT-DATA:ephemeral '
            'os-flavor-access:is_public rxtx_factor OS-FLV-DISABLED:disabled'
        ),
        {'description': '2.55', 'extra_specs': '2.61'},
    ),
    ('/flavors/detail', 'flavors.0'): _fields(
        _words(
            'id name links ram disk vcpus swap OS-FLV-EXT-DATA:ephemeral '
            'os-flavor-access:is_public rxtx_factor OS-FLV-DISABLED:disabled'
        ),
        {'description': '2.55', 'extra_specs': '2.61'},
    ),
}

#: The same for those who may read only, where they see less.
READERS_FIELDS = {
    ('/servers/{active}', 'server'): {
        name: span
        for name, span in {
            **_fields(
                _SERVER_AT_FIRST, {**_SERVER_LATER, 'server_groups': '2.71'}
            ),
            'OS-EXT-SRV-ATTR:hostname': ('2.90', None),
        }.items()
        if name == 'OS-EXT-SRV-ATTR:hostname'
        or not name.startswith(('OS-EXT-SRV-ATTR:', 'host_status'))
    },
    (
        '/servers/{running}/os-instance-actions/req-{running}',
        'instanceAction',
    ): {
        **_fields(
            _words(
                'action instance_uuid request_id user_id project_id '
                'start_time message'
            ),
            {'events': '2.51', 'updated_at': '2.58'},
        ),
    },
    (
        '/servers/{running}/os-instance-actions/req-{running}',
        'instanceAction.events.0',
    ): _fields(
        ['event', 'start_time', 'finish_time', 'result'],
        {'hostId': '2.62'},
        first='2.51',
    ),
}

#: The answer to PUT /servers/{id}: key -> (first, last).
UPDATED_SERVER = _fields(
    [n for n in _SERVER_AT_FIRST if n not in _NOT_AT_FIRST_AFTER_UPDATE],
    {
        **_SERVER_LATER,
        'server_groups': '2.71',
        **dict.fromkeys(_NOT_AT_FIRST_AFTER_UPDATE, '2.75'),
    },
)

#: Bodies of os-migrateLive that are accepted (202) from .. to.
_BOTH = {'host': None, 'block_migration': False}
MIGRATE_LIVE = [
    ({**_BOTH, 'disk_over_commit': False}, '2.1', '2.24'),
    (_BOTH, '2.25', None),
    ({**_BOTH, 'block_migration': 'auto'}, '2.25', None),
    (
        {**_BOTH, 'block_migration': 'auto', 'disk_over_commit': False},
        None,
        None,
    ),
    ({**_BOTH, 'force': False}, '2.30', '2.67'),
    ({**_BOTH, 'host': 'host2', 'force': True}, '2.30', '2.67'),
    ({'host': None}, None, None),
    ({'block_migration': False}, None, None),
    ({**_BOTH, 'colour': 'red'}, None, None),
    ({**_BOTH, 'host': ''}, None, None),
    ({**_BOTH, 'host': 'a b'}, None, None),
    ({**_BOTH, 'host': 'h' * 256}, None, None),
    ({**_BOTH, 'host': 7}, None, None),
    ({**_BOTH, 'block_migration': 'maybe'}, None, None),
    ({**_BOTH, 'block_migration': 1}, None, None),
    ({**_BOTH, 'block_migration': None}, None, None),
]

#: Which host is given, and how, decides whether the scheduler is asked:
#: (version, body) -> bypassed.
BYPASSED = [
    ('2.1', {**_BOTH, 'disk_over_commit': False}, False),
    ('2.1', {**_BOTH, 'disk_over_commit': False, 'host': 'host2'}, True),
    ('2.29', {**_BOTH, 'host': 'host2'}, True),
    ('2.30', {**_BOTH, 'host': 'host2'}, False),
    ('2.67', {**_BOTH, 'host': 'host2', 'force': True}, True),
    ('2.67', {**_BOTH, 'host': 'host2', 'force': 'yes'}, True),
    ('2.67', {**_BOTH, 'host': 'host2', 'force': 'off'}, False),
    ('2.68', {**_BOTH, 'host': 'host2'}, False),
]

#: Query -> (first version at which it is refused).
UNKNOWN_PARAMETER_REFUSED = {
    '/servers': '2.75',
    '/servers/detail': '2.75',
    '/flavors': '2.75',
    '/flavors/detail': '2.75',
    '/os-services': '2.75',
    '/os-migrations': '2.59',
    '/servers/{running}/os-instance-actions': '2.58',
}

#: Properties of a new server: (property, a good value) -> (first, last).
CREATE = {
    ('personality', ()): ('2.1', '2.56'),
    ('description', 'text'): ('2.19', None),
    ('tags', ()): ('2.52', None),
    ('trusted_image_certificates', None): ('2.63', None),
    ('host', 'host1'): ('2.74', None),
    ('hypervisor_hostname', 'host1'): ('2.74', None),
    ('hostname', 'short'): ('2.90', None),
    ('hostname', 'fully.qualified.name'): ('2.94', None),
    ('metadata', None): (None, None),
}

#: What else a server is asked: (method, below it, body) -> (first, last)
#: version that takes it.
_ACTION = 'POST', '/action'
BODIES = [
    (*_ACTION, {'lock': None}, '2.1', None),
    (*_ACTION, {'lock': {'locked_reason': 'why'}}, '2.1', None),
    (*_ACTION, {'lock': {'colour': 'red'}}, '2.1', '2.72'),
    (*_ACTION, {'lock': 'text'}, '2.1', '2.72'),
    (*_ACTION, {'unlock': {'colour': 'red'}}, '2.1', None),
    (*_ACTION, {'reboot': {'type': 'HARD'}}, '2.1', None),
    (*_ACTION, {'reboot': {'type': 'HARD', 'colour': 'red'}}, None, None),
    (*_ACTION, {'reboot': None}, None, None),
    (*_ACTION, {'os-resetState': {'state': 'active'}}, '2.1', None),
    (*_ACTION, {'os-resetState': {}}, None, None),
    (*_ACTION, {'rescue': {'colour': 'red'}}, None, None),
    (*_ACTION, {'rescue': {'rescue_image_ref': 'name'}}, None, None),
    (*_ACTION, {'rescue': 'text'}, None, None),
    ('PUT', '', {'server': {'name': 'a'}}, '2.1', None),
    ('PUT', '', {'server': {}}, '2.1', None),
    ('PUT', '', {'server': {'description': 'a'}}, '2.19', None),
    ('PUT', '', {'server': {'hostname': 'short'}}, '2.90', None),
    ('PUT', '', {'server': {'hostname': 'fully.qualified'}}, '2.94', None),
    ('PUT', '', {'server': {'metadata': {}}}, None, None),
    ('PUT', '/metadata', {'metadata': {'a': 'b'}}, '2.1', None),
    ('PUT', '/metadata/a', {'meta': {'a': 'b'}}, '2.1', None),
    ('PUT', '/metadata/a', {'meta': {'a': 'b', 'c': 'd'}}, None, None),
    ('POST', '/metadata', {'metadata': {'a': 'b'}}, '2.1', None),
    ('POST', '/metadata', {'metadata': {'a': 'b' * 256}}, None, None),
]

#: Parameters of GET /servers that find none -> first version; before, they
#: are unknown, and so ignored.
FILTERS = {
    'tags=red': '2.26',
    'tags-any=red': '2.26',
    'changes-before=2020-01-01T00:00:00Z': '2.66',
    'locked=true&name=^active': '2.73',
}
