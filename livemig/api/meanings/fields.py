"""The meaning of what stands in answers and bodies.

A table's name is ``resource:verb kind``, ``resource kind``, ``resource`` or
nothing, where all have it; the first that knows a field is right. An entry
is a field's name, after the names of as much of what it is in as is needed.
"""

from __future__ import annotations

from collections.abc import Mapping

_EMPTY = 'Always empty'
_NULL = 'Always null'

_LINKS: Mapping[str, str] = {
    'links': 'Where it is found.',
    'rel': '``self``: this version of the API; ``bookmark``: any version; '
    '``describedby``: a document about it; ``next``: the next page.',
    'href': 'The URL.',
    'links.type': 'Media type of what is found there.',
    'servers_links.type': 'Media type of what is found there.',
    'flavors_links.type': 'Media type of what is found there.',
    'migrations_links.type': 'Media type of what is found there.',
    'hypervisors_links.type': 'Media type of what is found there.',
}

_SERVERS: Mapping[str, str] = {
    'server': 'The server.',
    'servers': 'The servers, the newest first unless sorted otherwise.',
    'servers_links': 'The next page; only if there is one.',
    'id': 'Id of the server.',
    'name': 'Its name; need not be unique.',
    'status': 'State of the server as people see it, such as ``ACTIVE``, '
    '``MIGRATING``, ``RESCUE``, ``ERROR``.',
    'tenant_id': 'Id of the project it belongs to.',
    'user_id': 'Id of the user who made it.',
    'metadata': "The server's metadata: texts by name.",
    'hostId': 'Stands for the host without naming it: equal for servers of '
    'one project on one host. Empty if it is on none.',
    'image': 'Id and links of its image, from 2.98 on its properties too; '
    'an empty text if it has none.',
    'flavor': 'Its size: up to 2.46 id and links of the flavor; from 2.47 '
    'on ``vcpus``, ``ram`` (MiB), ``disk`` and ``ephemeral`` (GiB), '
    '``swap`` (MiB) and ``original_name`` as they were when it was made, '
    'and ``extra_specs`` for those who may see them.',
    'flavor.id': 'Id of its flavor.',
    'flavor.vcpus': 'Processors.',
    'flavor.ram': 'Memory in MiB.',
    'flavor.disk': 'Root disk in GiB.',
    'flavor.ephemeral': 'Other disks in GiB.',
    'flavor.swap': 'Swap disk in MiB.',
    'flavor.original_name': 'Name of the flavor when the server was made.',
    'flavor.extra_specs': 'Extra specs by name; for those who may see them.',
    'image.id': 'Id of the image.',
    'image.properties': "The image's properties: texts by name.",
    'created': 'When it was made.',
    'updated': 'When its record changed last.',
    'addresses': f'{_EMPTY}: livemig knows no addresses of guests.',
    'accessIPv4': f'{_EMPTY}.',
    'accessIPv6': f'{_EMPTY}.',
    'OS-DCF:diskConfig': 'Always ``MANUAL``: disks are never partitioned.',
    'progress': 'Of a live migration, in percent. Only in the statuses '
    '``ACTIVE``, ``BUILD`` and ``MIGRATING``.',
    'fault': 'What went wrong last: ``code``, ``created``, ``message`` and, '
    'for those who may see them, ``details``. Only in the statuses '
    '``ERROR`` and ``DELETED``.',
    'fault.code': 'As an HTTP status.',
    'fault.created': 'When it went wrong.',
    'fault.message': 'What went wrong.',
    'fault.details': 'More of it, for those who may see it.',
    'config_drive': 'What was asked for; there is no config drive.',
    'key_name': 'What was asked for, or null; there are no key pairs.',
    'OS-EXT-AZ:availability_zone': 'Zone of its host: ``nova``.',
    'OS-EXT-STS:task_state': 'The operation under way, such as '
    '``migrating``; null: none.',
    'OS-EXT-STS:vm_state': 'The lasting state, such as ``active``, '
    '``paused``, ``rescued``, ``error``.',
    'OS-EXT-STS:power_state': 'What the hypervisor says: 0 no state, '
    '1 running, 3 paused, 4 shut down, 6 crashed, 7 suspended.',
    'OS-SRV-USG:launched_at': 'When it ran first; null: not yet.',
    'OS-SRV-USG:terminated_at': 'When it was deleted; null: it is not.',
    'os-extended-volumes:volumes_attached': f'{_EMPTY}: no volumes.',
    'OS-EXT-SRV-ATTR:host': 'Host it is on; null: none. For those who have '
    'the right, as are the next fields of this name.',
    'OS-EXT-SRV-ATTR:hypervisor_hostname': 'The same, as the hypervisor '
    'calls itself.',
    'OS-EXT-SRV-ATTR:instance_name': "The guest's name on its host.",
    'OS-EXT-SRV-ATTR:reservation_id': 'Shared by the servers that one '
    'request made.',
    'OS-EXT-SRV-ATTR:launch_index': 'Always 0.',
    'OS-EXT-SRV-ATTR:ramdisk_id': f'{_EMPTY}.',
    'OS-EXT-SRV-ATTR:kernel_id': f'{_EMPTY}.',
    'OS-EXT-SRV-ATTR:hostname': 'Host name of the guest; from 2.90 on '
    'everybody sees it.',
    'OS-EXT-SRV-ATTR:root_device_name': f'{_NULL}.',
    'OS-EXT-SRV-ATTR:user_data': f'{_NULL}.',
    'locked': 'Whether it is locked.',
    'host_status': 'Of its host: ``UP``, ``DOWN`` (forced down), '
    '``MAINTENANCE`` (disabled), ``UNKNOWN`` (not reporting), or empty: it '
    'has none. For those who have the right.',
    'description': 'A text about it, or null.',
    'tags': f'{_EMPTY}.',
    'trusted_image_certificates': f'{_NULL}.',
    'server_groups': f'{_EMPTY}.',
    'locked_reason': 'Why it was locked, as given; null: nobody said.',
    'pinned_availability_zone': 'The zone that was asked for; null: none.',
    'scheduler_hints': f'{_EMPTY}.',
    'security_groups': 'Always ``default``, which has no effect.',
    'security_groups.name': 'Always ``default``.',
}

