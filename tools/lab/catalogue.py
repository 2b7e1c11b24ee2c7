"""Decides which guests the lab has: their sizes and their images."""

import uuid
from pathlib import Path
from typing import Any

from lab import kernel as kernels
from lab.guests import busybox, images, proof
from lab.registry import cache_root

MIB = 1024**2
#: A namespace of our own, so that an image has the same id in every cloud.
_IMAGES = uuid.UUID('6c69766d-6967-4000-8000-000000000000')

#: The proof guests: name -> kernel command line. Busy ones write 40 MiB/s
#: over 32 MiB: they never converge over a slower link, and leave something of
#: the processor to the others.
PROOF = {
    'idle': proof.cmdline(16, 200, 10),
    'busy': proof.cmdline(32, 10000, 10),
    # 8 MiB/s over 64 MiB: some seconds on a slow link, then it converges.
    'slow': proof.cmdline(64, 2000, 10),
    'leaving': proof.cmdline(32, 10000, 10, off_s=12),
}

#: What the guests' disks are made from: mark of the guest -> file, MiB and
#: mark of the image.
IMAGE_FILES = {
    'guest': ('base.raw', 32, 'image'),
    'rescue': ('rescue.raw', 8, 'rescue-image'),
}

#: The Linux guests: name -> (mark of the guest, format and MiB of its disk).
#: A server is rescued with the same system, whose command line and whose
#: small disk say so.
LINUX = {
    'linux': ('guest', 'qcow2', 32),
    'linux-raw': ('guest', 'raw', 32),
    'linux-large': ('guest', 'raw', 512),
    'rescue': ('rescue', 'raw', 8),
}

#: Sizes of the lab's guests.
FLAVORS = [
    {'id': 'proof', 'name': 'proof', 'ram_mib': 128, 'vcpus': 1},
    {'id': 'linux', 'name': 'linux', 'ram_mib': 128, 'vcpus': 1},
    {'id': 'large', 'name': 'large', 'ram_mib': 512, 'vcpus': 1},
    {'id': 'huge', 'name': 'huge', 'ram_mib': 1024 * 1024, 'vcpus': 1},
]


def image_id(name: str) -> str:
    """The id of a catalogue image."""
    return str(uuid.uuid5(_IMAGES, name))


class Guests:
    """Builds the lab's images and describes them as a catalogue does."""

    def __init__(self, directory: Path, real: bool) -> None:
        self._cache = cache_root()
        self._real = real
        self._directory = directory / 'images'
        self._directory.mkdir(mode=0o755, exist_ok=True)

    def catalogue(self) -> list[dict[str, Any]]:
        """All images. Raises what building them raises."""
        if not self._real:
            return _simulated()
        kernel = self._readable(proof.build(self._cache))
        return [
            *(
                _image(name, kernel=str(kernel), cmdline=words)
                for name, words in PROOF.items()
            ),
            *self._linux(),
        ]

    def _linux(self) -> list[dict[str, Any]]:
        """The distribution's kernel with busybox, as LINUX says."""
        kernel = self._readable(Path(kernels.kernel(self._cache)))
        modules = kernels.kernel_modules(self._cache)
        initrd = self._readable(busybox.build_initrd(self._cache, modules))
        made = []
        for name, (mark, disk_format, size_mib) in LINUX.items():
            # Its image is marked otherwise than what the guest writes, so
            # that one can tell what was read.
            file_name, image_mib, image_mark = IMAGE_FILES[mark]
            file = self._directory / file_name
            images.make_raw(file, image_mib, image_mark)
            disk = _disk(disk_format, size_mib)
            disk |= {'image_file': str(file), 'image_format': 'raw'}
            made.append(
                _image(
                    name,
                    kernel=str(kernel),
                    initrd=str(initrd),
                    cmdline=busybox.cmdline(mark=mark, beat_tenths=10),
                    disks=[disk],
                )
            )
        return made

    def _readable(self, path: Path) -> Path:
        """A copy that QEMU's user can read wherever the cache lies."""
        copy = self._directory / path.name
        if not copy.exists():
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o644)
        return copy


def _simulated() -> list[dict[str, Any]]:
    """The same guests without anything in them."""
    return [
        *(
            _image(name, kernel='/simulated', cmdline=words)
            for name, words in PROOF.items()
        ),
        *(
            _image(
                name,
                kernel='/simulated',
                cmdline='ws=8 rate=100',
                disks=[_disk(disk_format, size_mib)],
            )
            for name, (_, disk_format, size_mib) in LINUX.items()
        ),
    ]


def _disk(disk_format: str, size_mib: int) -> dict[str, Any]:
    return {
        'device': 'vda',
        'format': disk_format,
        'size_bytes': size_mib * MIB,
    }


def _image(name: str, **values: Any) -> dict[str, Any]:
    return {'id': image_id(name), 'name': name, **values}
