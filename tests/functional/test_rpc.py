"""rpc.py over the in-process driver, whose messages are JSON text."""

import datetime
import inspect
import socket
import string
import threading
import time
import uuid

import pytest
from oslo_context import context as oslo_context

from livemig import concurrency, context, exception, rpc, rpc_inproc
from tests.confs import new_conf

PATIENCE_S = 30

ERRORS = sorted(
    (
        kind
        for _, kind in inspect.getmembers(exception, inspect.isclass)
        if issubclass(kind, exception.LivemigError)
    ),
    key=lambda kind: kind.__name__,
)


class Endpoint:
    RPC_VERSION = '1.3'

    def __init__(self):
        self.seen = []
        self.came = threading.Event()
        self.go_on = threading.Event()

    def echo(self, ctxt, **kwargs):
        self.seen.append(kwargs)
        self.came.set()
        return kwargs

    def wait(self, ctxt):
        self.came.set()
        return self.go_on.wait(PATIENCE_S)

    def who(self, ctxt):
        return [
            type(ctxt).__name__,
            ctxt.user_id,
            ctxt.request_id,
            ctxt.is_admin,
            getattr(ctxt, 'store', None),
            oslo_context.get_current().request_id == ctxt.request_id,
        ]

    def fail(self, ctxt, name, kwargs):
        raise getattr(exception, name)(**kwargs)

    def fail_with_text(self, ctxt, text):
        raise exception.HypervisorError(text, host='h', code=7)

    def bug(self, ctxt):
        raise PermissionError(13, 'no')


@pytest.fixture
def bus():
    return uuid.uuid4().hex


@pytest.fixture
def make(bus):
    """Make an Rpc on this test's bus; all is stopped in the end."""
    made, servers = [], []

    def make(store=None, query='', **overrides):
        one = rpc.Rpc(new_conf(**overrides), store, f'inproc://{bus}/{query}')
        made.append(one)
        return one

    def serve(one, topic='compute', name='h1', endpoint=None):
        endpoint = endpoint or Endpoint()
        server = one.server(topic, name, [endpoint])
        server.start()
        assert server.wait_ready(PATIENCE_S)
        servers.append(server)
        endpoint.server = server
        return endpoint

    make.serve = serve
    yield make
    assert rpc.stop_all(servers, PATIENCE_S)
    for one in made:
        one.close()
    assert bus not in rpc_inproc._buses


def ctxt():
    return context.RequestContext(user_id='jane', is_admin=True)


# -- options ------------------------------------------------------------------
def test_a_call_works_with_a_fresh_set_of_options(make):
    """Fails on the day oslo.messaging reads a group nobody registered."""
    one = make()
    make.serve(one)
    assert one.client('compute').call(
        ctxt(), 'echo', server='h1', timeout_s=PATIENCE_S, n=1
    ) == {'n': 1}


def test_our_defaults_are_in_force_but_a_file_wins(tmp_path):
    conf = new_conf()
    rpc.register_opts(conf)
    rpc.register_opts(conf)
    assert conf.control_exchange == 'livemig'
    assert conf.oslo_messaging_rabbit.rabbit_quorum_queue
    assert conf.oslo_messaging_rabbit.rabbit_transient_quorum_queue
    assert conf.oslo_messaging_rabbit.rabbit_interval_max == 5
    assert not conf.oslo_messaging_metrics.metrics_enabled
    assert not conf.oslo_messaging_tracing.tracing_enabled
    file = tmp_path / 'livemig.conf'
    file.write_text('[oslo_messaging_rabbit]\nrabbit_interval_max = 9\n')
    other = new_conf(str(file))
    rpc.register_opts(other)
    assert other.oslo_messaging_rabbit.rabbit_interval_max == 9
    assert other.control_exchange == 'livemig'


@pytest.mark.parametrize('url', ['carrier-pigeon://x/', 'inproc://h:port/'])
def test_a_wrong_transport_is_a_configuration_error(url):
    with pytest.raises(exception.ConfigurationError) as caught:
        rpc.Rpc(new_conf(), url=url)
    assert caught.value.kwargs['option'] == 'transport_url'


