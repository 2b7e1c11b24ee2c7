"""Decides where programs are installed that must not meet the project's
own libraries: each in a virtual environment below the lab's cache."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.client import LabError
from lab.registry import cache_root

INSTALL_S = 900.0

#: What the tests need of each program that comes from PyPI.
PROGRAMS = {
    'keystone': ('keystone>=30,<31', 'cheroot>=11,<12'),
    'tempest': ('tempest>=47,<48',),
}

_COMPLETE = 'complete'  # a file in an environment that was made to its end


def program(name: str) -> Path:
    """The Python of one of PROGRAMS, installed if it is not there. Raises
    LabError."""
    return environment(cache_root(), name, PROGRAMS[name])


def environment(cache: Path, name: str, requirements: Sequence[str]) -> Path:
    """The Python that has these; made if it is not there. Raises LabError.

    It is known by what was asked for and by the Python below it.
    """
    words = '\n'.join((*requirements, sys.version, sys.base_prefix))
    key = hashlib.sha256(words.encode()).hexdigest()[:12]
    directory = cache / f'{name}-{key}'
    python = directory / 'bin/python'
    with open(cache / f'{name}.lock', 'w') as lock:
        # Of two labs that start together one makes it, the other waits.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / _COMPLETE).exists():
            shutil.rmtree(directory, ignore_errors=True)
            _run(name, [sys.executable, '-m', 'venv', str(directory)])
            pip = [str(python), '-m', 'pip', 'install', '--quiet']
            _run(name, [*pip, '--disable-pip-version-check', *requirements])
            (directory / _COMPLETE).touch()
    return python


def _run(name: str, argv: list[str]) -> None:
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=INSTALL_S,
        check=False,
        env={k: v for k, v in os.environ.items() if k != 'PYTHONPATH'},
    )
    if done.returncode:
        said = done.stdout.decode(errors='replace')
        raise LabError(f'{name} cannot be installed: {said[-2000:]}')
