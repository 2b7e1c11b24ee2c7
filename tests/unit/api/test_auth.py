"""Nobody gets through but those of the user file."""

from __future__ import annotations

import base64
import os

import bcrypt
import pytest
import webob
from oslo_config import cfg

from livemig import conf as confs
from livemig import exception
from livemig.api import auth, deploy
from tests.clock import VirtualClock

#: The cheapest there is: these tests check many.
ROUNDS = 4


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(ROUNDS)).decode()


def write(directory):
    made = directory / 'htpasswd'
    made.write_text(
        '# users\n\n'
        f'anna:{hashed("secret")}:p1:admin\n'
        f'bert:{hashed("geheim é")}:p2:member,auditor\n'
        f'carl:{hashed("x")}:p3:\n'
    )
    return made


@pytest.fixture
def path(tmp_path):
    return write(tmp_path)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def forward(clock: VirtualClock, seconds: float) -> None:
    import threading

    clock.wait(threading.Event(), seconds)


def accounts(path, clock, cache_s: float = 60) -> auth.Accounts:
    return auth.Accounts(str(path), cache_s, clock)


def replace(path, text: str) -> None:
    """By rename, as an editor does; at a time of its own."""
    new = path.with_suffix('.new')
    new.write_text(text)
    status = path.stat() if path.exists() else None
    if status:
        os.utime(new, ns=(status.st_mtime_ns, status.st_mtime_ns + 10**9))
    new.rename(path)


def test_the_right_password(path, clock) -> None:
    found = accounts(path, clock).account('anna', 'secret')
    assert found is not None
    assert (found.name, found.project_id) == ('anna', 'p1')


@pytest.mark.parametrize(
    ('name', 'password'),
    [
        ('anna', 'Secret'),
        ('anna', ''),
        ('anna', 'geheim é'),
        ('nobody', 'secret'),
        ('', ''),
        ('# users', ''),
        ('anna', 'secret' * 100),
    ],
)
def test_wrong_ones(path, clock, name, password) -> None:
    assert accounts(path, clock).account(name, password) is None


def test_roles_bring_others_with_them(path, clock) -> None:
    known = accounts(path, clock)
    assert known.account('anna', 'secret').roles == (
        'admin', 'manager', 'member', 'reader',
    )  # fmt: skip
    assert known.account('bert', 'geheim é').roles == (
        'auditor', 'member', 'reader',
    )  # fmt: skip
    assert known.account('carl', 'x').roles == ()


def test_passwords_beyond_what_bcrypt_sees(tmp_path, clock) -> None:
    """It looks at 72 bytes; what only begins alike is not the same."""
    path = tmp_path / 'htpasswd'
    path.write_text(f'anna:{hashed("a" * 72)}:p:admin\n')
    known = accounts(path, clock)
    assert known.account('anna', 'a' * 72)
    assert known.account('anna', 'a' * 72 + 'b') is None


class Counting:
    """Counts how often bcrypt works."""

    def __init__(self, monkeypatch) -> None:
        self.count = 0
        real = bcrypt.checkpw

        def check(password, wanted):
            self.count += 1
            return real(password, wanted)

        monkeypatch.setattr(bcrypt, 'checkpw', check)


def test_right_passwords_are_remembered(path, clock, monkeypatch) -> None:
    known = accounts(path, clock)
    counting = Counting(monkeypatch)
    for _ in range(3):
        assert known.account('anna', 'secret')
    assert counting.count == 1
    forward(clock, 61)
    assert known.account('anna', 'secret')
    assert counting.count == 2


def test_nothing_is_remembered_at_0(path, clock, monkeypatch) -> None:
    known = accounts(path, clock, cache_s=0)
    counting = Counting(monkeypatch)
    known.account('anna', 'secret')
    known.account('anna', 'secret')
    assert counting.count == 2


def test_wrong_passwords_are_not_remembered(path, clock, monkeypatch) -> None:
    known = accounts(path, clock)
    counting = Counting(monkeypatch)
    for _ in range(2):
        assert known.account('anna', 'wrong') is None
    assert counting.count == 2


def test_unknown_users_cost_the_same(path, clock, monkeypatch) -> None:
    known = accounts(path, clock)
    counting = Counting(monkeypatch)
    known.account('nobody', 'x')
    assert counting.count == 1


