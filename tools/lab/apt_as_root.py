"""Guards an installation: one at a time, and no service is started.

Stands alone (it runs under sudo): python3 -I apt_as_root.py PACKAGE...
"""

import collections
import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

LOCK = Path('/run/livemig-lab-install.lock')
POLICY = Path('/usr/sbin/policy-rc.d')
POLICY_MARK = "# written by livemig's lab, removed after the installation"
_NAME = re.compile(r'[a-z0-9][a-z0-9.+-]+')
LAST_LINES = 30
_TELLING = re.compile('Need to get|After this operation|Waiting for|W:')
_APT = (
    'apt-get',
    '--quiet',
    '--yes',
    # Somebody may need what would have to go: MySQL for MariaDB, say.
    '--no-remove',
    '-o',
    'DPkg::Lock::Timeout=600',
    '-o',
    'Dpkg::Options::=--force-confdef',
    '-o',
    'Dpkg::Options::=--force-confold',
)


@contextlib.contextmanager
def alone(lock_path: Path = LOCK) -> Iterator[None]:
    """Hold the machine-wide lock of the lab's installations.

    /run is writable by root only, so nobody else can hold or plant it.
    """
    with lock_path.open('a') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def services_stay_down(policy: Path = POLICY) -> Iterator[None]:
    """Keep maintainer scripts from starting services (invoke-rc.d(8)).

    An administrator's own policy is left as it is. One that carries our
    mark was left by a run that was killed: the lock is ours, so it is
    taken over and removed.
    """
    try:
        ours = POLICY_MARK in policy.read_text(errors='replace')
    except FileNotFoundError:
        ours = True
    if ours:
        policy.write_text(f'#!/bin/sh\n{POLICY_MARK}\nexit 101\n')
        policy.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            policy.unlink(missing_ok=True)


def _apt(*arguments: str) -> tuple[int, str]:
    """Its exit code and the last lines it printed.

    Of its hundreds of lines those are shown that tell a person something.
    """
    environment = {
        **os.environ,
        'DEBIAN_FRONTEND': 'noninteractive',
        'NEEDRESTART_SUSPEND': '1',  # Ubuntu: restart nobody's services
    }
    said: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
    with subprocess.Popen(
        [*_APT, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if _TELLING.match(line):
                print(f'  {line}', end='', flush=True)
    return process.returncode, ''.join(said)


def main(names: Sequence[str]) -> int:
    """Run apt-get as root; returns its exit code."""
    if not names or not all(_NAME.fullmatch(name) for name in names):
        print('not package names:', *names, file=sys.stderr)
        return 2
    # A signal must not leave the policy file behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    with alone(), services_stay_down():
        arguments = ('install', '--no-install-recommends', *names)
        code, said = _apt(*arguments)
        if code:  # the lists may be missing or old
            _apt('update')
            code, said = _apt(*arguments)
        if code:
            print(said, end='', flush=True)
        return code


if __name__ == '__main__':
    if os.geteuid() != 0:
        sys.exit('not root; use: python3 -m lab install')
    sys.exit(main(sys.argv[1:]))
