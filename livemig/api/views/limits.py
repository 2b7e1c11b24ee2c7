"""How limits and quotas look on the wire.

-1 is "no limit"; 0 is what livemig does not have at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from livemig.api import microversion
from livemig.api.fields import Field
from livemig.api.microversion import Microversion
from livemig.api.validation import Schema, closed
from livemig.api.views.common import INT, V

NO_LIMIT = -1
NONE = 0
#: What a server's metadata may have; see ``server_create``.
METADATA_ITEMS = 128

#: The last versions of what Nova left to other services, or gave up.
_NETWORKS = V(2, 35)
_IMAGES = V(2, 38)
_FILES = V(2, 56)


@dataclasses.dataclass(frozen=True)
class Limit:
    """One thing that could be limited.

    :ivar absolute: what ``/limits`` calls the limit; '': it does not.
    :ivar used: what it calls the sum of it; '': nothing.
    :ivar quota: what quotas call it; '': they do not.
    :ivar column: the sum that is the usage; '': nothing is used.
    """

    absolute: str
    used: str
    quota: str
    value: int = NONE
    column: str = ''
    last: Microversion = microversion.LATEST


LIMITS: tuple[Limit, ...] = (
    Limit('maxTotalInstances', 'totalInstancesUsed', 'instances',
          NO_LIMIT, 'instances'),
    Limit('maxTotalCores', 'totalCoresUsed', 'cores', NO_LIMIT, 'vcpus'),
    Limit('maxTotalRAMSize', 'totalRAMUsed', 'ram', NO_LIMIT, 'memory_mb'),
    Limit('maxServerMeta', '', 'metadata_items', METADATA_ITEMS),
    Limit('maxImageMeta', '', '', last=_IMAGES),
    Limit('maxTotalKeypairs', '', 'key_pairs'),
    Limit('maxServerGroups', 'totalServerGroupsUsed', 'server_groups'),
    Limit('maxServerGroupMembers', '', 'server_group_members'),
    Limit('maxPersonality', '', 'injected_files', last=_FILES),
    Limit('maxPersonalitySize', '', 'injected_file_content_bytes',
          last=_FILES),
    Limit('', '', 'injected_file_path_bytes', last=_FILES),
    Limit('maxSecurityGroups', 'totalSecurityGroupsUsed', 'security_groups',
          last=_NETWORKS),
    Limit('maxSecurityGroupRules', '', 'security_group_rules',
          last=_NETWORKS),
    Limit('maxTotalFloatingIps', 'totalFloatingIpsUsed', 'floating_ips',
          last=_NETWORKS),
    Limit('', '', 'fixed_ips', last=_NETWORKS),
)  # fmt: skip

_DETAIL: Schema = closed(
    dict.fromkeys(('in_use', 'limit', 'reserved'), INT),
    'in_use',
    'limit',
    'reserved',
)


def _in_use(limit: Limit, used: Mapping[str, Any]) -> int:
    """:param used: what the project's servers take, by column."""
    return int(used.get(limit.column, 0))


def _limit_of(limit: Limit) -> Field:
    return Field(
        limit.absolute, INT, lambda _used: limit.value, last=limit.last
    )


def _use_of(limit: Limit) -> Field:
    return Field(
        limit.used, INT, lambda used: _in_use(limit, used), last=limit.last
    )


def _quota_of(limit: Limit) -> Field:
    return Field(limit.quota, INT, lambda _used: limit.value, last=limit.last)


def _detail_of(limit: Limit) -> Field:
    return Field(
        limit.quota,
        _DETAIL,
        lambda used: {
            'limit': limit.value,
            'in_use': _in_use(limit, used),
            'reserved': 0,
        },
        last=limit.last,
    )


ABSOLUTE: tuple[Field, ...] = (
    *(_limit_of(limit) for limit in LIMITS if limit.absolute),
    *(_use_of(limit) for limit in LIMITS if limit.used),
)
_QUOTED = tuple(limit for limit in LIMITS if limit.quota)
QUOTAS: tuple[Field, ...] = tuple(map(_quota_of, _QUOTED))
QUOTA_DETAILS: tuple[Field, ...] = tuple(map(_detail_of, _QUOTED))
