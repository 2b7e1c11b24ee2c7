"""Decides how the users of a cloud log in: livemig's own file, or Keystone."""

import base64
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import bcrypt

from lab.keystone import Account, Keystone

Options = Mapping[str, Mapping[str, object]]

#: As whom livemig checks tokens.
SERVICE = ('livemig', 'service', ('service',))
ADMIN = 'admin'


@dataclass(frozen=True)
class User:
    """One who may log in; project is a name, with Keystone."""

    name: str
    password: str
    project: str
    roles: tuple[str, ...]


class Login(Protocol):
    """One way to log in."""

    def options(self) -> Options:
        """What livemig's option files say of it."""

    def add(self, name: str, project: str, roles: Iterable[str]) -> User:
        """A new user."""

    def headers(self, user: User) -> dict[str, str]:
        """What a request of that user bears."""

    def forget(self, user: User) -> bool:
        """The headers were refused: whether new ones may help."""

    def environment(self, user: User) -> dict[str, str]:
        """What command lines need to log in."""

    def clouds(self, users: Iterable[User]) -> dict[str, Any]:
        """clouds.yaml, with a cloud for each user, of that name."""


class FileLogin:
    """HTTP basic authentication against a file."""

    def __init__(self, file: Path, url: str) -> None:
        self._file = file
        self._url = url
        file.touch(mode=0o600)

    def options(self) -> Options:
        return {'api': {'http_basic_user_file': self._file}}

    def add(self, name: str, project: str, roles: Iterable[str]) -> User:
        user = User(name, secrets.token_urlsafe(12), project, tuple(roles))
        hashed = bcrypt.hashpw(user.password.encode(), bcrypt.gensalt(6))
        words = (name, hashed.decode(), project, ','.join(user.roles))
        with self._file.open('a') as file:
            file.write(':'.join(words) + '\n')
        return user

    def headers(self, user: User) -> dict[str, str]:
        words = base64.b64encode(f'{user.name}:{user.password}'.encode())
        return {'Authorization': f'Basic {words.decode()}'}

    def forget(self, user: User) -> bool:
        return False

    def environment(self, user: User) -> dict[str, str]:
        return {
            'OS_AUTH_TYPE': 'http_basic',
            'OS_ENDPOINT': self._url,
            'OS_USERNAME': user.name,
            'OS_PASSWORD': user.password,
        }

    def clouds(self, users: Iterable[User]) -> dict[str, Any]:
        return {
            'clouds': {
                user.name: {
                    'auth_type': 'http_basic',
                    'auth': {
                        'endpoint': self._url,
                        'username': user.name,
                        'password': user.password,
                    },
                }
                for user in users
            }
        }


class KeystoneLogin:
    """Tokens of the lab's Keystone, whose catalogue has this cloud alone."""

    def __init__(
        self, keystone: Keystone, services: Mapping[str, str]
    ) -> None:
        """:param services: type -> address, for the catalogue."""
        self._keystone = keystone
        self._tokens: dict[User, str] = {}
        self._service = keystone.account(*SERVICE)
        for kind, url in services.items():
            keystone.service(kind, f'livemig-{kind}', url)

    def options(self) -> Options:
        return {
            'api': {'auth_strategy': 'keystone'},
            'keystone_authtoken': self._keystone.authtoken(self._service),
        }

    def add(self, name: str, project: str, roles: Iterable[str]) -> User:
        # There is one already, who must stay able to make others.
        password = self._keystone.admin.password if name == ADMIN else ''
        made = self._keystone.account(name, project, tuple(roles), password)
        return User(name, made.password, project, tuple(roles))

    def headers(self, user: User) -> dict[str, str]:
        if user not in self._tokens:
            self._tokens[user] = self._keystone.token(account(user))
        return {'X-Auth-Token': self._tokens[user]}

    def forget(self, user: User) -> bool:
        return self._tokens.pop(user, None) is not None

    def environment(self, user: User) -> dict[str, str]:
        return self._keystone.environment(account(user))

    def clouds(self, users: Iterable[User]) -> dict[str, Any]:
        return self._keystone.clouds({u.name: account(u) for u in users})


def account(user: User) -> Account:
    """The same for Keystone."""
    return Account(user.name, user.password, user.project)
