"""Which version a request speaks, by its headers alone."""

from __future__ import annotations

import pytest

from livemig.api import microversion
from livemig.api.microversion import Microversion as V

NEW = 'OpenStack-API-Version'
OLD = 'X-OpenStack-Nova-API-Version'


@pytest.mark.parametrize(
    ('headers', 'version'),
    [
        ({}, V(2, 1)),
        ({NEW: 'compute 2.30'}, V(2, 30)),
        ({NEW: 'COMPUTE 2.30'}, V(2, 30)),
        ({NEW: 'compute latest'}, V(2, 202)),
        ({NEW: 'volume 3.0, compute 2.30'}, V(2, 30)),
        ({NEW: 'compute 2.10,compute 2.30'}, V(2, 30)),
        ({NEW: 'volume 3.0'}, V(2, 1)),
        ({OLD: '2.30'}, V(2, 30)),
        ({OLD: '2.10, 2.30'}, V(2, 30)),
        ({OLD: 'latest'}, V(2, 202)),
        ({OLD: '2.30', NEW: 'compute 2.40'}, V(2, 40)),
        ({OLD: '2.30', NEW: 'volume 3.0'}, V(2, 30)),
        ({NEW: 'compute 7.0'}, V(7, 0)),
    ],
)
def test_requested(headers, version) -> None:
    assert microversion.requested(headers) == version


@pytest.mark.parametrize(
    'text',
    ['2', '2.', '.1', '2.x', '02.1', '2.01', '2.1.1', '-2.1', '2,1', 'x',
     '2.1 2', '２.1', '2.1\n', '2.' + '9' * 5000, 'Latest'],
)  # fmt: skip
def test_malformed(text) -> None:
    with pytest.raises(microversion.Malformed):
        microversion.requested({NEW: f'compute {text}x'})
    if text.strip() == text:
        with pytest.raises(microversion.Malformed):
            microversion.requested({NEW: f'compute {text}'})


@pytest.mark.parametrize(
    ('asked', 'behaves_as'),
    [
        (V(2, 1), V(2, 1)),
        (V(2, 100), V(2, 100)),
        (V(2, 101), V(2, 100)),
        (V(2, 199), V(2, 100)),
        (V(2, 200), V(2, 200)),
        (V(2, 202), V(2, 202)),
    ],
)
def test_effective(asked, behaves_as) -> None:
    assert microversion.effective(asked) == behaves_as


def test_offered() -> None:
    for version in (V(2, 1), V(2, 202)):
        assert microversion.is_offered(version)
    for version in (V(2, 0), V(2, 203), V(1, 9), V(3, 1)):
        assert not microversion.is_offered(version)


def test_order_is_by_number() -> None:
    assert V(2, 9) < V(2, 10) < V(2, 100)


def test_own_versions_leave_no_gap() -> None:
    own = list(microversion.OWN)
    assert own[0] == microversion.FIRST_OWN
    assert own[-1] == microversion.LATEST
    assert all(one.next == other for one, other in zip(own, own[1:]))  # noqa: B905, RUF007
