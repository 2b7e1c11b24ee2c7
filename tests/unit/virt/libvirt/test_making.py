"""What a migration makes at its destination, and its undoing."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from livemig.virt.libvirt import disks, files, making, notes
from tests.unit.virt.libvirt.standin import QemuImg
from tests.unit.virt.libvirt.test_files import lock
from tests.unit.virt.libvirt.values import GUEST

ROOT = making.NewDisk('vda.qcow2', 'qcow2', 2**20, '/i/base', 'raw')
DATA = making.NewDisk('vdb.raw', 'raw', 2**10)
OTHER = '11111111-2222-4333-8444-555555555555'


def make(place: files.Place, migration_id: int = 7) -> None:
    making.make(place, GUEST, migration_id, [ROOT, DATA], use_existing=False)


def inside(place: files.Place) -> list[str]:
    return sorted(os.listdir(place.directory(GUEST)))


def test_made_and_undone(place: files.Place, qemu_img: QemuImg) -> None:
    make(place)
    assert inside(place) == ['console.log', 'vda.qcow2', 'vdb.raw']
    assert [words[:4] for words in qemu_img.asked()] == [
        ['create', '-q', '-f', 'qcow2'],
        ['create', '-q', '-f', 'raw'],
    ]
    assert notes.all_here(place) == [(GUEST, 7)]
    assert making.undo(place, GUEST, 7) == []
    assert os.listdir(place.path) == []
    assert making.undo(place, GUEST, 7) == []


def test_the_note_is_there_before_anything_is_made(
    place: files.Place, qemu_img: QemuImg
) -> None:
    qemu_img.set(failing='create')
    with pytest.raises(disks.ImageError):
        make(place)
    assert notes.read(place, GUEST, 7) == notes.Note(
        GUEST, 7, True, ('vda.qcow2', 'vdb.raw', 'console.log')
    )
    making.undo(place, GUEST, 7)
    assert os.listdir(place.path) == []


def test_after_a_crash_it_is_made_again(
    place: files.Place, qemu_img: QemuImg
) -> None:
    qemu_img.set(failing='create')
    with pytest.raises(disks.ImageError):
        make(place)
    qemu_img.set(failing='')
    make(place)
    make(place)
    assert inside(place) == ['console.log', 'vda.qcow2', 'vdb.raw']
    # It still knows that the directory is its own.
    making.undo(place, GUEST, 7)
    assert os.listdir(place.path) == []


def test_files_of_others_are_in_the_way_and_stay(
    place: files.Place, qemu_img: QemuImg
) -> None:
    place.make_directory(GUEST)
    precious = pathlib.Path(place.directory(GUEST)) / 'vdb.raw'
    precious.write_text('precious')
    with pytest.raises(making.InTheWay, match='vdb.raw'):
        make(place)
    making.undo(place, GUEST, 7)
    assert precious.read_text() == 'precious'
    assert inside(place) == ['vdb.raw']
    assert qemu_img.asked() == []


def test_a_directory_that_was_there_stays(
    place: files.Place, qemu_img: QemuImg
) -> None:
    place.make_directory(GUEST)
    console = pathlib.Path(place.directory(GUEST)) / 'console.log'
    console.write_text('of earlier')
    make(place)
    making.undo(place, GUEST, 7)
    assert inside(place) == ['console.log']
    assert console.read_text() == 'of earlier'


def test_what_others_put_there_meanwhile_stays(
    place: files.Place, qemu_img: QemuImg
) -> None:
    make(place)
    directory = pathlib.Path(place.directory(GUEST))
    (directory / 'precious').touch()
    (directory / 'console.log.0').touch()
    assert making.undo(place, GUEST, 7) == ['precious']
    assert inside(place) == ['precious']
    assert notes.all_here(place) == []


def test_of_the_logs_beside_only_virtlogds_go(
    place: files.Place, qemu_img: QemuImg
) -> None:
    make(place)
    directory = pathlib.Path(place.directory(GUEST))
    for name in ('console.log.0', 'console.log.12', 'console.log.old'):
        (directory / name).touch()
    assert making.undo(place, GUEST, 7) == ['console.log.old']
    assert inside(place) == ['console.log.old']


def test_a_file_in_the_place_of_the_directory(
    place: files.Place, qemu_img: QemuImg
) -> None:
    precious = pathlib.Path(place.directory(GUEST))
    precious.parent.mkdir()
    precious.write_text('precious')
    with pytest.raises(FileExistsError):
        make(place)
    assert making.undo(place, GUEST, 7) == []
    assert precious.read_text() == 'precious'
    assert notes.all_here(place) == []


def test_a_disk_in_use_is_not_removed(
    place: files.Place, qemu_img: QemuImg
) -> None:
    make(place)
    fd = lock(f'{place.directory(GUEST)}/vdb.raw', 100)
    try:
        with pytest.raises(files.InUse):
            making.undo(place, GUEST, 7)
        assert inside(place) == ['console.log', 'vda.qcow2', 'vdb.raw']
        assert notes.all_here(place) == [(GUEST, 7)]
    finally:
        os.close(fd)


def test_undoing_another_migration_changes_nothing(
    place: files.Place, qemu_img: QemuImg
) -> None:
    make(place)
    making.undo(place, GUEST, 8)
    assert inside(place) == ['console.log', 'vda.qcow2', 'vdb.raw']


def test_when_all_is_done_nothing_can_be_undone(
    place: files.Place, qemu_img: QemuImg
) -> None:
    make(place)
    making.done(place, GUEST, 7)
    making.done(place, GUEST, 7)
    making.undo(place, GUEST, 7)
    assert inside(place) == ['console.log', 'vda.qcow2', 'vdb.raw']
    assert notes.all_here(place) == []


def test_a_new_guest_uses_the_disks_it_has(
    place: files.Place, qemu_img: QemuImg
) -> None:
    place.make_directory(GUEST)
    disk = pathlib.Path(place.directory(GUEST)) / 'vda.qcow2'
    disk.write_text('written by the guest')
    making.make(place, GUEST, notes.SPAWN, [ROOT, DATA], use_existing=True)
    assert disk.read_text() == 'written by the guest'
    making.undo(place, GUEST, notes.SPAWN)
    assert inside(place) == ['vda.qcow2']
    assert notes.all_here(place) == []


def test_each_host_sees_its_own_notes(place: files.Place) -> None:
    alpha = files.Place(place.path, files.Owner(), 'alpha')
    os.makedirs(place.path)
    for guest, number in ((GUEST, 7), (GUEST, 3), (OTHER, 9)):
        notes.write(place, notes.Note(guest, number, False, ()))
    notes.write(alpha, notes.Note(GUEST, 11, False, ()))
    notes.write(place, notes.Note(GUEST, notes.SPAWN, False, ()))
    assert notes.all_here(place) == [(GUEST, 3), (GUEST, 7), (OTHER, 9)]
    assert notes.others(place, GUEST, 7) == [3]
    assert notes.all_here(alpha) == [(GUEST, 11)]
    notes.drop_all(place, GUEST)
    assert notes.all_here(place) == [(OTHER, 9)]
    assert notes.read(place, GUEST, notes.SPAWN) is None
    assert notes.all_here(alpha) == [(GUEST, 11)]


@pytest.mark.parametrize(
    'change',
    [
        {'names': ['../precious']},
        {'names': ['/etc/passwd']},
        {'names': ['']},
        {'names': ['..']},
        {'names': [7]},
        {'names': None},
        {'guest_id': OTHER},
        {'migration_id': 8},
    ],
)
def test_a_note_that_says_something_else_is_not_obeyed(
    place: files.Place, qemu_img: QemuImg, change: dict[str, object]
) -> None:
    make(place)
    (name,) = (n for n in os.listdir(place.path) if n.endswith('.json'))
    path = pathlib.Path(place.path) / name
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(notes.Unreadable):
        making.undo(place, GUEST, 7)
    assert inside(place) == ['console.log', 'vda.qcow2', 'vdb.raw']


def test_half_a_note_is_not_obeyed(place: files.Place) -> None:
    os.makedirs(place.path)
    notes.write(place, notes.Note(GUEST, 7, True, ('a',)))
    (name,) = os.listdir(place.path)
    (pathlib.Path(place.path) / name).write_text('{"guest_id":')
    with pytest.raises(notes.Unreadable):
        notes.read(place, GUEST, 7)