_NEW_SERVER: Mapping[str, str] = {
    'server': 'The server to make.',
    'name': 'Its name; several servers get ``-1``, ``-2`` ... after it.',
    'flavorRef': 'Id of its flavor.',
    'imageRef': 'Id of its image.',
    'metadata': 'Its metadata: at most 128 texts by name.',
    'adminPass': 'Password that the answer repeats; nothing sets it in the '
    'guest.',
    'accessIPv4': 'Nothing but an empty text or null.',
    'accessIPv6': 'Nothing but an empty text or null.',
    'OS-DCF:diskConfig': 'Taken, and without effect.',
    'config_drive': 'Nothing but false: there are no config drives.',
    'key_name': 'Nothing but an empty text: there are no key pairs.',
    'availability_zone': '``nova``; with the right, ``nova:HOST`` names the '
    'host.',
    'min_count': 'How many servers to make, at least; default: 1.',
    'max_count': 'How many servers to make, at most 100; default: '
    '``min_count``.',
    'return_reservation_id': 'If true, the answer is the reservation id '
    'alone.',
    'security_groups': 'Nothing but ``default``, which has no effect.',
    'user_data': 'Nothing but an empty text: no guest is given any.',
    'networks': '``none``: no interface. ``auto``: one interface on the '
    'network that the operator has configured, none if there is none; so does '
    'an empty list.',
    'block_device_mapping_v2': 'The local disk that ``imageRef`` names, as '
    'clients describe it; anything else is refused.',
    'personality': 'Nothing but an empty list.',
    'os:scheduler_hints': 'Nothing but an empty object.',
    'OS-SCH-HNT:scheduler_hints': 'Nothing but an empty object.',
    'description': 'A text about it.',
    'tags': 'Nothing but an empty list.',
    'trusted_image_certificates': 'Nothing but null or an empty list.',
    'host': 'Host to make it on; needs the right.',
    'hypervisor_hostname': 'The same, by the name of the hypervisor.',
    'hostname': 'Host name of the guest; default: made of ``name``.',
}

