"""Where guests' files are, whose they are, and when they may go."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import pwd
import struct

import pytest

from livemig.virt.libvirt import files
from tests.unit.virt.libvirt.values import GUEST


@pytest.mark.parametrize(
    'text',
    [
        '', '.', '..', '../' + GUEST, GUEST + '/', GUEST + '/..', '/etc',
        GUEST.upper(), GUEST.replace('-', ''), GUEST + '\n', '*',
    ],
)  # fmt: skip
def test_only_a_uuid_becomes_a_path(place: files.Place, text: str) -> None:
    assert not files.is_guest_id(text)
    with pytest.raises(ValueError, match='is not the uuid'):
        place.directory(text)


def test_a_guests_directory(place: files.Place) -> None:
    assert place.directory(GUEST) == f'{place.path}/{GUEST}'
    place.make_directory(GUEST)
    place.make_directory(GUEST)
    assert os.stat(place.directory(GUEST)).st_mode & 0o777 == 0o711


def test_a_link_is_no_directory(
    place: files.Place, tmp_path: pathlib.Path
) -> None:
    os.makedirs(place.path)
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'precious').touch()
    os.symlink(other, place.directory(GUEST))
    with pytest.raises(FileExistsError):
        place.make_directory(GUEST)
    with pytest.raises(OSError, match='symbolic link'):
        place.remove_directory(GUEST)
    assert (other / 'precious').exists()


@pytest.mark.parametrize(
    ('text', 'uid', 'gid'),
    [
        ('', None, None),
        ('1000', 1000, None),
        ('1000:2000', 1000, 2000),
        (':2000', None, 2000),
        ('root', 0, 0),
        ('root:5', 0, 5),
        (' 7:8 ', 7, 8),
    ],
)
def test_owners(text: str, uid: int | None, gid: int | None) -> None:
    assert files.owner(text) == files.Owner(uid, gid)


@pytest.mark.parametrize('text', ['nosuchuser', 'root:nosuchgroup', '-1'])
def test_unknown_owners(text: str) -> None:
    with pytest.raises(ValueError, match='nosuch|-1'):
        files.owner(text)


def test_what_is_made_is_given_away(tmp_path: pathlib.Path) -> None:
    """To ourselves: giving to others takes root."""
    me = files.owner(pwd.getpwuid(os.getuid()).pw_name)
    place = files.Place(str(tmp_path), me, 'beta')
    place.make_directory(GUEST)
    path = f'{place.directory(GUEST)}/console.log'
    place.make_file(path)
    pathlib.Path(path).write_text('kept')
    place.make_file(path)
    assert pathlib.Path(path).read_text() == 'kept'
    found = os.stat(path)
    assert (found.st_uid, found.st_gid) == (me.uid, me.gid)
    assert found.st_mode & 0o777 == 0o640


def lock(path: str, first: int) -> int:
    """What QEMU does with an image: a shared lock on single bytes."""
    fd = os.open(path, os.O_RDWR)
    flock = struct.pack('hhqqi4x', fcntl.F_RDLCK, os.SEEK_SET, first, 1, 0)
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, flock)
    return fd


@pytest.mark.parametrize(
    ('byte', 'used'),
    [(99, False), (100, True), (163, True), (201, True), (264, False)],
)
def test_a_lock_of_qemu_means_in_use(
    tmp_path: pathlib.Path, byte: int, used: bool
) -> None:
    image = tmp_path / 'vda.raw'
    image.touch()
    path = str(image)
    assert not files.in_use(path)
    fd = lock(path, byte)
    try:
        assert files.in_use(path) is used
    finally:
        os.close(fd)
    assert not files.in_use(path)
    assert not files.in_use(path + '-that-is-gone')


def test_a_directory_with_a_disk_in_use_stays(place: files.Place) -> None:
    place.make_directory(GUEST)
    path = f'{place.directory(GUEST)}/vda.raw'
    place.make_file(path)
    fd = lock(path, 100)
    try:
        with pytest.raises(files.InUse, match='vda.raw'):
            place.remove_directory(GUEST)
        assert os.path.exists(path)
    finally:
        os.close(fd)
    place.remove_directory(GUEST)
    place.remove_directory(GUEST)
    assert os.listdir(place.path) == []


def test_the_probe(place: files.Place, tmp_path: pathlib.Path) -> None:
    elsewhere = files.Place(str(tmp_path / 'b'), files.Owner(), 'alpha')
    shared = files.Place(place.path, files.Owner(), 'alpha')
    probe = place.make_probe()
    assert '/' not in probe
    assert shared.sees_probe(probe)
    assert not elsewhere.sees_probe(probe)
    place.drop_probe(probe)
    place.drop_probe(probe)
    assert not shared.sees_probe(probe)


def test_what_a_killed_manager_left_of_its_probes_goes(
    place: files.Place,
) -> None:
    """But none of today's: another host may just be looking for it."""
    fresh = place.make_probe()
    passing = [
        place.make_probe(),
        f'.livemig-direct-{"0" * 32}',
        f'.livemig-migration-7-{GUEST}-beta.json.part',
    ]
    others = [f'.livemig-migration-7-{GUEST}-beta.json', GUEST]
    for name in (*passing, *others):
        path = pathlib.Path(place.path, name)
        path.touch()
        old_s = path.stat().st_mtime - 2 * files.STALE_S
        os.utime(path, (old_s, old_s))
    probe = place.make_probe()
    assert sorted(os.listdir(place.path)) == sorted([fresh, probe, *others])


@pytest.mark.parametrize('name', ['', '.', '..', '../secret', 'secret'])
def test_a_probe_is_nothing_else(
    place: files.Place, tmp_path: pathlib.Path, name: str
) -> None:
    os.makedirs(place.path)
    for secret in (tmp_path / 'secret', pathlib.Path(place.path) / 'secret'):
        secret.touch()
    assert not place.sees_probe(name)
    place.drop_probe(name)
    assert (tmp_path / 'secret').exists()
    assert (pathlib.Path(place.path) / 'secret').exists()


def test_room(place: files.Place) -> None:
    assert 0 < place.free_bytes() <= place.total_bytes()


def test_trying_direct_io_leaves_nothing(place: files.Place) -> None:
    assert place.direct_io() in (True, False)
    assert os.listdir(place.path) == []


def test_a_small_file_is_there_whole(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'note'
    files.write_json(str(path), {'a': [1]})
    files.write_json(str(path), {'a': [2]})
    assert json.loads(path.read_text()) == {'a': [2]}
    assert os.listdir(tmp_path) == ['note']
