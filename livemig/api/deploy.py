"""Puts the API together: the middleware stack, once, and its reasons."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Protocol

import oslo_middleware
import webob
import webob.dec
from oslo_config import cfg

from livemig import catalogue, concurrency, policy
from livemig.api import auth, migrate, operations, router
from livemig.api.action import App
from livemig.api.faults import Fault, FaultWrap, WsgiApp
from livemig.compute import rpcapi as compute_rpcapi
from livemig.conductor import rpcapi as conductor_rpcapi
from livemig.objects.store import Store


class Rpc(Protocol):
    """``livemig.rpc.Rpc``, as far as it is used here."""

    def client(
        self, topic: str, version_cap: str | None = None
    ) -> compute_rpcapi.Client: ...


class _RequestId(oslo_middleware.RequestId):  # type: ignore[misc]
    # Nova had its own name for it first; clients look for either.
    compat_headers = ['x-compute-request-id']


class BodyLimit:
    """Refuses bodies that are too large before anything reads them."""

    def __init__(self, application: WsgiApp, limit_bytes: int) -> None:
        self._application = application
        self._limit_bytes = limit_bytes

    @webob.dec.wsgify
    def __call__(self, request: webob.Request) -> Any:
        if self._length(request) > self._limit_bytes:
            raise Fault(
                413, f'The body is larger than {self._limit_bytes} bytes.'
            )
        return self._application

    def _length(self, request: webob.Request) -> int:
        """Of the body; one without a length is read, as far as allowed."""
        environ = request.environ
        if 'chunked' not in environ.get('HTTP_TRANSFER_ENCODING', '').lower():
            try:
                return request.content_length or 0
            except ValueError:
                raise Fault(400, 'Content-Length is no number.') from None
        if not environ.get('wsgi.input_terminated'):
            # uWSGI for one: the body would seem to be empty.
            raise Fault(400, 'This server needs a Content-Length.')
        body = environ['wsgi.input'].read(self._limit_bytes + 1)
        environ['wsgi.input'] = io.BytesIO(body)
        environ['CONTENT_LENGTH'] = str(len(body))
        del environ['HTTP_TRANSFER_ENCODING']
        return len(body)


def make_parts(
    conf: cfg.ConfigOpts, store: Store, rpc: Rpc, clock: concurrency.Clock
) -> App:
    """What handlers work with.

    :raises ConfigurationError: the policy files are broken.
    """
    return App(
        conf=conf,
        store=store,
        policy=policy.Enforcer(
            conf, [*policy.base_defaults(), *operations.documented_rules()]
        ),
        compute=compute_rpcapi.ComputeAPI(
            rpc.client(compute_rpcapi.TOPIC, conf.upgrade_levels.compute),
            conf.upgrade_levels.compute,
        ),
        conductor=conductor_rpcapi.ConductorAPI(
            rpc.client(conductor_rpcapi.TOPIC)
        ),
        catalogue=catalogue.Catalogue(conf.catalogue.path),
        clock=clock,
    )


def assemble(
    parts: App,
    authenticate: Callable[[WsgiApp], WsgiApp],
    observe: router.Observer | None = None,
) -> WsgiApp:
    """The stack, from the inside out.

    :param authenticate: puts a context into ``environ['livemig.context']``.
    :param observe: is shown each answer of an operation (tests).
    """
    conf = parts.conf
    known = {operation.body_key for operation in operations.OPERATIONS}
    application: WsgiApp = router.Router(
        parts,
        operations.OPERATIONS,
        elsewhere=migrate.elsewhere(known),
        **({'observe': observe} if observe else {}),
    )
    application = authenticate(application)
    # Outside of authentication: nobody unknown makes us read much.
    application = BodyLimit(application, conf.api.max_request_body_size)
    # Outside of all that may fail, inside of what adds the request id.
    application = FaultWrap(application)
    application = _RequestId(application, conf)
    # Outermost: everybody further in sees the public scheme and host.
    return oslo_middleware.HTTPProxyToWSGI(application, conf)  # type: ignore[no-any-return]


def build_app(
    conf: cfg.ConfigOpts, store: Store, rpc: Rpc, clock: concurrency.Clock
) -> WsgiApp:
    """The API as a WSGI application, ready to serve.

    :raises ConfigurationError: policy or user file are broken.
    """
    parts = make_parts(conf, store, rpc, clock)
    return assemble(parts, lambda inner: auth.configured(conf, clock, inner))
