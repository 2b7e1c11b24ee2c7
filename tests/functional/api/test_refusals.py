"""Whatever is wrong with a request, it is refused as Nova would, in order:
form, server, right, lock, migration, state."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from livemig.db.api import Database
from tests.functional.api import resources
from tests.functional.api.examples import EXAMPLES, Example
from tests.functional.api.world import (
    FOREIGN,
    MEMBER,
    NOBODY,
    SERVERS,
    UNKNOWN,
    World,
)

NAMES = {
    400: 'badRequest',
    401: 'unauthorized',
    403: 'forbidden',
    404: 'itemNotFound',
    406: 'computeFault',
    409: 'conflictingRequest',
    413: 'overLimit',
    415: 'badMediaType',
    500: 'computeFault',
    503: 'serviceUnavailable',
}

ALL = pytest.mark.parametrize('name', EXAMPLES)
#: Those with microversions and projects in their URLs.
VERSIONED = pytest.mark.parametrize(
    'name', [n for n, e in EXAMPLES.items() if e.root == '/v2.1']
)
WITH_BODY = pytest.mark.parametrize(
    'name', [n for n, e in EXAMPLES.items() if e.body is not None]
)
OF_SERVER = pytest.mark.parametrize(
    'name', [n for n, e in EXAMPLES.items() if '{server_id}' in e.path]
)
#: Nova asks nobody's leave to show these.
FREE = {'versions:show', 'flavors:index', 'flavors:detail', 'flavors:show'} | {
    name
    for name, (least, _given) in resources.RESOURCES.items()
    if least == 'nobody'
}


def check(answer, code: int) -> str:
    """The answer is that fault, in Nova's form; its message."""
    assert answer.status_int == code, answer.text
    assert answer.content_type == 'application/json'
    assert list(answer.json_body) == [NAMES[code]]
    fault = answer.json_body[NAMES[code]]
    assert set(fault) == {'code', 'message'}
    assert fault['code'] == code
    assert fault['message']
    assert answer.headers['X-Compute-Request-Id'].startswith('req-')
    return fault['message']


def ask(world: World, example: Example, **more: Any):
    """Ask for an example, with something of it changed."""
    given = {
        'body': example.body,
        'version': example.version,
        'root': example.root,
        **more,
    }
    return world.ask(example.method, given.pop('url', example.url), **given)


@ALL
def test_good(world: World, name: str) -> None:
    """So that what follows spoils something good."""
    assert ask(world, EXAMPLES[name]).status_int in (200, 202, 204)


@ALL
def test_no_right(world: World, name: str) -> None:
    answer = ask(world, EXAMPLES[name], roles=NOBODY)
    if name in FREE:
        assert answer.status_int == 200
    else:
        assert 'os_compute_api:' in check(answer, 403)
    assert world.messages == []


@OF_SERVER
def test_unknown_server(still_world: World, name: str) -> None:
    example = EXAMPLES[name]
    message = check(ask(still_world, example, url=example.at(UNKNOWN)), 404)
    assert UNKNOWN in message


@OF_SERVER
def test_malformed_server(still_world: World, name) -> None:
    for server_id in [
        'active',
        '1',
        'a' * 3000,
        '%00',
        '%C3%A9',
        "'--",
    ]:
        example = EXAMPLES[name]
        check(ask(still_world, example, url=example.at(server_id)), 404)


@OF_SERVER
def test_another_projects_server(still_world: World, name: str) -> None:
    """It is not there; even for what one may not do at all."""
    example = EXAMPLES[name]
    url = example.at(SERVERS['foreign'])
    for roles in (MEMBER, NOBODY):
        check(ask(still_world, example, url=url, roles=roles), 404)


@OF_SERVER
def test_404_before_403(still_world: World, name: str) -> None:
    example = EXAMPLES[name]
    url = example.at(UNKNOWN)
    check(ask(still_world, example, url=url, roles=NOBODY), 404)


@OF_SERVER
def test_403_before_state(still_world: World, name: str) -> None:
    """No word of the state to whom it does not concern."""
    example = EXAMPLES[name]
    url = example.at(SERVERS['stopped'])
    check(ask(still_world, example, url=url, roles=NOBODY), 403)


@VERSIONED
def test_malformed_version(still_world: World, name) -> None:
    for version in ['2', '2.x', '02.1', '2.01', 'new', '']:
        answer = ask(
            still_world,
            EXAMPLES[name],
            version=None,
            headers={'X-OpenStack-Nova-API-Version': version},
        )
        check(answer, 400)
        assert 'OpenStack-API-Version' not in answer.headers


