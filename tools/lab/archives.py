"""Decides how the content of a package is had without installing it."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lab.client import LabError


class ArchiveError(LabError):
    """A package cannot be had; the text says why."""


@contextlib.contextmanager
def unpacked(
    cache: Path, packages: Callable[[], Sequence[str]]
) -> Iterator[Path]:
    """Download packages and unpack them into a directory, for a while.

    :param packages: names them; asked again if APT's lists had to be updated
        because they are missing or old
    :raises ArchiveError: also from ``packages``
    """
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        try:
            _fetch(packages(), temporary)
        except ArchiveError:
            _update()
            _fetch(packages(), temporary)
        tree = Path(temporary, 'tree')
        tree.mkdir()
        for archive in sorted(Path(temporary).glob('*.deb')):
            _run(['dpkg-deb', '-x', archive.name, 'tree'], temporary)
            archive.unlink()
        yield tree


def _fetch(packages: Sequence[str], directory: str) -> None:
    # APT's sandbox user could not write here; what is downloaded is
    # checked against the signed lists all the same.
    argv = ['apt-get', '--quiet', '-o', 'APT::Sandbox::User=root']
    _run([*argv, 'download', *packages], directory)


def _update() -> None:
    argv = ['apt-get', '--quiet', 'update']
    if os.geteuid() != 0:
        argv = ['sudo', '-n', *argv]
    try:
        _run(argv, '/')
    except ArchiveError as error:
        raise ArchiveError(
            f'{error}; as root run "apt-get update", then try again'
        ) from None


def _run(argv: list[str], directory: str) -> None:
    try:
        subprocess.run(argv, cwd=directory, check=True, capture_output=True)
    except FileNotFoundError:
        raise ArchiveError(f'there is no {argv[0]} here') from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors='replace').strip()
        raise ArchiveError(f'{" ".join(argv)}: {said}') from None
