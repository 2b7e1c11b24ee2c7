"""Each command against the wire: what it sends and what it shows."""

import pytest

from tests.functional.client.conftest import Run
from tests.functional.client.standin import StandIn


def test_list_servers(livemig: Run, standin: StandIn) -> None:
    one = standin.server('one')
    standin.server('two', **{'OS-EXT-SRV-ATTR:host': 'host2'})
    outcome = livemig(
        'server', 'list', '--host', 'host1', '--all-projects', '-f', 'json'
    )
    assert outcome.code == 0
    assert [row['ID'] for row in outcome.json()] == [one]
    method, path, query, version, _ = standin.requests[-1]
    assert (method, path, version) == ('GET', '/v2.1/servers/detail', '2.202')
    assert query == {'host': 'host1', 'all_tenants': 'True'}