@pytest.mark.parametrize('told', [False, True])
def test_of_a_password_nothing_is_told(told):
    """One with a slash ends the URL's first part: it looks like a port."""
    conf = new_conf()
    rpc.register_opts(conf)
    url = 'rabbit://livemig:s3/cret@broker:5672/'
    if told:
        conf.set_override('transport_url', url, 'oslo_messaging_notifications')
    else:
        conf.set_override('transport_url', url)
    with pytest.raises(exception.ConfigurationError) as caught:
        way = rpc.Rpc(conf, url='inproc://x/' if told else None)
        way.notifier('compute.host1')
    assert 'transport_url is wrong: not a URL' in str(caught.value)
    assert 's3' not in str(caught.value)
    assert caught.value.__suppress_context__


# -- what arrives -------------------------------------------------------------
def test_arguments_and_results_are_json_copies(make):
    one = make()
    endpoint = make.serve(one)
    sent = {'list': [1, {'deep': None}], 'tuple': (1, 2)}
    when = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    got = one.client('compute').call(
        ctxt(), 'echo', server='h1', value=sent, when=when
    )
    sent['list'][1]['deep'] = 'changed by the sender'
    got['value']['list'].append('changed by the caller')
    assert endpoint.seen == [
        {
            'value': {'list': [1, {'deep': None}], 'tuple': [1, 2]},
            'when': '2026-01-02T00:00:00.000000',
        }
    ]


def test_what_is_no_json_is_the_senders_mistake(make):
    one = make()
    endpoint = make.serve(one)
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match='[Cc]ircular'):
        one.client('compute').cast(ctxt(), 'echo', server='h1', x=loop)
    assert endpoint.seen == []


def test_the_context_arrives_with_the_receivers_store(make):
    sender, receiver = make(store='API store'), make()
    receiver.store = 'a store set later'
    make.serve(receiver)
    sent = ctxt()
    sent.store = 'API store'
    assert sender.client('compute').call(sent, 'who', server='h1') == [
        'RequestContext',
        'jane',
        sent.request_id,
        True,
        'a store set later',
        True,
    ]


def test_a_topic_is_shared_and_a_server_is_not(make):
    one = make()
    first = make.serve(one, name='h1')
    second = make.serve(one, name='h2')
    client = one.client('compute')
    for n in range(10):
        client.call(ctxt(), 'echo', n=n)
    client.call(ctxt(), 'echo', server='h2', n='for h2')
    assert len(first.seen) == 5
    assert {'n': 'for h2'} in second.seen
    assert len(second.seen) == 6


def test_buses_never_meet(make):
    one = make()
    make.serve(one)
    other = rpc.Rpc(new_conf(), url=f'inproc://{uuid.uuid4().hex}/')
    with pytest.raises(exception.ReplyTimeout):
        other.client('compute').call(
            ctxt(), 'echo', server='h1', timeout_s=0.05
        )
    other.close()


# -- errors -------------------------------------------------------------------
def arguments_of(kind):
    names = [name for _, name, _, _ in string.Formatter().parse(kind.template)]
    return {
        **{name: f'<{name}>' for name in names if name},
        'reasons': [{'host': 'h1', 'text': 'too small'}],
        'number': 5,
        'nothing': None,
    }


