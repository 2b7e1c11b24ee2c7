"""rpc.py over RabbitMQ as it is configured by default: quorum queues."""

import threading
import time
from collections.abc import Iterator

import pytest

from lab import Lab
from livemig import context, exception, rpc
from tests.confs import new_conf
from tests.functional.test_rpc import ERRORS, Endpoint, arguments_of

pytestmark = pytest.mark.broker

PATIENCE_S = 90
#: What a person waits for at most; the attempts themselves take about 7 s.
LIMIT_S = 3.0


@pytest.fixture(scope='module')
def lab() -> Iterator[Lab]:
    with Lab(hosts=0) as made:
        made.broker()
        yield made


class Site:
    """A server and a client, each with a transport of its own."""

    def __init__(self, url):
        self.endpoint = Endpoint()
        self.receiver = rpc.Rpc(new_conf(), url=url)
        self.sender = rpc.Rpc(new_conf(rpc__send_limit=LIMIT_S), url=url)
        self.server = self.receiver.server('compute', 'h1', [self.endpoint])
        self.client = self.sender.client('compute')

    def call(self, method, **kwargs):
        return self.client.call(
            context.RequestContext(), method, server='h1', **kwargs
        )

    def cast(self, method, **kwargs):
        self.client.cast(
            context.RequestContext(), method, server='h1', **kwargs
        )

    def until_it_works(self):
        """Seconds until a call goes through again."""
        began_s = time.monotonic()
        while time.monotonic() - began_s < PATIENCE_S:
            try:
                self.call('echo', timeout_s=2.0)
            except (exception.BrokerUnreachable, exception.ReplyTimeout):
                continue
            return time.monotonic() - began_s
        raise AssertionError('the broker is not used again')


@pytest.fixture
def site(lab):
    made = Site(lab.broker())
    made.server.start()
    assert made.server.wait_ready(PATIENCE_S)
    yield made
    assert rpc.stop_all([made.server], PATIENCE_S)
    made.sender.close()
    made.receiver.close()


def test_calls_casts_and_every_error(site, lab):
    assert site.call('echo', value=[1, {'a': None}]) == {
        'value': [1, {'a': None}]
    }
    site.cast('wait')
    assert site.endpoint.came.wait(PATIENCE_S)
    site.endpoint.go_on.set()
    for kind in ERRORS:
        kwargs = arguments_of(kind)
        with pytest.raises(kind) as caught:
            site.call('fail', name=kind.__name__, kwargs=kwargs)
        assert type(caught.value) is kind
        assert caught.value.kwargs == kwargs
        assert str(caught.value) == kind.template.format(**kwargs)
    with pytest.raises(exception.LivemigError, match='PermissionError'):
        site.call('bug')
    vhost = ('--vhost', lab.broker().rpartition('/')[2] or '/')
    listed = lab.broker_server.ctl(
        '--quiet', '--no-table-headers', *vhost, 'list_queues', 'name', 'type'
    )
    queues = dict(line.split('\t')[:2] for line in listed.splitlines())
    assert queues['compute.h1'] == 'quorum', listed
    assert set(queues.values()) == {'quorum'}
    exchanges = lab.broker_server.ctl(
        '--quiet', *vhost, 'list_exchanges', 'name'
    )
    assert 'livemig' in exchanges.split()


def test_a_long_call_shows_that_it_lives(site):
    threading.Timer(5.0, site.endpoint.go_on.set).start()
    assert site.call('wait', timeout_s=PATIENCE_S, monitor_s=2)


def test_a_broker_that_goes_is_an_error_in_time_and_found_again(site, lab):
    """It goes in order: RabbitMQ 3.10 that is killed within seconds of the
    declaration of a quorum queue may never confirm a message to it again,
    which no client can mend."""
    site.call('echo')
    broker = lab.broker_server
    broker.stop()
    try:
        for send in (site.cast, site.call, site.cast, site.call):
            kwargs = {'timeout_s': 1.0} if send == site.call else {}
            began_s = time.monotonic()
            with pytest.raises(
                (exception.BrokerUnreachable, exception.ReplyTimeout)
            ) as caught:
                send('echo', **kwargs)
            assert time.monotonic() - began_s < LIMIT_S + 3
            assert caught.type is exception.BrokerUnreachable
    finally:
        broker.start()
    took_s = site.until_it_works()
    print(f'first call {took_s:.1f} s after the broker was back')
    site.endpoint.seen.clear()
    site.cast('echo', n='after')
    site.call('echo', n='last')
    assert {'n': 'after'} in site.endpoint.seen


def test_a_server_that_starts_before_its_broker(lab):
    broker = lab.broker_server
    broker.stop()
    early = Site(broker.url)
    try:
        early.server.start()
        assert not early.server.wait_ready(1.0)
        with pytest.raises(exception.BrokerUnreachable):
            early.call('echo', timeout_s=1.0)
    finally:
        broker.start()
    assert early.server.wait_ready(PATIENCE_S)
    early.until_it_works()
    assert rpc.stop_all([early.server], PATIENCE_S)
    early.sender.close()
    early.receiver.close()
