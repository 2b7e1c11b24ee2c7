"""Database speaks the Store's interface, name for name."""

import inspect

import pytest

from livemig.db.api import Database
from livemig.objects.store import Store

METHODS = sorted(
    name
    for name, value in vars(Store).items()
    if inspect.isfunction(value) and not name.startswith('_')
)


def test_the_interface_is_not_empty():
    assert 'migration_begin' in METHODS
    assert len(METHODS) >= 20


@pytest.mark.parametrize('name', METHODS)
def test_signature(name):
    assert inspect.signature(getattr(Database, name)) == inspect.signature(
        getattr(Store, name)
    )
