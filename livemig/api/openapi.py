"""Describes the API as an OpenAPI 3.1 document, made of the records.

Each place (method and path) is described at the newest version it speaks;
a request as described here names that version in its header.
"""

from __future__ import annotations

import http
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from livemig.api import action, faults, meanings, microversion
from livemig.api.action import Operation
from livemig.api.links import API_ROOT
from livemig.api.microversion import Microversion
from livemig.api.validation import UUID, Schema, closed

#: Where the document is served; nobody has to say who asks.
PATH = '/openapi.json'

JSON = 'application/json'

Operations = Sequence[Operation]

_SEGMENT: Schema = {'type': 'string', 'pattern': '^[^/]+$'}
#: What the variables of paths are; one not named here is any segment.
PATH_VARIABLES: Mapping[str, tuple[Schema, str]] = {
    'server_id': (UUID, 'Id of the server.'),
    'migration_id': (
        {'type': 'string', 'pattern': '^[0-9]{1,18}$'},
        'Number of the migration.',
    ),
    'request_id': (
        _SEGMENT,
        'Id of the request, as its answer had it in X-Compute-Request-Id.',
    ),
    'metadata_key': (
        {'type': 'string', 'pattern': '^[a-zA-Z0-9-_:. ]{1,255}$'},
        'Name of the item.',
    ),
    'flavor_id': (_SEGMENT, 'Id of the flavor.'),
    'service_id': (UUID, 'Id of the service.'),
    'hypervisor_id': (UUID, "Id of the hypervisor, which is its service's."),
    'pattern': (_SEGMENT, 'Part of the names of hypervisors.'),
    'spec_key': (_SEGMENT, 'Name of the extra spec.'),
    'project': (_SEGMENT, 'Id of the project.'),
    'alias': (_SEGMENT, 'Name of a part of the API.'),
    'image_id': (UUID, 'Id of the image.'),
    'version_id': (_SEGMENT, f'Id of the API version: {API_ROOT[1:]}.'),
}

#: What any request may be answered, besides what its record says: nobody
#: or somebody unknown asks, no such version, too large a body.
_ANY_CODES = frozenset({401, 406, 413})

_VERSION_HEADERS = (microversion.HEADER, microversion.LEGACY_HEADER)

DESCRIPTION = (
    "Live migration of servers, as a part of OpenStack's compute API. Each "
    'operation is described at the newest version it speaks, which a request '
    f'names in the header {microversion.HEADER}; without it the API speaks '
    f'{microversion.FIRST}. x-openstack-min-version and '
    'x-openstack-max-version say from and up to which version there is an '
    'operation at all, and x-openstack-policy which rights it asks for.'
)


def text(described: Mapping[str, Any], root: str = API_ROOT) -> bytes:
    """The document as it is served, and kept in ``api-ref``.

    :param root: where the API is.
    """
    base = root.removesuffix(API_ROOT)
    written = {
        **described,
        'servers': [{'url': root}],
        'paths': {
            path: _served(item, base)
            for path, item in described['paths'].items()
        },
    }
    lines = json.dumps(written, indent=1, ensure_ascii=False)
    return f'{lines}\n'.encode()


def _served(item: dict[str, Any], base: str) -> dict[str, Any]:
    """What has a root of its own, below where the API is served."""
    if 'servers' not in item:
        return item
    urls = [base + server['url'] for server in item['servers']]
    return {**item, 'servers': [{'url': url} for url in urls]}


def document(
    operations: Iterable[Operation],
    newest: Microversion = microversion.LATEST,
) -> dict[str, Any]:
    """
    :param newest: the newest version to speak of.
    """
    places: dict[str, dict[str, list[Operation]]] = {}
    for operation in operations:
        if operation.first > newest:
            continue
        methods = places.setdefault(operation.path, {})
        methods.setdefault(operation.method.lower(), []).append(operation)
    return {
        'openapi': '3.1.0',
        'info': {
            'title': 'livemig',
            'version': str(newest),
            'description': DESCRIPTION,
            'license': {'name': 'Apache-2.0', 'identifier': 'Apache-2.0'},
        },
        'servers': [{'url': API_ROOT}],
        'security': [{'basic': []}, {'token': []}],
        'paths': {
            path: _path_item(path, places[path], newest)
            for path in sorted(places)
        },
        'components': _COMPONENTS,
    }


# -- one place --------------------------------------------------------------
def _path_item(
    path: str,
    methods: Mapping[str, list[Operation]],
    newest: Microversion,
) -> dict[str, Any]:
    item: dict[str, Any] = {}
    variables = [
        part[1:-1] for part in path.split('/') if part.startswith('{')
    ]
    if variables:
        item['parameters'] = [_path_parameter(name) for name in variables]
    (root,) = {one.root for found in methods.values() for one in found}
    if root != API_ROOT:
        item['servers'] = [{'url': root}]
    for method in sorted(methods):
        item[method] = _described(methods[method], newest)
    return item


def _path_parameter(name: str) -> dict[str, Any]:
    schema, description = PATH_VARIABLES.get(name, (_SEGMENT, ''))
    return {
        'name': name,
        'in': 'path',
        'required': True,
        **({'description': description} if description else {}),
        'schema': schema,
    }


def _described(operations: Operations, newest: Microversion) -> dict[str, Any]:
    """The operations of one place as one: OpenAPI knows no others. Where
    there are several, the body's only key says which is meant."""
    version = min(newest, max(one.last for one in operations))
    spoken = [one for one in operations if one.speaks(version)]
    name, summary, details = _named(spoken)
    described: dict[str, Any] = {
        'operationId': name,
        'tags': [name.partition(':')[0]],
        'summary': summary,
        **details,
        'parameters': [
            *([_version_parameter(version)] if spoken[0].is_versioned else []),
            *(p for one in spoken for p in _query(one, version)),
        ],
    }
    if any(one.request for one in spoken):
        described['requestBody'] = {
            'required': True,
            'content': {JSON: {'schema': _body(spoken, version)}},
        }
    described['responses'] = _responses(spoken, version)
    return described


