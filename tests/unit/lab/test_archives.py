"""What packages hold is used without their being installed."""

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import archives
from lab.guests import busybox


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of programs that are found before the system's."""
    directory = tmp_path / 'programs'
    directory.mkdir()
    monkeypatch.setenv('PATH', f'{directory}:/usr/sbin:/usr/bin:/sbin:/bin')
    _program(directory / 'sudo', 'shift\nexec "$@"')
    return directory


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    directory = tmp_path / 'cache'
    directory.mkdir()
    return directory


def test_a_package_is_unpacked_and_nothing_stays(
    tmp_path: Path, programs: Path, cache: Path
) -> None:
    _serve(programs, _package(tmp_path, 'usr/share/it', b'content'))

    with archives.unpacked(cache, lambda: ['it']) as tree:
        assert (tree / 'usr/share/it').read_bytes() == b'content'

    assert list(cache.iterdir()) == []


def test_lists_that_are_missing_are_fetched_and_names_asked_for_again(
    tmp_path: Path, programs: Path, cache: Path
) -> None:
    fetched = tmp_path / 'fetched'
    _serve(programs, _package(tmp_path, 'it', b'content'), needs=fetched)

    def names() -> Sequence[str]:
        if not fetched.exists():
            raise archives.ArchiveError('nobody knows its name')
        return ['it']

    with archives.unpacked(cache, names) as tree:
        assert (tree / 'it').read_bytes() == b'content'


def test_where_nothing_can_be_had_the_operator_is_told_what_to_do(
    programs: Path, cache: Path
) -> None:
    _program(programs / 'apt-get', 'echo "no such package" >&2\nexit 100')

    with (
        pytest.raises(archives.ArchiveError) as caught,
        archives.unpacked(cache, lambda: ['it']),
    ):
        pass

    assert 'no such package' in str(caught.value)
    assert 'apt-get update' in str(caught.value)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize('path', ['bin/busybox', 'usr/bin/busybox'])
def test_a_busybox_that_needs_libraries_is_left_alone(
    tmp_path: Path, programs: Path, cache: Path, path: str
) -> None:
    installed = programs / 'busybox'
    installed.write_bytes(_elf(interpreted=True))
    installed.chmod(0o755)
    static = _elf(interpreted=False)
    _serve(programs, _package(tmp_path, path, static))

    made = busybox.build_initrd(cache)

    assert static in made.read_bytes()
    assert installed.read_bytes() == _elf(interpreted=True)
    # It is kept: nothing is downloaded twice.
    _program(programs / 'apt-get', 'exit 100')
    made.unlink()
    assert static in busybox.build_initrd(cache).read_bytes()


def test_an_installed_static_busybox_is_used(
    programs: Path, cache: Path
) -> None:
    _program(programs / 'apt-get', 'exit 100')
    installed = programs / 'busybox'
    installed.write_bytes(_elf(interpreted=False))
    installed.chmod(0o755)

    made = busybox.build_initrd(cache)

    assert installed.read_bytes() in made.read_bytes()


def test_without_any_busybox_it_says_so(programs: Path, cache: Path) -> None:
    (programs / 'busybox').write_bytes(_elf(interpreted=True))
    (programs / 'busybox').chmod(0o755)
    _program(programs / 'apt-get', 'exit 100')

    with pytest.raises(busybox.BuildError, match='no static busybox'):
        busybox.build_initrd(cache)


def _package(directory: Path, path: str, content: bytes) -> Path:
    """A real package with one file in it."""
    tree = directory / 'package'
    (tree / 'DEBIAN').mkdir(parents=True)
    (tree / 'DEBIAN/control').write_text(
        'Package: it\nVersion: 1\nArchitecture: all\n'
        'Maintainer: nobody <nobody@localhost>\nDescription: it\n'
    )
    file = tree / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    made = directory / 'it.deb'
    subprocess.run(
        ['dpkg-deb', '--root-owner-group', '--build', tree, made],
        check=True,
        capture_output=True,
    )
    return made


def _serve(programs: Path, package: Path, needs: Path | None = None) -> None:
    """An apt-get that has this one package, once its lists are there."""
    lists = needs or package
    _program(
        programs / 'apt-get',
        f'case "$*" in\n'
        f'*update) touch {lists} ;;\n'
        f'*) test -e {lists} && cp {package} . ;;\n'
        f'esac',
    )


def _program(path: Path, body: str) -> None:
    path.write_text(f'#!/bin/sh\n{body}\n')
    path.chmod(0o755)


def _elf(interpreted: bool) -> bytes:
    """The head of a program: one entry in its table, PT_INTERP or PT_LOAD."""
    head = struct.pack('<32xQ14xHH', 64, 56, 1).ljust(64, b'\0')
    return head + struct.pack('<I', 3 if interpreted else 1).ljust(56, b'\0')
