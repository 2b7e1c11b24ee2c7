"""Decides how an operator's work is done: over REST, by the command line."""

import dataclasses
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any

from lab import terminal
from lab.catalogue import image_id
from lab.client import LabError, wait_until
from lab.logins import Login, User

DEADLINE_S = 60.0


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the REST service said."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Operator:
    """Who uses a livemig; an administrator unless told otherwise."""

    def __init__(self, url: str, login: Login, admin: User) -> None:
        """:param url: of the REST service, with its /v2.1"""
        self.url = url
        self.login = login
        self.admin = admin

    def rest(
        self,
        method: str,
        path: str,
        body: Any = None,
        version: str = '2.202',
        user: User | None = None,
        timeout_s: float = 60,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request. Status 0 if nobody listens.

        headers: to send instead of those that identify the user.
        """
        who = user or self.admin
        if headers is not None:
            return self._request(
                method, path, body, version, headers, timeout_s
            )
        for _ in range(2):
            answer = self._request(
                method, path, body, version, self.login.headers(who), timeout_s
            )
            # A token may have expired since.
            if answer.status != 401 or not self.login.forget(who):
                break
        return answer

    def _request(
        self,
        method: str,
        path: str,
        body: Any,
        version: str,
        headers: Mapping[str, str],
        timeout_s: float,
    ) -> Answer:
        request = urllib.request.Request(  # noqa: S310 - our own address
            f'{self.url}{path}',
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                'Content-Type': 'application/json',
                'OpenStack-API-Version': f'compute {version}',
                **headers,
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as reply:
                return _answer(reply.status, reply.read(), reply.headers)
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.read(), error.headers)
        except (urllib.error.URLError, OSError) as error:
            return Answer(0, str(error), {})

    def environment(self, user: User | None = None) -> dict[str, str]:
        """What the command line needs to log in."""
        return self.login.environment(user or self.admin)

    def cli(
        self, *words: str, user: User | None = None, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run ``livemig WORDS``."""
        return subprocess.run(
            [sys.executable, '-m', 'livemig.client.shell', *words],
            env={**os.environ, **self.environment(user)},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def cli_for(self, seconds: float, *words: str, shown: bool = False) -> str:
        """Run ``livemig WORDS``, press Ctrl-C so long after its first words,
        and return what it printed until then.

        shown: it has a terminal and prints to this process's output too.
        """
        argv = [sys.executable, '-m', 'livemig.client.shell', *words]
        env = {**os.environ, **self.environment()}
        return terminal.run_for(seconds, argv, env, shown)

    def boot(
        self,
        image: str,
        host: str,
        name: str = '',
        flavor: str = 'proof',
        user: User | None = None,
    ) -> str:
        """Make a server through the API; its uuid when it is ACTIVE."""
        answer = self.rest(
            'POST',
            '/servers',
            {
                'server': {
                    'name': name or image,
                    'imageRef': image_id(image),
                    'flavorRef': flavor,
                    'networks': 'none',
                    'host': host,
                }
            },
            version='2.100',
            user=user,
        )
        if answer.status != 202:
            raise LabError(f'{name or image}: {answer.status} {answer.body}')
        server = str(answer.body['server']['id'])
        self.wait_status(server, 'ACTIVE')
        return server

    def show(self, server: str) -> dict[str, Any]:
        """GET /servers/{id}. Raises LabError."""
        answer = self.rest('GET', f'/servers/{server}')
        if answer.status != 200:
            raise LabError(f'{server}: {answer.status} {answer.body}')
        found: dict[str, Any] = answer.body['server']
        return found

    def wait_status(
        self, server: str, status: str, timeout_s: float = DEADLINE_S
    ) -> dict[str, Any]:
        """The server, once it has that status. Raises LabError."""

        def reached() -> dict[str, Any] | None:
            found = self.show(server)
            if found['status'] == 'ERROR' != status:
                raise LabError(f'{server}: {found.get("fault")}')
            return found if found['status'] == status else None

        found: dict[str, Any] = wait_until(
            reached, f'{server} {status}', timeout_s
        )
        return found

    def migrate(
        self,
        server: str,
        host: str | None = None,
        block_migration: bool | str = 'auto',
    ) -> int:
        """Begin a live migration; its id. Raises LabError."""
        answer = self.rest(
            'POST',
            f'/servers/{server}/action',
            {
                'os-migrateLive': {
                    'host': host,
                    'block_migration': block_migration,
                }
            },
        )
        if answer.status != 202:
            raise LabError(f'{server}: {answer.status} {answer.body}')
        return int(self.migrations(server)[0]['id'])

    def migrations(self, server: str) -> list[dict[str, Any]]:
        """All migrations of a server, newest first."""
        answer = self.rest('GET', f'/os-migrations?instance_uuid={server}')
        found: list[dict[str, Any]] = answer.body['migrations']
        return found

    def migration(self, server: str, migration_id: int) -> dict[str, Any]:
        """One migration, running or ended."""
        return next(
            m for m in self.migrations(server) if m['id'] == migration_id
        )

    def wait_migration(
        self,
        server: str,
        migration_id: int,
        status: Iterable[str] = ('completed', 'cancelled', 'failed', 'error'),
        timeout_s: float = 120,
    ) -> dict[str, Any]:
        """The migration, once it has one of these. Raises LabError."""
        wanted = set(status)

        def reached() -> dict[str, Any] | None:
            found = self.migration(server, migration_id)
            return found if found['status'] in wanted else None

        found: dict[str, Any] = wait_until(
            reached, f'migration {migration_id}', timeout_s
        )
        return found

    def wait_pass(
        self, server: str, migration_id: int, timeout_s: float = 60
    ) -> None:
        """Memory flows. Raises LabError."""

        def flows() -> bool:
            answer = self.rest(
                'GET', f'/servers/{server}/migrations/{migration_id}'
            )
            return (
                answer.status == 200
                and (answer.body['migration'].get('pass_number') or 0) >= 1
            )

        wait_until(flows, f'migration {migration_id} copies', timeout_s)

    def events(self, server: str, request: str) -> dict[str, str | None]:
        """The events of one instance action: name -> result."""
        answer = self.rest(
            'GET', f'/servers/{server}/os-instance-actions/{request}'
        )
        return {
            event['event']: event['result']
            for event in answer.body['instanceAction']['events']
        }


def _answer(status: int, text: bytes, headers: Any) -> Answer:
    try:
        body = json.loads(text) if text else None
    except ValueError:
        body = text.decode(errors='replace')
    return Answer(status, body, dict(headers))
