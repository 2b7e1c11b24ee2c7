"""The requests that stand on a record, as the monitor takes them. Pure."""

from __future__ import annotations

from livemig.compute.convergence import Cause, Do, Request
from livemig.objects.migration import Migration


def deletion_of(instance_uuid: str) -> Request:
    """The abort that a deletion asks for."""
    return Request(Cause.DELETE, f'delete-{instance_uuid}')


def of(migration: Migration) -> list[tuple[Do, Request]]:
    """The requests that stand on the record; nobody's are the timeout's."""
    found = []
    if migration.force_requested_at is not None:
        found.append(
            (
                Do.PAUSE,
                Request(
                    _cause(migration.force_requested_by),
                    str(migration.force_request_id),
                    migration.force_requested_by,
                    migration.force_method or 'auto',
                ),
            )
        )
    if migration.abort_requested_at is not None:
        found.append(
            (
                Do.ABORT,
                Request(
                    _cause(migration.abort_requested_by),
                    str(migration.abort_request_id),
                    migration.abort_requested_by,
                ),
            )
        )
    return found


def _cause(user_id: str | None) -> Cause:
    return Cause.TIMEOUT if user_id is None else Cause.OPERATOR