_MIGRATIONS: Mapping[str, str] = {
    'migration': 'The migration.',
    'migrations': 'The migrations, the newest first.',
    'migrations_links': 'The next page; only if there is one.',
    'id': 'Number of the migration, as in URLs.',
    'uuid': 'The same as a uuid, as markers of pages.',
    'server_uuid': 'Id of the server.',
    'instance_uuid': 'Id of the server.',
    'status': '``accepted``, ``queued``, ``preparing``, ``running``, '
    '``running (post-copy)``, ``post-migrating``, ``completed``, '
    '``cancelled``, ``failed`` or ``error``.',
    'source_compute': 'Host the server runs on at first.',
    'source_node': 'The same, as its hypervisor calls itself.',
    'dest_compute': 'Host it moves to; null: not chosen yet.',
    'dest_node': 'The same, as its hypervisor calls itself.',
    'dest_host': 'Address of that host for the transfer, or null.',
    'memory_total_bytes': 'Memory to be copied; null before the transfer.',
    'memory_processed_bytes': 'Memory copied so far. As the guest goes on '
    'writing, it can become more than the total.',
    'memory_remaining_bytes': 'Memory still to be copied. Grows again while '
    'the guest writes faster than it is copied.',
    'disk_total_bytes': 'The same for the disks that are copied.',
    'disk_processed_bytes': 'Of these, copied so far.',
    'disk_remaining_bytes': 'Of these, still to be copied.',
    'created_at': 'When it was asked for.',
    'updated_at': 'When its record changed last; null: never.',
    'migration_type': 'Always ``live-migration``.',
    'links': 'Where it is found among those of its server; only while it is '
    'under way.',
    'user_id': 'Id of the user who asked for it.',
    'project_id': "Id of that user's project.",
    'old_instance_type_id': 'A number for the flavor.',
    'new_instance_type_id': 'The same: a live migration keeps the flavor.',
    'old_flavor_id': 'Id of the flavor, as in ``GET /flavors/{id}``; known '
    'also when the flavor is gone.',
    'new_flavor_id': 'The same: a live migration keeps the flavor.',
    'reason': 'Why it ended as it did, in words; null: nothing to say.',
    'completed_by': 'What made it complete: ``converged`` (by itself), '
    '``post-copy`` or ``pause``; null: not completed.',
    'downtime_ms': 'How long the guest stood still around switchover, in '
    'ms; null: not known, as after post-copy.',
    'pass_number': 'How often its memory has been gone through, from 1 on.',
    'dirty_rate_bytes_per_s': 'How fast the guest writes its memory.',
    'elapsed_s': 'How long the transfer has lasted, in seconds.',
    'timeout_s': 'When the completion timeout acts, in seconds from the '
    'start of the transfer; 0: never.',
    'throughput_bytes_per_s': 'Copied per second: over the whole migration '
    'once it has ended, at present before.',
}

_ACTIONS: Mapping[str, str] = {
    'instanceAction': 'The action.',
    'instanceActions': 'The actions, the newest first.',
    'links': 'The next page; only if there is one.',
    'action': 'What was asked for, such as ``live-migration``.',
    'instance_uuid': 'Id of the server.',
    'request_id': 'Id of the request that asked for it.',
    'user_id': 'Id of the user who asked; null: livemig itself.',
    'project_id': "Id of that user's project; null: livemig itself.",
    'start_time': 'When it began.',
    'updated_at': 'When something of it began or ended last.',
    'message': '``Error`` if any of its events failed; else null.',
    'events': 'Its steps: ``event``, ``start_time``, ``finish_time``, '
    '``result`` (``Success``, ``Error`` or null: not ended), from 2.62 on '
    '``hostId``; with the rights ``host``, ``traceback`` and, from 2.84 on, '
    '``details``.',
    'events.event': 'The step, such as ``compute_live_migration``.',
    'events.start_time': 'When it began.',
    'events.finish_time': 'When it ended; null: not yet.',
    'events.result': '``Success``, ``Error`` or null: not ended.',
    'events.traceback': 'Where in the code it failed, or null; with the '
    'right.',
    'events.hostId': 'Stands for the host without naming it.',
    'events.host': 'The host it was done on; with the right.',
    'events.details': 'What went wrong, or null; with the right.',
}