@pytest.mark.parametrize('kind', ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_arrives_as_itself(make, kind):
    one = make()
    make.serve(one)
    kwargs = arguments_of(kind)
    with pytest.raises(kind) as caught:
        one.client('compute').call(
            ctxt(), 'fail', server='h1', name=kind.__name__, kwargs=kwargs
        )
    error = caught.value
    assert type(error) is kind
    assert error.kwargs == kwargs
    assert error.message == kind.template.format(**kwargs)
    assert str(error) == error.message


def test_an_error_with_a_text_of_its_own_keeps_it(make):
    one = make()
    make.serve(one)
    with pytest.raises(exception.HypervisorError) as caught:
        one.client('compute').call(
            ctxt(), 'fail_with_text', server='h1', text='odd {braces}'
        )
    assert caught.value.message == 'odd {braces}'
    assert caught.value.kwargs == {'host': 'h', 'code': 7}


def test_an_error_survives_two_hops(make):
    one = make()
    make.serve(one, name='far')

    class Near:
        def relay(self, ctxt):
            one.client('compute').call(
                ctxt,
                'fail',
                server='far',
                name='InstanceLocked',
                kwargs={'instance_id': 'i'},
            )

    make.serve(one, topic='conductor', name='near', endpoint=Near())
    with pytest.raises(exception.InstanceLocked) as caught:
        one.client('conductor').call(ctxt(), 'relay')
    assert str(caught.value) == 'Instance i is locked.'


def test_a_bug_of_the_far_end_is_logged_there_and_named_here(make, caplog):
    one = make()
    make.serve(one)
    with pytest.raises(exception.LivemigError) as caught:
        one.client('compute').call(ctxt(), 'bug', server='h1')
    assert type(caught.value) is exception.LivemigError
    assert caught.value.message == 'PermissionError: [Errno 13] no'
    assert 'bug failed by an error nobody expected' in caplog.text


def test_a_method_that_is_not_there_is_an_error(make):
    one = make()
    make.serve(one)
    with pytest.raises(exception.LivemigError, match='NoSuchMethod'):
        one.client('compute').call(ctxt(), 'dance', server='h1')


# -- versions -----------------------------------------------------------------
def test_the_cap_of_upgrade_levels_is_kept(make):
    one = make(upgrade_levels__compute='1.1')
    endpoint = make.serve(one)
    client = one.client('compute')
    assert client.can_send('1.0')
    assert client.can_send('1.1')
    assert not client.can_send('1.2')
    with pytest.raises(exception.RpcVersionTooOld) as caught:
        client.cast(ctxt(), 'echo', server='h1', version='1.2')
    assert caught.value.kwargs == {
        'host': 'h1',
        'action': 'echo',
        'have': '1.1',
        'needed': '1.2',
    }
    assert endpoint.seen == []
    assert one.client('compute', version_cap='1.0').can_send('1.0')
    assert one.client('conductor').can_send('1.9')


def test_an_older_server_is_named(make):
    one = make()
    make.serve(one)
    client = one.client('compute')
    client.call(ctxt(), 'echo', server='h1', version='1.3')
    with pytest.raises(exception.RpcVersionTooOld, match='1.4 is needed'):
        client.call(ctxt(), 'echo', server='h1', version='1.4')


# -- nobody there -------------------------------------------------------------
def test_no_reply_names_host_and_method(make):
    with pytest.raises(exception.ReplyTimeout) as caught:
        make().client('compute').call(
            ctxt(), 'echo', server='nobody', timeout_s=0.05
        )
    assert caught.value.message == 'nobody did not answer echo within 0 s.'


def test_a_cast_to_a_server_that_never_was_is_lost(make):
    one = make()
    one.client('compute').cast(ctxt(), 'echo', server='h1', n=1)
    endpoint = make.serve(one)
    one.client('compute').call(ctxt(), 'echo', server='h1', n=2)
    assert endpoint.seen == [{'n': 2}]


def test_a_cast_to_a_server_that_is_gone_comes_when_it_is_back(make):
    one = make()
    gone = make.serve(one)
    gone.server.stop()
    client = one.client('compute')
    with pytest.raises(exception.ReplyTimeout):
        client.call(ctxt(), 'echo', server='h1', timeout_s=0.05, n='call')
    client.cast(ctxt(), 'echo', server='h1', n='cast')
    back = make.serve(one)
    assert back.came.wait(PATIENCE_S)
    client.call(ctxt(), 'echo', server='h1', n='last')
    assert back.seen == [{'n': 'cast'}, {'n': 'last'}]
    assert gone.seen == []


def test_an_unreachable_bus_is_an_unreachable_broker(make, bus):
    one = make()
    endpoint = make.serve(one)
    rpc_inproc.bus(bus).reachable = False
    client = one.client('compute')
    for send in (client.call, client.cast, client.ping):
        args = () if send == client.ping else ('echo',)
        with pytest.raises(exception.BrokerUnreachable, match='within 10 s'):
            send(ctxt(), *args, server='h1')
    rpc_inproc.bus(bus).reachable = True
    client.call(ctxt(), 'echo', server='h1', n=1)
    assert endpoint.seen == [{'n': 1}]


def test_ping_asks_whether_somebody_is_there(make):
    one = make()
    make.serve(one)
    client = one.client('compute')
    client.ping(ctxt(), server='h1')
    client.ping(ctxt())
    with pytest.raises(exception.ReplyTimeout):
        client.ping(ctxt(), server='h2', timeout_s=0.05)


def test_a_long_call_lives_by_its_heartbeats(make):
    """The method takes longer than a silent server would be waited for."""
    one = make()

    class Slow:
        def work(self, ctxt):
            return not threading.Event().wait(3.2)

    make.serve(one, endpoint=Slow())
    assert one.client('compute').call(
        ctxt(), 'work', server='h1', timeout_s=PATIENCE_S, monitor_s=2
    )


def test_a_silent_server_fails_a_long_call_early(make):
    one = make()
    make.serve(one).server.stop()
    began_s = time.monotonic()
    with pytest.raises(exception.ReplyTimeout):
        one.client('compute').call(
            ctxt(), 'echo', server='h1', timeout_s=1800, monitor_s=0.1
        )
    assert time.monotonic() - began_s < 10


# -- a broker that takes a connection and says nothing ------------------------
@pytest.fixture
def mute_broker():
    with socket.create_server(('127.0.0.1', 0)) as listening:
        yield f'rabbit://u:p@127.0.0.1:{listening.getsockname()[1]}//'


def test_sends_are_bounded_from_outside(mute_broker):
    one = rpc.Rpc(new_conf(rpc__send_limit=1.0), url=mute_broker)
    client = one.client('compute')
    for send in (
        lambda: client.cast(ctxt(), 'echo', server='h1'),
        lambda: client.call(ctxt(), 'echo', server='h1', timeout_s=0.5),
        lambda: client.call(
            ctxt(), 'echo', server='h1', timeout_s=1800, monitor_s=60
        ),
    ):
        began_s = time.monotonic()
        with pytest.raises(exception.BrokerUnreachable):
            send()
        assert time.monotonic() - began_s < 5


def test_a_server_starts_and_stops_while_the_broker_is_away(mute_broker):
    one = rpc.Rpc(new_conf(), url=mute_broker)
    server = one.server('compute', 'h1', [Endpoint()])
    server.start()
    assert not server.ready
    assert rpc.stop_all([server], 10)
    assert not server.ready


# -- stopping -----------------------------------------------------------------
def test_servers_stop_at_the_same_time_and_end_what_they_began(make):
    one = make()
    endpoints = [make.serve(one, name=f'h{n}') for n in range(9)]
    servers = [endpoint.server for endpoint in endpoints]
    client = one.client('compute')
    client.cast(ctxt(), 'wait', server='h0')
    assert endpoints[0].came.wait(PATIENCE_S)
    assert not rpc.stop_all(servers, 0.05)
    endpoints[0].go_on.set()
    began_s = time.monotonic()
    assert rpc.stop_all(servers, PATIENCE_S)
    assert time.monotonic() - began_s < 4
    assert not any(server.ready for server in servers)


# -- inline casts -------------------------------------------------------------
def test_an_inline_cast_returns_when_its_method_has(make):
    one = make(query='?inline=1')
    endpoint = make.serve(one)
    client = one.client('compute')
    for n in range(200):
        client.cast(ctxt(), 'echo', server='h1', n=n)
        assert endpoint.seen[-1] == {'n': n}
    client.cast(ctxt(), 'bug', server='h1')
    client.cast(ctxt(), 'echo', server='nobody')


def test_an_inline_cast_may_come_back_to_where_it_began(make):
    one = make(query='?inline=1')
    order = []

    class Manager:
        def begin(self, ctxt):
            order.append('begin')
            one.client('conductor').call(ctxt, 'place')
            order.append('end')

        def report(self, ctxt):
            order.append('report')

    class Conductor:
        def place(self, ctxt):
            one.client('compute').cast(ctxt, 'report', server='h1')
            order.append('placed')

    make.serve(one, endpoint=Manager())
    make.serve(one, topic='conductor', name='c', endpoint=Conductor())
    one.client('compute').cast(ctxt(), 'begin', server='h1')
    assert order == ['begin', 'report', 'placed', 'end']


def test_inline_casts_to_a_server_that_stops_do_not_hang(make):
    one = make(query='?inline=1')
    gone = make.serve(one)
    gone.server.stop()
    one.client('compute').cast(ctxt(), 'echo', server='h1')
    assert gone.seen == []


def test_many_threads_at_once(make):
    one = make()
    endpoint = make.serve(one)
    client = one.client('compute')

    def work(start):
        for n in range(start, start + 50):
            assert client.call(ctxt(), 'echo', server='h1', n=n) == {'n': n}

    works = [lambda s=s: work(s) for s in range(0, 800, 50)]
    assert concurrency.run_all(works, PATIENCE_S)
    assert sorted(seen['n'] for seen in endpoint.seen) == list(range(800))
