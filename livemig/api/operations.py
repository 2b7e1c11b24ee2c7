"""Every operation of the API; what it can do is what stands here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from oslo_policy import policy as oslo_policy

from livemig import policy
from livemig.api import (
    extensions,
    flavor_extra_specs,
    flavor_manage,
    flavors,
    hypervisors,
    images,
    instance_actions,
    limits,
    migrate,
    migrations,
    nothing,
    server_actions,
    server_admin,
    server_create,
    server_metadata,
    server_migrations,
    server_update,
    servers,
    services,
    versions,
    zones,
)
from livemig.api.action import Operation

_PARTS: tuple[Operation, ...] = (
    *versions.OPERATIONS,
    *servers.OPERATIONS,
    *server_create.OPERATIONS,
    *server_update.OPERATIONS,
    *server_metadata.OPERATIONS,
    *server_actions.OPERATIONS,
    *server_admin.OPERATIONS,
    *migrate.OPERATIONS,
    *server_migrations.OPERATIONS,
    *migrations.OPERATIONS,
    *instance_actions.OPERATIONS,
    *flavors.OPERATIONS,
    *flavor_manage.OPERATIONS,
    *flavor_extra_specs.OPERATIONS,
    *services.OPERATIONS,
    *hypervisors.OPERATIONS,
    *images.OPERATIONS,
    *zones.OPERATIONS,
    *limits.OPERATIONS,
    *nothing.OPERATIONS,
)
OPERATIONS: tuple[Operation, ...] = (
    *_PARTS,
    *extensions.operations(_PARTS),
)


def rules(
    operations: Iterable[Operation] = OPERATIONS,
) -> dict[str, tuple[policy.Rule, list[Operation]]]:
    """Each rule by its name, with the operations that ask it."""
    found: dict[str, tuple[policy.Rule, list[Operation]]] = {}
    for operation in operations:
        for rule in operation.rules:
            found.setdefault(rule.name, (rule, []))[1].append(operation)
    return found


def documented_rules() -> list[oslo_policy.DocumentedRuleDefault]:
    """The same for oslo.policy and its generators."""
    return [
        oslo_policy.DocumentedRuleDefault(
            rule.name,
            rule.check,
            rule.description,
            list(map(_documented, asking)),
            scope_types=['project'],
        )
        for rule, asking in rules().values()
    ]


def _documented(operation: Operation) -> Any:
    key = f' ({operation.body_key})' if operation.body_key else ''
    root = '' if operation.is_versioned else operation.root
    return {
        'method': operation.method,
        'path': f'{root}{operation.path}{key}',
    }