_FLAVORS: Mapping[str, str] = {
    'flavor': 'The flavor.',
    'flavors': 'The flavors.',
    'flavors_links': 'The next page; only if there is one.',
    'id': 'Id of the flavor.',
    'name': 'Its name; unique.',
    'description': 'A text about it, or null.',
    'ram': 'Memory, in MiB.',
    'disk': 'Size of the first disk, in GiB; 0: as the image has it.',
    'vcpus': 'Virtual CPUs.',
    'swap': 'Swap, in MiB; none: up to 2.74 an empty text, then 0.',
    'OS-FLV-EXT-DATA:ephemeral': 'Size of a second disk, in GiB.',
    'os-flavor-access:is_public': 'Whether every project may use it.',
    'rxtx_factor': 'Always 1.0 in answers; without effect.',
    'OS-FLV-DISABLED:disabled': 'Always false.',
    'extra_specs': 'Its extra specs: texts by name. For those who may see '
    'them.',
}

_NEW_FLAVOR: Mapping[str, str] = {
    'flavor': 'The flavor.',
    'id': 'Its id; default: a new uuid.',
    'swap': 'Swap, in MiB; default: 0.',
    'OS-FLV-EXT-DATA:ephemeral': 'Size of a second disk, in GiB; default: 0.',
    'rxtx_factor': 'Nothing but 1.',
    'os-flavor-access:is_public': 'Whether every project may use it; '
    'default: true.',
}

_SERVICES: Mapping[str, str] = {
    'service': 'The service.',
    'services': 'The services.',
    'id': 'Id of the service: up to 2.52 a number, then a uuid.',
    'binary': '``nova-compute`` or ``nova-conductor``.',
    'host': 'Host it serves.',
    'zone': '``nova`` for compute services, ``internal`` for others.',
    'status': '``disabled``: nothing new is placed on the host.',
    'state': '``up``: it has reported lately, and is not forced down.',
    'updated_at': 'When it reported last, or was changed; null: never.',
    'disabled_reason': 'Why it was disabled, as given; null: nobody said.',
    'forced_down': 'Whether an administrator has said that it is down.',
}

_HYPERVISORS: Mapping[str, str] = {
    'hypervisor': 'The hypervisor.',
    'hypervisors': 'The hypervisors.',
    'hypervisors_links': 'The next page; only if there is one.',
    'hypervisor_statistics': 'Sums over the hypervisors that are enabled.',
    'id': 'Id of the hypervisor: up to 2.52 a number, then a uuid.',
    'hypervisor_hostname': 'Its name, which is that of its host.',
    'state': '``up``: its service has reported lately.',
    'status': '``disabled``: nothing new is placed there.',
    'servers': 'Its servers, if asked for.',
    'servers.name': "The guest's name on its host.",
    'servers.uuid': 'Id of the server.',
    'hypervisor_type': 'Such as ``QEMU``.',
    'hypervisor_version': 'As a number: 8002002 is 8.2.2.',
    'host_ip': 'Address of its host for migrations, or null.',
    'service': 'Its service: ``id``, ``host``, ``disabled_reason``.',
    'service.id': 'Id of the service: a number, from 2.53 on a UUID.',
    'service.host': 'Name of its host.',
    'service.disabled_reason': 'Why it was disabled, or null.',
    'count': 'How many hypervisors.',
    'vcpus': 'CPUs of the host.',
    'vcpus_used': 'Virtual CPUs of its servers.',
    'memory_mb': 'Memory of the host, in MiB.',
    'memory_mb_used': 'Memory of its servers, in MiB.',
    'free_ram_mb': 'The difference, in MiB.',
    'local_gb': "Size of the disk with the servers' files, in GiB.",
    'local_gb_used': 'Disks of its servers as promised, in GiB.',
    'free_disk_gb': 'The difference, in GiB.',
    'disk_available_least': 'Really free there, in GiB.',
    'running_vms': 'How many servers it has.',
    'current_workload': 'How many of them have an operation under way.',
    'cpu_info': f'{_EMPTY}.',
    'uptime': 'What ``uptime`` prints on the host; null: not known.',
}

