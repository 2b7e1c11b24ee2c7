"""The file of users for HTTP basic authentication: one line a user.

``name:bcrypt hash:project:role,role``. It is always replaced as a whole,
by renaming: whoever reads it meanwhile sees the old or the new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import bcrypt

#: bcrypt looks at no more, and newer versions refuse it.
MAX_PASSWORD_BYTES = 72


def _check_word(what: str, word: str, forbidden: str) -> None:
    if (
        not word
        or word != word.strip()
        or any(c in forbidden or not c.isprintable() for c in word)
        or word.startswith('#')
    ):
        raise ValueError(
            f'{what} {word!r} must not be empty, begin with # or contain '
            f'spaces at its ends, control characters or any of {forbidden}'
        )


def line_for(
    name: str, password: str, project: str, roles: Sequence[str]
) -> str:
    """
    :raises ValueError: something cannot stand in the file.
    """
    _check_word('name', name, ':')
    _check_word('project', project, ':')
    for role in roles:
        _check_word('role', role, ':,')
    secret = password.encode()
    if not secret or len(secret) > MAX_PASSWORD_BYTES or b'\0' in secret:
        raise ValueError(
            f'the password must have 1 to {MAX_PASSWORD_BYTES} bytes, none '
            'of them zero'
        )
    hashed = bcrypt.hashpw(secret, bcrypt.gensalt()).decode('ascii')
    return f'{name}:{hashed}:{project}:{",".join(roles)}'


def put(
    path: str,
    name: str,
    password: str,
    project: str,
    roles: Sequence[str],
) -> None:
    """Add the user's line, or replace it; other lines stay as they are.

    The file keeps its owner (a new one gets its directory's) and is
    readable for nobody else.

    :raises ValueError: see ``line_for``.
    :raises OSError: the file cannot be written.
    """
    line = line_for(name, password, project, roles)
    real = Path(path).resolve()
    with _only_one(real.parent):
        try:
            lines = real.read_text('utf-8').splitlines()
            owner = real.stat()
        except FileNotFoundError:
            lines = []
            owner = real.parent.stat()
        kept = [one for one in lines if one.partition(':')[0] != name]
        at = next(
            (n for n, one in enumerate(lines) if one not in kept), len(kept)
        )
        kept.insert(at, line)
        _replace(real, '\n'.join(kept) + '\n', owner)


@contextlib.contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Two commands at once must not lose each other's user."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
        os.fsync(fd)
    finally:
        os.close(fd)


def _replace(path: Path, text: str, owner: os.stat_result) -> None:
    # mkstemp makes it 0600 from the beginning.
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
    try:
        with os.fdopen(fd, 'w', encoding='utf-8') as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            if os.geteuid() == 0:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
