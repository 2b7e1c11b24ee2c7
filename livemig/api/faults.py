"""Decides how a refusal looks on the wire: Nova's fault bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import webob
import webob.dec
import webob.exc
from oslo_log import log

LOG = log.getLogger(__name__)

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]

#: Status code -> key of the fault body; any other is computeFault.
NAMES: Mapping[int, str] = {
    400: 'badRequest',
    401: 'unauthorized',
    403: 'forbidden',
    404: 'itemNotFound',
    405: 'badMethod',
    409: 'conflictingRequest',
    413: 'overLimit',
    415: 'badMediaType',
    429: 'overLimit',
    501: 'notImplemented',
    503: 'serviceUnavailable',
}
OTHER_NAME = 'computeFault'


class Fault(Exception):
    """A refusal that concerns HTTP itself; all others are domain errors."""

    def __init__(
        self,
        code: int,
        message: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.headers = headers or {}


def response(
    code: int, message: str, headers: Mapping[str, str] | None = None
) -> webob.Response:
    """The answer that tells a client of an error."""
    answer = webob.Response(
        status=code,
        content_type='application/json',
        charset='UTF-8',
        json_body={
            NAMES.get(code, OTHER_NAME): {'code': code, 'message': message}
        },
    )
    answer.headers.update(list((headers or {}).items()))
    return answer


def of_error(error: Exception) -> webob.Response:
    """The answer to an error nobody foresaw, or to an HTTP one.

    Of the former the client learns its class only; the log has the rest.
    """
    if isinstance(error, Fault):
        return response(error.code, error.message, error.headers)
    if isinstance(error, webob.exc.HTTPException):
        inner = error.wsgi_response
        return response(inner.status_int, str(error) or inner.status)
    LOG.error('Unexpected error in the API', exc_info=error)
    return response(
        500,
        'Unexpected error. The log of the API, under this request id, has '
        f'the details. ({type(error).__name__})',
    )


class FaultWrap:
    """The last resort: whatever is raised further in becomes a fault."""

    def __init__(self, application: WsgiApp) -> None:
        self._application = application

    @webob.dec.wsgify
    def __call__(self, request: webob.Request) -> webob.Response:
        try:
            return request.get_response(self._application)
        except Exception as error:
            return of_error(error)
