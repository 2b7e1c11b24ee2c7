"""Commands on images, flavors and hosts, and rescue by an image."""

from typing import Any

import pytest

from tests.functional.client.conftest import Clock, Run
from tests.functional.client.standin import IMAGE, StandIn


@pytest.mark.parametrize(
    ('image', 'code', 'told'),
    [('twin', 2, 'Several images'), ('vast', 3, 'No image is named "vast"')],
)
def test_image_that_is_not_one(
    livemig: Run, standin: StandIn, image: str, code: int, told: str
) -> None:
    words = ['server', 'create', 'web', '--flavor', '1', '--image', image]
    outcome = livemig(*words)
    assert outcome.code == code
    assert told in outcome.err
    assert standin.asked('POST') == []


def test_image_by_its_id_needs_no_image_service(
    livemig: Run, standin: StandIn
) -> None:
    standin.images = None
    words = ['server', 'create', 'web', '--flavor', '1', '--image', IMAGE]
    assert livemig(*words).code == 0
    outcome = livemig(*words[:-1], 'img')
    assert outcome.code == 1
    assert 'There is no image service' in outcome.err
    outcome = livemig('image', 'list')
    assert outcome.code == 1


@pytest.mark.parametrize('path', ['', '/v2.1', '/v2.1/'])
@pytest.mark.parametrize('kind', ['none', 'http_basic'])
def test_images_beside_the_endpoint_given(
    bare: Run, standin: StandIn, address: str, path: str, kind: str
) -> None:
    if kind == 'http_basic':
        standin.credentials = 'admin:secret'
    outcome = bare(
        *('image', 'list', f'--os-auth-type={kind}'),
        *(f'--os-endpoint={address}{path}', '--os-username=admin'),
        '--os-password=secret',
    )
    assert outcome.code == 0, outcome.err
    assert standin.requests[-1][1] == '/image/v2/images'


def test_list_images(livemig: Run, standin: StandIn) -> None:
    standin.page_size = 2
    outcome = livemig('image', 'list', '-f', 'json')
    assert [row['Name'] for row in outcome.json()] == ['img', 'twin', 'twin']
    assert outcome.json()[0] == {
        'ID': IMAGE,
        'Name': 'img',
        'Status': 'active',
    }


def test_images_of_a_service_of_their_own(
    livemig: Run,
    standin: StandIn,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for path in ('/image', '/image/v2'):
        monkeypatch.setenv('OS_IMAGE_ENDPOINT_OVERRIDE', f'{address}{path}/')
        assert livemig('image', 'list').code == 0
    standin.images = None
    monkeypatch.setenv('OS_IMAGE_ENDPOINT_OVERRIDE', f'{address}/glance')
    outcome = livemig('image', 'list')
    assert f'no image service at {address}/glance' in outcome.err


@pytest.mark.parametrize(('flavor', 'code'), [('twin', 2), ('huge', 3)])
def test_flavor_that_is_not_one(
    livemig: Run, standin: StandIn, flavor: str, code: int
) -> None:
    words = ['server', 'create', 'web', '--flavor', flavor, '--image', 'img']
    assert livemig(*words).code == code
    assert standin.asked('POST') == []


@pytest.mark.parametrize(
    ('words', 'action', 'value', 'status'),
    [
        ('rescue', 'rescue', None, 'RESCUE'),
        (
            'rescue --image img',
            'rescue',
            {'rescue_image_ref': IMAGE},
            'RESCUE',
        ),
        ('unrescue', 'unrescue', None, 'ACTIVE'),
    ],
)
def test_rescue_and_unrescue(
    livemig: Run,
    standin: StandIn,
    clock: Clock,
    words: str,
    action: str,
    value: Any,
    status: str,
) -> None:
    server = standin.server('web', status='SHUTOFF')
    row = standin.servers[server]

    def begin(_: str) -> None:
        row['OS-EXT-STS:task_state'] = 'busy'
        done = {'status': status, 'OS-EXT-STS:task_state': None}
        clock.at(4, lambda: row.update(done))

    standin.on[action] = begin
    outcome = livemig('server', *words.split(), 'web', '--wait')
    assert (outcome.code, outcome.out) == (0, '')
    assert clock.monotonic_s() == 4
    assert standin.asked('POST') == [
        (f'/v2.1/servers/{server}/action', {action: value})
    ]


@pytest.mark.parametrize(
    ('status', 'told'),
    [('ERROR', 'is in status ERROR: No'), ('ACTIVE', 'ACTIVE, not RESCUE')],
)
def test_a_rescue_that_fails(
    livemig: Run, standin: StandIn, status: str, told: str
) -> None:
    fault = {'fault': {'message': 'No such disk.'}}
    server = standin.server('web')
    standin.on['rescue'] = lambda _: standin.servers[server].update(
        {'status': status, **fault}
    )
    assert livemig('server', 'rescue', 'web').code == 0
    outcome = livemig('server', 'rescue', 'web', '--wait')
    assert outcome.code == 5
    assert told in outcome.err


def test_flavors_and_hosts(livemig: Run) -> None:
    flavors = livemig('flavor', 'list', '-f', 'json').json()
    assert flavors[0]['Name'] == 'tiny'
    hosts = livemig('host', 'list', '-f', 'json').json()
    assert (hosts[0]['Host'], hosts[0]['State']) == ('host1', 'up')


def test_a_host_is_disabled_and_enabled(
    livemig: Run, standin: StandIn
) -> None:
    def statuses() -> dict[str, tuple[str, str]]:
        return {
            f'{row["host"]} {row["binary"]}': (
                row['status'],
                row['disabled_reason'],
            )
            for row in standin.services
        }

    before = statuses()
    words = ('host', 'disable', 'host1', '--reason', 'new disks')
    assert livemig(*words).code == 0
    # Its conductor is none of ours.
    assert statuses() == before | {
        'host1 nova-compute': ('disabled', 'new disks')
    }
    assert livemig('host', 'enable', 'host1').code == 0
    assert [body for _, body in standin.asked('PUT')] == [
        {'status': 'disabled', 'disabled_reason': 'new disks'},
        {'status': 'enabled'},
    ]
    outcome = livemig('host', 'disable', 'host3')
    assert outcome.code == 3
    assert 'livemig host list' in outcome.err
