"""Decides who a request comes from: a user of the file, or of Keystone.

There is no way around it: tests put their own middleware in its place.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Mapping
from typing import Any

import bcrypt
import webob
import webob.dec
from oslo_config import cfg
from oslo_log import log

from livemig import concurrency, context, exception
from livemig.api import keystone, router, versions
from livemig.api.faults import Fault, WsgiApp

LOG = log.getLogger(__name__)

#: What each role brings with it; Keystone does the same by itself.
IMPLIED: Mapping[str, tuple[str, ...]] = {
    'admin': ('manager', 'member', 'reader'),
    'manager': ('member', 'reader'),
    'member': ('reader',),
}

#: bcrypt looks at no more of a password than this.
MAX_PASSWORD_BYTES = 72
#: Passwords remembered at most.
CACHE_SIZE = 1024
#: Letters of a refused user's name that the log shows.
MAX_NAME_SHOWN = 64


#: A hash that bcrypt takes: its cost is 4 to 31, and the last letter of its
#: salt has two bits only. It raises ValueError of any other.
_HASH = re.compile(
    r'\$2[abxy]\$(0[4-9]|[12][0-9]|3[01])\$'
    r'[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}'
)
DEFAULT_COST = 12


def with_implied(roles: list[str]) -> list[str]:
    return sorted(
        {*roles, *(r for role in roles for r in IMPLIED.get(role, ()))}
    )


@dataclasses.dataclass(frozen=True)
class Account:
    """One line of the user file."""

    name: str
    password_hash: bytes
    project_id: str
    roles: tuple[str, ...]

    @property
    def cost(self) -> int:
        """How much work a check is: 2 to its power."""
        return int(self.password_hash.split(b'$')[2])


def _unmatched_hash(cost: int) -> bytes:
    """What no password has, and as costly to check as a real one."""
    return bcrypt.gensalt(cost) + b'.' * 31


def parse_line(line: str) -> Account:
    """``name:bcrypt-hash:project:role,role``. :raises ValueError:"""
    parts = line.split(':')
    if len(parts) != 4:
        raise ValueError('it has not four parts')
    name, password_hash, project_id, roles = (part.strip() for part in parts)
    if not name or not project_id:
        raise ValueError('name or project is missing')
    if not _HASH.fullmatch(password_hash):
        raise ValueError('its second part is no bcrypt hash')
    found = [role.strip() for role in roles.split(',') if role.strip()]
    return Account(
        name=name,
        password_hash=password_hash.encode(),
        project_id=project_id,
        roles=tuple(with_implied(found)),
    )


class Accounts:
    """The user file, read again when it changes.

    A bad line is logged and left out; the others count. A file that cannot
    be read leaves the accounts as they were. One that everybody may read or
    write is logged: hashes can be guessed at leisure.
    """

    def __init__(
        self, path: str, cache_s: float, clock: concurrency.Clock
    ) -> None:
        """:raises ConfigurationError: there is no such file."""
        self._path = path
        self._cache_s = cache_s
        self._clock = clock
        self._lock = concurrency.Lock()
        self._salt = secrets.token_bytes(32)
        #: digest -> until when, monotonic.
        self._checked: dict[bytes, float] = {}
        self._accounts: Mapping[str, Account] = {}
        self._stamp: object = None
        self._nobody = _unmatched_hash(DEFAULT_COST)
        try:
            self._read(self._read_stamp())
        except OSError as error:
            raise exception.ConfigurationError(
                option='[api] http_basic_user_file', reason=str(error)
            ) from error

    def account(self, name: str, password: str) -> Account | None:
        """The account, if that is its password."""
        self._read_if_changed()
        account = self._accounts.get(name)
        wanted = account.password_hash if account else self._nobody
        right = self._is_right(name, password.encode(), wanted)
        return account if right else None

    def _is_right(self, name: str, password: bytes, wanted: bytes) -> bool:
        """Takes as long for an unknown name as for a known one."""
        digest = hmac.digest(
            self._salt,
            b'\0'.join((name.encode(), wanted, password)),
            hashlib.sha256,
        )
        now_s = self._clock.monotonic_s()
        if self._checked.get(digest, 0.0) > now_s:
            return True
        right = concurrency.run_blocking(
            bcrypt.checkpw, password[:MAX_PASSWORD_BYTES], wanted
        )
        # bcrypt would not see what is beyond.
        if not right or len(password) > MAX_PASSWORD_BYTES:
            return False
        if self._cache_s > 0:
            self._remember(digest, now_s)
        return True

    def _remember(self, digest: bytes, now_s: float) -> None:
        with self._lock:
            if len(self._checked) >= CACHE_SIZE:
                self._checked = {
                    known: until_s
                    for known, until_s in self._checked.items()
                    if until_s > now_s
                }
            if len(self._checked) < CACHE_SIZE:
                self._checked[digest] = now_s + self._cache_s

    # -- the file -----------------------------------------------------------
    def _read_stamp(self) -> object:
        status = os.stat(self._path)
        return (status.st_mtime_ns, status.st_size, status.st_ino)

    def _read_if_changed(self) -> None:
        try:
            stamp = self._read_stamp()
            if stamp == self._stamp:
                return
            with self._lock:
                if stamp != self._stamp:
                    self._read(stamp)
        except OSError as error:
            if self._stamp is not None:
                LOG.error(
                    'The user file cannot be read; the accounts read '
                    'before stay valid: %s',
                    error,
                )
            self._stamp = None

    def _read(self, stamp: object) -> None:
        accounts = {}
        with open(self._path, encoding='utf-8', errors='replace') as file:
            self._warn_if_open(os.fstat(file.fileno()))
            for number, line in enumerate(file, 1):
                text = line.strip()
                if not text or text.startswith('#'):
                    continue
                try:
                    account = parse_line(text)
                except ValueError as error:
                    LOG.error(
                        'Line %(number)s of %(path)s is left out: %(error)s',
                        {
                            'number': number,
                            'path': self._path,
                            'error': error,
                        },
                    )
                else:
                    accounts[account.name] = account
        self._nobody = _unmatched_hash(
            max((one.cost for one in accounts.values()), default=DEFAULT_COST)
        )
        self._accounts = accounts
        self._stamp = stamp

    def _warn_if_open(self, status: os.stat_result) -> None:
        if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            LOG.warning(
                'The user file %(path)s has the mode %(mode)04o: others can '
                'read its hashes, or write it. It should be 0600 or 0640.',
                {'path': self._path, 'mode': stat.S_IMODE(status.st_mode)},
            )


def _credentials(request: webob.Request) -> tuple[str, str] | None:
    """Name and password of the header; None: there are none."""
    kind, _, text = request.headers.get('Authorization', '').partition(' ')
    if kind.lower() != 'basic':
        return None
    try:
        decoded = base64.b64decode(text.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    name, colon, password = decoded.partition(':')
    if not colon or '\0' in decoded:
        return None
    return name, password


class BasicAuth:
    """Lets nobody through but those of the user file."""

    def __init__(self, application: WsgiApp, accounts: Accounts) -> None:
        self._application = application
        self._accounts = accounts

    @webob.dec.wsgify
    def __call__(self, request: webob.Request) -> Any:
        if versions.is_public(request.environ):
            return self._application
        credentials = _credentials(request)
        account = credentials and self._accounts.account(*credentials)
        if not account:
            if credentials:
                # For whoever watches for guessing. Not the password; and
                # of a name only what cannot break the line.
                LOG.warning(
                    'Refused: %(name)s from %(address)s: no such user, or '
                    'another password.',
                    {
                        'name': ascii(credentials[0][:MAX_NAME_SHOWN]),
                        'address': request.remote_addr,
                    },
                )
            raise Fault(
                401,
                'The request you have made requires authentication.',
                {'WWW-Authenticate': 'Basic realm="livemig", charset="UTF-8"'},
            )
        request.environ[router.CONTEXT] = context.RequestContext(
            user_id=account.name,
            project_id=account.project_id,
            roles=list(account.roles),
            global_request_id=request.environ.get(
                'openstack.global_request_id'
            ),
        )
        return self._application


def configured(
    conf: cfg.ConfigOpts, clock: concurrency.Clock, application: WsgiApp
) -> WsgiApp:
    """The application behind what ``auth_strategy`` says.

    :raises ConfigurationError: there is no such way, or it is not configured.
    """
    strategy = conf.api.auth_strategy
    if strategy == 'http_basic':
        accounts = Accounts(
            conf.api.http_basic_user_file, conf.api.auth_cache_seconds, clock
        )
        return BasicAuth(application, accounts)
    if strategy == 'keystone':
        return keystone.checked(conf, application)
    raise exception.ConfigurationError(
        option='[api] auth_strategy',
        reason=f'{strategy!r} identifies nobody',
    )
