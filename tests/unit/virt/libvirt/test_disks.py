"""The words given to qemu-img, and its answers."""

from __future__ import annotations

import os
import pathlib

import pytest

from livemig.virt.libvirt import disks
from tests.unit.virt.libvirt.standin import QemuImg

INFO = """{
  "virtual-size": 1073741824, "filename": "/d/vda.qcow2",
  "format": "qcow2", "actual-size": 200704,
  "full-backing-filename": "/images/base.raw",
  "backing-filename": "base.raw", "backing-filename-format": "raw"
}"""


def test_an_image_over_another(qemu_img: QemuImg) -> None:
    qemu_img.set(answer=INFO)
    assert disks.look('/d/vda.qcow2', 'qcow2') == disks.Image(
        path='/d/vda.qcow2',
        format='qcow2',
        virtual_size_bytes=2**30,
        allocated_bytes=200704,
        backing_file='/images/base.raw',
        backing_format='raw',
    )


def test_the_format_is_said_and_locks_are_left_alone(
    qemu_img: QemuImg,
) -> None:
    """A guest can make its raw disk look like any other format."""
    qemu_img.set(answer='{"virtual-size": 512}')
    disks.look('/d/-x.raw', 'raw')
    assert qemu_img.asked() == [
        ['info', '--output=json', '-U', '-f', 'raw', '--', '/d/-x.raw']
    ]


@pytest.mark.parametrize('answer', ['', '[]', '{}', '{"virtual-size": "x"}'])
def test_no_answer_is_an_error(qemu_img: QemuImg, answer: str) -> None:
    qemu_img.set(answer=answer)
    with pytest.raises(disks.ImageError):
        disks.look('/d/a', 'raw')


def test_an_empty_disk(qemu_img: QemuImg, tmp_path: object) -> None:
    disks.create(f'{tmp_path}/a', 'raw', 4096)
    assert qemu_img.asked() == [
        ['create', '-q', '-f', 'raw', '--', f'{tmp_path}/a', '4096']
    ]


def test_a_disk_over_an_image(qemu_img: QemuImg, tmp_path: object) -> None:
    disks.create(f'{tmp_path}/a', 'qcow2', 4096, '/i/base,x.img', 'raw')
    assert qemu_img.asked()[0] == [
        'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', '/i/base,x.img',
        '--', f'{tmp_path}/a', '4096',
    ]  # fmt: skip


def test_a_copy_of_an_image_is_grown(
    qemu_img: QemuImg, tmp_path: object
) -> None:
    qemu_img.set(answer='{"virtual-size": 1000}')
    disks.convert('/i/base', 'qcow2', f'{tmp_path}/a', 'raw', 4096)
    assert qemu_img.asked()[1:] == [
        ['convert', '-q', '-f', 'qcow2', '-O', 'raw', '--', '/i/base',
         f'{tmp_path}/a'],
        ['resize', '-q', '-f', 'raw', '--', f'{tmp_path}/a', '4096'],
    ]  # fmt: skip


def test_an_image_that_does_not_fit(
    qemu_img: QemuImg, tmp_path: object
) -> None:
    qemu_img.set(answer='{"virtual-size": 5000}')
    with pytest.raises(disks.ImageError, match='5000 bytes'):
        disks.convert('/i/base', 'raw', f'{tmp_path}/a', 'raw', 4096)
    assert [words[0] for words in qemu_img.asked()] == ['info']


@pytest.mark.parametrize(
    ('path', 'format_', 'backing', 'backing_format'),
    [
        ('a', 'raw', '', ''),
        ('nbd:host:1', 'raw', '', ''),
        ('/d/a', 'vmdk', '', ''),
        ('/d/a', '-O', '', ''),
        ('/d/a', 'raw', '/i/base', 'raw'),
        ('/d/a', 'qcow2', 'json:{}', 'raw'),
        ('/d/a', 'qcow2', '/i/base', '--help'),
    ],
)
def test_what_is_never_asked(
    qemu_img: QemuImg,
    path: str,
    format_: str,
    backing: str,
    backing_format: str,
) -> None:
    with pytest.raises(disks.ImageError):
        disks.create(path, format_, 1, backing, backing_format)
    assert qemu_img.asked() == []


def test_its_words_when_it_fails(qemu_img: QemuImg) -> None:
    qemu_img.set(failing='create')
    with pytest.raises(disks.ImageError, match='create: qemu-img: it broke'):
        disks.create('/d/a', 'raw', 1)


def test_it_is_ended_after_a_while(
    qemu_img: QemuImg, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu_img.set(sleep='600')
    monkeypatch.setattr(disks, 'LOOK_S', 0.2)
    with pytest.raises(disks.ImageError, match='within 0.2 s'):
        disks.look('/d/a', 'raw')


def test_without_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PATH', '/nonexistent')
    assert not disks.available()
    with pytest.raises(disks.ImageError, match='cannot be run'):
        disks.create('/d/a', 'raw', 1)


MIB = 1024**2


@pytest.mark.parametrize('at', [0, MIB + 1024, 50 * MIB + 7, 100 * MIB - 1])
def test_images_are_told_apart(tmp_path: pathlib.Path, at: int) -> None:
    """Wherever they differ in more than a few bytes, or in their length."""
    paths = [tmp_path / name for name in ('one', 'same', 'other', 'longer')]
    for path in paths:
        with path.open('wb') as file:
            file.truncate(100 * MIB)
            if path.name == 'other':
                file.seek(max(0, at - 2 * MIB))
                file.write(b'x' * min(at + 1, 2 * MIB))
            if path.name == 'longer':
                file.truncate(100 * MIB + 1)
    one, same, other, longer = map(disks.fingerprint, map(str, paths))
    assert one == same != ''
    assert len({one, other, longer}) == 3


def test_what_is_no_file_has_no_fingerprint(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    for name in ('missing', 'pipe', ''):
        assert disks.fingerprint(str(tmp_path / name)) == ''
