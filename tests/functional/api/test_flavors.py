"""Flavors of the operator's file and of the API, side by side."""

from __future__ import annotations

import json
from typing import Any

from tests.functional.api.world import CATALOGUE, IMAGE, World


def add_to_the_file(world: World, **flavor: Any) -> None:
    flavors = [
        *CATALOGUE['flavors'],
        {'ram_mib': 1, 'vcpus': 1, 'is_public': False, **flavor},
    ]
    (world.directory / 'catalogue.yaml').write_text(
        json.dumps({**CATALOGUE, 'flavors': flavors})
    )


def shown(world: World) -> dict[str, tuple[str, int]]:
    answer = world.ask('GET', '/flavors/detail?is_public=None')
    return {
        one['id']: (one['name'], one['ram'])
        for one in answer.json_body['flavors']
    }


def test_the_file_counts_where_both_have_an_id(world: World) -> None:
    assert shown(world)['made'] == ('made by hand', 256)
    add_to_the_file(world, id='made', name='in the file')
    assert shown(world)['made'] == ('in the file', 1)
    one = world.ask('GET', '/flavors/made').json_body['flavor']
    assert one['name'] == 'in the file'
    assert world.ask('DELETE', '/flavors/made').status_int == 409


def test_the_file_counts_where_both_have_a_name(world: World) -> None:
    add_to_the_file(world, id='other', name='made by hand')
    assert 'made' not in shown(world)
    assert world.ask('GET', '/flavors/made').status_int == 404
    assert world.ask('DELETE', '/flavors/made').status_int == 404


def test_pages_lead_through_both(world: World) -> None:
    path, found = '/flavors?is_public=None&limit=1', []
    while path:
        page = world.ask('GET', path).json_body
        found += [one['id'] for one in page['flavors']]
        links = page.get('flavors_links')
        path = links[0]['href'].partition('/v2.1')[2] if links else ''
    assert found == ['1', '2', 'm1.secret', 'made']


def test_a_server_keeps_what_it_was_made_of(world: World) -> None:
    made = world.ask(
        'POST',
        '/servers',
        body={
            'server': {
                'name': 'x',
                'flavorRef': 'made',
                'imageRef': IMAGE,
                'networks': 'none',
            }
        },
    ).json_body['server']['id']
    assert world.ask('DELETE', '/flavors/made').status_int == 202
    server = world.ask('GET', f'/servers/{made}').json_body['server']
    assert server['flavor']['ram'] == 256
    assert server['flavor']['extra_specs'] == {'colour': 'red'}


def test_two_make_the_same_at_once(world: World) -> None:
    """The database decides."""
    create = world.store.flavor_create

    def racing(values):
        world.store.flavor_create = create
        create({**values, 'name': 'the first'})
        return create(values)

    world.store.flavor_create = racing
    flavor = {'id': 'x', 'name': 'x', 'ram': 1, 'vcpus': 1, 'disk': 0}
    answer = world.ask('POST', '/flavors', body={'flavor': flavor})
    assert answer.status_int == 409
    assert shown(world)['x'] == ('the first', 1)