@VERSIONED
def test_version_not_offered(still_world: World, name) -> None:
    for version in ['1.0', '2.0', '2.203', '3.1', '2.99999']:
        answer = ask(still_world, EXAMPLES[name], version=version)
        check(answer, 406)
        assert answer.headers['OpenStack-API-Version'] == f'compute {version}'
        assert answer.headers['X-OpenStack-Nova-API-Version'] == version


@VERSIONED
def test_another_project_in_the_url(still_world: World, name: str) -> None:
    example = EXAMPLES[name]
    answer = ask(still_world, example, url=f'/{FOREIGN}{example.url}')
    check(answer, 400)


@ALL
def test_huge_body(still_world: World, name: str) -> None:
    answer = ask(still_world, EXAMPLES[name], raw=b' ' * 114689)
    check(answer, 413)


@ALL
def test_query_that_is_no_text(still_world: World, name) -> None:
    for query in ['a=%ff', 'a=%00', 'a=1&' * 600]:
        example = EXAMPLES[name]
        answer = ask(still_world, example, url=f'{example.url}?{query}')
        check(answer, 400)


@ALL
def test_query_that_is_not_known(still_world: World, name: str) -> None:
    """Ignored or refused, the latter in words of ours."""
    example = EXAMPLES[name]
    for query in ['limt=1', '_a=1', 'limit=1&limit=2', 'services=1']:
        url = f'{example.url}?{query}'
        answer = ask(still_world, example, url=url, roles=NOBODY)
        if answer.status_int == 400:
            parameter = query.partition('=')[0]
            assert re.search(
                f'query: (unknown parameter {parameter}[.;]'
                f'|{parameter} may be given only once[.])',
                check(answer, 400),
            )


@VERSIONED
def test_project_in_the_url(world: World, name: str) -> None:
    example = EXAMPLES[name]
    project = '5f705771-3aa9-4f4c-8660-0d9522ffdbea'
    answer = ask(world, example, url=f'/{project}{example.url}')
    assert answer.status_int in (200, 202, 204)


# -- the database is away ---------------------------------------------------
#: What answers out of the catalogue, or out of nothing.
WITHOUT_DATABASE = {
    'versions:show', 'flavors:show', 'flavor_extra_specs:index',
    'flavor_extra_specs:show', 'images:index', 'images:show',
    'images:schema_of_one', 'images:schema_of_many', 'quotas:show',
    'quotas:defaults', 'aggregates:index', 'server_groups:index',
    'keypairs:index', 'extensions:index', 'extensions:show',
}  # fmt: skip


def test_without_a_database(world: World) -> None:
    world.store.dispose()
    world.store = Database('sqlite:////nowhere/livemig.sqlite')
    world.assemble()
    for name, example in EXAMPLES.items():
        answer = ask(world, example)
        if name in WITHOUT_DATABASE:
            assert answer.status_int == 200, name
        else:
            assert 'database' in check(answer, 503), name
    assert world.messages == []


# -- bodies -----------------------------------------------------------------
@WITH_BODY
def test_body_that_is_no_object(still_world: World, name) -> None:
    for raw in [
        b'',
        b' ',
        b'{',
        b'nonsense',
        b'"text"',
        b'7',
        b'null',
        b'[]',
        b'[{}]',
        b'{}',
        b'\xff\xfe',
        b'{"a": NaN}',
        b'[' * 100000,
        b'{"a":' * 15000,
        b'{"a": ' + b'9' * 5000 + b'}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\u0000"}',
    ]:
        check(ask(still_world, EXAMPLES[name], raw=raw), 400)


@WITH_BODY
def test_400_before_404_and_403(still_world: World, name: str) -> None:
    example = EXAMPLES[name]
    body = {**example.body, 'another key': []}
    url = example.at(UNKNOWN)
    check(ask(still_world, example, url=url, body=body, roles=NOBODY), 400)


def spoiled(body: Any, free: bool = False) -> list[Any]:
    """Bodies with one thing wrong: more, less, or of another type.

    :param free: keys may come and go.
    """
    if free:
        return [
            {key: value}
            for key in body
            for value in ([body[key]], None, [[]], {'a': {'b': 1}})
        ]
    (key, inner), *_ = body.items()
    found = [
        {**body, 'colour': 'red'},
        {key: [inner]},
        {key: 'text'},
        {key: 7},
    ]
    if isinstance(inner, dict):
        found.append({key: None})
        found.append({key: {**inner, 'colour': 'red'}})
        for name in inner:
            without = {k: v for k, v in inner.items() if k != name}
            found.append({key: {**inner, name: {'a': 1}}})
            found.append({key: {**inner, name: [[]]}})
            found.append({key: {**inner, name: 1.5}})
            if name != 'imageRef':
                found.append({key: without})
    else:
        found.append({key: {}})
        found.append({key: False})
    return found


