"""Images: the catalogue's, as an image service would show them; read only.

As much of Glance's second API as clients need to resolve a name. It lies
beside the compute API, below ``/image``, and knows no microversions.
"""

from __future__ import annotations

import csv
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from livemig import exception, policy
from livemig.api.action import Call, Operation, always
from livemig.api.links import IMAGE_ROOT, Page
from livemig.api.validation import (
    BOOLEAN_WORD,
    MANY,
    ONCE,
    PAGING,
    InvalidInput,
    Schema,
    is_true,
)
from livemig.api.views import images as views

Told = dict[str, Any]

_SORT_KEYS = (
    'name',
    'id',
    'status',
    'disk_format',
    'container_format',
    'size',
    'min_disk',
    'min_ram',
    'created_at',
    'updated_at',
)
_DIRECTIONS = ('asc', 'desc')
_FLAGS = ('protected', 'os_hidden')
#: Parameters that are no filters.
_OTHERS = ('limit', 'marker', 'sort', 'sort_key', 'sort_dir')
#: Filters whose value may be ``in:`` and a list.
_LISTED = ('id', 'name', 'status', 'disk_format', 'container_format')

#: Any other parameter is a property that the image has to have.
QUERY: Schema = {
    'type': 'object',
    'properties': {
        **PAGING,
        'sort': ONCE,
        'sort_key': MANY,
        'sort_dir': MANY,
        'tag': MANY,
        **dict.fromkeys(_FLAGS, BOOLEAN_WORD),
    },
    'additionalProperties': ONCE,
}


# -- list -------------------------------------------------------------------
def index(call: Call) -> Told:
    call.authorize()
    page = Page(call.query, call.app.conf.api.max_limit)
    images = [
        views.image(image)
        for image in call.app.catalogue.content().images.values()
    ]
    found = [image for image in images if _is_wanted(image, call.query)]
    for key, descending in reversed(_sorting(call.query)):
        found.sort(key=_comparable(key), reverse=descending)
    shown, more = _paged(found, page)
    told: Told = {
        'images': shown,
        'first': _link(call.query, None),
        'schema': f'{views.SCHEMAS}/images',
    }
    if more and shown:
        told['next'] = _link(call.query, shown[-1]['id'])
    return told


def _is_wanted(image: Told, query: Mapping[str, Any]) -> bool:
    """Hidden ones have to be asked for, and there are none."""
    for name, value in query.items():
        if name in _OTHERS:
            continue
        if name == 'tag':
            return False
        if name in _FLAGS:
            if image[name] is not is_true(value):
                return False
        elif str(image.get(name, '')) not in _values(name, value):
            return False
    return True


def _values(name: str, text: str) -> list[str]:
    """One value, or several: ``in:a,"b, c"``."""
    if name not in _LISTED or not text.startswith('in:'):
        return [text]
    try:
        (row,) = csv.reader([text.removeprefix('in:')], strict=True)
    except (csv.Error, ValueError) as error:
        raise InvalidInput(
            where=f'the query.{name}', reason='it is no list of values.'
        ) from error
    return row


def _comparable(key: str) -> Callable[[Told], Any]:
    """What is not known comes first."""
    return lambda image: (image[key] is not None, image[key] or '')


def _sorting(query: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """Keys, and whether descending. Without any: as in the file.

    :raises InvalidInput:
    """
    if 'sort' in query:
        pairs = [
            (key, direction or 'desc')
            for key, _, direction in (
                part.partition(':') for part in query['sort'].split(',')
            )
        ]
    else:
        keys = _listed(query.get('sort_key', []))
        directions = _listed(query.get('sort_dir', []))
        if len(directions) == 1:
            directions *= len(keys)
        directions += ['desc'] * (len(keys) - len(directions))
        pairs = list(zip(keys, directions, strict=False))
    for key, direction in pairs:
        if key not in _SORT_KEYS or direction not in _DIRECTIONS:
            raise InvalidInput(
                where='the query',
                reason=f'images cannot be sorted by {key[:40]!r} '
                f'{direction[:40]!r}.',
            )
    return [(key, direction == 'desc') for key, direction in pairs]


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _paged(found: list[Told], page: Page) -> tuple[list[Told], bool]:
    """The page, and whether there is more after it.

    :raises MarkerNotFound:
    """
    start = 0
    if page.marker is not None:
        ids = [image['id'] for image in found]
        if page.marker not in ids:
            raise exception.MarkerNotFound(marker=page.marker[:80])
        start = ids.index(page.marker) + 1
    end = start + page.limit
    return found[start:end], end < len(found)


def _link(query: Mapping[str, Any], marker: str | None) -> str:
    parameters = {k: v for k, v in query.items() if k != 'marker'}
    if marker is not None:
        parameters['marker'] = marker
    text = urllib.parse.urlencode(parameters, doseq=True)
    return f'{views.PATH}?{text}' if text else views.PATH


# -- one --------------------------------------------------------------------
def show(call: Call) -> Told:
    call.authorize()
    content = call.app.catalogue.content()
    return views.image(content.image(call.path['image_id'].lower()))


# -- schemas ----------------------------------------------------------------
def image_schema(call: Call) -> Told:
    call.authorize()
    return views.schema()


def images_schema(call: Call) -> Told:
    call.authorize()
    return views.list_schema()


_LIST = policy.Rule(
    'os_compute_api:images:index', policy.ANY_USER, 'List images.'
)
_OBJECT: Schema = {
    'type': 'object',
    'properties': {'name': {'enum': ['image', 'images']}},
    'required': ['name', 'properties', 'links'],
}

OPERATIONS = (
    Operation(
        name='images:index',
        method='GET',
        root=IMAGE_ROOT,
        path='/images',
        summary='List images.',
        handler=index,
        policy=_LIST,
        success=200,
        query=always(QUERY),
        response=always(views.IMAGES),
        errors={exception.MarkerNotFound: 400},
    ),
    Operation(
        name='images:show',
        method='GET',
        root=IMAGE_ROOT,
        path='/images/{image_id}',
        summary='Show an image.',
        handler=show,
        policy=policy.Rule(
            'os_compute_api:images:show', policy.ANY_USER, 'Show an image.'
        ),
        success=200,
        response=always(views.IMAGE),
        errors={exception.ImageNotFound: 404},
    ),
    Operation(
        name='images:schema_of_one',
        method='GET',
        root=IMAGE_ROOT,
        path='/schemas/image',
        summary='Show what keys an image has.',
        handler=image_schema,
        policy=_LIST,
        success=200,
        response=always(_OBJECT),
    ),
    Operation(
        name='images:schema_of_many',
        method='GET',
        root=IMAGE_ROOT,
        path='/schemas/images',
        summary='Show what keys a list of images has.',
        handler=images_schema,
        policy=_LIST,
        success=200,
        response=always(_OBJECT),
    ),
)
