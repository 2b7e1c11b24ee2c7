"""Servers: make them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from oslo_utils import uuidutils

from livemig import exception, policy
from livemig.api import flavor_lookup, microversion, validation
from livemig.api.action import Answer, Call, Operation, Since
from livemig.api.fields import LINKS
from livemig.api.microversion import Microversion as V
from livemig.api.validation import (
    BOOLEAN,
    HOST,
    UUID,
    InvalidInput,
    Schema,
    closed,
)
from livemig.api.views.common import STRING, ZONE
from livemig.compute.specs import mac_of
from livemig.objects import action
from livemig.objects.instance import Instance
from livemig.objects.instance_states import PowerState, TaskState, VmState
from livemig.objects.service import Service

FORCED_HOST = policy.Rule(
    'os_compute_api:servers:create:forced_host',
    policy.ADMIN,
    'Name the host of a new server as part of its zone.',
)
REQUESTED_HOST = policy.Rule(
    'compute:servers:create:requested_destination',
    policy.ADMIN,
    'Name the host of a new server.',
)

#: Servers one request may make.
MAX_COUNT = 100
#: Characters of a server's name.
MAX_NAME = 255
#: Metadata items that a server may have.
MAX_METADATA = 128


# -- the request ------------------------------------------------------------
_NAME: Schema = {
    'type': 'string',
    'minLength': 1,
    'maxLength': MAX_NAME,
    # Printable, no white space at either end.
    'pattern': r'^(?![\s])[^\x00-\x1f\x7f]*(?<![\s])$',
}
_SHORT: Schema = {'type': 'string', 'maxLength': 255}
_SHORT_OR_NULL: Schema = {'type': ['string', 'null'], 'maxLength': 255}
_COUNT: Schema = {
    'anyOf': [
        {'type': 'integer', 'minimum': 1, 'maximum': MAX_COUNT},
        {'type': 'string', 'pattern': '^([1-9][0-9]?|100)$'},
    ]
}
METADATA: Schema = {
    'type': 'object',
    'maxProperties': MAX_METADATA,
    'propertyNames': {'pattern': '^[a-zA-Z0-9-_:. ]{1,255}$'},
    'additionalProperties': _SHORT,
}
_DISK: Schema = {'type': 'object', 'maxProperties': 32}
_NETWORKS: Schema = {
    'anyOf': [
        {'type': 'array', 'items': {'type': 'object'}, 'maxItems': 64},
        {'enum': ['none', 'auto']},
    ]
}

#: (first version, last version, property, schema)
_PROPERTIES: tuple[tuple[V, V, str, Schema], ...] = tuple(
    (V(2, first), V(2, last), name, schema)
    for first, last, name, schema in (
        (1, 202, 'name', _NAME),
        (1, 202, 'flavorRef', {
            'anyOf': [
                {'type': 'string', 'minLength': 1, 'maxLength': 255},
                {'type': 'integer', 'minimum': 0, 'maximum': 2**31 - 1},
            ]
        }),
        (1, 202, 'imageRef', {'anyOf': [{'enum': ['']}, UUID]}),
        (1, 202, 'metadata', METADATA),
        (1, 202, 'adminPass', {'type': 'string', 'maxLength': 255}),
        (1, 202, 'accessIPv4', {'enum': ['', None]}),
        (1, 202, 'accessIPv6', {'enum': ['', None]}),
        (1, 202, 'OS-DCF:diskConfig', {'enum': ['AUTO', 'MANUAL']}),
        (1, 202, 'config_drive', {'anyOf': [BOOLEAN, {'enum': ['']}]}),
        (1, 202, 'key_name', _SHORT),
        (1, 202, 'availability_zone', {**_SHORT, 'minLength': 1}),
        (1, 202, 'min_count', _COUNT),
        (1, 202, 'max_count', _COUNT),
        (1, 202, 'return_reservation_id', BOOLEAN),
        (1, 202, 'security_groups', {'type': 'array', 'maxItems': 64}),
        (1, 202, 'user_data', {'type': 'string', 'maxLength': 65535}),
        (1, 202, 'networks', _NETWORKS),
        (1, 202, 'block_device_mapping_v2', {
            'type': 'array', 'items': _DISK, 'maxItems': 64,
        }),
        (1, 56, 'personality', {'type': 'array', 'maxItems': 0}),
        (19, 202, 'description', {
            'type': ['string', 'null'], 'maxLength': 255,
        }),
        (52, 202, 'tags', {'type': 'array', 'maxItems': 0}),
        (63, 202, 'trusted_image_certificates', {
            'anyOf': [{'type': 'null'}, {'type': 'array', 'maxItems': 0}],
        }),
        (74, 202, 'host', HOST),
        (74, 202, 'hypervisor_hostname', HOST),
        (90, 202, 'hostname', {
            **HOST, 'maxLength': 63,
            'pattern': '^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$',
        }),
    )
)  # fmt: skip


def property_schemas(version: V) -> dict[str, Schema]:
    """What a server is asked to be, at that version: name -> schema."""
    properties = {
        name: schema
        for first, last, name, schema in _PROPERTIES
        if first <= version <= last
    }
    if version >= V(2, 94):
        # A fully qualified one from here on.
        properties['hostname'] = {**HOST}
    return properties


def _schema(version: V) -> Schema:
    properties = property_schemas(version)
    required = ['name', 'flavorRef']
    if version >= V(2, 37):
        required.append('networks')
    hints: Schema = {'type': 'object', 'maxProperties': 0}
    return closed(
        {
            'server': closed(properties, *required),
            'os:scheduler_hints': hints,
            'OS-SCH-HNT:scheduler_hints': hints,
        },
        'server',
    )


REQUEST: Since = tuple(
    (version, _schema(version))
    for version in sorted(
        {V(2, 37), V(2, 94)}
        | {first for first, _, _, _ in _PROPERTIES}
        | {
            last.next
            for _, last, _, _ in _PROPERTIES
            if last < microversion.LATEST
        }
    )
)


# -- the handler ------------------------------------------------------------
def create(call: Call) -> Answer:
    """Write the records, then ask a conductor to have them made."""
    call.authorize()
    asked = call.body['server']
    _refuse_what_is_not_there(asked)
    host = _host(call, asked)
    count = _count(asked)
    names = _names(asked['name'], count)
    common = _values(call, asked, host)
    made = [_make(call, common, asked, name) for name in names]
    for number, instance in enumerate(made):
        _build(call, instance, made[number:])
    return _answer(call, asked, made)


#: Property -> (what asks for nothing, why all else is refused): a guest
#: that lacks what it was promised is worse than none.
_NOT_THERE: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    'networks': (
        lambda asked: asked in ('none', 'auto', []),
        'livemig has no networks to choose from; use "none" or "auto".',
    ),
    'security_groups': (
        lambda asked: all(one == {'name': 'default'} for one in asked),
        'livemig has no security groups.',
    ),
    'key_name': (
        lambda asked: not asked,
        'there is no such key pair: livemig has none.',
    ),
    'user_data': (
        lambda asked: not asked,
        'livemig has no way to give it to the guest.',
    ),
    'config_drive': (
        lambda asked: not validation.is_true(asked),
        'livemig attaches no configuration drives.',
    ),
}


def _refuse_what_is_not_there(asked: Any) -> None:
    """:raises InvalidInput: it cannot be had here."""
    for name, (is_nothing, why) in _NOT_THERE.items():
        if name in asked and not is_nothing(asked[name]):
            raise InvalidInput(where=f'server.{name}', reason=why)
    zone = asked.get('availability_zone', ZONE).split(':')[0]
    if zone not in ('', ZONE):
        raise InvalidInput(
            where='server.availability_zone',
            reason=f'the only zone is {ZONE!r}.',
        )
    for disk in asked.get('block_device_mapping_v2', []):
        # The one form that says what imageRef says already; openstack
        # server create always sends it.
        harmless = (
            disk.get('source_type') == 'image'
            and disk.get('destination_type') == 'local'
            and str(disk.get('boot_index')) == '0'
            and disk.get('uuid') == asked.get('imageRef')
        )
        if not harmless:
            raise InvalidInput(
                where='server.block_device_mapping_v2',
                reason='livemig has no volumes.',
            )


def _host(call: Call, asked: Any) -> str | None:
    """The host that the operator named, if any did.

    :raises Denied:
    :raises HostNotFound:
    """
    _zone, _, forced = asked.get('availability_zone', '').partition(':')
    named = {part for part in forced.split(':') if part}
    if named:
        call.app.policy.authorize(call.context, FORCED_HOST)
    requested = {
        asked[key] for key in ('host', 'hypervisor_hostname') if key in asked
    }
    if requested:
        call.app.policy.authorize(call.context, REQUESTED_HOST)
    # A host and its hypervisor have one name in livemig.
    hosts = named | requested
    if not hosts:
        return None
    if len(hosts) > 1:
        raise InvalidInput(where='server', reason='it names several hosts.')
    return Service.compute_of(call.context, hosts.pop()).host


def _count(asked: Any) -> int:
    """:raises InvalidInput:"""
    least = int(asked.get('min_count', 1))
    most = int(asked.get('max_count', least))
    if least > most:
        raise InvalidInput(
            where='server.min_count', reason='it is larger than max_count.'
        )
    return most


def _names(name: str, count: int) -> list[str]:
    """Several that are made at once are numbered.

    :raises InvalidInput: there is no room for the numbers.
    """
    if count == 1:
        return [name]
    names = [f'{name}-{number}' for number in range(1, count + 1)]
    if len(names[-1]) > MAX_NAME:
        raise InvalidInput(
            where='server.name',
            reason=f'with a number it is longer than {MAX_NAME} characters.',
        )
    return names


def _values(call: Call, asked: Any, host: str | None) -> dict[str, Any]:
    """The columns that all servers of the request share.

    Flavor and image are copied, so that nothing later asks for them.

    :raises FlavorNotFound:
    :raises ImageNotFound:
    """
    flavor = flavor_lookup.find(call, str(asked['flavorRef']))
    image_id = asked.get('imageRef') or ''
    if not image_id:
        raise InvalidInput(
            where='server.imageRef',
            reason='it is missing; livemig has no volumes to boot from.',
        )
    image = call.app.catalogue.content().image(image_id.lower())
    return {
        'description': asked.get('description'),
        'user_id': call.context.user_id,
        'project_id': call.context.project_id,
        'reservation_id': f'r-{secrets.token_hex(4)}',
        'host': host,
        'node': None,
        'vm_state': str(VmState.BUILDING),
        'task_state': str(TaskState.SCHEDULING),
        'power_state': int(PowerState.NOSTATE),
        'progress': 0,
        'memory_mb': flavor.ram_mib,
        'vcpus': flavor.vcpus,
        'root_gb': flavor.disk_gib,
        'flavor': flavor.snapshot(),
        'image_ref': image.id,
        'image': image.snapshot(flavor),
        'metadata': asked.get('metadata', {}),
        'locked': False,
        'availability_zone': ZONE if asked.get('availability_zone') else None,
        'key_name': None,
        'config_drive': '',
        'request_id': call.context.request_id,
    }


def _make(
    call: Call, common: dict[str, Any], asked: Any, name: str
) -> Instance:
    instance_uuid = uuidutils.generate_uuid()
    has_interface = asked.get('networks') != 'none'
    return Instance.create(
        call.context,
        {
            **common,
            'uuid': instance_uuid,
            'display_name': name,
            # Of use where its host has a network for guests.
            'mac_address': mac_of(instance_uuid) if has_interface else None,
            'hostname': asked.get('hostname')
            or _hostname(name, instance_uuid),
        },
        action.values(call.context, instance_uuid, action.CREATE),
    )


def _hostname(name: str, instance_uuid: str) -> str:
    """A name for the guest's system, out of a name for people."""
    cleaned = re.sub(r'[^a-z0-9-]+', '-', name.lower()).strip('-')
    return cleaned[:63].strip('-') or f'server-{instance_uuid}'


