"""Disk images of the guests, and the marker that proves which one it is."""

import os
import pathlib
import re
import subprocess
import tempfile

from lab.client import LabError

MARK_OFFSET = 1 << 20
"""Where the marker stands, in bytes; the busybox guest reads it there too."""

_PREFIX = b'LIVEMIG:'
_SECTOR = 512
_MARK = re.compile(r'[A-Za-z0-9._:-]{1,64}')

PathArgument = str | os.PathLike[str]


class ImageError(LabError):
    """qemu-img refused; the text is its own."""


def check_mark(mark: str) -> str:
    """Return the marker if a guest can take it.

    :raises ValueError: unless it is 1 to 64 letters, digits, ``._:-``
    """
    if not _MARK.fullmatch(mark):
        raise ValueError(f'{mark!r} cannot be a marker')
    return mark


def make_raw(
    path: PathArgument, size_mib: int, mark: str | None = None
) -> pathlib.Path:
    """Make a sparse raw image, mode 0666 as both hosts' users write it."""
    image = pathlib.Path(path)
    with image.open('wb') as file:
        file.truncate(size_mib << 20)
        if mark is not None:
            file.seek(MARK_OFFSET)
            file.write(_PREFIX + check_mark(mark).encode() + b'\n')
    image.chmod(0o666)
    return image


def make_qcow2(
    path: PathArgument,
    size_mib: int,
    mark: str | None = None,
    *,
    backing: PathArgument | None = None,
) -> pathlib.Path:
    """Make a qcow2 image, empty, with a marker, or on top of another qcow2.

    :raises ImageError: with what qemu-img said
    :raises ValueError: for a marker together with a backing image
    """
    image = pathlib.Path(path)
    if backing is not None:
        if mark is not None:
            raise ValueError('a backing image brings its own marker')
        base = ['-b', str(pathlib.Path(backing).resolve()), '-F', 'qcow2']
        _qemu_img('create', '-f', 'qcow2', *base, str(image), f'{size_mib}M')
    elif mark is None:
        _qemu_img('create', '-f', 'qcow2', str(image), f'{size_mib}M')
    else:
        with tempfile.TemporaryDirectory(dir=image.parent) as work:
            raw = make_raw(pathlib.Path(work) / 'raw', size_mib, mark)
            formats = ['-f', 'raw', '-O', 'qcow2']
            _qemu_img('convert', *formats, str(raw), str(image))
    image.chmod(0o666)
    return image


def read_mark(path: PathArgument, image_format: str) -> str | None:
    """Read the marker of an image, also while a guest runs on it.

    :param image_format: ``raw`` or ``qcow2``; never guessed from content
    :returns: None where there is no marker
    :raises ImageError: with what qemu-img said
    """
    with tempfile.TemporaryDirectory() as work:
        made = pathlib.Path(work) / 'sector'
        _qemu_img(
            'dd',
            '-U',
            '-f',
            image_format,
            '-O',
            'raw',
            f'bs={_SECTOR}',
            f'skip={MARK_OFFSET // _SECTOR}',
            # qemu-img dd counts from the start of the file, not from skip.
            f'count={MARK_OFFSET // _SECTOR + 1}',
            f'if={os.fspath(path)}',
            f'of={made}',
        )
        sector = made.read_bytes()[:_SECTOR]
    if not sector.startswith(_PREFIX):
        return None
    return sector[len(_PREFIX) :].split(b'\n', 1)[0].decode('ascii', 'replace')


def _qemu_img(*arguments: str) -> None:
    try:
        done = subprocess.run(
            ['qemu-img', *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as missing:
        raise ImageError('qemu-img is not installed') from missing
    if done.returncode:
        raise ImageError(f'qemu-img {arguments[0]}: {done.stderr.strip()}')
