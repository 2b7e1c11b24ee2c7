"""The lab's private servers: they start, end, keep data, leave nothing."""

import socket
from typing import Any

import pytest

from lab import Lab, LabError
from tests.integration import machine


@pytest.mark.broker
def test_the_broker_starts_stops_and_starts_again() -> None:
    import kombu

    with Lab(hosts=0) as lab:
        url = lab.broker().replace('rabbit://', 'amqp://')
        assert lab.broker() == lab.broker_server.url
        broker = lab.broker_server
        for end in (broker.stop, broker.kill):
            end()
            assert not broker.running
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(('127.0.0.1', broker.port), 5)
            broker.start()
            with kombu.Connection(url) as connection:
                connection.connect()
        users = [
            line.split('\t')[0]
            for line in broker.ctl('--quiet', 'list_users').splitlines()
        ]
        assert 'livemig' in users
        assert 'guest' not in users
        assert machine.listening(broker.pid)
        assert machine.listening_beyond_loopback(broker.pid) == []
        directory = lab.directory
    assert machine.processes_of(directory) == []  # nor epmd


@pytest.mark.database
@pytest.mark.parametrize('kind', ['postgresql', 'mariadb'])
def test_a_database_answers_and_keeps_its_data(kind: str) -> None:
    import sqlalchemy as sa

    makers = set()
    with Lab(hosts=0) as lab:
        url = getattr(lab, kind)('first')
        server = getattr(lab, f'{kind}_server')
        _execute(sa, url, 'CREATE TABLE t (n integer)')
        _execute(sa, url, 'INSERT INTO t VALUES (42)')
        for end in (server.stop, server.kill):
            makers.add(server.pid)
            end()
            server.start()
        makers.add(server.pid)
        if kind == 'postgresql':
            assert makers & machine.makers_of_shared_memory()
        assert _execute(sa, url, 'SELECT n FROM t') == [(42,)]
        other = getattr(lab, kind)('second')
        assert other != url
        with pytest.raises(sa.exc.DBAPIError):
            _execute(sa, other, 'SELECT n FROM t')
        with pytest.raises(sa.exc.DBAPIError):
            _execute(sa, url.replace(server.password, 'wrong'), 'SELECT 1')
        with pytest.raises(LabError, match='not a plain name'):
            getattr(lab, kind)("x'; DROP")
        assert machine.listening(server.pid)
        assert machine.listening_beyond_loopback(server.pid) == []
        server.kill()  # and not started again: its memory must go too
        directory = lab.directory
    assert machine.processes_of(directory) == []
    assert not directory.exists()
    assert not makers & machine.makers_of_shared_memory()


def _execute(sa: Any, url: str, statement: str) -> list[tuple[Any, ...]]:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        result = connection.execute(sa.text(statement))
        return [tuple(r) for r in result] if result.returns_rows else []
