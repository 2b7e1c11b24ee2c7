"""Decides how the private Keystone is installed, configured and asked.

It comes from PyPI into a virtual environment of its own below the lab's
cache: its libraries must not get into that of the project. Made once,
about 50 s and 200 MB; a first start then takes 4 s, a later one 2 s (measured
with Keystone 30.0 on two cores).
"""

import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.client import KeeperClient, LabError
from lab.environments import program
from lab.hosts import ADDRESS
from lab.servers import Server

REGION = 'RegionOne'
DOMAIN_ID = 'default'
DOMAIN = 'Default'
ANSWER_S = 30.0

_APP = Path(__file__).resolve().with_name('keystone_app.py')

Options = Mapping[str, Mapping[str, object]]
Scope = dict[str, Any]


@dataclass(frozen=True)
class Account:
    """One who can get tokens; project: what they are for."""

    name: str
    password: str
    project: str


@dataclass(frozen=True)
class Reply:
    """What Keystone said."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Keystone(Server):
    """Keystone with fernet tokens over SQLite.

    Has the domain Default, the project admin, the administrator `admin`,
    and the roles that bootstrap makes: admin, manager, member, reader, each
    of which implies the next, and service.
    """

    fact = 'keystone'
    # As livemig's own processes: a Python below somebody's home directory
    # can be run by nobody else.
    system_user = 'root'
    purpose = 'keystone'

    def __init__(self, keeper: KeeperClient) -> None:
        self._python = program('keystone')
        self._options: dict[str, dict[str, object]] = {}
        self._ids: dict[tuple[str, str], str] = {}
        self._admin_token = ''
        super().__init__(keeper)
        self._passwords = {'admin': self.password}

    @property
    def admin(self) -> Account:
        """The one whom bootstrap makes."""
        return Account('admin', self.password, 'admin')

    @property
    def url(self) -> str:
        """OS_AUTH_URL; there is no password in it."""
        return f'http://{ADDRESS}:{self.port}/v3'

    # --- the server ---

    def configure(self, options: Options) -> None:
        """Change its options; counts from the next start on."""
        for group, values in options.items():
            self._options.setdefault(group, {}).update(values)
        (self.path / 'keystone.conf').write_text(self._text())

    def _make(self) -> None:
        for name in ('fernet', 'receipts', 'credential'):
            self._directory(name)
        self._options = {
            'DEFAULT': {'use_stderr': 'true'},
            'database': {'connection': f'sqlite:///{self.path}/keystone.db'},
            'token': {'provider': 'fernet'},
            'fernet_tokens': {'key_repository': self.path / 'fernet'},
            'fernet_receipts': {'key_repository': self.path / 'receipts'},
            'credential': {'key_repository': self.path / 'credential'},
            # It is one process: what is revoked counts at once even so.
            'cache': {'enabled': 'true', 'backend': 'dogpile.cache.memory'},
            # The cheapest there is: these passwords live for a test. bcrypt
            # would cut longer ones.
            'identity': {'password_hash_rounds': 4, 'max_password_length': 72},
        }
        self._file('keystone.conf', self._text())
        # For whoever started the lab by hand.
        self._file('clouds.yaml', json.dumps(self.clouds({'lab': self.admin})))

    def _text(self) -> str:
        lines = []
        for group, values in self._options.items():
            lines.append(f'[{group}]\n')
            lines += [f'{name} = {value}\n' for name, value in values.items()]
        return ''.join(lines)

    def _command(self) -> list[str]:
        # -P: keystone.py beside the program is not the Keystone it means.
        words = ('-P', _APP, self.port, self.url)
        return [str(self._python), *map(str, words)]

    def _environment(self) -> dict[str, str]:
        return {
            **super()._environment(),
            'OS_KEYSTONE_CONFIG_FILES': str(self.path / 'keystone.conf'),
            'OS_BOOTSTRAP_PASSWORD': self.password,
            'PYTHONDONTWRITEBYTECODE': '1',
            'PYTHONUNBUFFERED': '1',
            'PYTHONWARNINGS': 'ignore',
        }

    def _ready(self) -> bool:
        try:
            return self.request('GET', '').status == 200
        except OSError:
            return False

    # --- requests ---

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str = '',
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request below the url. Raises OSError if nobody listens."""
        request = urllib.request.Request(
            f'{self.url}{path}',
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                'Content-Type': 'application/json',
                **({'X-Auth-Token': token} if token else {}),
                **(headers or {}),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as reply:
                return _reply(reply.status, reply.read(), reply.headers)
        except urllib.error.HTTPError as error:
            with error:
                return _reply(error.code, error.read(), error.headers)

    def as_admin(self, method: str, path: str, body: Any = None) -> Any:
        """The body of the answer. Raises LabError for any refusal."""
        reply = self.request(method, path, body, self._admin_token)
        if reply.status == 401:
            self._admin_token = self.token(self.admin)
            reply = self.request(method, path, body, self._admin_token)
        if reply.status >= 300:
            raise LabError(
                f'keystone: {method} {path}: {reply.status} {reply.body}'
            )
        return reply.body

    # --- tokens ---

    def token(self, account: Account, scope: Scope | None = None) -> str:
        """A token for the account's project, or of another scope.

        scope: as in POST /v3/auth/tokens: {'system': {'all': True}},
        {'domain': {'id': 'default'}}; {} for an unscoped one. Raises
        LabError.
        """
        reply = self.log_in(account, scope)
        if reply.status != 201:
            raise LabError(
                f'keystone: {account.name}: {reply.status} {reply.body}'
            )
        return reply.headers['X-Subject-Token']

    def log_in(self, account: Account, scope: Scope | None = None) -> Reply:
        """The same; the answer as it comes."""
        user = {
            'name': account.name,
            'password': account.password,
            'domain': {'id': DOMAIN_ID},
        }
        if scope is None:
            domain = {'id': DOMAIN_ID}
            scope = {'project': {'name': account.project, 'domain': domain}}
        identity = {'methods': ['password'], 'password': {'user': user}}
        return self.request(
            'POST',
            '/auth/tokens',
            {'auth': {'identity': identity, 'scope': scope or 'unscoped'}},
        )

    def revoke(self, token: str) -> None:
        """From now on nobody is let in with it. Raises LabError."""
        own = {'X-Subject-Token': token}
        reply = self.request('DELETE', '/auth/tokens', None, token, own)
        if reply.status != 204:
            raise LabError(f'keystone: revoke: {reply.status} {reply.body}')

    # --- who and what there is; each is made unless it is there ---

    def project(self, name: str) -> str:
        """Its id."""
        return self._found_or_made('project', name, domain_id=DOMAIN_ID)

    def role(self, name: str) -> str:
        """Its id."""
        return self._found_or_made('role', name)

    def user(self, name: str, password: str) -> str:
        """Its id; it has that password afterwards."""
        user = self._found_or_made(
            'user', name, domain_id=DOMAIN_ID, password=password
        )
        # A change ends all tokens of that user, be it none, and ours too:
        # within the same second even new ones.
        if self._passwords.setdefault(name, password) != password:
            self._passwords[name] = password
            body = {'user': {'password': password}}
            self.as_admin('PATCH', f'/users/{user}', body)
        return user

    def user_id(self, name: str) -> str:
        """The id of a user who is there. Raises LabError."""
        found = self._found('user', name)
        if not found:
            raise LabError(f'keystone has no user {name}')
        return found

    def grant(self, role: str, user_id: str, project_id: str) -> None:
        """Give a user that role (its name) in a project."""
        path = f'/projects/{project_id}/users/{user_id}/roles'
        self.as_admin('PUT', f'{path}/{self.role(role)}')

    def grant_on_domain(self, role: str, user_id: str) -> None:
        """The same in the domain Default, for tokens of it."""
        path = f'/domains/{DOMAIN_ID}/users/{user_id}/roles'
        self.as_admin('PUT', f'{path}/{self.role(role)}')

    def revoke_role(self, role: str, user_id: str, project_id: str) -> None:
        """Take it back; from tokens that were issued before too."""
        path = f'/projects/{project_id}/users/{user_id}/roles'
        self.as_admin('DELETE', f'{path}/{self.role(role)}')

    def account(
        self,
        name: str,
        project: str,
        roles: tuple[str, ...],
        password: str = '',
    ) -> Account:
        """A user with these roles in that project."""
        made = Account(name, password or secrets.token_urlsafe(12), project)
        user_id = self.user(made.name, made.password)
        for role in roles:
            self.grant(role, user_id, self.project(project))
        return made

    def service(self, kind: str, name: str, url: str) -> str:
        """A service of the catalogue, at that address alone; its id."""
        service = self._found_or_made('service', name, type=kind)
        known = self.as_admin('GET', f'/endpoints?service_id={service}')
        for endpoint in known['endpoints']:
            self.as_admin('DELETE', f'/endpoints/{endpoint["id"]}')
        for interface in ('public', 'internal', 'admin'):
            self.as_admin(
                'POST',
                '/endpoints',
                {
                    'endpoint': {
                        'service_id': service,
                        'interface': interface,
                        'region_id': REGION,
                        'url': url,
                    }
                },
            )
        return service

    def _found_or_made(self, kind: str, name: str, **values: str) -> str:
        found = self._found(kind, name)
        if not found:
            body = {kind: {'name': name, **values}}
            made = self.as_admin('POST', f'/{kind}s', body)
            found = self._ids[kind, name] = str(made[kind]['id'])
        return found

    def _found(self, kind: str, name: str) -> str:
        """Its id; empty if there is none. Nobody but this object makes or
        removes anything, so what was found stays."""
        if (kind, name) not in self._ids:
            query = urllib.parse.urlencode({'name': name})
            found = self.as_admin('GET', f'/{kind}s?{query}')[f'{kind}s']
            if not found:
                return ''
            self._ids[kind, name] = str(found[0]['id'])
        return self._ids[kind, name]

    # --- for clients ---

    def environment(self, account: Account | None = None) -> dict[str, str]:
        """OS_* for OpenStack's command lines."""
        who = account or self.admin
        return {
            'OS_AUTH_TYPE': 'password',
            'OS_AUTH_URL': self.url,
            'OS_IDENTITY_API_VERSION': '3',
            'OS_INTERFACE': 'public',
            'OS_REGION_NAME': REGION,
            'OS_USERNAME': who.name,
            'OS_PASSWORD': who.password,
            'OS_PROJECT_NAME': who.project,
            'OS_USER_DOMAIN_NAME': DOMAIN,
            'OS_PROJECT_DOMAIN_NAME': DOMAIN,
        }

    def clouds(self, accounts: Mapping[str, Account]) -> dict[str, Any]:
        """What clouds.yaml says: a cloud for each of these (YAML takes the
        JSON of it)."""
        return {
            'clouds': {
                name: {
                    'auth_type': 'password',
                    'region_name': REGION,
                    'interface': 'public',
                    'identity_api_version': 3,
                    'auth': {
                        'auth_url': self.url,
                        'username': who.name,
                        'password': who.password,
                        'project_name': who.project,
                        'user_domain_name': DOMAIN,
                        'project_domain_name': DOMAIN,
                    },
                }
                for name, who in accounts.items()
            }
        }

    def authtoken(self, account: Account) -> dict[str, object]:
        """The options of [keystone_authtoken] of a service that checks
        tokens as that account."""
        return {
            'www_authenticate_uri': self.url,
            'auth_url': self.url,
            'auth_type': 'password',
            'username': account.name,
            'password': account.password,
            'project_name': account.project,
            'user_domain_id': DOMAIN_ID,
            'project_domain_id': DOMAIN_ID,
            'interface': 'internal',
            'region_name': REGION,
            'service_token_roles': 'service',
            'service_token_roles_required': 'true',
        }


def _reply(status: int, text: bytes, headers: Any) -> Reply:
    try:
        body = json.loads(text) if text else None
    except ValueError:
        body = text.decode(errors='replace')
    return Reply(status, body, dict(headers))