def _named(operations: Operations) -> tuple[str, str, dict[str, Any]]:
    """Name, summary, and what belongs to the records one by one."""
    first = operations[0]
    if first.body_key is None:
        return first.name, first.summary, _of_record(first)
    resource = first.name.partition(':')[0]
    return (
        f'{resource}:action',
        'Ask for one of several actions: the only key of the body says which.',
        {
            'x-openstack-actions': {
                str(one.body_key): {
                    'operationId': one.name,
                    'summary': one.summary,
                    **_of_record(one),
                    'x-openstack-codes': sorted(
                        {one.success, *_refusals(one)}
                    ),
                }
                for one in operations
            }
        },
    )


def _of_record(operation: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if operation.description:
        told['description'] = operation.description
    if operation.is_versioned:
        told['x-openstack-min-version'] = str(operation.first)
    if operation.last < microversion.LATEST:
        told['x-openstack-max-version'] = str(operation.last)
    told['x-openstack-policy'] = [rule.name for rule in operation.rules]
    return told


# -- the request ------------------------------------------------------------
def _version_parameter(version: Microversion) -> dict[str, Any]:
    return {
        'name': microversion.HEADER,
        'in': 'header',
        'required': True,
        'schema': {'const': f'{microversion.SERVICE_TYPE} {version}'},
    }


def _query(operation: Operation, version: Microversion) -> list[Any]:
    """The parameters of the query; none that is there to be refused."""
    schema = action.at(operation.query, version) or {'properties': {}}
    told = []
    for name, of_one in schema['properties'].items():
        if of_one == meanings.NEVER:
            continue
        words = meanings.meaning(operation, meanings.QUERY, (name,))
        told.append(
            {
                'name': name,
                'in': 'query',
                **({'description': words} if words else {}),
                'schema': of_one,
            }
        )
    return told


def _body(operations: Operations, version: Microversion) -> Schema:
    schemas: list[Schema] = []
    for one in operations:
        schema: Schema = meanings.described(
            action.at(one.request, version) or {}, one, meanings.REQUEST
        )
        if one.body_key is not None:
            schema = closed({one.body_key: schema}, one.body_key)
        schemas.append(schema)
    return schemas[0] if len(schemas) == 1 else {'oneOf': schemas}


# -- the answers ------------------------------------------------------------
def _refusals(operation: Operation) -> set[int]:
    """The codes of all that this operation may be refused with."""
    codes = {
        *_ANY_CODES,
        *operation.errors.values(),
        *action.COMMON_ERRORS.values(),
    }
    if not operation.is_versioned:
        codes.discard(406)
    if operation.request:
        codes.add(415)
    if (
        '{' in operation.path
        or operation.first > microversion.FIRST
        or operation.last < microversion.LATEST
    ):
        codes.add(404)
    return codes


def _responses(
    operations: Operations, version: Microversion
) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for code in sorted({one.success for one in operations}):
        schemas = [
            meanings.described(schema, one, meanings.RESPONSE)
            for one in operations
            if one.success == code
            and (schema := action.at(one.response, version)) is not None
        ]
        told[str(code)] = _success(code, schemas, operations[0].is_versioned)
    for code in sorted({c for one in operations for c in _refusals(one)}):
        told[str(code)] = {'$ref': f'#/components/responses/{code}'}
    return told


def _success(
    code: int, schemas: Sequence[Schema], is_versioned: bool
) -> dict[str, Any]:
    told: dict[str, Any] = {
        'description': http.HTTPStatus(code).phrase,
        'headers': {
            name: {'$ref': f'#/components/headers/{name}'}
            for name in _COMPONENTS['headers']
            if is_versioned or name not in _VERSION_HEADERS
        },
    }
    if schemas:
        schema = schemas[0] if len(schemas) == 1 else {'anyOf': list(schemas)}
        told['content'] = {JSON: {'schema': schema}}
    return told


# -- what all have in common ------------------------------------------------
_FAULT: Schema = {
    'type': 'object',
    'propertyNames': {
        'enum': sorted({*faults.NAMES.values(), faults.OTHER_NAME})
    },
    'additionalProperties': closed(
        {'code': {'type': 'integer'}, 'message': {'type': 'string'}},
        'code',
        'message',
    ),
    'minProperties': 1,
    'maxProperties': 1,
}
_FAULT_CONTENT = {JSON: {'schema': {'$ref': '#/components/schemas/fault'}}}
_TEXT_HEADER = {'required': True, 'schema': {'type': 'string'}}
_COMPONENTS: Mapping[str, Any] = {
    'schemas': {'fault': _FAULT},
    'headers': {
        microversion.HEADER: _TEXT_HEADER,
        microversion.LEGACY_HEADER: _TEXT_HEADER,
        'X-Compute-Request-Id': _TEXT_HEADER,
        'X-OpenStack-Request-Id': _TEXT_HEADER,
    },
    'responses': {
        str(code): {
            'description': http.HTTPStatus(code).phrase,
            'content': _FAULT_CONTENT,
        }
        for code in sorted({*faults.NAMES, 406})
    },
    'securitySchemes': {
        'basic': {
            'type': 'http',
            'scheme': 'basic',
            'description': 'A user of the file, [api] auth_strategy '
            'http_basic.',
        },
        'token': {
            'type': 'apiKey',
            'in': 'header',
            'name': 'X-Auth-Token',
            'description': "A token of Keystone's, [api] auth_strategy "
            'keystone.',
        },
    },
}
