"""Decides which operation a request means, and runs it as its record says.

The order of refusals: route 404, version 400 or 406, body that is no
object and unknown action 400, operation unknown at that version 404, body
and query by schema 400; what comes then is the handler's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import routes
import webob
import webob.dec
import webob.exc
from oslo_log import log

from livemig import exception
from livemig.api import (
    action,
    faults,
    microversion,
    openapi,
    validation,
    versions,
)
from livemig.api.action import App, Call, Operation
from livemig.api.faults import Fault
from livemig.api.links import Links
from livemig.api.microversion import Microversion

LOG = log.getLogger(__name__)

CONTEXT = 'livemig.context'
REQUEST_ID = 'openstack.request_id'

#: A project in a URL; nothing else may stand there, so that no other
#: segment is taken for one.
_PROJECT = '{project_id:[0-9a-f-]+}'

#: Told of each answer: the operation, the version, the answer.
Observer = Callable[[Operation, Microversion, webob.Response], None]


def _no_observer(
    _operation: Operation, _version: Microversion, _answer: webob.Response
) -> None:
    """In production nobody watches."""


def route_map(operations: Iterable[Operation]) -> routes.Mapper:
    """One mapper; each route's ``key`` names its operations."""
    mapper = routes.Mapper()
    mapper.minimization = False
    mapper.explicit = True
    for operation in _in_order(operations):
        prefixes = [operation.root]
        if operation.is_versioned:
            prefixes.append(f'{operation.root}/{_PROJECT}')
        for prefix in prefixes:
            mapper.connect(
                None,
                f'{prefix}{operation.path}',
                key=_key(operation),
                conditions={'method': [operation.method]},
            )
    # Otherwise the first request would wait for it.
    mapper.create_regs([])
    return mapper


def _in_order(operations: Iterable[Operation]) -> list[Operation]:
    """Fixed words before variables: /servers/detail is no server."""
    return sorted(
        operations,
        key=lambda o: [part.startswith('{') for part in o.path.split('/')],
    )


def _key(operation: Operation) -> str:
    return f'{operation.method} {operation.root}{operation.path}'


