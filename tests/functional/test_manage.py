"""livemig-manage, against a SQLite file."""

import datetime
import io
import os
import pathlib
import re
import stat
import sys
import uuid

import bcrypt
import pytest

import livemig.conf
from livemig.cmd import manage, old_options, user_file
from livemig.db import api as db_api
from livemig.db import migration as db_migration
from livemig.objects import service

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def files(tmp_path):
    """The option file and what it names."""
    (tmp_path / 'livemig.conf').write_text(
        f'[DEFAULT]\n'
        f'state_path = {tmp_path}/state\n'
        f'[api]\n'
        f'http_basic_user_file = {tmp_path}/htpasswd\n'
    )
    return tmp_path


@pytest.fixture
def run(files, capsys):
    """Run a command: (exit code, lines of output, lines of errors)."""

    def run(*words):
        file = str(files / 'livemig.conf')
        try:
            code = manage.main(['--config-file', file, *words])
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


@pytest.fixture
def database(files, run):
    assert run('db', 'sync')[0] == 0
    made = db_api.Database(f'sqlite:///{files}/state/livemig.sqlite')
    yield made
    made.dispose()


# -- db -----------------------------------------------------------------------
def test_sync_makes_the_tables_and_downgrade_removes_them(run):
    head = db_migration.head()
    code, out, _ = run('db', 'sync')
    assert (code, out) == (0, [head])
    assert run('db', 'version')[1] == [head]
    code, out, err = run('db', 'downgrade', 'base')
    assert code == 1
    assert '--yes' in err[0]
    code, out, _ = run('db', 'downgrade', 'base', '--yes')
    assert (code, out) == (0, [f'no tables (newest: {head})'])


def test_upgrade_is_another_word_for_sync(run):
    assert run('db', 'upgrade', '0001')[:2] == (
        0,
        [f'0001 (newest: {db_migration.head()})'],
    )
    assert run('db', 'upgrade')[:2] == (0, [db_migration.head()])


@pytest.mark.parametrize('verb', ['sync', 'upgrade'])
def test_an_unknown_revision_is_one_line(run, database, verb):
    code, out, err = run('db', verb, 'nonsense')
    assert (code, out, len(err)) == (1, [], 1)
    assert 'nonsense' in err[0]


def test_purge_counts_and_removes(run, database):
    gone = str(uuid.uuid4())
    database.instance_create(
        {
            'uuid': gone,
            'display_name': 'old',
            'user_id': 'u',
            'project_id': 'p',
            'vm_state': 'active',
            'memory_mb': 64,
            'vcpus': 1,
            'root_gb': 0,
            'flavor': {},
            'image': {},
            'metadata': {},
        },
        {
            'action': 'create',
            'request_id': 'req-1',
            'user_id': 'u',
            'project_id': 'p',
            'start_time': datetime.datetime.now(datetime.UTC),
        },
    )
    assert database.instance_destroy(gone)
    assert run('db', 'purge', '--before', '1')[1] == ['0 rows removed in all']
    code, out, _ = run('db', 'purge', '--before', '0', '--dry-run')
    assert (code, out[-1]) == (0, '2 rows would be removed in all')
    assert database.instance_get(gone, deleted=True) is not None
    code, out, _ = run('db', 'purge', '--before', '0')
    assert (code, out[-1]) == (0, '2 rows removed in all')
    assert {'instance_actions: 1 removed', 'instances: 1 removed'} < set(out)
    assert database.instance_get(gone, deleted=True) is None


@pytest.mark.parametrize('days', ['-1', '99999', 'many'])
def test_purge_wants_sensible_days(run, days):
    code, out, err = run('db', 'purge', '--before', days)
    assert (code, out) == (2, [])
    assert '--before' in err[-1]
    assert '_days' not in err[-1]


# -- upgrade check ------------------------------------------------------------
def test_a_fresh_database_is_fine(run, database):
    assert run('upgrade', 'check')[:2] == (
        0,
        ['ok: nothing stands in the way'],
    )


def test_missing_tables_are_a_failure(run, files):
    (files / 'state').mkdir()
    code, out, _ = run('upgrade', 'check')
    assert code == 2
    assert out == [
        'failure: the database has no tables; run: livemig-manage db sync'
    ]


