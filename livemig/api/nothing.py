"""What livemig has none of, and clients look for all the same: lists that
are always empty. Making any of it is not offered (404)."""

from __future__ import annotations

from typing import Any

from livemig import policy
from livemig.api.action import Call, Operation, Since, always
from livemig.api.microversion import Microversion as V
from livemig.api.validation import (
    BOOLEAN_WORD,
    LIMIT,
    ONCE,
    PAGING,
    Schema,
    closed,
    open_query,
)


def aggregates(call: Call) -> dict[str, Any]:
    call.authorize()
    return {'aggregates': []}


def server_groups(call: Call) -> dict[str, Any]:
    call.authorize()
    return {'server_groups': []}


def keypairs(call: Call) -> dict[str, Any]:
    """Those of another user only administrators may ask for."""
    user_id = call.query.get('user_id', call.context.user_id)
    call.authorize({'user_id': user_id})
    return {'keypairs': []}


def _empty(key: str) -> Since:
    return always(closed({key: {'type': 'array', 'maxItems': 0}}, key))


_OF_GROUPS: dict[str, Schema] = {
    'all_projects': BOOLEAN_WORD,
    'limit': LIMIT,
    'offset': LIMIT,
}
_OF_USER: dict[str, Schema] = {'user_id': ONCE}

OPERATIONS = (
    Operation(
        name='aggregates:index',
        method='GET',
        path='/os-aggregates',
        summary='List host aggregates: none.',
        handler=aggregates,
        policy=policy.Rule(
            'os_compute_api:os-aggregates:index',
            policy.ADMIN,
            'List host aggregates.',
        ),
        success=200,
        response=_empty('aggregates'),
    ),
    Operation(
        name='server_groups:index',
        method='GET',
        path='/os-server-groups',
        summary='List server groups: none.',
        handler=server_groups,
        policy=policy.Rule(
            'os_compute_api:os-server-groups:index',
            policy.READER_OR_ADMIN,
            'List server groups.',
        ),
        success=200,
        query=(
            (V(2, 1), open_query(_OF_GROUPS)),
            (V(2, 75), closed(_OF_GROUPS)),
        ),
        response=_empty('server_groups'),
    ),
    Operation(
        name='keypairs:index',
        method='GET',
        path='/os-keypairs',
        summary='List key pairs: none.',
        handler=keypairs,
        policy=policy.Rule(
            'os_compute_api:os-keypairs:index',
            f'({policy.ADMIN}) or user_id:%(user_id)s',
            'List key pairs.',
        ),
        success=200,
        query=(
            (V(2, 1), open_query({})),
            (V(2, 10), open_query(_OF_USER)),
            (V(2, 35), open_query({**_OF_USER, **PAGING})),
            (V(2, 75), closed({**_OF_USER, **PAGING})),
        ),
        response=_empty('keypairs'),
    ),
)
