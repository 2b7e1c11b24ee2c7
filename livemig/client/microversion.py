"""Chooses the compute API microversion that a client and a service share."""

import re
from typing import NamedTuple

from livemig.client import errors

_PATTERN = re.compile(r'([1-9][0-9]*)\.(0|[1-9][0-9]*)')


class Microversion(NamedTuple):
    major: int
    minor: int

    def __str__(self) -> str:
        return f'{self.major}.{self.minor}'


class Offer(NamedTuple):
    """What a service's version document says it speaks."""

    lowest: Microversion
    highest: Microversion


#: The newest that this program knows how to use.
KNOWN = Microversion(2, 202)
#: What a service speaks whose document names no microversions.
BASE = Microversion(2, 1)


def parse(text: str) -> Microversion:
    """:raises WrongUse: unless the text is of the form 2.60."""
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise errors.WrongUse(
            f'"{text}" is no compute API microversion; one looks like 2.60'
        )
    return Microversion(int(match[1]), int(match[2]))


def choose(offer: Offer, asked: Microversion | None) -> Microversion:
    """The version to speak: the one asked for, else the newest of both.

    :raises ClientError: if there is none.
    """
    if asked is not None and not offer.lowest <= asked <= offer.highest:
        raise errors.ClientError(
            f'Compute API {asked} was asked for; the service offers '
            f'{offer.lowest} to {offer.highest}.'
        )
    version = asked or min(KNOWN, offer.highest)
    if version < offer.lowest:
        raise errors.ClientError(
            f'The service offers compute API {offer.lowest} to '
            f'{offer.highest}; this program knows none above {KNOWN}.'
        )
    return version
