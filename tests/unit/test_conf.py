"""The options: each explained, bounded, and apart from other services'."""

import re

import gensamples
import pytest
from oslo_config import cfg

import livemig.conf

EVERY = [
    (group, opt) for group, opts in livemig.conf.list_opts() for opt in opts
]
IDS = [f'{group}.{opt.name}' for group, opt in EVERY]


def load(tmp_path, text=''):
    file = tmp_path / 'livemig.conf'
    file.write_text(text)
    conf = cfg.ConfigOpts()
    livemig.conf.register_opts(conf)
    conf([], project='livemig', default_config_files=[str(file)])
    return conf


def test_the_options_and_defaults_people_rely_on(tmp_path):
    conf = load(tmp_path, '[DEFAULT]\nhost = h1\n')
    assert conf.host == 'h1'
    assert conf.instances_path == '/var/lib/livemig/instances'
    assert conf.compute_driver == 'libvirt'
    assert conf.max_concurrent_live_migrations == 1
    assert (conf.report_interval, conf.service_down_time) == (10, 60)
    assert conf.migrate_max_retries == -1
    assert conf.database.connection == (
        'sqlite:////var/lib/livemig/livemig.sqlite'
    )
    assert (conf.api.bind_host, conf.api.bind_port) == ('127.0.0.1', 8774)
    assert conf.api.max_limit == 1000
    assert conf.api.auth_strategy == 'http_basic'
    assert conf.api.max_request_body_size == 114688
    assert conf.catalogue.path == '/etc/livemig/catalogue.yaml'
    assert conf.notifications.notification_format == 'unversioned'
    assert conf.upgrade_levels.compute is None
    assert conf.rpc.send_limit == 10
    libvirt = conf.libvirt
    assert libvirt.live_migration_completion_timeout == 800
    assert libvirt.live_migration_timeout_action == 'abort'
    assert not libvirt.live_migration_permit_post_copy
    assert not libvirt.live_migration_permit_auto_converge


@pytest.mark.parametrize(
    'option',
    [
        'max_concurrent_live_migrations',
        'live_migration_completion_timeout',
        'live_migration_timeout_action',
    ],
)
def test_what_a_running_service_may_be_told_anew(option):
    (opt,) = [opt for _, opt in EVERY if opt.name == option]
    assert opt.mutable


def test_two_services_of_a_process_do_not_share_values(tmp_path):
    first, second = load(tmp_path), load(tmp_path)
    for group, opt in EVERY:
        where = None if group == 'DEFAULT' else group
        first.set_override(opt.dest, opt.default, where)
        assert opt.dest in (first if where is None else first[where])
        info = second._get_opt_info(opt.dest, where)
        assert 'override' not in info, (group, opt.name)


@pytest.mark.parametrize(('group', 'opt'), EVERY, ids=IDS)
def test_every_option_is_explained(group, opt):
    assert opt.help
    assert opt.help.strip().endswith('.')


def test_every_number_is_bounded_and_its_zero_explained():
    """A port is bounded by its kind."""
    numbers = [
        (group, opt)
        for group, opt in EVERY
        if isinstance(opt, cfg.IntOpt | cfg.FloatOpt)
    ]
    assert len(numbers) > 20
    for group, opt in numbers:
        assert opt.type.min is not None, (group, opt.name)
        if opt.type.min == 0:
            assert re.search(r'\b0\b', opt.help), (group, opt.name)


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('[api]\nthreads = many\n', r'\[api\] threads .*livemig\.conf'),
        ('[api]\nthreads = 0\n', r'\[api\] threads .*livemig\.conf'),
        ('[api]\nbind_port = 70000\n', r'\[api\] bind_port'),
        ('[DEFAULT]\nhost = a b\n', r'\[DEFAULT\] host'),
        ('[DEFAULT]\nhost =\n', r'\[DEFAULT\] host'),
        ('[upgrade_levels]\ncompute = new\n', r'\[upgrade_levels\] compute'),
        ('[api]\nauth_strategy = none\n', r'auth_strategy .*http_basic'),
        ('[api]\ntls_key_file = k\n', 'tls_cert_file .*is missing'),
        ('[api]\ntls_cert_file = c\n', 'tls_key_file .*is missing'),
        ('[DEFAULT]\nservice_down_time = 10\n', 'longer than report_interval'),
        (
            '[DEFAULT]\nmax_concurrent_live_migrations = -1\n',
            'max_concurrent_live_migrations',
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_file(tmp_path, text, said):
    with pytest.raises(livemig.conf.WrongOption, match=said) as caught:
        livemig.conf.check(load(tmp_path, text))
    assert 'livemig.conf' in str(caught.value)
    assert '\n' not in str(caught.value)
    assert 'LocationInfo' not in str(caught.value)


def test_the_defaults_are_right(tmp_path):
    livemig.conf.check(load(tmp_path))


@pytest.mark.parametrize('name', gensamples.FILES)
def test_the_sample_kept_is_the_code_s(name):
    kept = (gensamples.DIRECTORY / name).read_text('utf-8')
    assert kept == gensamples.FILES[name](), 'run tools/gensamples.py'


def test_the_script_sees_a_sample_that_is_out_of_date(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(gensamples, 'DIRECTORY', tmp_path)
    assert gensamples.main(['--check']) == 1
    assert gensamples.main([]) == 0
    assert gensamples.main(['--check']) == 0
    (tmp_path / 'policy.yaml.sample').write_text('')
    capsys.readouterr()
    assert gensamples.main(['--check']) == 1
    assert 'policy.yaml.sample is out of date' in capsys.readouterr().out
    assert gensamples.main(['--colour']) == 2


def test_the_sample_names_no_machine(monkeypatch):
    monkeypatch.setattr('socket.gethostname', lambda: 'this-very-machine')
    made = gensamples.configuration()
    assert '\n#host = <hostname>\n' in made
    assert 'this-very-machine' not in made