#: Of the JSON schema library, which name no key and no way out.
LIBRARYS_WORDS = re.compile(
    r'regexes|Additional properties|should not be valid|under any of'
)


@WITH_BODY
def test_body_with_one_thing_wrong(world: World, name: str) -> None:
    example = EXAMPLES[name]
    for body in spoiled(example.body, example.free):
        if example.anything and len(body) == 1:
            continue
        if body not in example.good:
            told = check(ask(world, example, body=body), 400)
            assert not LIBRARYS_WORDS.search(told), told
    assert world.messages == []


@pytest.mark.parametrize(('length', 'code'), [(253, 202), (254, 400)])
def test_names_need_room_for_numbers(world: World, length, code) -> None:
    example = EXAMPLES['servers:create']
    server = {**example.body['server'], 'name': 'n' * length, 'max_count': 2}
    answer = ask(world, example, body={'server': server})
    assert answer.status_int == code, answer.text
    assert len(world.messages) == (2 if code == 202 else 0)


@WITH_BODY
def test_other_media_types(still_world: World, name: str) -> None:
    example = EXAMPLES[name]
    for kind in ('application/xml', 'multipart/form-data'):
        answer = ask(still_world, example, headers={'Content-Type': kind})
        check(answer, 415)


@WITH_BODY
@pytest.mark.parametrize(
    'kind',
    [
        'application/json; charset=utf-8',
        'application/vnd.openstack.compute+json',
        'text/plain',
        '',
    ],
)
def test_media_types_that_are_json(world: World, name, kind) -> None:
    answer = ask(world, EXAMPLES[name], headers={'Content-Type': kind})
    assert answer.status_int in (200, 202)


def test_chunked_body_without_an_end(still_world: World) -> None:
    """Such a server would show us an empty body."""
    import webob

    request = webob.Request.blank('/v2.1/servers', method='POST')
    request.environ['HTTP_TRANSFER_ENCODING'] = 'chunked'
    request.environ.pop('CONTENT_LENGTH', None)
    answer = request.get_response(still_world.app)
    assert 'Content-Length' in check(answer, 400)


@pytest.mark.parametrize(('length', 'code'), [(114688, 400), (114689, 413)])
def test_chunked_body_is_limited(still_world: World, length, code) -> None:
    import io

    import webob

    request = webob.Request.blank('/v2.1/servers', method='POST')
    request.environ['HTTP_TRANSFER_ENCODING'] = 'chunked'
    request.environ['wsgi.input_terminated'] = True
    request.environ.pop('CONTENT_LENGTH', None)
    request.environ['wsgi.input'] = io.BytesIO(b' ' * length)
    check(request.get_response(still_world.app), code)


def test_chunked_body_is_read(world: World) -> None:
    import io

    import webob

    example = EXAMPLES['servers:create']
    request = webob.Request.blank(f'/v2.1{example.url}', method='POST')
    request.headers['OpenStack-API-Version'] = 'compute 2.100'
    request.environ['HTTP_TRANSFER_ENCODING'] = 'chunked'
    request.environ['wsgi.input_terminated'] = True
    request.environ.pop('CONTENT_LENGTH', None)
    request.environ['wsgi.input'] = io.BytesIO(
        json.dumps(example.body).encode()
    )
    assert request.get_response(world.app).status_int == 202


@pytest.mark.parametrize(
    'path',
    [
        '/servers/', '//servers', '/servers.json', '/%ff', '/servers/%ff/x',
        '/servers%0A', '/servers%00', '/servers%20', '/flavors/1%0A',
    ],
)  # fmt: skip
def test_paths_that_lead_nowhere(still_world: World, path) -> None:
    assert still_world.ask('GET', path).status_int == 404


@ALL
def test_nothing_is_done_for_a_path_that_goes_on(
    still_world: World, name: str
) -> None:
    example = EXAMPLES[name]
    answer = ask(still_world, example, url=f'{example.url}%0A')
    assert answer.status_int == 404
    assert still_world.messages == []


@pytest.mark.parametrize('path', ['/%ff', '/image/%ff', '/v2.1%ff', '/v3/%ff'])
def test_paths_that_are_no_text_are_beside_the_api(
    still_world: World, path
) -> None:
    assert still_world.ask('GET', path, root='').status_int == 300


@pytest.mark.parametrize('method', ['HEAD', 'PUT', 'PATCH', 'TRACE', 'FOO'])
def test_methods_that_lead_nowhere(still_world: World, method) -> None:
    assert still_world.ask(method, '/servers').status_int == 404
