"""How a flavor looks on the wire."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from livemig import catalogue
from livemig.api.action import Call
from livemig.api.fields import ABSENT, LINKS, Field
from livemig.api.validation import NULLABLE_STRING
from livemig.api.views.common import BOOL, INT, STRING, STRINGS, V


@dataclasses.dataclass(frozen=True)
class FlavorSource:
    """What a flavor's fields are made of."""

    call: Call
    flavor: catalogue.Flavor
    shows_extra_specs: bool = False


def _of_flavor(name: str) -> Callable[[FlavorSource], Any]:
    return lambda source: getattr(source.flavor, name)


BRIEF_FLAVOR: tuple[Field, ...] = (
    Field('id', STRING, _of_flavor('id')),
    Field('name', STRING, _of_flavor('name')),
    Field(
        'links',
        LINKS,
        lambda s: s.call.links.of(f'/flavors/{s.flavor.id}'),
    ),
    Field(
        'description',
        NULLABLE_STRING,
        _of_flavor('description'),
        first=V(2, 55),
    ),
)

FLAVOR: tuple[Field, ...] = (
    *BRIEF_FLAVOR,
    Field('ram', INT, _of_flavor('ram_mib')),
    Field('disk', INT, _of_flavor('disk_gib')),
    Field('vcpus', INT, _of_flavor('vcpus')),
    Field(
        'swap',
        {'type': ['integer', 'string']},
        lambda s: s.flavor.swap_mib or '',
        last=V(2, 74),
    ),
    Field('swap', INT, _of_flavor('swap_mib'), first=V(2, 75)),
    Field('OS-FLV-EXT-DATA:ephemeral', INT, _of_flavor('ephemeral_gib')),
    Field('os-flavor-access:is_public', BOOL, _of_flavor('is_public')),
    Field('rxtx_factor', {'type': 'number'}, lambda _s: 1.0),
    Field('OS-FLV-DISABLED:disabled', BOOL, lambda _s: False),
    Field(
        'extra_specs',
        STRINGS,
        lambda s: (
            dict(s.flavor.extra_specs) if s.shows_extra_specs else ABSENT
        ),
        first=V(2, 61),
        optional=True,
    ),
)
