"""Says which versions there are; asked before anybody has a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import webob

from livemig import exception, policy
from livemig.api import microversion
from livemig.api.action import Call, Operation, always
from livemig.api.links import (
    API_ROOT,
    IMAGE_ROOT,
    IMAGE_SERVICE,
    Links,
)

API_ID = 'v2.1'
#: The first of Glance's second API: nothing later is here.
IMAGE_API_ID = 'v2.0'
_ROOTS = (API_ROOT, IMAGE_ROOT)
#: When Nova's v2.1 came to be; clients only show it.
UPDATED = '2013-07-23T11:33:21Z'
GUIDE = 'https://docs.openstack.org/api-ref/compute/'
MEDIA_TYPES = [
    {
        'base': 'application/json',
        'type': 'application/vnd.openstack.compute+json;version=2.1',
    }
]


def _brief(links: Links) -> dict[str, Any]:
    return {
        'id': API_ID,
        'status': 'CURRENT',
        'version': str(microversion.LATEST),
        'min_version': str(microversion.FIRST),
        'updated': UPDATED,
        'links': [{'rel': 'self', 'href': links.root}],
    }


def _full(links: Links) -> dict[str, Any]:
    version = _brief(links)
    version['links'].append(
        {'rel': 'describedby', 'type': 'text/html', 'href': GUIDE}
    )
    return {**version, 'media-types': MEDIA_TYPES}


def _choice(links: Links) -> dict[str, Any]:
    return {
        'id': API_ID,
        'status': 'CURRENT',
        'links': [{'rel': 'self', 'href': links.root}],
        'media-types': MEDIA_TYPES,
    }


def is_public(environ: Mapping[str, Any]) -> bool:
    """Whether a request is about versions only, and so needs no user."""
    path = environ.get('PATH_INFO') or '/'
    return path.rstrip('/') in _ROOTS or not path.startswith(
        tuple(f'{root}/' for root in _ROOTS)
    )


def document(request: webob.Request, links: Links) -> webob.Response | None:
    """The answer, if the request is about versions; it needs no user."""
    if not is_public(request.environ):
        return None
    path = request.environ.get('PATH_INFO') or '/'
    if path == IMAGE_SERVICE or path.startswith(f'{IMAGE_SERVICE}/'):
        return _images_document(path, links)
    if path.rstrip('/') == API_ROOT:
        if request.method != 'GET':
            return None
        return webob.Response(json_body={'version': _full(links)})
    if path == '/' and request.method == 'GET':
        return webob.Response(json_body={'versions': [_brief(links)]})
    return webob.Response(status=300, json_body={'choices': [_choice(links)]})


def _images_document(path: str, links: Links) -> webob.Response:
    """The same for the image service, as Glance answers."""
    is_list = path.rstrip('/') == f'{IMAGE_SERVICE}/versions'
    version = {
        'id': IMAGE_API_ID,
        'status': 'CURRENT',
        'links': [{'rel': 'self', 'href': links.image_root}],
    }
    return webob.Response(
        status=200 if is_list else 300, json_body={'versions': [version]}
    )


class VersionNotFound(exception.NotFound):
    template = 'There is no API version {version_id}.'


def show(call: Call) -> dict[str, Any]:
    call.authorize()
    if call.path['version_id'] != API_ID:
        raise VersionNotFound(version_id=call.path['version_id'])
    return {'version': _full(call.links)}


OPERATIONS = (
    Operation(
        name='versions:show',
        method='GET',
        path='/versions/{version_id}',
        summary='Show one version of the API.',
        handler=show,
        policy=policy.Rule(
            'os_compute_api:versions:show',
            policy.ANY_USER,
            'Show one version of the API.',
        ),
        success=200,
        response=always(
            {
                'type': 'object',
                'properties': {'version': {'type': 'object'}},
                'required': ['version'],
                'additionalProperties': False,
            }
        ),
        errors={VersionNotFound: 404},
    ),
)
