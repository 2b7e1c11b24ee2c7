"""What becomes of an URL before anything connects."""

import pytest

from livemig import exception
from livemig.db import engine


@pytest.mark.parametrize(
    ('given', 'driver'),
    [
        ('postgresql://u@h/d', 'postgresql+psycopg2'),
        ('postgres://u@h/d', 'postgresql+psycopg2'),
        ('postgresql+psycopg2://u@h/d', 'postgresql+psycopg2'),
        ('mysql://u@h/d', 'mysql+pymysql'),
        ('mariadb://u@h/d', 'mysql+pymysql'),
        ('mariadb+pymysql://u@h/d', 'mysql+pymysql'),
        ('mysql+mysqldb://u@h/d', 'mysql+mysqldb'),
        ('sqlite:////a/b', 'sqlite'),
    ],
)
def test_the_driver_is_completed(given, driver):
    assert engine.complete_url(given).drivername == driver


def test_a_silent_server_holds_nobody_for_ever():
    url = engine.complete_url('postgresql://u@h/d?connect_timeout=3')
    assert url.query['connect_timeout'] == '3'
    assert url.query['keepalives_idle'] == '30'
    assert url.query['tcp_user_timeout'] == '60000'
    url = engine.complete_url('mysql://u@h/d')
    assert url.query['connect_timeout'] == '10'
    # innodb_lock_wait_timeout, which ends in an error to try again, is 50.
    assert int(url.query['read_timeout']) > 50


def test_all_of_unicode_on_mariadb():
    url = engine.complete_url('mysql://u@h/d')
    assert url.query['charset'] == 'utf8mb4'
    url = engine.complete_url('mysql://u@h/d?charset=latin1')
    assert url.query['charset'] == 'latin1'


def test_passwords_survive():
    url = engine.complete_url('postgresql://u:p%40ss%2F@h/d')
    assert url.password == 'p@ss/'


@pytest.mark.parametrize(
    'given',
    [
        'sqlite://',
        'sqlite:///:memory:',
        'sqlite+pysqlite://',
        'sqlite:///file::memory:?cache=shared&uri=true',
        'sqlite:///file:x?mode=memory&cache=shared&uri=true',
    ],
)
def test_sqlite_in_memory_is_refused(given):
    with pytest.raises(exception.ConfigurationError, match='a file'):
        engine.complete_url(given)


@pytest.mark.parametrize(
    'given', ['sqlite:////srv/memory/livemig', 'sqlite:///livemig.sqlite']
)
def test_sqlite_files_are_not(given):
    assert engine.complete_url(given).render_as_string() == given


@pytest.mark.parametrize('given', ['', 'livemig.sqlite', 'http//x'])
def test_what_is_no_url(given):
    with pytest.raises(exception.ConfigurationError, match='connection'):
        engine.complete_url(given)
