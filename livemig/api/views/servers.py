"""How a server looks on the wire."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from typing import Any

from livemig.api.action import Call
from livemig.api.fields import ABSENT, LINKS, Field
from livemig.api.validation import NULLABLE_STRING, Schema, closed
from livemig.api.views.common import (
    BOOL,
    INT,
    NONE_OF_THEM,
    NOTHING,
    STRING,
    STRINGS,
    UUID,
    ZONE,
    V,
    attribute,
    exact_time,
    guest_name,
    host_id,
    is_up,
    seconds_time,
)
from livemig.objects.instance import Instance
from livemig.objects.service import Service

#: Statuses in which Nova tells how far the server is.
_WITH_PROGRESS = frozenset({'ACTIVE', 'BUILD', 'MIGRATING'})
WITH_FAULT = frozenset({'ERROR', 'DELETED'})


@dataclasses.dataclass(frozen=True)
class ServerSource:
    """What a server's fields are made of.

    :ivar service: of its host; None if there is none.
    :ivar shows_attributes: its host and such may be told.
    :ivar shows_unknown_host: of the host's status only that it is unknown.
    """

    call: Call
    instance: Instance
    fault: Mapping[str, Any] | None = None
    service: Service | None = None
    shows_attributes: bool = False
    shows_host_status: bool = False
    shows_unknown_host: bool = False
    shows_extra_specs: bool = False

    @property
    def path(self) -> str:
        return f'/servers/{self.instance.uuid}'

    @property
    def status(self) -> str:
        return 'DELETED' if self.instance.deleted else self.instance.status


def _server(name: str) -> Callable[[ServerSource], Any]:
    return lambda source: getattr(source.instance, name)


def _shown(name: str) -> Callable[[ServerSource], Any]:
    """The instance's attribute, for those who may see such."""
    return lambda source: (
        getattr(source.instance, name) if source.shows_attributes else ABSENT
    )


def _fixed(value: Any) -> Callable[[ServerSource], Any]:
    return lambda source: value if source.shows_attributes else ABSENT


def _image(source: ServerSource) -> Any:
    instance = source.instance
    if not instance.image_ref:
        return ''
    href = source.call.links.bookmark_of(f'/images/{instance.image_ref}')
    image: dict[str, Any] = {
        'id': instance.image_ref,
        'links': [{'rel': 'bookmark', 'href': href}],
    }
    if source.call.since(2, 98):
        image['properties'] = instance.image.get('properties', {})
    return image


def _flavor(source: ServerSource) -> Any:
    flavor = source.instance.flavor
    if source.call.since(2, 47):
        embedded = {
            'vcpus': flavor['vcpus'],
            'ram': flavor['ram'],
            'disk': flavor['disk'],
            'ephemeral': flavor.get('ephemeral', 0),
            'swap': flavor.get('swap', 0),
            'original_name': flavor['name'],
        }
        if source.shows_extra_specs:
            embedded['extra_specs'] = flavor.get('extra_specs', {})
        return embedded
    href = source.call.links.bookmark_of(f'/flavors/{flavor["id"]}')
    return {
        'id': flavor['id'],
        'links': [{'rel': 'bookmark', 'href': href}],
    }


def _fault(source: ServerSource) -> Any:
    if source.status not in WITH_FAULT or source.fault is None:
        return ABSENT
    created = source.fault.get('created_at')
    if isinstance(created, str):
        created = datetime.datetime.fromisoformat(created)
    told = {
        'code': source.fault['code'],
        'created': seconds_time(created),
        'message': source.fault['message'],
    }
    details = source.fault.get('details')
    if details and (source.call.context.is_admin or told['code'] != 500):
        told['details'] = details
    return told


def _progress(source: ServerSource) -> Any:
    if source.status in _WITH_PROGRESS:
        return source.instance.progress
    return ABSENT


def _host_status(source: ServerSource) -> Any:
    if source.shows_host_status:
        return _status_of_host(source)
    if source.shows_unknown_host and _status_of_host(source) == 'UNKNOWN':
        return 'UNKNOWN'
    return ABSENT


def _status_of_host(source: ServerSource) -> str:
    if not source.instance.host:
        return ''
    service = source.service
    if service is None:
        return 'UNKNOWN'
    if service.disabled:
        return 'MAINTENANCE'
    if service.forced_down:
        return 'DOWN'
    return 'UP' if is_up(source.call, service) else 'UNKNOWN'


def _zone(source: ServerSource) -> str:
    instance = source.instance
    return ZONE if instance.host else instance.availability_zone or ''


_LINKED = closed({'id': STRING, 'links': LINKS}, 'id', 'links')
_SIZES = ('vcpus', 'ram', 'disk', 'ephemeral', 'swap')
_EMBEDDED = closed(
    {
        **dict.fromkeys(_SIZES, INT),
        'original_name': STRING,
        'extra_specs': STRINGS,
    },
    *_SIZES,
    'original_name',
)
_FAULT = closed(
    {'code': INT, 'created': STRING, 'message': STRING, 'details': STRING},
    'code',
    'created',
    'message',
)


def _image_with(more: Mapping[str, Schema]) -> Schema:
    """'' for one that was booted from no image."""
    linked = closed(
        {'id': STRING, 'links': LINKS, **more}, 'id', 'links', *more
    )
    return {'anyOf': [{'enum': ['']}, linked]}