def test_no_password_is_kept(path, clock) -> None:
    known = accounts(path, clock)
    known.account('anna', 'secret')
    assert b'secret' not in b''.join(known._checked)


def test_memory_is_bounded(path, clock, monkeypatch) -> None:
    monkeypatch.setattr(auth, 'CACHE_SIZE', 2)
    known = accounts(path, clock)
    for _ in range(2):
        for name, password in (
            ('anna', 'secret'), ('bert', 'geheim é'), ('carl', 'x'),
        ):  # fmt: skip
            assert known.account(name, password)
        assert len(known._checked) == 2
        forward(clock, 61)


def test_a_changed_file_counts_at_once(path, clock) -> None:
    known = accounts(path, clock)
    assert known.account('anna', 'secret')
    replace(path, f'anna:{hashed("new")}:p9:member\n')
    assert known.account('anna', 'secret') is None
    assert known.account('anna', 'new').project_id == 'p9'
    assert known.account('bert', 'geheim é') is None


def test_a_removed_role_is_gone_at_once(path, clock) -> None:
    known = accounts(path, clock)
    text = path.read_text()
    assert 'admin' in known.account('anna', 'secret').roles
    replace(path, text.replace(':p1:admin', ':p1:reader'))
    assert known.account('anna', 'secret').roles == ('reader',)


def test_a_file_that_is_away_changes_nothing(path, clock, caplog) -> None:
    known = accounts(path, clock)
    text = path.read_text()
    path.unlink()
    assert known.account('anna', 'secret')
    assert known.account('anna', 'secret')
    assert caplog.text.count('cannot be read') == 1
    path.write_text(text.replace('anna', 'hanna'))
    assert known.account('anna', 'secret') is None
    assert known.account('hanna', 'secret')


@pytest.mark.parametrize(
    'line',
    ['dora', 'dora:x:p:admin', 'dora::p:admin', ':{h}:p:admin',
     'dora:{h}::admin', 'dora:{h}:p', 'dora:{h}:p:admin:more'],
)  # fmt: skip
def test_a_bad_line_is_left_out(path, clock, caplog, line) -> None:
    with path.open('a') as file:
        file.write(line.format(h=hashed('y')) + '\n')
        file.write(f'emil:{hashed("z")}:p:reader\n')
    known = accounts(path, clock)
    assert 'Line 6' in caplog.text
    assert known.account('dora', 'y') is None
    assert known.account('anna', 'secret')
    assert known.account('emil', 'z')


@pytest.mark.parametrize(
    ('cut', 'put'),
    [
        (slice(4, 6), '03'),
        (slice(4, 6), '32'),
        (slice(4, 6), '99'),
        # Bits that no salt has.
        (slice(28, 29), 'z'),
    ],
)
def test_a_hash_bcrypt_does_not_take_is_left_out(
    path, clock, caplog, cut, put
) -> None:
    """It would raise, also for who is nobody: his check costs as much."""
    whole = hashed('y')
    wrong = whole[: cut.start] + put + whole[cut.stop :]
    with pytest.raises(ValueError, match='Invalid'):
        bcrypt.checkpw(b'y', wrong.encode())
    known = accounts(path, clock)
    replace(path, path.read_text() + f'dora:{wrong}:p:admin\n')
    assert known.account('anna', 'secret')
    assert known.account('dora', 'y') is None
    assert known.account('nobody', 'y') is None
    assert 'Line 6' in caplog.text


@pytest.mark.parametrize(
    ('mode', 'said'),
    [
        (0o600, False), (0o640, False), (0o400, False), (0o644, True),
        (0o604, True), (0o660, True), (0o602, True),
    ],
)  # fmt: skip
def test_a_file_that_is_open_to_others(
    path, clock, caplog, mode, said
) -> None:
    path.chmod(mode)
    accounts(path, clock)
    assert (f'has the mode {mode:04o}' in caplog.text) is said


def test_no_file_at_the_start(tmp_path, clock) -> None:
    with pytest.raises(exception.ConfigurationError, match='user_file'):
        accounts(tmp_path / 'none', clock)


# -- the whole door ---------------------------------------------------------
class Silent:
    """A message client nobody should need here."""

    def client(self, topic, version_cap=None):
        return self


