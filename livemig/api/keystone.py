"""Decides who a request comes from, by Keystone's tokens."""

from __future__ import annotations

from typing import Any

import webob
import webob.dec
from keystoneauth1 import exceptions as keystone_exceptions
from keystoneauth1 import loading
from oslo_config import cfg

from livemig import context, exception
from livemig.api import router, versions
from livemig.api.faults import Fault, WsgiApp

#: keystonemiddleware's group of options.
GROUP = 'keystone_authtoken'


class KeystoneContext:
    """Takes over what keystonemiddleware has found out.

    It stands behind that middleware, which removes from a request
    whatever a client claims to be before it adds what the token says.
    """

    def __init__(self, application: WsgiApp) -> None:
        self._application = application

    @webob.dec.wsgify
    def __call__(self, request: webob.Request) -> Any:
        # Without the tokens: contexts go over the bus to other hosts, and
        # nothing there may act in the user's name elsewhere.
        ctxt = context.RequestContext.from_environ(
            request.environ, auth_token=None, service_token=None
        )
        if not ctxt.user_id:
            # With delay_auth_decision everybody comes as far as this.
            raise Fault(401, 'The request you have made requires a token.')
        if not ctxt.project_id:
            # Everything here belongs to a project. (Every rule has the
            # scope "project", so Nova's policy refuses these as well; a
            # token without any scope has no role either.)
            raise Fault(
                403,
                f'This token is {_scope(ctxt)}; livemig needs one of a '
                f'project.',
            )
        _drop_nothings(request.environ)
        request.environ[router.CONTEXT] = ctxt
        return self._application


def _drop_nothings(environ: dict[str, Any]) -> None:
    """What a token does not have, keystonemiddleware (13.0) leaves as a
    header whose value is None; no reader of headers expects that."""
    for name in [name for name, value in environ.items() if value is None]:
        if name.startswith('HTTP_'):
            del environ[name]


def _scope(ctxt: context.RequestContext) -> str:
    if ctxt.system_scope:
        return 'of the whole system'
    return 'of a domain' if ctxt.domain_id else 'of no project'


def checked(conf: cfg.ConfigOpts, application: WsgiApp) -> WsgiApp:
    """The application behind keystonemiddleware; versions need no token.

    :raises ConfigurationError: the package or options are missing.
    """
    # Only here: it is an extra.
    try:
        from keystonemiddleware import auth_token
    except ImportError as error:
        raise exception.ConfigurationError(
            option='[api] auth_strategy',
            reason=f'"keystone" needs the package keystonemiddleware: {error}',
        ) from error
    try:
        # keystonemiddleware looks into the section that auth_section names,
        # but expects others to have registered it.
        loading.register_auth_conf_options(conf, GROUP)
        inner: WsgiApp = auth_token.AuthProtocol(
            KeystoneContext(application), {'oslo_config_config': conf}
        )
        _require_plugin(conf)
    except (
        cfg.Error,
        ValueError,
        keystone_exceptions.ClientException,
    ) as error:
        raise exception.ConfigurationError(
            option=f'[{GROUP}]', reason=str(error)
        ) from error

    def choose(environ: dict[str, Any], start_response: Any) -> Any:
        public = versions.is_public(environ)
        return (application if public else inner)(environ, start_response)

    return choose


def _require_plugin(conf: cfg.ConfigOpts) -> None:
    """:raises ValueError: livemig could check no token.

    keystonemiddleware itself would say so at the first request.
    """
    group = conf[GROUP].auth_section or GROUP
    if not conf[group].auth_type:
        raise ValueError(
            f'auth_type is missing in [{group}]: livemig needs a user of '
            f'its own to check tokens'
        )