class _Ready:
    """An operation with its schemas compiled."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self._request = self._compiled(operation.request)
        self._query = self._compiled(operation.query)

    @staticmethod
    def _compiled(
        schemas: action.Since,
    ) -> list[tuple[Microversion, validation.Checker]]:
        return [
            (first, validation.Checker(schema)) for first, schema in schemas
        ]

    @staticmethod
    def _at(
        checkers: Sequence[tuple[Microversion, validation.Checker]],
        version: Microversion,
    ) -> validation.Checker | None:
        found = None
        for first, checker in checkers:
            if first <= version:
                found = checker
        return found

    def check_body(self, body: Any, version: Microversion) -> None:
        """:raises InvalidInput:"""
        checker = self._at(self._request, version)
        if checker is not None:
            checker.check(body, self.operation.body_key or 'the body')

    def checked_query(
        self, query: Mapping[str, Any], version: Microversion
    ) -> Mapping[str, Any]:
        """The parameters the operation knows. :raises InvalidInput:"""
        checker = self._at(self._query, version)
        if checker is None:
            return {}
        checker.check_query(query)
        if checker.schema.get('additionalProperties'):
            # A schema of any other parameter: they mean something.
            return query
        known = checker.schema['properties']
        return {name: query[name] for name in query if name in known}


class Router:
    """The application behind the middleware: environ has a context."""

    def __init__(
        self,
        app: App,
        operations: Sequence[Operation],
        elsewhere: Mapping[str, str] | None = None,
        observe: Observer = _no_observer,
    ) -> None:
        """:param elsewhere: actions that Nova has and livemig has not,
        and what to say of them."""
        self._app = app
        self._operations = operations
        self._map = route_map(operations)
        self._elsewhere = elsewhere or {}
        self._observe = observe
        self._ready: dict[str, list[_Ready]] = {}
        for operation in operations:
            self._ready.setdefault(_key(operation), []).append(
                _Ready(operation)
            )

    @webob.dec.wsgify
    def __call__(self, request: webob.Request) -> webob.Response:
        links = Links(request, self._app.conf)
        answer = self._document(request, links)
        if answer is not None:
            return answer
        match = self._match(request)
        if match is None:
            # As Nova: no fault body, and no 405 for a wrong method.
            return webob.exc.HTTPNotFound()
        if self._ready[match['key']][0].operation.is_versioned:
            return self._versioned(request, match)
        try:
            return self._answer(request, match, microversion.FIRST)
        except Exception as error:
            return faults.of_error(error)

    def _document(
        self, request: webob.Request, links: Links
    ) -> webob.Response | None:
        """What needs no user: about the API, not of it."""
        path = request.environ.get('PATH_INFO')
        if path == openapi.PATH and request.method == 'GET':
            return webob.Response(
                body=openapi.text(self._description, links.root.rstrip('/')),
                content_type=openapi.JSON,
            )
        return versions.document(request, links)

    @functools.cached_property
    def _description(self) -> Mapping[str, Any]:
        return openapi.document(self._operations)

    def _match(self, request: webob.Request) -> dict[str, str] | None:
        try:
            path = request.path_info
        except UnicodeDecodeError:
            return None
        if path.endswith('\n'):
            # The mapper's "$" would take it for the path without.
            return None
        found: dict[str, str] | None = self._map.match(
            path, {'REQUEST_METHOD': request.method}
        )
        return found

    def _versioned(
        self, request: webob.Request, match: dict[str, str]
    ) -> webob.Response:
        """The answer with the headers that name its version."""
        try:
            asked = microversion.requested(request.headers)
        except microversion.Malformed as error:
            return faults.response(400, f'API version {error}')
        if not microversion.is_offered(asked):
            answer = faults.response(
                406,
                f'Version {asked} is not offered; {microversion.FIRST} to '
                f'{microversion.LATEST} are.',
            )
        else:
            try:
                answer = self._answer(
                    request, match, microversion.effective(asked)
                )
            except Exception as error:
                answer = faults.of_error(error)
        answer.headers[microversion.HEADER] = (
            f'{microversion.SERVICE_TYPE} {asked}'
        )
        answer.headers[microversion.LEGACY_HEADER] = str(asked)
        answer.headers.add('Vary', microversion.HEADER)
        answer.headers.add('Vary', microversion.LEGACY_HEADER)
        return answer

    def _answer(
        self,
        request: webob.Request,
        match: dict[str, str],
        version: Microversion,
    ) -> webob.Response:
        candidates = self._ready[match.pop('key')]
        project = match.pop('project_id', '')
        ctxt = request.environ[CONTEXT]
        ctxt.store = self._app.store
        ctxt.request_id = request.environ.get(REQUEST_ID, ctxt.request_id)
        ctxt.is_admin = self._app.policy.is_admin(ctxt)
        if project and project != ctxt.project_id:
            raise Fault(
                400,
                'Malformed request URL: its project is not the one you are '
                'authenticated for.',
            )
        try:
            query = validation.read_query(request.query_string)
            body = self._body(request, candidates)
            ready, body = self._chosen(candidates, body, version)
        except exception.LivemigError as error:
            raise Fault(400, error.message) from error
        call_links = Links(request, self._app.conf, project)
        answer = self._run(
            ready, ctxt, version, match, query, body, call_links
        )
        self._observe(ready.operation, version, answer)
        return answer

    def _run(
        self,
        ready: _Ready,
        ctxt: Any,
        version: Microversion,
        path: Mapping[str, str],
        query: Mapping[str, Any],
        body: Any,
        links: Links,
    ) -> webob.Response:
        operation = ready.operation
        try:
            ready.check_body(body, version)
            call = Call(
                app=self._app,
                operation=operation,
                context=ctxt,
                version=version,
                path=path,
                query=ready.checked_query(query, version),
                body=body,
                links=links,
            )
            return _told(operation, operation.handler(call))
        except exception.LivemigError as error:
            code = operation.code_of(error)
            if code is None:
                raise
            if code >= 500:
                LOG.error(
                    '%(operation)s: %(error)s',
                    {'operation': operation.name, 'error': error.message},
                )
            return faults.response(code, error.message)

    def _body(
        self, request: webob.Request, candidates: Sequence[_Ready]
    ) -> Any:
        """The body, if any of these looks at one: always an object."""
        if not any(ready.operation.request for ready in candidates):
            return None
        if request.content_type not in validation.JSON_TYPES:
            raise Fault(
                415, f'Unsupported content type {request.content_type}.'
            )
        body = validation.read_json(request.body)
        if not isinstance(body, dict):
            raise validation.InvalidInput(
                where='the body', reason='it must be an object.'
            )
        return body

    def _chosen(
        self, candidates: Sequence[_Ready], body: Any, version: Microversion
    ) -> tuple[_Ready, Any]:
        """The one that is meant, and its part of the body.

        An action's name is looked up before its version is.
        """
        if candidates[0].operation.body_key is not None:
            if len(body) != 1:
                raise validation.InvalidInput(
                    where='the body',
                    reason='it must have exactly one key, the action.',
                )
            (name, body), *_ = body.items()
            candidates = [
                ready
                for ready in candidates
                if ready.operation.body_key == name
            ]
            if not candidates:
                raise Fault(
                    400,
                    self._elsewhere.get(
                        name, f'There is no such action: {name[:80]}'
                    ),
                )
        for ready in candidates:
            if ready.operation.speaks(version):
                return ready, body
        raise Fault(
            404, f'The resource could not be found at version {version}.'
        )


def _told(operation: Operation, result: Any) -> webob.Response:
    """The handler's answer as HTTP."""
    if not isinstance(result, action.Answer):
        result = action.Answer(result)
    answer = webob.Response(status=operation.success)
    if result.body is None:
        # No body, and so no type of it.
        answer.headers.pop('Content-Type', None)
    else:
        answer.content_type = 'application/json'
        answer.json_body = result.body
    answer.headers.update(list(result.headers.items()))
    return answer