_IMAGES: Mapping[str, str] = {
    'images': "The images of the operator's catalogue.",
    'first': 'Path of the first page.',
    'next': 'Path of the next page; only if there is one.',
    'images.schema': 'Path of the schema of an image.',
    'schema': 'Path of the schema of this answer.',
    'id': 'Id of the image.',
    'name': 'Its name.',
    'status': 'Always ``active``.',
    'visibility': 'Always ``public``.',
    'protected': 'Always true: nobody deletes it here.',
    'os_hidden': 'Always false.',
    'owner': f'{_NULL}.',
    'disk_format': 'Format of its first disk; null: it has none.',
    'container_format': 'Always ``bare``.',
    'size': f'{_NULL}: nobody has looked.',
    'virtual_size': f'{_NULL}.',
    'checksum': f'{_NULL}.',
    'min_disk': 'Always 0.',
    'min_ram': 'Always 0.',
    'tags': f'{_EMPTY}.',
    'created_at': f'{_NULL}.',
    'updated_at': f'{_NULL}.',
    'self': 'Path of the image.',
}

_ZONES: Mapping[str, str] = {
    'availabilityZoneInfo': 'The zones.',
    'zoneName': 'Name of the zone.',
    'zoneState': 'Its state.',
    'zoneState.available': 'Whether any of its services is enabled.',
    'hosts': 'Services by host and binary; null: without details.',
    'active': 'Whether the service is enabled.',
    'available': 'Whether it is up.',
    'updated_at': 'When it reported last.',
}

_NO_LIMIT = '; -1: no limit.'
_LIMITS: Mapping[str, str] = {
    'limits': 'The limits.',
    'rate': f'{_EMPTY}: no limits of how often something is asked.',
    'absolute': 'Limits of what a project may have, and what it has.',
    'maxTotalInstances': f'Servers{_NO_LIMIT}',
    'maxTotalCores': f'Virtual CPUs{_NO_LIMIT}',
    'maxTotalRAMSize': f'Memory, in MiB{_NO_LIMIT}',
    'maxServerMeta': 'Metadata items of a server.',
    'totalInstancesUsed': 'Servers of the project.',
    'totalCoresUsed': 'Their virtual CPUs.',
    'totalRAMUsed': 'Their memory, in MiB.',
    **dict.fromkeys(
        (
            'maxImageMeta', 'maxTotalKeypairs', 'maxServerGroups',
            'maxServerGroupMembers', 'maxPersonality', 'maxPersonalitySize',
            'maxSecurityGroups', 'maxSecurityGroupRules',
            'maxTotalFloatingIps', 'totalServerGroupsUsed',
            'totalSecurityGroupsUsed', 'totalFloatingIpsUsed',
        ),
        'Always 0: livemig has none.',
    ),
}  # fmt: skip

_QUOTAS: Mapping[str, str] = {
    'quota_set': 'The quotas.',
    'id': 'Id of the project.',
    'instances': f'Servers{_NO_LIMIT}',
    'cores': f'Virtual CPUs{_NO_LIMIT}',
    'ram': f'Memory, in MiB{_NO_LIMIT}',
    'metadata_items': 'Metadata items of a server.',
    'in_use': 'What the project has.',
    'limit': 'What it may have.',
    'reserved': 'Always 0.',
    **dict.fromkeys(
        (
            'key_pairs', 'server_groups', 'server_group_members',
            'injected_files', 'injected_file_content_bytes',
            'injected_file_path_bytes', 'security_groups',
            'security_group_rules', 'floating_ips', 'fixed_ips',
        ),
        'Always 0: livemig has none.',
    ),
}  # fmt: skip