def test_options_that_are_gone_and_old_services_are_warned_of(
    run, files, database
):
    with open(files / 'livemig.conf', 'a') as file:
        file.write(
            '[libvirt]\n'
            'live_migration_progress_timeout = 150\n'
            'live_migration_tunnelled = false\n'
            'live_migration_with_native_tls = false\n'
            'live_migration_uri = qemu+tls://h1/system\n'
            'live_migration_monitor_interval = 1\n'
            'live_migration_parallel_connections = 4\n'
            'rescue_image_id = 5\n'
            'live_migration_bandwidth = 10\n'
            '[oslo_messaging_rabbit]\n'
            'heartbeat_in_pthread = true\n'
            'rabbit_quorum_queue = false\n'
        )
    for host, version in (('h1', 0), ('h2', service.SERVICE_VERSION)):
        database.service_report(
            {
                'host': host,
                'binary': service.COMPUTE,
                'topic': 'compute',
                'version': version,
                'last_seen_at': datetime.datetime.now(datetime.UTC),
                'facts': None,
            }
        )
    code, out, _ = run('upgrade', 'check')
    assert code == 1
    text = '\n'.join(out)
    for word in (
        '[libvirt] live_migration_progress_timeout in',
        '[libvirt] live_migration_parallel_connections in',
        '[libvirt] rescue_image_id in',
        '[api] rescue_image_ref',
        '[oslo_messaging_rabbit] heartbeat_in_pthread in',
        'rabbit_quorum_queue is false',
        'nova-compute of h1 last reported as version 0',
    ):
        assert word in text
    assert 'live_migration_bandwidth' not in text
    assert 'h2' not in text
    assert all(line.startswith('warning: ') for line in out)
    # What is set to what livemig does anyway is not worth a word.
    for word in ('tunnelled', 'native_tls', 'live_migration_uri', 'interval'):
        assert word not in text


@pytest.mark.parametrize(
    ('line', 'words'),
    [
        (
            'live_migration_with_native_tls = True',
            ('no TLS', 'memory', 'UNENCRYPTED', 'live_migration_inbound_addr'),
        ),
        (
            'live_migration_tunnelled = 1',
            ('memory', 'UNENCRYPTED', 'live_migration_inbound_addr'),
        ),
        (
            'live_migration_uri = qemu+tls://%s/system',
            ('%s', 'qemu+tls://node1.example.org/system'),
        ),
    ],
)
def test_what_must_be_done_first_is_a_failure(
    run, files, database, line, words
):
    with open(files / 'livemig.conf', 'a') as file:
        file.write(f'[libvirt]\n{line}\n')
    code, out, _ = run('upgrade', 'check')
    assert code == 2
    (text,) = out
    name = line.partition(' ')[0]
    assert text.startswith(f'failure: option [libvirt] {name} in ')
    for word in words:
        assert word in text


def test_a_failing_option_does_not_hide_old_services(run, files, database):
    with open(files / 'livemig.conf', 'a') as file:
        file.write('[libvirt]\nlive_migration_with_native_tls = yes\n')
    database.service_report(
        {
            'host': 'h1',
            'binary': service.COMPUTE,
            'topic': 'compute',
            'version': 0,
            'last_seen_at': datetime.datetime.now(datetime.UTC),
            'facts': None,
        }
    )
    code, out, _ = run('upgrade', 'check')
    assert code == 2
    assert [line.partition(':')[0] for line in out] == ['failure', 'warning']


#: What a file of Nova's says of migrations, as Nova's documentation has
#: it, and livemig has nothing by that name or another meaning for it.
NOVAS = """
[DEFAULT]
live_migration_retry_count = 30
vif_plugging_is_fatal = true
vif_plugging_timeout = 300
cpu_allocation_ratio = 16
disk_allocation_ratio = 1
resume_guests_state_on_host_boot = true
[notifications]
notify_on_state_change = vm_state
[compute]
live_migration_wait_for_vif_plug = true
[libvirt]
live_migration_uri = qemu+tcp://%s/system
live_migration_tunnelled = true
live_migration_with_native_tls = true
live_migration_parallel_connections = 4
live_migration_monitor_interval = 5
rescue_image_id = 1
rescue_kernel_id = 2
rescue_ramdisk_id = 3
hw_machine_type = x86_64=q35
cpu_models = Nehalem
images_type = rbd
[workarounds]
skip_cpu_compare_on_dest = true
skip_hypervisor_version_check_on_lm = true
"""


def test_each_option_of_nova_is_spoken_of(run, files, database):
    with open(files / 'livemig.conf', 'a') as file:
        file.write(NOVAS)
    code, out, _ = run('upgrade', 'check')
    assert code == 2
    names = re.findall(r'^(\w+) =', NOVAS, re.MULTILINE)
    told = [re.search(r'option \[\w+\] (\w+) in', line)[1] for line in out]
    assert sorted(told) == sorted(names)


def test_the_documentation_has_each_option_that_is_spoken_of():
    text = (ROOT / 'doc/source/admin/installation.rst').read_text()
    for group, name in old_options.REMARKS:
        if not group.startswith('oslo_') and name != 'rpc_backend':
            assert f'``[{group}] {name}``' in text, name


def test_no_option_of_livemig_is_said_to_be_without_effect():
    own = {
        (group, opt.name)
        for group, opts in livemig.conf.list_opts()
        for opt in opts
    }
    for key, remark in old_options.REMARKS.items():
        assert key not in own or 'no effect' not in remark.text


# -- services -----------------------------------------------------------------
def test_services_are_listed_with_their_state(run, database):
    now = datetime.datetime.now(datetime.UTC)
    for host, age_s in (('alive', 1), ('dead', 3600)):
        database.service_report(
            {
                'host': host,
                'binary': service.COMPUTE,
                'topic': 'compute',
                'version': 1,
                'last_seen_at': now - datetime.timedelta(seconds=age_s),
                'facts': None,
            }
        )
    code, out, _ = run('service', 'list')
    assert code == 0
    assert out[0].split() == [
        'host', 'binary', 'status', 'state', 'version', 'last', 'seen',
    ]  # fmt: skip
    rows = {line.split()[0]: line.split()[3] for line in out[1:]}
    assert rows == {'alive': 'up', 'dead': 'down'}


