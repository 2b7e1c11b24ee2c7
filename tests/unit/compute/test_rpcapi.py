"""Which version each message to a compute manager needs."""

from __future__ import annotations

import pytest

from livemig import context, exception, rpc
from livemig.compute.rpcapi import VERSION, ComputeAPI
from tests.confs import new_conf

#: Written out again: what each version brought, oldest first.
NEWS = {
    '1.0': lambda api, ctxt: api.live_migration(ctxt, 'host9', 7),
    '1.1': lambda api, ctxt: api.live_migration_force_complete(
        ctxt, 'host9', 7
    ),
    '1.2': lambda api, ctxt: api.live_migration_abort(ctxt, 'host9', 7),
    '1.3': lambda api, ctxt: api.live_migration(
        ctxt, 'host9', 7, rescued=True
    ),
}


class Manager:
    """Keeps what it was told."""

    RPC_VERSION = VERSION

    def __init__(self):
        self.heard = []

    def live_migration(self, ctxt, migration_id, issued_at):
        self.heard.append(('live_migration', migration_id))

    def live_migration_abort(self, ctxt, migration_id, issued_at):
        self.heard.append(('live_migration_abort', migration_id))

    def live_migration_force_complete(self, ctxt, migration_id, issued_at):
        self.heard.append(('live_migration_force_complete', migration_id))


@pytest.fixture
def pinned():
    """A manager, and the way to it as ``[upgrade_levels] compute`` says."""
    ends = []

    def make(cap):
        way = rpc.Rpc(
            new_conf(upgrade_levels__compute=cap),
            url=f'inproc://pinned-{cap}/?inline=1',
        )
        manager = Manager()
        server = way.server('compute', 'host9', [manager])
        server.start()
        assert server.wait_ready(20)
        ends.extend([server.stop, way.close])
        return ComputeAPI(way.client('compute'), cap), manager

    yield make
    for end in ends:
        end()


def test_the_newest_is_what_managers_say_they_are():
    assert max(NEWS) == VERSION


@pytest.mark.parametrize('cap', [*NEWS, None])
def test_what_is_newer_than_the_pin_is_refused_and_not_sent(pinned, cap):
    api, manager = pinned(cap)
    ctxt = context.RequestContext()
    for version, send in NEWS.items():
        manager.heard.clear()
        if cap is None or version <= cap:
            api.require('host9', 'dance', version)
            send(api, ctxt)
            assert manager.heard
            continue
        with pytest.raises(exception.RpcVersionTooOld) as caught:
            api.require('host9', 'dance', version)
        for word in ('host9', 'dance', cap, version):
            assert word in caught.value.message
        with pytest.raises(exception.RpcVersionTooOld, match='host9'):
            send(api, ctxt)
        assert manager.heard == []