SERVER: tuple[Field, ...] = (
    Field('id', UUID, _server('uuid')),
    Field('name', STRING, _server('display_name')),
    Field('status', STRING, attribute('status')),
    Field('tenant_id', STRING, _server('project_id')),
    Field('user_id', STRING, _server('user_id')),
    Field('metadata', STRINGS, _server('metadata')),
    Field(
        'hostId',
        STRING,
        lambda s: host_id(s.instance.project_id, s.instance.host),
    ),
    Field('image', _image_with({}), _image, last=V(2, 97)),
    Field(
        'image', _image_with({'properties': STRINGS}), _image, first=V(2, 98)
    ),
    Field('flavor', _LINKED, _flavor, last=V(2, 46)),
    Field('flavor', _EMBEDDED, _flavor, first=V(2, 47)),
    Field('created', STRING, lambda s: seconds_time(s.instance.created_at)),
    Field(
        'updated',
        STRING,
        lambda s: seconds_time(
            s.instance.updated_at or s.instance.created_at
        ),
    ),
    # livemig has no networks.
    Field('addresses', NOTHING, lambda _s: {}),
    Field('accessIPv4', STRING, lambda _s: ''),
    Field('accessIPv6', STRING, lambda _s: ''),
    Field('links', LINKS, lambda s: s.call.links.of(s.path)),
    Field('OS-DCF:diskConfig', STRING, lambda _s: 'MANUAL'),
    Field('progress', INT, _progress, optional=True),
    Field('fault', _FAULT, _fault, optional=True),
    Field('config_drive', STRING, lambda s: s.instance.config_drive or ''),
    Field('key_name', NULLABLE_STRING, _server('key_name')),
    Field('OS-EXT-AZ:availability_zone', STRING, _zone),
    Field('OS-EXT-STS:task_state', NULLABLE_STRING, _server('task_state')),
    Field('OS-EXT-STS:vm_state', STRING, _server('vm_state')),
    Field('OS-EXT-STS:power_state', INT, _server('power_state')),
    Field(
        'OS-SRV-USG:launched_at',
        NULLABLE_STRING,
        lambda s: exact_time(s.instance.launched_at),
    ),
    Field(
        'OS-SRV-USG:terminated_at',
        NULLABLE_STRING,
        lambda s: exact_time(s.instance.terminated_at),
    ),
    Field('os-extended-volumes:volumes_attached', NONE_OF_THEM, lambda _s: []),
    Field(
        'OS-EXT-SRV-ATTR:host', NULLABLE_STRING, _shown('host'),
        optional=True,
    ),
    Field(
        'OS-EXT-SRV-ATTR:hypervisor_hostname', NULLABLE_STRING,
        _shown('node'), optional=True,
    ),
    Field(
        'OS-EXT-SRV-ATTR:instance_name', STRING,
        lambda s: (
            guest_name(s.instance.id) if s.shows_attributes else ABSENT
        ),
        optional=True,
    ),
    Field(
        'OS-EXT-SRV-ATTR:reservation_id', NULLABLE_STRING,
        _shown('reservation_id'), first=V(2, 3), optional=True,
    ),
    Field(
        'OS-EXT-SRV-ATTR:launch_index', INT, _fixed(0),
        first=V(2, 3), optional=True,
    ),
    Field(
        'OS-EXT-SRV-ATTR:ramdisk_id', STRING, _fixed(''),
        first=V(2, 3), optional=True,
    ),
    Field(
        'OS-EXT-SRV-ATTR:kernel_id', STRING, _fixed(''),
        first=V(2, 3), optional=True,
    ),
    # Everybody sees it from 2.90 on.
    Field(
        'OS-EXT-SRV-ATTR:hostname', NULLABLE_STRING,
        lambda s: (
            s.instance.hostname
            if s.shows_attributes or s.call.since(2, 90)
            else ABSENT
        ),
        first=V(2, 3), optional=True,
    ),
    Field(
        'OS-EXT-SRV-ATTR:root_device_name', NULLABLE_STRING, _fixed(None),
        first=V(2, 3), optional=True,
    ),
    Field(
        'OS-EXT-SRV-ATTR:user_data', NULLABLE_STRING, _fixed(None),
        first=V(2, 3), optional=True,
    ),
    Field('locked', BOOL, _server('locked'), first=V(2, 9)),
    Field(
        'host_status', STRING, _host_status, first=V(2, 16), optional=True
    ),
    Field(
        'description', NULLABLE_STRING, _server('description'),
        first=V(2, 19),
    ),
    Field('tags', NONE_OF_THEM, lambda _s: [], first=V(2, 26)),
    Field(
        'trusted_image_certificates', {'type': ['array', 'null']},
        lambda _s: None, first=V(2, 63),
    ),
    Field(
        'locked_reason', NULLABLE_STRING, _server('locked_reason'),
        first=V(2, 73),
    ),
    Field(
        'pinned_availability_zone', NULLABLE_STRING,
        _server('availability_zone'), first=V(2, 96),
    ),
    Field('scheduler_hints', NOTHING, lambda _s: {}, first=V(2, 100)),
)  # fmt: skip

#: A single server has one field more than one in a list.
SINGLE_SERVER: tuple[Field, ...] = (
    *SERVER,
    Field('server_groups', NONE_OF_THEM, lambda _s: [], first=V(2, 71)),
)

BRIEF_SERVER: tuple[Field, ...] = tuple(
    field for field in SERVER if field.name in ('id', 'name', 'links')
)

#: Before 2.75 the answer to a change was shorter than that to a question.
_NOT_IN_OLD_UPDATES = (
    'config_drive', 'host_status', 'key_name', 'OS-EXT-', 'OS-SRV-USG:',
    'os-extended-volumes:',
)  # fmt: skip
UPDATED_SERVER: tuple[Field, ...] = tuple(
    dataclasses.replace(field, first=max(field.first, V(2, 75)))
    if field.name.startswith(_NOT_IN_OLD_UPDATES)
    else field
    for field in SINGLE_SERVER
)
