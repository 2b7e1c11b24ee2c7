"""The meaning of what stands in queries; see ``fields`` for the tables."""

from __future__ import annotations

from collections.abc import Mapping

_PAGING: Mapping[str, str] = {
    'limit': 'At most so many; never more than ``[api] max_limit``.',
    'marker': 'Id of the last one of the page before.',
    'sort_key': 'What to sort by; may come several times.',
    'sort_dir': '``asc`` or ``desc`` (the default), one for each key.',
    'changes-since': 'Changed at that time or later, ISO 8601.',
    'changes-before': 'Changed at that time or earlier, ISO 8601.',
}

_NONE_HAS = (
    'No server has one: a filter by anything but an empty text finds none.'
)

_SERVERS: Mapping[str, str] = {
    'marker': 'Id of the last server of the page before.',
    'sort_key': 'What to sort by, such as ``display_name``; the OpenAPI '
    'document has all words. Default: ``created_at``.',
    'sort_dir': '``asc`` or ``desc`` (the default), one for each key.',
    'changes-since': 'Changed at that time or later, ISO 8601; deleted '
    'servers too.',
    'all_tenants': 'The servers of all projects; needs the right.',
    'name': 'A regular expression that the name matches somewhere.',
    'display_name': 'The same as ``name``; administrators only.',
    'reservation_id': 'Made by one request.',
    'image': 'Id of the image.',
    'image_ref': 'Id of the image.',
    'flavor': 'Id of the flavor.',
    'description': 'The text about it.',
    'display_description': 'The text about it.',
    'locked_by': '``owner`` or ``admin``.',
    'locked': 'Whether it is locked.',
    'launch_index': 'All servers have 0.',
    'kernel_id': _NONE_HAS,
    'ramdisk_id': _NONE_HAS,
    'root_device_name': _NONE_HAS,
    'access_ip_v4': _NONE_HAS,
    'access_ip_v6': _NONE_HAS,
    'ip': _NONE_HAS,
    'ip6': _NONE_HAS,
    'auto_disk_config': 'False of all servers.',
    'soft_deleted': 'False of all servers.',
    'uuid': 'Id of the server.',
    'host': 'Host it is on.',
    'node': 'The same, as the hypervisor calls itself.',
    'project_id': 'Id of its project; with ``all_tenants`` only.',
    'tenant_id': 'Id of its project; with ``all_tenants`` only.',
    'user_id': 'Id of the user who made it.',
    'vm_state': 'The lasting state.',
    'task_state': 'The operation under way.',
    'power_state': 'What the hypervisor says, as a number.',
    'status': 'State as people see it, such as ``ACTIVE``. An unknown one '
    'finds nothing, and is 400 from 2.38 on.',
    'progress': 'In percent.',
    'availability_zone': 'The zone that was asked for.',
    'key_name': 'Name of the key pair.',
    'config_drive': 'What was asked for.',
    'created_at': 'When it was made.',
    'launched_at': 'When it ran first.',
    'terminated_at': 'When it was deleted.',
    'hostname': 'Host name of the guest.',
    'deleted': 'Deleted servers instead; administrators only.',
    'tags': _NONE_HAS,
    'tags-any': _NONE_HAS,
    'not-tags': 'All servers are without tags: finds all.',
    'not-tags-any': 'All servers are without tags: finds all.',
}

PARAMETERS: Mapping[str, Mapping[str, str]] = {
    'query': _PAGING,
    'servers query': _SERVERS,
    'migrations query': {
        'marker': 'Uuid of the last migration of the page before.',
        'status': 'The status, exactly.',
        'instance_uuid': 'Id of the server.',
        'migration_type': 'The type: ``live-migration`` is the only one.',
        'host': 'Source or destination.',
        'source_compute': 'Source.',
        'hidden': 'Taken, and without effect: hidden ones are never shown.',
        'user_id': 'Id of the user who asked for it.',
        'project_id': "Id of that user's project.",
    },
    'instance_actions query': {
        'marker': 'Request id of the last action of the page before.',
    },
    'flavors query': {
        'minRam': 'With at least so much memory, in MiB.',
        'minDisk': 'With a disk of at least that size, in GiB.',
        'is_public': '``true`` (the default), ``false``, or ``none``: both. '
        'Administrators only; others see the public ones.',
        'sort_key': 'What to sort by; default: ``flavorid``.',
        'sort_dir': '``asc`` (the default) or ``desc``.',
    },
    'services query': {
        'host': 'Of that host.',
        'binary': 'Such as ``nova-compute``.',
    },
    'hypervisors query': {
        'marker': 'Id of the last hypervisor of the page before.',
        'with_servers': 'If true, each is shown with its servers.',
        'hypervisor_hostname_pattern': 'Part of the name; not together with '
        'pages.',
    },
    'images query': {
        'sort': 'Keys and directions: ``name:asc,id:desc``. Not together '
        'with ``sort_key`` and ``sort_dir``.',
        'tag': 'No image has tags: finds none.',
        'protected': 'All images are protected.',
        'os_hidden': 'No image is hidden.',
        '*': 'Any other parameter is a property the image has to have, with '
        'that value; ``in:a,b`` means one of several.',
    },
    'limits query': {
        'tenant_id': 'Id of another project; needs the right.',
        'reserved': 'Taken, and without effect.',
    },
    'quotas query': {'user_id': 'Taken, and without effect.'},
    'server_groups query': {
        'all_projects': 'Taken, and without effect.',
        'limit': 'Taken, and without effect.',
        'offset': 'Taken, and without effect.',
    },
    'keypairs query': {
        'user_id': 'Id of another user; administrators only.',
        'limit': 'Taken, and without effect.',
        'marker': 'Taken, and without effect.',
    },
}
