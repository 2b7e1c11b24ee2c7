"""Instance actions: what was asked, by whom, and how it ended.

Plain functions over the store: an action is written, never changed by
hand. Recording must not end a migration: whoever watches one records
through its journal (``compute.story``), which never blocks the work.
"""

from __future__ import annotations

from typing import Any

from livemig import context
from livemig.objects import base

CREATE = 'create'
DELETE = 'delete'
PAUSE = 'pause'
UNPAUSE = 'unpause'
SUSPEND = 'suspend'
RESUME = 'resume'
START = 'start'
STOP = 'stop'
REBOOT = 'reboot'
RESCUE = 'rescue'
UNRESCUE = 'unrescue'
LOCK = 'lock'
UNLOCK = 'unlock'
LIVE_MIGRATION = 'live-migration'
ABORT = 'live_migration_cancel'
FORCE_COMPLETE = 'live_migration_force_complete'
#: Each time livemig pauses a guest, whoever caused it.
PAUSED_VM = 'live-migration-paused-vm'

SUCCESS = 'Success'
ERROR = 'Error'


def values(
    ctxt: context.RequestContext,
    instance_uuid: str,
    action: str,
    request_id: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The columns of a new action of this request."""
    return {
        'instance_uuid': instance_uuid,
        'action': action,
        'request_id': request_id or ctxt.request_id,
        'user_id': ctxt.user_id,
        'project_id': ctxt.project_id,
        'start_time': base.utcnow(),
        **more,
    }


def start(
    ctxt: context.RequestContext, instance_uuid: str, action: str
) -> None:
    """Record that ``action`` was asked for by this request."""
    ctxt.store.action_start(values(ctxt, instance_uuid, action))


def context_of(
    ctxt: context.RequestContext, instance_uuid: str, action: str
) -> context.RequestContext:
    """Whose request it is that is carried out: the newest ``action`` tells.

    For work that outlives its message: after a restart, or after what it
    had to wait for.

    :return: ``ctxt`` itself if there is no such action.
    """
    for found in ctxt.store.action_list(instance_uuid, {'action': action}, 1):
        return context.RequestContext(
            user_id=found['user_id'],
            project_id=found['project_id'],
            request_id=found['request_id'],
            is_admin=True,
            store=ctxt.store,
        )
    return ctxt
