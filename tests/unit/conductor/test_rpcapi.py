"""How long a manager waits for the conductor's answer."""

from __future__ import annotations

import pytest

from livemig import exception
from livemig.conductor import rpcapi


class Client:
    """Notes how long it was to wait; silent as often as it is told to."""

    def __init__(self, silent=0):
        self.silent = silent
        self.waited_s = []

    def call(self, ctxt, method, *, timeout_s, **arguments):
        self.waited_s.append(timeout_s)
        if len(self.waited_s) <= self.silent:
            raise exception.ReplyTimeout(
                host='conductor', method=method, limit_s=timeout_s
            )
        return arguments['name']


def test_the_first_answer_is_not_waited_for_as_long_as_the_others():
    """Started before the conductor, a manager's first message is lost."""
    client = Client(silent=2)
    store = rpcapi.conductor_store(client)
    for _ in range(2):
        with pytest.raises(exception.ReplyTimeout):
            store.service_list({})
    assert store.service_list({}) == 'service_list'
    assert store.migration_get(1) == 'migration_get'
    assert client.waited_s == [5, 5, 5, 30]
