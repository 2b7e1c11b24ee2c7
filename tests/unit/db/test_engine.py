"""What becomes of an URL before anything connects."""

import os
import stat

import pytest
import sqlalchemy as sa

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


def test_of_a_password_nothing_is_told():
    """Behind the last colon a port is looked for."""
    with pytest.raises(exception.ConfigurationError) as caught:
        engine.complete_url('postgresql://u@h:s3cret/d')
    assert 's3cret' not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_sqlite_file_is_not_for_everybody(tmp_path):
    before = os.umask(0)
    try:
        made = engine.make_engine(
            f'sqlite:///{tmp_path}/livemig.sqlite',
            max_pool_size=1,
            max_overflow=0,
            pool_timeout_s=1,
        )
        with made.connect() as one, one.begin():
            one.execute(sa.text('CREATE TABLE t (a INTEGER)'))
            modes = {
                file.name: stat.S_IMODE(file.stat().st_mode)
                for file in tmp_path.iterdir()
            }
        made.dispose()
    finally:
        os.umask(before)
    assert {'livemig.sqlite', 'livemig.sqlite-wal'} <= set(modes)
    assert set(modes.values()) == {0o640}
    # One that is there is used as it is.
    (tmp_path / 'livemig.sqlite').chmod(0o600)
    with made.connect() as one:
        assert one.execute(sa.text('SELECT count(*) FROM t')).scalar() == 0
    assert (tmp_path / 'livemig.sqlite').stat().st_mode & 0o777 == 0o600
