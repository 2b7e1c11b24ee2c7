"""Finds flavors: the operator's in the catalogue file, then the API's.

Where both have an id or a name, the file counts; it cannot be changed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from livemig import catalogue, exception
from livemig.api.action import Call
from livemig.catalogue import Flavor
from livemig.objects.store import Row

_FIELDS = (
    'name',
    'ram_mib',
    'vcpus',
    'disk_gib',
    'ephemeral_gib',
    'swap_mib',
    'description',
    'is_public',
)


def from_row(row: Row) -> Flavor:
    """A flavor of the records, in the form of the catalogue's."""
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    return Flavor(
        id=row['flavor_id'],
        extra_specs=row['extra_specs'] or {},
        **values,
    )


def everything(call: Call) -> dict[str, Flavor]:
    """All flavors by id; those of the file first, in one query."""
    content = call.app.catalogue.content()
    found = dict(content.flavors)
    names = {flavor.name for flavor in found.values()}
    for row in call.context.store.flavor_list():
        if row['flavor_id'] not in found and row['name'] not in names:
            found[row['flavor_id']] = from_row(row)
    return found


def find(call: Call, flavor_id: str) -> Flavor:
    """The flavor, if this user may know of it.

    :raises FlavorNotFound:
    """
    flavor = _known(call, flavor_id)
    if flavor is None or not (flavor.is_public or call.context.is_admin):
        raise exception.FlavorNotFound(flavor_id=flavor_id[:255])
    return flavor


def _known(call: Call, flavor_id: str) -> Flavor | None:
    content = call.app.catalogue.content()
    if flavor_id in content.flavors:
        return content.flavors[flavor_id]
    row = call.context.store.flavor_get(flavor_id)
    if row is None or _named(content.flavors, row['name']):
        return None
    return from_row(row)


def _named(flavors: Mapping[str, Flavor], name: str) -> bool:
    return any(flavor.name == name for flavor in flavors.values())


def check_changeable(call: Call, flavor_id: str) -> None:
    """:raises FlavorOfCatalogue: it is the operator's."""
    if flavor_id in call.app.catalogue.content().flavors:
        raise exception.FlavorOfCatalogue(flavor_id=flavor_id)


def check_free(content: catalogue.Content, flavor_id: str, name: str) -> None:
    """:raises FlavorExists: the catalogue has that id or that name."""
    if flavor_id in content.flavors or _named(content.flavors, name):
        raise exception.FlavorExists(flavor_id=flavor_id, name=name)
