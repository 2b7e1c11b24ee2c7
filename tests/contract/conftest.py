"""Gives each case of the contract suite its two hosts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract import rig as rigs

#: What can only be brought about on real hosts.
collect_ignore = [] if rigs.real() else ['test_real_hosts.py']


@pytest.fixture(scope='session')
def lab() -> Iterator[Any]:
    """Two libvirt hosts on this machine, for the whole run."""
    from lab.labs import Lab

    with Lab(hosts=2) as made:
        yield made


@pytest.fixture(params=rigs.kinds())
def rig(request: pytest.FixtureRequest) -> Iterator[rigs.Rig]:
    made: rigs.Rig
    if request.param == 'fake':
        made = rigs.FakeRig()
    else:
        from tests.contract import libvirt_rig

        made = libvirt_rig.LibvirtRig(request.getfixturevalue('lab'))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def real_rig(lab: Any) -> Iterator[Any]:
    """Only where libvirt is asked for."""
    from tests.contract import libvirt_rig

    made = libvirt_rig.LibvirtRig(lab)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def fake_rig() -> Iterator[rigs.FakeRig]:
    """For what can only be brought about in a simulation."""
    made = rigs.FakeRig()
    yield made
    made.close()