# -- users --------------------------------------------------------------------
def parse(file):
    """name -> (hash, project, roles), as the API reads it."""
    rows = [line.split(':') for line in file.read_text().splitlines()]
    return {row[0]: tuple(row[1:]) for row in rows if len(row) == 4}


def test_a_random_password_is_shown_once_and_works(run, files):
    code, out, err = run(
        'user', 'set', 'jane', '--project', 'demo',
        '--role', 'admin', '--role', 'member', '--random',
    )  # fmt: skip
    assert (code, len(out), err) == (0, 1, [])
    hashed, project, roles = parse(files / 'htpasswd')['jane']
    assert bcrypt.checkpw(out[0].encode(), hashed.encode())
    assert (project, roles) == ('demo', 'admin,member')
    assert stat.S_IMODE(os.stat(files / 'htpasswd').st_mode) == 0o600
    assert out[0] not in (files / 'htpasswd').read_text()


def test_a_password_comes_from_standard_input(run, files, monkeypatch):
    monkeypatch.setattr(sys, 'stdin', io.StringIO('s3cr:et\nmore\n'))
    code, out, _ = run(
        'user', 'set', 'jane', '--project', 'p', '--password-stdin'
    )
    assert (code, out) == (0, [])
    hashed, _, roles = parse(files / 'htpasswd')['jane']
    assert bcrypt.checkpw(b's3cr:et', hashed.encode())
    assert roles == ''


def test_setting_a_user_again_replaces_his_line_only(files):
    file = files / 'htpasswd'
    file.write_text('# our users\nbob:hash-of-bob:demo:member\n')
    file.chmod(0o644)
    user_file.put(str(file), 'jane', 'one', 'demo', ['admin'])
    user_file.put(str(file), 'zoe', 'two', 'demo', [])
    first = file.read_text()
    user_file.put(str(file), 'jane', 'three', 'other', ['reader'])
    lines = file.read_text().splitlines()
    assert [line.partition(':')[0] for line in lines] == [
        '# our users',
        'bob',
        'jane',
        'zoe',
    ]
    assert lines[1] == 'bob:hash-of-bob:demo:member'
    assert lines[3] == first.splitlines()[3]
    assert lines[2].endswith(':other:reader')
    assert bcrypt.checkpw(b'three', lines[2].split(':')[1].encode())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in files.glob('.htpasswd*')] == []


def test_a_link_to_the_file_stays_a_link(files):
    (files / 'real').write_text('')
    (files / 'htpasswd').symlink_to(files / 'real')
    user_file.put(str(files / 'htpasswd'), 'jane', 'x', 'p', [])
    assert (files / 'htpasswd').is_symlink()
    assert 'jane' in parse(files / 'real')


@pytest.mark.parametrize(
    ('name', 'password', 'project', 'role', 'said'),
    [
        ('a:b', 'x', 'p', 'r', "name 'a:b'"),
        ('', 'x', 'p', 'r', "name ''"),
        ('a\nroot', 'x', 'p', 'r', 'name'),
        ('#a', 'x', 'p', 'r', 'name'),
        (' a', 'x', 'p', 'r', 'name'),
        ('a', 'x', 'p:q', 'r', "project 'p:q'"),
        ('a', 'x', 'p', 'r,s', "role 'r,s'"),
        ('a', 'x', 'p', 'r:s', "role 'r:s'"),
        ('a', '', 'p', 'r', '1 to 72 bytes'),
        ('a', 'x' * 73, 'p', 'r', '1 to 72 bytes'),
        ('a', 'x\0y', 'p', 'r', '1 to 72 bytes'),
    ],
)
def test_what_would_break_the_file_is_refused(
    files, name, password, project, role, said
):
    with pytest.raises(ValueError, match=re.escape(said)):
        user_file.put(str(files / 'htpasswd'), name, password, project, [role])
    assert not (files / 'htpasswd').exists()


def test_a_refusal_is_one_line(run):
    code, out, err = run('user', 'set', 'a:b', '--project', 'p', '--random')
    assert (code, out, len(err)) == (1, [], 1)


# -- options ------------------------------------------------------------------
def test_a_missing_option_file_is_one_line(capsys, tmp_path):
    missing = str(tmp_path / 'none.conf')
    code = manage.main(['--config-file', missing, 'db', 'version'])
    out, err = capsys.readouterr()
    assert (code, out) == (2, '')
    assert err.count('\n') == 1
    assert missing in err


def test_a_wrong_database_is_one_line(run, files):
    with open(files / 'livemig.conf', 'a') as file:
        file.write('[database]\nconnection = sqlite://\n')
    code, out, err = run('db', 'version')
    assert (code, out, len(err)) == (2, [], 1)
    assert '[database] connection' in err[0]
