"""Decides which microversion a request speaks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import microversion_parse

SERVICE_TYPE = 'compute'
HEADER = 'OpenStack-API-Version'
LEGACY_HEADER = 'X-OpenStack-Nova-API-Version'

_FORM = re.compile(r'([1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})', re.ASCII)


class Microversion(NamedTuple):
    """A version of the API; ordered as its numbers are."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f'{self.major}.{self.minor}'

    @property
    def previous(self) -> Microversion:
        """The one just before; of the same major number."""
        return Microversion(self.major, self.minor - 1)

    @property
    def next(self) -> Microversion:
        return Microversion(self.major, self.minor + 1)


FIRST = Microversion(2, 1)
#: Nova's meaning ends here; up to FIRST_OWN all behave as this one.
LAST_OF_NOVA = Microversion(2, 100)
#: Far beyond Nova's, so that no Nova client meets them by accident.
FIRST_OWN = Microversion(2, 200)
LATEST = Microversion(2, 202)

#: livemig's own versions, one line each.
OWN: Mapping[Microversion, str] = {
    Microversion(2, 200): 'os-migrateLive accepts a rescued server.',
    Microversion(2, 201): 'Server action live-migrate-force-end.',
    Microversion(2, 202): 'Migrations tell their flavors, reason, outcome '
    'and figures; one in post-copy stays visible.',
}


class Malformed(ValueError):
    """The header holds no version."""


def requested(headers: Mapping[str, str]) -> Microversion:
    """The version a request asks for, as it stands in its headers.

    :raises Malformed:
    """
    # A list of pairs, since a header may come several times.
    text = microversion_parse.get_version(
        list(headers.items()), SERVICE_TYPE, [LEGACY_HEADER]
    )
    if text is None:
        return FIRST
    if text == 'latest':
        return LATEST
    match = _FORM.fullmatch(text)
    if match is None:
        raise Malformed(f'{text[:40]!r} is not a version.')
    return Microversion(int(match[1]), int(match[2]))


def is_offered(version: Microversion) -> bool:
    return FIRST <= version <= LATEST


def effective(version: Microversion) -> Microversion:
    """The version whose behaviour an offered one has."""
    if LAST_OF_NOVA < version < FIRST_OWN:
        return LAST_OF_NOVA
    return version
