"""Notifications: sent in order by a thread, or dropped, never waited for."""

import threading
import uuid

import oslo_messaging
import pytest

from livemig import context, rpc, rpc_inproc
from tests.confs import new_conf
from tests.functional.test_rpc import PATIENCE_S


class Listening:
    """What arrives at the topics."""

    def __init__(self, conf, url, topics):
        self.seen = []
        self._came = threading.Condition()
        transport = oslo_messaging.get_notification_transport(conf, url)
        self._server = oslo_messaging.get_notification_listener(
            transport,
            [oslo_messaging.Target(topic=topic) for topic in topics],
            [self],
        )
        self._transport = transport
        self._server.start()

    def info(self, ctxt, publisher_id, event_type, payload, metadata):
        with self._came:
            self.seen.append((ctxt, publisher_id, event_type, payload))
            self._came.notify_all()

    error = info

    def stop_after(self, count):
        with self._came:
            assert self._came.wait_for(
                lambda: len(self.seen) >= count, PATIENCE_S
            )
        self._server.stop()
        self._server.wait()
        self._transport.cleanup()


@pytest.fixture
def url():
    return f'inproc://{uuid.uuid4().hex}/'


def make(url, **overrides):
    conf = new_conf()
    rpc.register_opts(conf)
    conf.set_override(
        'driver', ['messagingv2'], 'oslo_messaging_notifications'
    )
    for name, value in overrides.items():
        group, _, option = name.rpartition('__')
        conf.set_override(option, value, group)
    return rpc.Rpc(conf, url=url)


def test_both_forms_arrive_at_their_topics(url):
    one = make(url)
    legacy = Listening(one.conf, url, ['notifications'])
    versioned = Listening(one.conf, url, ['versioned_notifications'])
    emitters = (
        one.notifier('compute.h1'),
        one.notifier('nova-compute:h1', versioned=True),
    )
    ctxt = context.RequestContext(user_id='jane', auth_token='secret')
    payload = {'n': [0]}
    for n in range(20):
        payload['n'][0] = n
        for emitter in emitters:
            emitter.emit(ctxt, 'info', f'event{n}', payload)
    emitters[0].emit(ctxt, 'error', 'failed', {})
    legacy.stop_after(21)
    versioned.stop_after(20)
    # Threads of the receiver: what it begins in order may end otherwise.
    assert sorted(row[3]['n'][0] for row in versioned.seen) == list(range(20))
    assert {row[2] for row in versioned.seen} == {
        f'event{n}' for n in range(20)
    }
    assert {row[1] for row in versioned.seen} == {'nova-compute:h1'}
    assert {row[1] for row in legacy.seen} == {'compute.h1'}
    assert [row[2] for row in legacy.seen if row[2] == 'failed']
    assert len(legacy.seen) == 21
    sent = legacy.seen[0][0]
    assert sent['request_id'] == ctxt.request_id
    assert 'secret' not in str(sent)
    one.close()


def test_without_a_driver_nothing_is_done(url):
    conf = new_conf()
    one = rpc.Rpc(conf, url=url)
    emitter = one.notifier('compute.h1')
    emitter.emit(context.RequestContext(), 'info', 'event', {})
    assert one._outbox._thread is None
    assert emitter.flush(0)
    one.close()


class Stuck:
    """A transport's driver that takes no notification until told to."""

    def __init__(self, driver):
        self._driver = driver
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.sent = []

    def __getattr__(self, name):
        return getattr(self._driver, name)

    def send_notification(self, target, ctxt, message, version, retry=None):
        self.began.set()
        self.go_on.wait(PATIENCE_S)
        self.sent.append(message['event_type'])


def test_a_broker_that_takes_nothing_costs_notifications_only(url, caplog):
    one = make(url, notifications__queue_length=3)
    emitter = one.notifier('compute.h1')
    stuck = Stuck(one._outbox._transport._driver)
    one._outbox._transport._driver = stuck
    ctxt = context.RequestContext()
    emitter.emit(ctxt, 'info', 'event0', {})
    assert stuck.began.wait(PATIENCE_S)
    for n in range(1, 10):
        emitter.emit(ctxt, 'info', f'event{n}', {})
    assert not emitter.flush(0.01)
    said = [r.getMessage() for r in caplog.records if 'dropped' in r.message]
    assert said == [
        'Notification event4 is dropped, and so are further ones: 3 wait '
        'to be sent already.'
    ]
    stuck.go_on.set()
    assert emitter.flush(PATIENCE_S)
    assert stuck.sent == ['event0', 'event1', 'event2', 'event3']
    emitter.emit(ctxt, 'info', 'event10', {})
    assert '6 notifications were dropped.' in caplog.text
    assert emitter.flush(PATIENCE_S)
    one.close()


def test_closing_does_not_wait_for_a_broker_that_is_stuck(url, caplog):
    one = make(url)
    emitter = one.notifier('compute.h1')
    stuck = Stuck(one._outbox._transport._driver)
    one._outbox._transport._driver = stuck
    emitter.emit(context.RequestContext(), 'info', 'first', {})
    assert stuck.began.wait(PATIENCE_S)
    emitter.emit(context.RequestContext(), 'info', 'second', {})
    one.close(0.05)
    assert '1 notifications were not sent at the end.' in caplog.text
    stuck.go_on.set()
    assert emitter.flush(PATIENCE_S)


def test_an_unreachable_bus_is_logged_and_the_next_is_sent(url, caplog):
    one = make(url)
    bus = rpc_inproc.bus(url.split('/')[2])
    listening = Listening(one.conf, url, ['notifications'])
    emitter = one.notifier('compute.h1')
    bus.reachable = False
    emitter.emit(context.RequestContext(), 'info', 'lost', {})
    assert emitter.flush(PATIENCE_S)
    assert 'Could not send notification' in caplog.text
    bus.reachable = True
    emitter.emit(context.RequestContext(), 'info', 'sent', {})
    listening.stop_after(1)
    assert [row[2] for row in listening.seen] == ['sent']
    one.close()