def _build(call: Call, instance: Instance, unsent: list[Instance]) -> None:
    """:raises BrokerUnreachable: those not asked for yet are withdrawn."""
    try:
        call.app.conductor.build_instance(call.context, instance.uuid)
    except exception.BrokerUnreachable:
        for one in unsent:
            one.destroy()
        raise


def _answer(call: Call, asked: Any, made: list[Instance]) -> Answer:
    if validation.is_true(asked.get('return_reservation_id')):
        return Answer({'reservation_id': made[0].reservation_id})
    path = f'/servers/{made[0].uuid}'
    server: dict[str, Any] = {
        'id': made[0].uuid,
        'links': call.links.of(path),
        # No disk is ever changed for its guest, whatever was asked for.
        'OS-DCF:diskConfig': 'MANUAL',
        'security_groups': [{'name': 'default'}],
    }
    if call.app.conf.api.enable_instance_password:
        server['adminPass'] = asked.get('adminPass') or secrets.token_urlsafe(
            9
        )
    return Answer({'server': server}, {'Location': call.links.self_of(path)})


_RESPONSE: Schema = {
    'oneOf': [
        closed({'reservation_id': STRING}, 'reservation_id'),
        closed(
            {
                'server': closed(
                    {
                        'id': UUID,
                        'links': LINKS,
                        'OS-DCF:diskConfig': STRING,
                        'security_groups': {
                            'type': 'array',
                            'items': closed({'name': STRING}, 'name'),
                        },
                        'adminPass': STRING,
                    },
                    'id',
                    'links',
                    'OS-DCF:diskConfig',
                )
            },
            'server',
        ),
    ]
}

OPERATIONS = (
    Operation(
        name='servers:create',
        method='POST',
        path='/servers',
        summary='Create one server, or several alike.',
        description='The answer comes at once; a conductor then chooses the '
        'host, and the host makes the guest. It has no interface '
        'unless ``networks`` asks for one, and no volumes.',
        handler=create,
        policy=policy.Rule(
            'os_compute_api:servers:create',
            policy.MEMBER_OR_ADMIN,
            'Create servers.',
        ),
        more_policies=(FORCED_HOST, REQUESTED_HOST),
        success=202,
        request=REQUEST,
        response=((microversion.FIRST, _RESPONSE),),
        errors={
            exception.FlavorNotFound: 400,
            exception.ImageNotFound: 400,
            exception.HostNotFound: 400,
        },
    ),
)
