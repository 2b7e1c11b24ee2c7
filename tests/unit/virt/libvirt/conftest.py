"""A stand-in for qemu-img, and a place for instances."""

from __future__ import annotations

import pathlib

import pytest

from livemig.virt.libvirt import files
from tests.unit.virt.libvirt import standin


@pytest.fixture
def qemu_img(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> standin.QemuImg:
    made = standin.QemuImg(tmp_path / 'bin')
    monkeypatch.setenv('PATH', made.path)
    return made


@pytest.fixture
def place(tmp_path: pathlib.Path) -> files.Place:
    return files.Place(str(tmp_path / 'instances'), files.Owner(), 'beta')
