"""The description of the API: whole, valid, served to anybody, and the one
that is kept in the tree."""

from __future__ import annotations

import json
import warnings
from typing import Any

import genopenapi
import jsonschema
import openapi_spec_validator
import pytest

from livemig.api import microversion, openapi, versions
from livemig.api.operations import OPERATIONS
from tests.functional.api.world import World

with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    import schemathesis

DOCUMENT: dict[str, Any] = json.loads(
    openapi.text(openapi.document(OPERATIONS))
)


def places() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): place
        for path, item in DOCUMENT['paths'].items()
        for method, place in item.items()
        if method not in ('parameters', 'servers')
    }


def test_the_file_is_the_code_s() -> None:
    assert genopenapi.FILE.read_bytes() == genopenapi.render(), (
        'run tools/genopenapi.py'
    )


def test_the_script_sees_a_file_that_is_out_of_date(
    tmp_path, monkeypatch
) -> None:
    file = tmp_path / 'below' / 'openapi.json'
    monkeypatch.setattr(genopenapi, 'FILE', file)
    assert genopenapi.main(['--check']) == 1
    assert genopenapi.main([]) == 0
    assert genopenapi.main(['--check']) == 0
    file.write_bytes(file.read_bytes() + b' ')
    assert genopenapi.main(['--check']) == 1
    assert genopenapi.main(['--colour']) == 2


def test_it_is_served_to_anybody(still_world: World) -> None:
    assert versions.is_public({'PATH_INFO': '/openapi.json'})
    answer = still_world.ask('GET', '/openapi.json', None, root='')
    assert answer.status_int == 200
    assert answer.content_type == 'application/json'
    served = answer.json_body
    # It says where the API is, as the client sees it.
    assert served['servers'] == [{'url': 'http://localhost/v2.1'}]
    assert served['paths']['/images']['servers'] == [
        {'url': 'http://localhost/image/v2'}
    ]
    kept = openapi.document(OPERATIONS)
    assert served == json.loads(openapi.text(kept, 'http://localhost/v2.1'))
    assert set(served['paths']) == set(DOCUMENT['paths'])


def test_it_says_where_a_proxy_has_put_the_api(world: World) -> None:
    world.conf.set_override(
        'compute_link_prefix', 'https://cloud.example/compute', 'api'
    )
    answer = world.ask('GET', '/openapi.json', None, root='')
    assert answer.json_body['servers'] == [
        {'url': 'https://cloud.example/compute/v2.1'}
    ]
    assert answer.json_body['paths']['/images']['servers'] == [
        {'url': 'https://cloud.example/compute/image/v2'}
    ]


def test_nothing_else_is_done_there(still_world: World) -> None:
    for method in ('POST', 'PUT', 'DELETE'):
        answer = still_world.ask(method, '/openapi.json', None, root='')
        assert answer.status_int == 300


def test_each_operation_is_told_once() -> None:
    told = []
    for place in places().values():
        actions = place.get('x-openstack-actions')
        told += (
            [one['operationId'] for one in actions.values()]
            if actions
            else [place['operationId']]
        )
    assert sorted(told) == sorted(one.name for one in OPERATIONS)


def test_names_are_unique() -> None:
    names = [place['operationId'] for place in places().values()]
    assert len(set(names)) == len(names)


