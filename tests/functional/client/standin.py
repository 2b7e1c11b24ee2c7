"""A stand-in for the service: the wire format, none of the behaviour.

It keeps rows that the tests write, and answers as the real service does:
versions, faults, which statuses which listing shows. Nothing migrates here.
"""

import base64
import json
import re
import urllib.parse
import uuid
from collections.abc import Callable, Iterable
from typing import Any

IN_PROGRESS = {'queued', 'preparing', 'running', 'post-migrating'}
EXTRAS = ('reason', 'completed_by', 'downtime_ms', 'throughput_bytes_per_s')
COUNTERS = tuple(
    f'{what}_{which}_bytes'
    for what in ('memory', 'disk')
    for which in ('total', 'processed', 'remaining')
)
FAULTS = {
    400: 'badRequest',
    401: 'unauthorized',
    403: 'forbidden',
    404: 'itemNotFound',
    409: 'conflictingRequest',
    503: 'serviceUnavailable',
}


#: The id of the image img.
IMAGE = str(uuid.UUID(int=11))


class Fault(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class StandIn:
    """A WSGI application, and the rows it shows."""

    def __init__(self) -> None:
        self.lowest, self.highest = '2.1', '2.202'
        self.credentials: str | None = None
        #: what was given to Keystone
        self.passwords: list[str] = []
        self.servers: dict[str, dict[str, Any]] = {}
        self.migrations: dict[int, dict[str, Any]] = {}
        self.actions: dict[str, list[dict[str, Any]]] = {}
        #: (method, path, query, microversion, body) of each API request
        self.requests: list[tuple[str, str, dict[str, str], str, Any]] = []
        #: (method, pattern of the path, status, message)
        self.refusals: list[tuple[str, str, int, str]] = []
        #: what to do when an action or a DELETE of a migration is accepted
        self.on: dict[str, Callable[..., None]] = {}
        self.raw: tuple[int, str, bytes] | None = None
        self.page_size = 1000
        #: (id, name) of each image; None: there is no image service.
        self.images: list[tuple[str, str]] | None = [
            (IMAGE, 'img'),
            (str(uuid.UUID(int=12)), 'twin'),
            (str(uuid.UUID(int=13)), 'twin'),
        ]
        self.all_projects_allowed = True
        self.services: list[dict[str, Any]] = [
            {
                'id': str(uuid.UUID(int=number)),
                'binary': f'nova-{what}',
                'host': host,
                'status': 'enabled',
                'state': 'up',
                'updated_at': '2026-01-01T00:00:00.000000',
                'disabled_reason': None,
            }
            for number, (what, host) in enumerate(
                [
                    ('compute', 'host1'),
                    ('conductor', 'host1'),
                    ('compute', 'host2'),
                ]
            )
        ]

    # -- rows ---------------------------------------------------------------
    def server(self, name: str, **fields: Any) -> str:
        """Add an active server; returns its uuid."""
        server_id = str(uuid.uuid4())
        self.servers[server_id] = {
            'id': server_id,
            'name': name,
            'status': 'ACTIVE',
            'OS-EXT-STS:task_state': None,
            'OS-EXT-STS:vm_state': 'active',
            'OS-EXT-SRV-ATTR:host': 'host1',
        } | fields
        return server_id

    def migration(self, server_id: str, status: str, **fields: Any) -> int:
        """Add a live migration of a server; returns its id."""
        number = len(self.migrations) + 1
        self.migrations[number] = (
            {
                'id': number,
                'uuid': str(uuid.UUID(int=number)),
                'instance_uuid': server_id,
                'migration_type': 'live-migration',
                'status': status,
                'source_compute': 'host1',
                'dest_compute': 'host2',
                'created_at': '2026-01-01T00:00:00.000000',
                'updated_at': None,
            }
            | dict.fromkeys(COUNTERS + EXTRAS)
            | fields
        )
        return number

    def refuse(
        self, method: str, pattern: str, status: int, message: str
    ) -> None:
        self.refusals.append((method, pattern, status, message))

    def asked(self, method: str) -> list[tuple[str, Any]]:
        """(path, body) of the requests with that method."""
        return [(r[1], r[4]) for r in self.requests if r[0] == method]

    # -- WSGI ---------------------------------------------------------------
    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        method, path = environ['REQUEST_METHOD'], environ['PATH_INFO']
        query = dict(urllib.parse.parse_qsl(environ.get('QUERY_STRING', '')))
        length = int(environ.get('CONTENT_LENGTH') or 0)
        text = environ['wsgi.input'].read(length) if length else b''
        body = json.loads(text) if text else None
        headers = [('X-OpenStack-Request-Id', 'req-1')]
        if self.raw is not None:
            status, kind, content = self.raw
        else:
            kind = 'application/json'
            try:
                status, answer = self._answer(
                    environ, method, path, query, body
                )
            except Fault as fault:
                status = fault.status
                name = FAULTS.get(status, 'computeFault')
                if path.startswith('/identity'):
                    name = 'error'
                answer = {name: {'code': status, 'message': str(fault)}}
            content = b'' if answer is None else json.dumps(answer).encode()
            if status == 201:
                headers.append(('X-Subject-Token', 'a-token'))
        headers += [
            ('Content-Type', kind),
            ('Content-Length', str(len(content))),
        ]
        start_response(f'{status} Told', headers)
        return [content]

    def _answer(
        self,
        environ: dict[str, Any],
        method: str,
        path: str,
        query: dict[str, str],
        body: Any,
    ) -> tuple[int, Any]:
        base = f'http://{environ["HTTP_HOST"]}'
        self._refuse(method, path)
        if path.startswith('/image/v2/images') and self.images is not None:
            self._authenticate(environ)
            self.requests.append((method, path, query, '', body))
            return self._list_images(query)
        if path.startswith('/identity/v3'):
            if method == 'POST':
                user = body['auth']['identity']['password']['user']
                self.passwords.append(user['password'])
            return self._identity(base, method)
        if path == '/':
            return 200, {'versions': [self._version(base)]}
        if path in ('/v2.1', '/v2.1/'):
            return 200, {'version': self._version(base)}
        wanted = environ.get('HTTP_OPENSTACK_API_VERSION', 'compute 2.1')
        version = wanted.removeprefix('compute ')
        self.requests.append((method, path, query, version, body))
        self._authenticate(environ)
        if not _at(self.lowest) <= _at(version) <= _at(self.highest):
            raise Fault(406, f'Version {version} is not supported.')
        for verb, pattern, handler in _ROUTES:
            match = re.fullmatch('/v2.1' + pattern, path)
            if match and verb == method:
                return handler(
                    self, *match.groups(), query=query, body=body, at=version
                )
        raise Fault(404, 'The resource could not be found.')

    def _refuse(self, method: str, path: str) -> None:
        for verb, pattern, status, message in self.refusals:
            if verb == method and re.search(pattern, path):
                raise Fault(status, message)

    def _authenticate(self, environ: dict[str, Any]) -> None:
        if self.credentials is None:
            return
        kind, _, told = environ.get('HTTP_AUTHORIZATION', '').partition(' ')
        if environ.get('HTTP_X_AUTH_TOKEN') == self.credentials:
            return
        if kind != 'Basic' or (
            base64.b64decode(told).decode() != self.credentials
        ):
            raise Fault(401, 'The request you have made needs a user.')

    def _version(self, base: str) -> dict[str, Any]:
        return {
            'id': 'v2.1',
            'status': 'CURRENT',
            'version': self.highest,
            'min_version': self.lowest,
            'links': [{'rel': 'self', 'href': f'{base}/v2.1/'}],
        }

    def _identity(self, base: str, method: str) -> tuple[int, Any]:
        if method == 'GET':
            link = {'rel': 'self', 'href': f'{base}/identity/v3/'}
            return 200, {
                'version': {
                    'id': 'v3.14',
                    'status': 'stable',
                    'links': [link],
                }
            }
        endpoint = {
            'interface': 'public',
            'region': 'one',
            'region_id': 'one',
            'id': 'e',
            'url': f'{base}/v2.1',
        }
        catalog = [
            {
                'type': 'compute',
                'name': 'livemig',
                'id': 's',
                'endpoints': [endpoint],
            }
        ]
        return 201, {
            'token': {
                'methods': ['password'],
                'expires_at': '2099-01-01T00:00:00.000000Z',
                'issued_at': '2026-01-01T00:00:00.000000Z',
                'user': {'id': 'u', 'name': 'u', 'domain': {'id': 'd'}},
                'project': {'id': 'p', 'name': 'p', 'domain': {'id': 'd'}},
                'roles': [{'id': 'r', 'name': 'admin'}],
                'catalog': catalog,
            }
        }

    # -- the API ------------------------------------------------------------
    def _server(self, server_id: str) -> dict[str, Any]:
        if server_id not in self.servers:
            raise Fault(404, f'Instance {server_id} could not be found.')
        return self.servers[server_id]

    def _page(
        self, key: str, rows: list[dict[str, Any]], query: dict[str, str]
    ) -> tuple[int, Any]:
        names = [row.get('uuid', row['id']) for row in rows]
        if 'marker' in query:
            rows = rows[names.index(query['marker']) + 1 :]
        limit = min(int(query.get('limit', self.page_size)), self.page_size)
        answer: dict[str, Any] = {key: rows[:limit]}
        if len(rows) >= limit:
            answer[f'{key}_links'] = [{'rel': 'next', 'href': 'unused'}]
        return 200, answer

    def list_servers(self, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        if 'all_tenants' in query and not self.all_projects_allowed:
            raise Fault(403, "Policy doesn't allow all_tenants.")
        rows = [
            row
            for row in self.servers.values()
            if re.search(query.get('name', ''), row['name'])
            and query.get('host', row['OS-EXT-SRV-ATTR:host'])
            == row['OS-EXT-SRV-ATTR:host']
        ]
        return self._page('servers', rows, query)

    def show_server(self, server_id: str, **_: Any) -> tuple[int, Any]:
        return 200, {'server': self._server(server_id)}

    def create_server(self, body: Any, **_: Any) -> tuple[int, Any]:
        wanted = body['server']
        server_id = self.server(wanted['name'], status='BUILD')
        self._then('create', server_id)
        return 202, {'server': {'id': server_id}}

    def delete_server(self, server_id: str, **_: Any) -> tuple[int, Any]:
        self._server(server_id)
        self._then('delete', server_id)
        return 204, None

    def act(self, server_id: str, body: Any, at: str, **_: Any) -> Any:
        (name,) = body
        if name == 'live-migrate-force-end' and _at(at) < (2, 201):
            raise Fault(400, f'There is no such action: {name}')
        self._server(server_id)
        self._then(name, server_id)
        return 202, None

    def list_server_migrations(
        self, server_id: str, at: str, **_: Any
    ) -> tuple[int, Any]:
        self._server(server_id)
        rows = [
            _of_server(row, at)
            for row in self.migrations.values()
            if row['instance_uuid'] == server_id and _shown(row, at)
        ]
        return 200, {'migrations': rows}

    def _migration(self, server_id: str, number: str) -> dict[str, Any]:
        self._server(server_id)
        row = self.migrations.get(int(number))
        if row is None or row['instance_uuid'] != server_id:
            raise Fault(404, f'Migration {number} could not be found.')
        return row

    def show_migration(
        self, server_id: str, number: str, at: str, **_: Any
    ) -> tuple[int, Any]:
        row = self._migration(server_id, number)
        if not _shown(row, at):
            raise Fault(404, f'Migration {number} is not in progress.')
        return 200, {'migration': _of_server(row, at)}

    def abort(self, server_id: str, number: str, **_: Any) -> Any:
        row = self._migration(server_id, number)
        if row['status'] not in IN_PROGRESS:
            raise Fault(400, f'Migration {number} cannot be aborted.')
        self._then('abort', int(number))
        return 202, None

    def force(self, server_id: str, number: str, body: Any, **_: Any) -> Any:
        assert body == {'force_complete': None}
        try:
            status = self._migration(server_id, number)['status']
        except Fault as fault:
            raise Fault(400, str(fault)) from fault
        if status != 'running':
            raise Fault(400, f'Migration {number} is {status}.')
        self._then('force_complete', int(number))
        return 202, None

    def list_migrations(
        self, query: dict[str, str], at: str, **_: Any
    ) -> tuple[int, Any]:
        rows = [
            _of_all(row, at)
            for row in reversed(self.migrations.values())
            if all(
                query.get(name, row[name]) == row[name]
                for name in ('instance_uuid', 'status', 'migration_type')
            )
            and query.get('host', 'host1')
            in (row['source_compute'], row['dest_compute'])
        ]
        self._then('listed', query)
        return self._page('migrations', rows, query)

    def list_actions(self, server_id: str, **_: Any) -> tuple[int, Any]:
        rows = [
            {key: row[key] for key in row if key != 'events'}
            for row in self.actions.get(server_id, [])
        ]
        return 200, {'instanceActions': rows}

    def show_action(
        self, server_id: str, request_id: str, **_: Any
    ) -> tuple[int, Any]:
        for row in self.actions.get(server_id, []):
            if row['request_id'] == request_id:
                return 200, {'instanceAction': row}
        raise Fault(404, f'Action {request_id} could not be found.')

    def list_flavors(self, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        rows = [
            {'id': '1', 'name': 'tiny', 'ram': 64, 'disk': 0, 'vcpus': 1},
            {'id': '2', 'name': 'twin', 'ram': 64, 'disk': 0, 'vcpus': 1},
            {'id': '3', 'name': 'twin', 'ram': 64, 'disk': 0, 'vcpus': 1},
        ]
        return self._page('flavors', rows, query)

    def _list_images(self, query: dict[str, str]) -> tuple[int, Any]:
        rows = [
            {'id': id_, 'name': name, 'status': 'active'}
            for id_, name in self.images or ()
            if query.get('name', name) == name
        ]
        start = 0
        if 'marker' in query:
            ids = [row['id'] for row in rows]
            start = ids.index(query['marker']) + 1
        end = start + self.page_size
        page: dict[str, Any] = {'images': rows[start:end]}
        if end < len(rows):
            page['next'] = f'/v2/images?marker={rows[end - 1]["id"]}'
        return 200, page

    def list_services(
        self, query: dict[str, str], **_: Any
    ) -> tuple[int, Any]:
        rows = [
            row
            for row in self.services
            if all(query.get(name, row[name]) == row[name] for name in row)
        ]
        return 200, {'services': rows}

    def update_service(
        self, service_id: str, body: Any, **_: Any
    ) -> tuple[int, Any]:
        (row,) = (row for row in self.services if row['id'] == service_id)
        row.update(body)
        return 200, {'service': row}

    def _then(self, what: str, *given: Any) -> None:
        if what in self.on:
            self.on[what](*given)


def _at(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split('.'))


def _shown(row: dict[str, Any], at: str) -> bool:
    also = {'running (post-copy)'} if _at(at) >= (2, 202) else set()
    return row['status'] in IN_PROGRESS | also


def _of_server(row: dict[str, Any], at: str) -> dict[str, Any]:
    hidden = {'instance_uuid', 'migration_type'} | _too_new(at)
    told = {key: value for key, value in row.items() if key not in hidden}
    return told | {'server_uuid': row['instance_uuid']}


def _of_all(row: dict[str, Any], at: str) -> dict[str, Any]:
    hidden = set(COUNTERS) | _too_new(at)
    return {key: value for key, value in row.items() if key not in hidden}


def _too_new(at: str) -> set[str]:
    hidden = set() if _at(at) >= (2, 202) else set(EXTRAS)
    return hidden if _at(at) >= (2, 59) else hidden | {'uuid'}


_S, _M = '/servers/([^/]+)', '/servers/([^/]+)/migrations/([0-9]+)'
_ROUTES: list[tuple[str, str, Callable[..., tuple[int, Any]]]] = [
    ('GET', '/servers', StandIn.list_servers),
    ('GET', '/servers/detail', StandIn.list_servers),
    ('POST', '/servers', StandIn.create_server),
    ('GET', _S, StandIn.show_server),
    ('DELETE', _S, StandIn.delete_server),
    ('POST', f'{_S}/action', StandIn.act),
    ('GET', f'{_S}/migrations', StandIn.list_server_migrations),
    ('GET', _M, StandIn.show_migration),
    ('DELETE', _M, StandIn.abort),
    ('POST', f'{_M}/action', StandIn.force),
    ('GET', f'{_S}/os-instance-actions', StandIn.list_actions),
    ('GET', f'{_S}/os-instance-actions/([^/]+)', StandIn.show_action),
    ('GET', '/os-migrations', StandIn.list_migrations),
    ('GET', '/flavors', StandIn.list_flavors),
    ('GET', '/flavors/detail', StandIn.list_flavors),
    ('GET', '/os-services', StandIn.list_services),
    ('PUT', '/os-services/([^/]+)', StandIn.update_service),
]
