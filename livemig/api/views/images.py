"""How an image of the catalogue looks to clients of an image service."""

from __future__ import annotations

from typing import Any

from livemig.api.validation import NULLABLE_STRING, Schema
from livemig.api.views.common import (
    BOOL,
    INT,
    NONE_OF_THEM,
    NULLABLE_INT,
    STRING,
    UUID,
)
from livemig.catalogue import Image

#: Where links lead: below the endpoint of the image service.
PATH = '/v2/images'
SCHEMAS = '/v2/schemas'

#: Every key of an image but its own properties, which are texts.
PROPERTIES: dict[str, Schema] = {
    'id': UUID,
    'name': NULLABLE_STRING,
    'status': {'enum': ['active']},
    'visibility': {'enum': ['public']},
    'protected': BOOL,
    'os_hidden': BOOL,
    'owner': NULLABLE_STRING,
    'disk_format': NULLABLE_STRING,
    'container_format': NULLABLE_STRING,
    'size': NULLABLE_INT,
    'virtual_size': NULLABLE_INT,
    'checksum': NULLABLE_STRING,
    'min_disk': INT,
    'min_ram': INT,
    'tags': NONE_OF_THEM,
    'created_at': NULLABLE_STRING,
    'updated_at': NULLABLE_STRING,
    'self': STRING,
    'schema': STRING,
}
IMAGE: Schema = {
    'type': 'object',
    'properties': PROPERTIES,
    'required': list(PROPERTIES),
    'additionalProperties': {'type': 'string'},
}
IMAGES: Schema = {
    'type': 'object',
    'properties': {
        'images': {'type': 'array', 'items': IMAGE},
        'first': STRING,
        'next': STRING,
        'schema': STRING,
    },
    'required': ['images', 'first', 'schema'],
    'additionalProperties': False,
}


def image(found: Image) -> dict[str, Any]:
    """Its properties stand beside what each image has; nobody here has
    looked how large its files are."""
    disk_format = found.disks[0].get('image_format') if found.disks else None
    return {
        **found.properties,
        'id': found.id,
        'name': found.name,
        'status': 'active',
        'visibility': 'public',
        'protected': True,
        'os_hidden': False,
        'owner': None,
        'disk_format': disk_format,
        'container_format': 'bare',
        'size': None,
        'virtual_size': None,
        'checksum': None,
        'min_disk': 0,
        'min_ram': 0,
        'tags': [],
        'created_at': None,
        'updated_at': None,
        'self': f'{PATH}/{found.id}',
        'schema': f'{SCHEMAS}/image',
    }


def schema() -> dict[str, Any]:
    """What clients build their own classes from."""
    return {
        'name': 'image',
        'properties': {
            name: {**described, 'readOnly': True}
            for name, described in PROPERTIES.items()
        },
        'additionalProperties': {'type': 'string'},
        'links': [
            {'rel': 'self', 'href': '{self}'},
            {'rel': 'describedby', 'href': '{schema}'},
        ],
    }


def list_schema() -> dict[str, Any]:
    return {
        'name': 'images',
        'properties': {
            'images': {'type': 'array', 'items': schema()},
            **dict.fromkeys(('first', 'next', 'schema'), STRING),
        },
        'links': [
            {'rel': 'first', 'href': '{first}'},
            {'rel': 'next', 'href': '{next}'},
            {'rel': 'describedby', 'href': '{schema}'},
        ],
    }