def _walk(node: Any, path: tuple[str, ...] = ()) -> Any:
    if isinstance(node, dict):
        for key, value in node.items():
            yield (*path, key), value
            yield from _walk(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _walk(value, (*path, str(index)))


def test_it_is_what_openapi_3_1_asks_for() -> None:
    """By the words of somebody else; it refuses what is wrong."""
    validator = openapi_spec_validator.OpenAPIV31SpecValidator
    assert list(validator(DOCUMENT).iter_errors()) == []
    broken = {**DOCUMENT, 'info': {'title': 'no version'}}
    assert list(validator(broken).iter_errors())


@pytest.mark.parametrize('minor', [1, 52, 100])
def test_an_older_version_can_be_described(minor: int) -> None:
    version = microversion.Microversion(2, minor)
    document = openapi.document(OPERATIONS, version)
    validator = openapi_spec_validator.OpenAPIV31SpecValidator
    assert list(validator(document).iter_errors()) == []
    assert document['info']['version'] == f'2.{minor}'
    text = openapi.text(document).decode()
    assert 'compute 2.202' not in text
    assert ('live-migrate-force-end' in text) is False
    assert ('/migrations/{migration_id}' in text) is (minor > 23)


def test_each_property_is_explained() -> None:
    silent = [
        path
        for path, value in _walk(DOCUMENT['paths'])
        if path[-2:-1] == ('properties',)
        # One is called "properties" itself.
        and path[-3:-2] != ('properties',)
        and 'description' not in value
    ]
    # The keys of actions have the summaries beside them.
    actions = {one.body_key for one in OPERATIONS if one.body_key}
    assert {path[-1] for path in silent} <= actions


def test_references_lead_somewhere() -> None:
    found = 0
    for path, value in _walk(DOCUMENT):
        if path[-1] == '$ref':
            node = DOCUMENT
            for step in value.removeprefix('#/').split('/'):
                node = node[step]
            found += 1
    assert found


def test_schemas_are_schemas() -> None:
    found = 0
    for path, value in _walk(DOCUMENT):
        if path[-1] == 'schema' and '$ref' not in value:
            jsonschema.Draft202012Validator.check_schema(value)
            found += 1
    assert found > len(OPERATIONS)


@pytest.mark.parametrize(
    ('method', 'path', 'codes'),
    [
        ('get', '/servers', '200 400 401 403 406 413 503'),
        ('get', '/servers/{server_id}', '200 400 401 403 404 406 413 503'),
        (
            'delete',
            '/servers/{server_id}',
            '204 400 401 403 404 406 409 413 503',
        ),
        ('post', '/servers', '202 400 401 403 406 413 415 503'),
        (
            'post',
            '/servers/{server_id}/action',
            '200 202 400 401 403 404 406 409 413 415 503',
        ),
        (
            'delete',
            '/servers/{server_id}/migrations/{migration_id}',
            '202 400 401 403 404 406 409 413 503',
        ),
    ],
)
def test_codes(method: str, path: str, codes: str) -> None:
    assert list(places()[method, path]['responses']) == codes.split()


def test_versions() -> None:
    actions = places()['post', '/servers/{server_id}/action'][
        'x-openstack-actions'
    ]
    assert actions['pause']['x-openstack-min-version'] == '2.1'
    end = actions['live-migrate-force-end']
    assert end['x-openstack-min-version'] == '2.201'
    assert 'x-openstack-max-version' not in end
    for (_, path), place in places().items():
        if 'servers' in DOCUMENT['paths'][path]:
            # The image service knows none.
            assert not [p for p in place['parameters'] if p['in'] == 'header']
            continue
        (header,) = (p for p in place['parameters'] if p['in'] == 'header')
        assert header['name'] == 'OpenStack-API-Version'
        most = place.get('x-openstack-max-version', '2.202')
        assert header['schema'] == {'const': f'compute {most}'}
    assert DOCUMENT['info']['version'] == str(microversion.LATEST)


def test_the_newest_shapes_are_told() -> None:
    place = places()['get', '/servers/{server_id}']
    content = place['responses']['200']['content']['application/json']
    server = content['schema']['properties']['server']
    assert 'scheduler_hints' in server['required']
    body = places()['post', '/servers/{server_id}/action']['requestBody']
    forms = body['content']['application/json']['schema']['oneOf']
    (migrate,) = (
        form['properties']['os-migrateLive']
        for form in forms
        if form['required'] == ['os-migrateLive']
    )
    assert set(migrate['properties']) == {'host', 'block_migration'}


def test_who_asks() -> None:
    assert DOCUMENT['security'] == [{'basic': []}, {'token': []}]
    assert set(DOCUMENT['components']['securitySchemes']) == {
        'basic',
        'token',
    }


def test_tools_can_read_it() -> None:
    found = list(schemathesis.openapi.from_dict(DOCUMENT).get_all_operations())
    assert len(found) == len(places())
    for result in found:
        assert result.ok().label