FIELDS: Mapping[str, Mapping[str, str]] = {
    '': _LINKS,
    'versions': {'version': 'The version: ``id``, ``status``, the least and '
                 'the newest microversion, links.'},
    'servers': _SERVERS,
    'servers:create request': _NEW_SERVER,
    'servers:create response': {
        'adminPass': 'The password that was given, or a made one; nothing '
        'sets it in the guest.',
        'reservation_id': 'Stands for all the servers made; a filter of '
        '``GET /servers``.',
    },
    'servers:update request': {
        'server': 'What changes.',
        'name': 'Its new name.',
        'description': 'The new text about it; null: none.',
        'accessIPv4': 'Nothing but an empty text or null.',
        'accessIPv6': 'Nothing but an empty text or null.',
        'OS-DCF:diskConfig': 'Taken, and without effect.',
        'hostname': 'The new host name of the guest.',
    },
    'servers:reboot request': {
        'type': '``SOFT`` asks the system of the guest; ``HARD`` makes the '
        'guest anew from its record.',
    },
    'servers:rescue request': {
        'adminPass': 'Password that the answer repeats; nothing sets it in '
        'the guest.',
        'rescue_image_ref': 'Id of the image to boot from; default: '
        '``[api] rescue_image_ref``, else its own.',
    },
    'servers:rescue response': {
        'adminPass': 'The password that was given, or a made one; not there '
        'if ``[api] enable_instance_password`` is false.',
    },
    'servers:lock request': {'locked_reason': 'Why.'},
    'servers:reset_state request': {
        'state': 'The state it is given: ``active`` or ``error``.',
    },
    'servers:migrate_live request': {
        'host': 'Host to move to; null: the conductor chooses one. Naming '
        'one needs a right of its own.',
        'block_migration': 'Whether its disks are copied; ``auto`` (from '
        '2.25 on): if the two hosts do not share them.',
        'disk_over_commit': 'If true, a disk needs only as much room as it '
        'takes now, not as much as it was promised.',
        'force': 'If true, the host that is named is taken as it is: it is '
        'not asked whether it has room.',
    },
    'server_metadata': {
        'metadata': "The server's metadata: texts by name.",
        'meta': 'The one item: a text by its name.',
    },
    'server_migrations': _MIGRATIONS,
    'migrations': _MIGRATIONS,
    'instance_actions': _ACTIONS,
    'flavors': _FLAVORS,
    'flavors request': _NEW_FLAVOR,
    'flavor_extra_specs': {'extra_specs': 'Extra specs: texts by name.'},
    'flavor_access': {
        'flavor_access': f'{_EMPTY}: no project is named for any flavor.',
    },
    'services': _SERVICES,
    'services request': {
        'status': '``enabled`` or ``disabled``.',
        'disabled_reason': 'Why; only together with ``disabled``.',
        'forced_down': 'If true, the service counts as down at once, and its '
        'host as empty: what waits for its answer ends without it.',
        'host': 'Host of the service.',
        'binary': 'Which service; only ``nova-compute`` can be changed.',
    },
    'hypervisors': _HYPERVISORS,
    'images': _IMAGES,
    'zones': _ZONES,
    'limits': _LIMITS,
    'quotas': _QUOTAS,
    'aggregates': {'aggregates': f'{_EMPTY}.'},
    'server_groups': {'server_groups': f'{_EMPTY}.'},
    'keypairs': {'keypairs': f'{_EMPTY}.'},
    'extensions': {
        'extension': 'The extension.',
        'extensions': 'The extensions.',
        'name': 'Its name.',
        'alias': 'Its short name.',
        'description': 'What it is about.',
        'updated': 'When it changed last: always the same.',
        'namespace': 'Always the same.',
        'links': f'{_EMPTY}.',
    },
}  # fmt: skip
