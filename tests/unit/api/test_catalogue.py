"""The catalogue is read, checked, and read again when it changes."""

from __future__ import annotations

import copy

import pytest
import yaml

from livemig import catalogue, exception

IMAGE = '70a599e0-31e7-49b7-b260-868f441e862b'
GOOD = {
    'flavors': [
        {'id': '1', 'name': 'tiny', 'ram_mib': 64, 'vcpus': 1},
        {'id': '2', 'name': 'small', 'ram_mib': 512, 'vcpus': 2,
         'disk_gib': 4, 'ephemeral_gib': 1, 'swap_mib': 2,
         'extra_specs': {'a': 'b'}},
    ],
    'images': [
        {'id': IMAGE, 'name': 'proof', 'kernel': '/k', 'initrd': '/i',
         'cmdline': 'c', 'disks': [
             {'device': 'vda', 'format': 'qcow2', 'image_file': '/f',
              'image_format': 'qcow2'},
             {'device': 'vdb', 'format': 'raw', 'size_bytes': 7},
         ]},
    ],
}  # fmt: skip


@pytest.fixture
def path(tmp_path):
    made = tmp_path / 'catalogue.yaml'
    made.write_text(yaml.safe_dump(GOOD))
    return made


def test_snapshots(path) -> None:
    content = catalogue.Catalogue(str(path)).content()
    flavor = content.flavor('2')
    assert flavor.snapshot() == {
        'id': '2', 'name': 'small', 'ram': 512, 'vcpus': 2, 'disk': 4,
        'ephemeral': 1, 'swap': 2, 'extra_specs': {'a': 'b'},
    }  # fmt: skip
    assert content.image(IMAGE).snapshot(flavor) == {
        'id': IMAGE, 'name': 'proof', 'kernel': '/k', 'initrd': '/i',
        'cmdline': 'c', 'properties': {}, 'disks': [
            {'device': 'vda', 'format': 'qcow2', 'image_file': '/f',
             'image_format': 'qcow2', 'size_bytes': 4 * 1024**3},
            {'device': 'vdb', 'format': 'raw', 'image_file': '',
             'image_format': 'raw', 'size_bytes': 7},
        ],
    }  # fmt: skip


def test_unknown_ones(path) -> None:
    content = catalogue.Catalogue(str(path)).content()
    with pytest.raises(exception.FlavorNotFound):
        content.flavor('3')
    with pytest.raises(exception.ImageNotFound):
        content.image('x')


def spoil(place, value):
    """A catalogue with one thing wrong."""
    made = copy.deepcopy(GOOD)
    *way, last = place
    inner = made
    for step in way:
        inner = inner[step]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return made


@pytest.mark.parametrize(
    ('place', 'value', 'told'),
    [
        (('flavors',), None, 'flavors'),
        (('flavors', 0, 'vcpus'), None, r'flavors, entry 1 \(1\).*vcpus'),
        (('flavors', 1, 'vcpus'), 0, r'entry 2 \(2\), field vcpus'),
        (('flavors', 1, 'ram_mib'), 'much', r'entry 2 \(2\), field ram_mib'),
        (('flavors', 1, 'id'), 2, r'entry 2 \(2\), field id'),
        (('flavors', 1, 'id'), 'a/b', 'field id'),
        (('flavors', 1, 'id'), '1', 'id 1 is there twice'),
        (('flavors', 1, 'colour'), 'red', 'colour'),
        (('images', 0, 'id'), 'proof', r'images, entry 1 \(proof\), field id'),
        (('images', 0, 'kernel'), 'k', 'field kernel'),
        (('images', 0, 'disks', 0, 'format'), 'vmdk', r'field disks\.0'),
        (('images', 0, 'disks', 0, 'device'), '../x', r'disks\.0\.device'),
        (('images', 0, 'disks', 1, 'size_gib'), 1, r'disks\.1'),
        (('images', 0), 'proof', 'images, entry 1'),
    ],
)
def test_wrong_ones(path, place, value, told) -> None:
    path.write_text(yaml.safe_dump(spoil(place, value)))
    with pytest.raises(exception.CatalogueError, match=told) as caught:
        catalogue.read(str(path))
    assert str(path) in caught.value.message


@pytest.mark.parametrize('text', ['', '[]', 'text', '{', '\x00', 'a: &a [*a'])
def test_files_that_are_none(path, text) -> None:
    path.write_text(text)
    with pytest.raises(exception.CatalogueError):
        catalogue.read(str(path))


def test_an_image_that_cannot_boot(path) -> None:
    made = copy.deepcopy(GOOD)
    for key in ('kernel', 'initrd', 'disks'):
        del made['images'][0][key]
    path.write_text(yaml.safe_dump(made))
    with pytest.raises(exception.CatalogueError, match='entry 1'):
        catalogue.read(str(path))


def test_a_changed_file_counts(path) -> None:
    kept = catalogue.Catalogue(str(path))
    assert '3' not in kept.content().flavors
    made = spoil(('flavors', 0, 'id'), '3')
    path.write_text(yaml.safe_dump(made))
    assert '3' in kept.content().flavors


def test_a_broken_one_leaves_the_last_good_one(path, caplog) -> None:
    kept = catalogue.Catalogue(str(path))
    kept.content()
    path.write_text('{')
    for _ in range(3):
        assert '1' in kept.content().flavors
    assert caplog.text.count('stays in use') == 1
    path.unlink()
    assert '1' in kept.content().flavors
    path.write_text(yaml.safe_dump(spoil(('flavors', 0, 'id'), '3')))
    assert '3' in kept.content().flavors


def test_one_that_never_was(tmp_path) -> None:
    path = tmp_path / 'later.yaml'
    kept = catalogue.Catalogue(str(path))
    with pytest.raises(exception.CatalogueError, match='later.yaml'):
        kept.content()
    path.write_text(yaml.safe_dump(GOOD))
    assert '1' in kept.content().flavors