def make_app(tmp_path, path, clock, strategy='http_basic'):
    conf = cfg.ConfigOpts()
    confs.register_opts(conf)
    conf([], project='livemig', default_config_files=[])
    conf.set_override('http_basic_user_file', str(path), 'api')
    conf.set_override('path', str(tmp_path / 'catalogue.yaml'), 'catalogue')
    (tmp_path / 'catalogue.yaml').write_text('{flavors: [], images: []}')
    conf.set_override('auth_strategy', strategy, 'api')
    return deploy.build_app(conf, None, Silent(), clock)


@pytest.fixture(scope='module')
def app(tmp_path_factory):
    directory = tmp_path_factory.mktemp('auth')
    return make_app(directory, write(directory), VirtualClock())


def ask(app, header: str | None, where: str = '/v2.1/versions/v2.1'):
    request = webob.Request.blank(where)
    if header is not None:
        request.headers['Authorization'] = header
    return request.get_response(app)


def basic(text: str, codec: str = 'utf-8') -> str:
    return 'Basic ' + base64.b64encode(text.encode(codec)).decode()


@pytest.mark.parametrize(
    'header', [basic('anna:secret'), basic('anna:secret').lower().replace(
        basic('anna:secret').split()[1].lower(),
        basic('anna:secret').split()[1]), basic('bert:geheim é')]
)  # fmt: skip
def test_let_in(app, header) -> None:
    assert ask(app, header).status_int == 200


@pytest.mark.parametrize(
    'header',
    [
        None,
        '',
        'Basic',
        'Basic ',
        'Basic ????',
        'Basic YW5uYQ==',
        'Bearer secret',
        basic('anna:wrong'),
        basic('anna:secret\0'),
        basic('bert:geheim é', 'latin-1'),
        basic('nobody:secret'),
        basic(':'),
    ],
)
def test_kept_out(app, header) -> None:
    answer = ask(app, header)
    assert answer.status_int == 401
    assert answer.headers['WWW-Authenticate'].startswith('Basic realm=')
    assert list(answer.json_body) == ['unauthorized']
    assert answer.headers['X-OpenStack-Request-Id'].startswith('req-')


def test_who_is_kept_out_is_logged(app, caplog) -> None:
    """By name and address, in one line, and never the password."""
    caplog.set_level('DEBUG')
    request = webob.Request.blank(
        '/v2.1/servers', environ={'REMOTE_ADDR': '192.0.2.7'}
    )
    request.headers['Authorization'] = basic('anna\nx\u2028é:t0p:s3cret')
    assert request.get_response(app).status_int == 401
    [line] = [one for one in caplog.messages if one.startswith('Refused')]
    assert line == (
        r"Refused: 'anna\nx\u2028\xe9' from 192.0.2.7: no such user, or "
        'another password.'
    )
    assert 's3cret' not in caplog.text


def test_nobody_who_gives_no_name_is_logged(app, caplog) -> None:
    assert ask(app, None).status_int == 401
    assert 'Refused' not in caplog.text


def test_passwords_are_in_no_log(app, caplog) -> None:
    caplog.set_level('DEBUG')
    assert ask(app, basic('anna:secret')).status_int == 200
    assert 'secret' not in caplog.text


@pytest.mark.parametrize('where', ['/', '/v2.1', '/v2.1/', '/other'])
def test_versions_need_no_name(app, where) -> None:
    assert ask(app, None, where).status_int in (200, 300)


@pytest.mark.parametrize(
    'where', ['/v2.1//', '/v2.1/nowhere', '/v2.1/%2e', '/v2.1/servers']
)
def test_nothing_else_is_open(app, where) -> None:
    assert ask(app, None, where).status_int in (200, 401)
    if ask(app, None, where).status_int == 200:
        # Only ever the version document.
        assert list(ask(app, None, where).json_body) == ['version']


def test_headers_give_nobody_a_context(app) -> None:
    request = webob.Request.blank('/v2.1/servers')
    request.headers['X-Roles'] = 'admin'
    request.headers['X-User-Id'] = 'anna'
    assert request.get_response(app).status_int == 401


@pytest.mark.parametrize('strategy', ['noauth', 'none', ''])
def test_there_is_no_way_without(tmp_path, path, clock, strategy) -> None:
    # Neither as an option nor in the code.
    with pytest.raises((exception.ConfigurationError, ValueError)):
        make_app(tmp_path, path, clock, strategy)


def test_a_large_body_is_refused_first(app) -> None:
    request = webob.Request.blank('/v2.1/servers', method='POST')
    request.body = b' ' * 200000
    assert request.get_response(app).status_int == 413
