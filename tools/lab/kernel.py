"""Decides which Linux kernel, with which modules, boots in test guests."""

import fcntl
import gzip
import lzma
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lab import archives
from lab.client import LabError

# Metapackages, best first: the small kernels for virtual machines, then
# the general ones. The real package is what they depend on.
METAPACKAGES = (
    'linux-image-cloud-amd64',  # Debian
    'linux-image-virtual',  # Ubuntu
    'linux-image-amd64',
    'linux-image-generic',
)
# With these a guest sees its disks, network and console, can mount ext4,
# and hears the power button. What is built in has no file and needs none.
MODULES = (
    'virtio_pci',
    'virtio_blk',
    'virtio_net',
    'virtio_console',
    'virtio_balloon',
    'virtio_rng',
    'crc32c_generic',
    'ext4',
    'button',
    'evdev',
)
_NEEDED_OPTIONS = (
    'CONFIG_VIRTIO_PCI',
    'CONFIG_VIRTIO_BLK',
    'CONFIG_SERIAL_8250_CONSOLE',
)
_REAL_IMAGE = re.compile(
    r'linux-image-(?:unsigned-)?([0-9][A-Za-z0-9.+~-]*)\Z'
)


class KernelError(LabError):
    """No kernel is installed and none could be downloaded."""


def kernel(cache_dir: str | os.PathLike[str]) -> Path:
    """The path of a kernel image, readable by everybody who can reach it.

    Taken from /boot if one there suits, else from the distribution's
    package, downloaded into cache_dir (some 30 MB, once) and not
    installed. Raises KernelError.
    """
    cache = Path(cache_dir)
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / 'kernel.lock').open('a') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = sorted(cache.glob('kernel-*/vmlinuz'))
        if kept:
            return kept[-1]
        for image in _installed_images():
            return _keep(cache, image, Path('/lib/modules'))
        return _download(cache)


def kernel_modules(cache_dir: str | os.PathLike[str]) -> Path:
    """The directory of kernel()'s modules: plain .ko files, flat.

    It holds MODULES and what they depend on, less what is built in.
    """
    return kernel(cache_dir).parent / 'modules'


def _installed_images() -> Iterator[Path]:
    for image in sorted(Path('/boot').glob('vmlinuz-*'), reverse=True):
        version = image.name.removeprefix('vmlinuz-')
        config = image.with_name(f'config-{version}')
        if not (
            os.access(image, os.R_OK)
            and os.access(config, os.R_OK)
            and Path('/lib/modules', version).is_dir()
        ):
            continue
        lines = set(config.read_text(errors='replace').splitlines())
        if all({f'{o}=y', f'{o}=m'} & lines for o in _NEEDED_OPTIONS):
            yield image


def _keep(cache: Path, image: Path, all_modules: Path) -> Path:
    """Copy one kernel and its modules into the cache, whole or not at all."""
    version = image.name.removeprefix('vmlinuz-')
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        made = Path(temporary, 'made')
        (made / 'modules').mkdir(parents=True)
        shutil.copyfile(image, made / 'vmlinuz')
        for name, content in _closure(all_modules / version).items():
            (made / 'modules' / f'{name}.ko').write_bytes(content)
        final = cache / f'kernel-{version}'
        made.rename(final)
    return final / 'vmlinuz'


def _closure(directory: Path) -> dict[str, bytes]:
    """MODULES and what they depend on, by name."""
    files = {
        path.name.partition('.')[0].replace('-', '_'): path
        for path in sorted(directory.rglob('*.ko*'))
    }
    found: dict[str, bytes] = {}
    wanted = list(MODULES)
    while wanted:
        name = wanted.pop().replace('-', '_')
        if name not in files or name in found:
            continue
        found[name] = _unpacked(files[name])
        depends = re.search(rb'\0depends=([^\0]*)\0', found[name])
        if depends:
            wanted += [n for n in depends[1].decode().split(',') if n]
    return found


def _unpacked(module: Path) -> bytes:
    content = module.read_bytes()
    match module.suffix:
        case '.xz':  # Debian 13
            return lzma.decompress(content)
        case '.gz':
            return gzip.decompress(content)
        case '.zst':  # Ubuntu; Python reads it from 3.14 on only
            argv = ['zstd', '--decompress', '--stdout', '--quiet']
            try:
                result = subprocess.run(
                    argv, input=content, stdout=subprocess.PIPE, check=True
                )
            except (OSError, subprocess.CalledProcessError) as error:
                raise KernelError(f'cannot unpack {module}: {error}') from None
            return result.stdout
    return content


def _download(cache: Path) -> Path:
    try:
        with archives.unpacked(cache, _packages) as tree:
            images = sorted(tree.glob('boot/vmlinuz-*'))
            modules = [tree / 'lib/modules', tree / 'usr/lib/modules']
            found = [d for d in modules if d.is_dir()]
            if not images or not found:
                raise KernelError('the downloaded package holds no kernel')
            return _keep(cache, images[0], found[0])
    except archives.ArchiveError as error:
        raise KernelError(
            f'no kernel in /boot suits, and none can be downloaded: {error}'
        ) from None


def _packages() -> list[str]:
    image_package, version = _real_package()
    # Ubuntu ships the modules apart from the image.
    modules_package = f'linux-modules-{version}'
    apart = bool(_apt_cache('show', modules_package))
    return [image_package, *([modules_package] if apart else [])]


def _real_package() -> tuple[str, str]:
    """The name and the version of the newest kernel package known to APT."""
    for metapackage in METAPACKAGES:
        for line in _apt_cache('depends', '--important', metapackage):
            _, _, name = line.strip().partition('Depends: ')
            match = _REAL_IMAGE.match(name)
            if match:
                return name, match[1]
    raise archives.ArchiveError('APT knows no kernel package')


def _apt_cache(*arguments: str) -> list[str]:
    try:
        result = subprocess.run(
            ['apt-cache', *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise archives.ArchiveError('there is no APT here') from None
    return result.stdout.splitlines()
