"""What a token says becomes who asks; without one there is no way in."""

from __future__ import annotations

import sys

import pytest
import webob
from oslo_config import cfg

from livemig import conf as confs
from livemig import exception
from livemig.api import deploy, keystone, router
from livemig.api.faults import FaultWrap

# Of keystonemiddleware and what it brings.
pytestmark = [
    pytest.mark.filterwarnings('ignore::DeprecationWarning'),
    pytest.mark.filterwarnings('ignore::PendingDeprecationWarning'),
]

#: What keystonemiddleware leaves in a request with a project's token.
TOKEN = {
    'X-Auth-Token': 'secret-of-the-user',
    'X-User-Id': 'u1',
    'X-User-Name': 'anna',
    'X-User-Domain-Id': 'default',
    'X-Project-Id': 'p1',
    'X-Project-Name': 'web',
    'X-Project-Domain-Id': 'default',
    'X-Roles': 'member,reader',
    'X-Service-Token': 'secret-of-a-service',
    'X-Service-Roles': 'service',
    'X-Service-User-Id': 's1',
}


class Inner:
    """Remembers what came as far as this."""

    def __init__(self) -> None:
        self.environ: dict = {}

    def __call__(self, environ, start_response):
        self.environ = environ
        return webob.Response('inside')(environ, start_response)


def ask(headers: dict, **environ) -> tuple[webob.Response, dict]:
    inner = Inner()
    request = webob.Request.blank('/v2.1/servers', environ=environ)
    for name, value in headers.items():
        request.headers[name] = value
    application = FaultWrap(keystone.KeystoneContext(inner))
    return request.get_response(application), inner.environ


def test_a_projects_token() -> None:
    answer, environ = ask(
        TOKEN, **{'openstack.global_request_id': 'req-global'}
    )
    assert answer.text == 'inside'
    ctxt = environ[router.CONTEXT]
    assert (ctxt.user_id, ctxt.project_id) == ('u1', 'p1')
    assert ctxt.roles == ['member', 'reader']
    assert ctxt.service_roles == ['service']
    assert ctxt.user_domain_id == ctxt.project_domain_id == 'default'
    assert ctxt.system_scope is None
    assert ctxt.domain_id is None
    assert ctxt.global_request_id == 'req-global'


def test_the_tokens_stay_here() -> None:
    _, environ = ask(TOKEN)
    ctxt = environ[router.CONTEXT]
    assert 'secret' not in str(ctxt.to_dict())
    assert 'secret' not in str(vars(ctxt))


def test_headers_without_a_value_go() -> None:
    """keystonemiddleware leaves them so; the version headers' reader would
    fail."""
    _, environ = ask(TOKEN, HTTP_X_DOMAIN_ID=None, HTTP_X_TENANT=None)
    assert None not in environ.values()


@pytest.mark.parametrize(
    ('more', 'scope'),
    [
        ({'X-Domain-Id': 'default'}, 'of a domain'),
        ({'OpenStack-System-Scope': 'all'}, 'of the whole system'),
        ({}, 'of no project'),
    ],
)
def test_other_tokens_are_refused(more: dict, scope: str) -> None:
    headers = {**TOKEN, **more, 'X-Roles': 'admin'}
    answer, environ = ask(
        {k: v for k, v in headers.items() if 'Project' not in k}
    )
    assert answer.status_int == 403
    assert scope in answer.json_body['forbidden']['message']
    assert not environ


def test_nobody() -> None:
    """With delay_auth_decision they come as far as this."""
    answer, environ = ask({'X-Identity-Status': 'Invalid'})
    assert answer.status_int == 401
    assert not environ


# -- options ----------------------------------------------------------------
#: Nobody listens there.
COMPLETE = """
auth_type = password
auth_url = http://127.0.0.1:1/v3
www_authenticate_uri = http://keystone.example/v3
username = livemig
password = x
project_name = service
user_domain_id = default
project_domain_id = default
http_request_max_retries = 0
"""


def conf_of(tmp_path, text: str) -> cfg.ConfigOpts:
    file = tmp_path / 'livemig.conf'
    file.write_text(
        f'[api]\nauth_strategy = keystone\n{text}',
    )
    conf = cfg.ConfigOpts()
    confs.register_opts(conf)
    conf([], project='livemig', default_config_files=[str(file)])
    return conf


def app_of(conf: cfg.ConfigOpts):
    from livemig.api import auth
    from tests.clock import VirtualClock

    inner = auth.configured(conf, VirtualClock(), Inner())
    return FaultWrap(deploy.BodyLimit(inner, 1000))


def test_versions_need_no_token(tmp_path) -> None:
    app = app_of(conf_of(tmp_path, f'[keystone_authtoken]{COMPLETE}'))
    for path in ('/', '/v2.1', '/v2.1/', '/v2', '/elsewhere'):
        assert webob.Request.blank(path).get_response(app).text == 'inside'


def test_everything_else_does(tmp_path) -> None:
    app = app_of(conf_of(tmp_path, f'[keystone_authtoken]{COMPLETE}'))
    for path in ('/v2.1/servers', '/v2.1/versions/v2.1', '/v2.1/nothing'):
        request = webob.Request.blank(path)
        # Nobody is believed who says so himself.
        request.headers.update(
            {k: v for k, v in TOKEN.items() if 'Token' not in k}
        )
        request.headers['X-Identity-Status'] = 'Confirmed'
        answer = request.get_response(app)
        assert answer.status_int == 401
        assert answer.headers['WWW-Authenticate'] == (
            'Keystone uri="http://keystone.example/v3"'
        )


def test_a_token_that_nobody_can_check(tmp_path) -> None:
    app = app_of(conf_of(tmp_path, f'[keystone_authtoken]{COMPLETE}'))
    request = webob.Request.blank('/v2.1/servers')
    request.headers.update(TOKEN)
    assert request.get_response(app).status_int == 503


def test_its_options_are_the_services_own(tmp_path) -> None:
    conf = conf_of(tmp_path, f'[keystone_authtoken]{COMPLETE}')
    app_of(conf)
    assert conf.keystone_authtoken.username == 'livemig'
    with pytest.raises(cfg.NoSuchOptError):
        _ = cfg.CONF['keystone_authtoken']['username']


def test_another_section(tmp_path) -> None:
    conf = conf_of(
        tmp_path,
        f'[keystone_authtoken]\nauth_section = service\n[service]{COMPLETE}',
    )
    app_of(conf)
    assert conf.service.username == 'livemig'


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('', r'auth_type is missing in \[keystone_authtoken\]'),
        ('[keystone_authtoken]\nauth_type = telepathy', 'telepathy'),
        ('[keystone_authtoken]\nauth_section = elsewhere', 'elsewhere'),
        (
            f'[keystone_authtoken]{COMPLETE}http_connect_timeout = soon',
            'http_connect_timeout',
        ),
    ],
)
def test_a_mistake_keeps_the_api_from_starting(tmp_path, text, said) -> None:
    with pytest.raises(exception.ConfigurationError, match=said) as caught:
        app_of(conf_of(tmp_path, text))
    assert 'keystone_authtoken' in caught.value.message


def test_a_missing_package(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'keystonemiddleware', None)
    with pytest.raises(exception.ConfigurationError, match='needs the pack'):
        app_of(conf_of(tmp_path, f'[keystone_authtoken]{COMPLETE}'))
