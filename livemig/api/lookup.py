"""Finds what a URL names, or refuses: there, visible, allowed, unlocked."""

from __future__ import annotations

import re
from typing import Any

from oslo_utils import uuidutils

from livemig import context, exception
from livemig.api.action import Call
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration

_ID = re.compile(r'[0-9]{1,18}', re.ASCII)


def instance(call: Call, deleted: bool = False) -> Instance:
    """The instance of the URL, if this user may do this operation to it.

    Another project's is not told from none: 404 comes before 403.

    :param deleted: a deleted one will do.
    :raises InstanceNotFound:
    :raises Denied:
    """
    server_id = call.path['server_id']
    if not uuidutils.is_uuid_like(server_id):
        raise exception.InstanceNotFound(instance_id=server_id)
    found = Instance.get(call.context, server_id, deleted=deleted)
    if not _visible(call.context, found):
        raise exception.InstanceNotFound(instance_id=server_id)
    call.authorize(target(found))
    return found


def _visible(ctxt: context.RequestContext, found: Instance) -> bool:
    return bool(ctxt.is_admin) or found.project_id == ctxt.project_id


def target(found: Instance) -> dict[str, Any]:
    """What a rule about this instance is asked with."""
    return {'project_id': found.project_id, 'user_id': found.user_id}


def unlocked_instance(call: Call) -> Instance:
    """The same, for what changes it; an admin passes every lock.

    :raises InstanceLocked:
    """
    found = instance(call)
    check_unlocked(call, found)
    return found


def check_unlocked(call: Call, found: Instance) -> None:
    """:raises InstanceLocked:"""
    if found.locked and not call.context.is_admin:
        raise exception.InstanceLocked(instance_id=found.uuid)


def number(text: str) -> int | None:
    """An integer id out of a URL; None: that is none."""
    return int(text) if _ID.fullmatch(text) else None


def migration(call: Call, of: Instance) -> Migration:
    """The migration of the URL, which must be that instance's.

    :raises MigrationNotFoundForInstance:
    """
    text = call.path['migration_id']
    migration_id = number(text)
    if migration_id is None:
        raise exception.MigrationNotFoundForInstance(
            migration_id=text[:40], instance_id=of.uuid
        )
    return Migration.get_by_id_and_instance(
        call.context, migration_id, of.uuid
    )
