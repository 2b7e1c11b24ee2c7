"""Disk images: made and looked at with qemu-img, as lists of words."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Sequence

#: Formats livemig makes and copies.
FORMATS = frozenset({'qcow2', 'raw'})

LOOK_S = 30.0
MAKE_S = 120.0
#: Converting an image copies all of it.
CONVERT_S = 3600.0

#: What is read of an image to tell it from others: so many samples of so
#: many bytes, and its beginning.
SAMPLES = 64
SAMPLE_BYTES = 64 * 1024
HEAD_BYTES = 2 * 1024**2


class ImageError(Exception):
    """qemu-img refused or took too long; the text is its own."""


@dataclasses.dataclass(frozen=True)
class Image:
    """What an image file is."""

    path: str
    format: str
    virtual_size_bytes: int
    allocated_bytes: int
    backing_file: str = ''
    backing_format: str = ''


def available() -> bool:
    return shutil.which('qemu-img') is not None


def look(path: str, format_: str) -> Image:
    """Read an image's facts, also while a guest uses it.

    The format is said, never guessed: a guest can write anything at the
    start of its raw disk, and so make it look like an image that is backed
    by a file of the host.

    :raises ImageError:
    """
    answer = _qemu_img(
        ['info', '--output=json', '-U', '-f', _known(format_), '--', path],
        LOOK_S,
    )
    try:
        facts = json.loads(answer)
        backing = facts.get('full-backing-filename') or facts.get(
            'backing-filename', ''
        )
        return Image(
            path=path,
            format=format_,
            virtual_size_bytes=int(facts['virtual-size']),
            allocated_bytes=int(facts.get('actual-size', 0)),
            backing_file=backing,
            backing_format=facts.get('backing-filename-format', ''),
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ImageError(
            f'qemu-img tells nothing useful about {path}: {error}'
        ) from error


def fingerprint(path: str) -> str:
    """Tells an image file from another one, by its size and samples of it.

    Reading all of it could take minutes. '' if it cannot be read here.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return ''
        with open(path, 'rb') as file:
            size_bytes = file.seek(0, os.SEEK_END)
            last = max(0, size_bytes - SAMPLE_BYTES)
            offsets = {last * i // SAMPLES for i in range(SAMPLES + 1)}
            # The beginning whole: tables, and the first file system's head.
            offsets.update(range(0, HEAD_BYTES, SAMPLE_BYTES))
            digest = hashlib.sha256(str(size_bytes).encode())
            for offset in sorted(offsets):
                file.seek(offset)
                digest.update(file.read(SAMPLE_BYTES))
    except OSError:
        return ''
    return digest.hexdigest()


def create(
    path: str,
    format_: str,
    size_bytes: int,
    backing_file: str = '',
    backing_format: str = '',
) -> None:
    """Make an empty image of exactly that virtual size.

    :raises ImageError: also if the backing file cannot be read.
    """
    words = ['create', '-q', '-f', _known(format_)]
    if backing_file:
        if format_ != 'qcow2':
            raise ImageError(f'{path}: {format_} cannot have a backing file')
        words += [
            '-F', _known(backing_format or 'raw'), '-b', _full(backing_file)
        ]  # fmt: skip
    _qemu_img([*words, '--', _full(path), str(int(size_bytes))], MAKE_S)


def convert(
    image_file: str,
    image_format: str,
    path: str,
    format_: str,
    size_bytes: int,
) -> None:
    """Copy an image and grow the copy to a virtual size.

    :raises ImageError: also if the image is larger than that.
    """
    have = look(image_file, image_format).virtual_size_bytes
    if have > size_bytes:
        raise ImageError(
            f'image {image_file} has {have} bytes, more than the '
            f'{size_bytes} bytes of the disk'
        )
    _qemu_img(
        [
            'convert', '-q', '-f', _known(image_format),
            '-O', _known(format_), '--', _full(image_file), _full(path),
        ],
        CONVERT_S,
    )  # fmt: skip
    if have < size_bytes:
        _qemu_img(
            [
                'resize', '-q', '-f', format_, '--', _full(path),
                str(int(size_bytes)),
            ],
            MAKE_S,
        )  # fmt: skip


def _known(format_: str) -> str:
    if format_ not in FORMATS:
        raise ImageError(f'image format {format_!r} is not known')
    return format_


def _full(path: str) -> str:
    """qemu-img takes "nbd:..." and the like for something else than a
    file; what begins with a slash is one."""
    if not os.path.isabs(path):
        raise ImageError(f'{path!r} is not a full path')
    return path


def _qemu_img(words: Sequence[str], limit_s: float) -> str:
    command = ['qemu-img', *words]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors='replace',
            timeout=limit_s,
            env={**os.environ, 'LC_ALL': 'C'},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ImageError(
            f'qemu-img {words[0]} did not end within {limit_s:g} s'
        ) from None
    except OSError as error:
        raise ImageError(f'qemu-img cannot be run: {error}') from error
    if done.returncode != 0:
        said = ' '.join(done.stderr.split()) or f'code {done.returncode}'
        raise ImageError(f'qemu-img {words[0]}: {said}')
    return done.stdout
