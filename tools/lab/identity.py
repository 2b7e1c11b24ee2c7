"""Decides as whom the lab's processes run, and whether post-copy works."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_CAPABILITY = ('--inh-caps', '+sys_ptrace', '--ambient-caps', '+sys_ptrace')
# QEMU 7.2 calls userfaultfd(2) without UFFD_USER_MODE_ONLY for post-copy;
# that needs CAP_SYS_PTRACE or vm.unprivileged_userfaultfd=1. 323 is its
# number on x86-64.
_PROBE = (
    'import ctypes; '
    'print(ctypes.CDLL(None).syscall(323, 0o2000000) >= 0, end="")'
)
_PROBE_TIMEOUT_S = 10


@dataclass(frozen=True)
class User:
    """A user as the kernel needs it."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    def for_keeper(self) -> list[object] | None:
        """What the keeper's spawn request takes; None: no change."""
        if os.geteuid() == self.uid:
            return None
        return [self.uid, self.gid, list(self.groups)]


@dataclass(frozen=True)
class Hypervisor:
    """As whom libvirtd and QEMU run, and what follows from it.

    prefix goes before their commands; reason says, for an operator, why
    post_copy is as it is.
    """

    user: User
    prefix: tuple[str, ...]
    post_copy: bool
    reason: str


def user(name_or_uid: str | int) -> User:
    """Look a user up. Raises KeyError."""
    if isinstance(name_or_uid, int):
        entry = pwd.getpwuid(name_or_uid)
    else:
        entry = pwd.getpwnam(name_or_uid)
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return User(
        entry.pw_name,
        entry.pw_uid,
        entry.pw_gid,
        tuple(groups),
        entry.pw_dir,
    )


def hypervisor() -> Hypervisor:
    """Find the least privilege with which post-copy works here.

    libvirt has no session mode as root, so root becomes the user who
    called sudo, else nobody.
    """
    who = _unprivileged()
    works, reason = False, ''
    ways = _prefixes(who)
    found: tuple[str, ...] | None = None
    for prefix, described in ways:
        answer = _probe(prefix)
        if answer is None:
            continue
        if found is None or answer:
            found, works = prefix, answer
            reason = described
        if works:
            break
    if not works:
        reason = (
            'userfaultfd is refused: it needs root, or sudo without a '
            'password, or "sysctl vm.unprivileged_userfaultfd=1"'
        )
    if found is None:  # not even asked: no Python that this user reaches
        found = ways[0][0]
    return Hypervisor(who, found, works, reason)


def _unprivileged() -> User:
    if os.geteuid() != 0:
        return user(os.geteuid())
    caller = os.environ.get('SUDO_UID', '')
    if caller.isdigit() and int(caller) != 0:
        try:
            return user(int(caller))
        except KeyError:
            pass
    return user('nobody')


def _prefixes(who: User) -> list[tuple[tuple[str, ...], str]]:
    """Ways to run a command as that user, least privilege first."""
    setpriv = shutil.which('setpriv')
    plain: tuple[str, ...] = ()
    root: tuple[str, ...] | None = ()
    if os.geteuid() == who.uid:
        sudo = shutil.which('sudo')
        root = (sudo, '-n') if sudo else None
    else:
        plain = (setpriv or 'setpriv',)
    change = (
        *('--reuid', str(who.uid), '--regid', str(who.gid)),
        *('--groups', ','.join(map(str, who.groups))),
    )
    ways = [((*plain, *change) if plain else (), 'userfaultfd is open to all')]
    if root is not None and setpriv:
        ways.append(
            (
                (*root, setpriv, *change, *_CAPABILITY),
                'libvirtd and QEMU hold CAP_SYS_PTRACE',
            )
        )
    return ways


def _probe(prefix: Sequence[str]) -> bool | None:
    """Whether userfaultfd works with this prefix; None: nothing works.

    Root's own Python may lie where the other user cannot reach it. Asked in
    a session without a terminal, as the keeper's processes are: there sudo
    does not remember a password that was typed at ours.
    """
    for python in dict.fromkeys((sys.executable, '/usr/bin/python3')):
        try:
            result = subprocess.run(
                [*prefix, python, '-I', '-S', '-c', _PROBE],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                cwd='/',
                start_new_session=True,
                timeout=_PROBE_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if result.returncode == 0 and result.stdout in ('True', 'False'):
            return result.stdout == 'True'
    return None
