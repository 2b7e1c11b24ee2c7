"""Where records are kept: what objects ask of it. No SQL in here.

Two things speak this interface: ``db.api.Database`` (the API and the
conductor have it) and ``conductor.rpcapi.ConductorStore`` (the compute
managers have it; they hold no database credentials). Rows are plain
dictionaries of JSON values, but for times: aware UTC datetimes from the
database, ISO 8601 strings over the bus; objects accept both.

An *update* takes the columns it expects: ``expected={'status': 'running'}``
or a list of acceptable values, ``None`` meaning NULL. It is one UPDATE with
these in its WHERE clause (compare-and-swap) and returns the new row, or
None when the row was not as expected (or is not there).

Every method may raise DatabaseUnreachable; over the bus BrokerUnreachable
and ReplyTimeout too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Row = dict[str, Any]
Values = Mapping[str, Any]


class Store(Protocol):
    """All that is asked of the records' keeper."""

    # -- instances ----------------------------------------------------------
    def instance_create(self, values: Values, action: Values) -> Row:
        """Insert an instance together with its ``create`` action."""

    def instance_get(
        self, instance_uuid: str, deleted: bool = False
    ) -> Row | None:
        """One instance; a deleted one only if ``deleted``."""

    def instance_list(
        self,
        filters: Values,
        limit: int | None = None,
        marker: str | None = None,
        sort_keys: Sequence[tuple[str, str]] = (
            ('created_at', 'desc'),
            ('id', 'desc'),
        ),
    ) -> list[Row]:
        """Instances; filter values may be lists (any of). Keys: columns,
        ``changes_since``/``changes_before`` (inclusive, by updated_at,
        deleted ones included), ``deleted`` (default False), ``states``
        (list of [vm_state, task_state or None for any] pairs),
        ``flavor_ids`` (any of), ``name`` (regular expression).

        :raises MarkerNotFound:
        """

    def instance_update(
        self,
        instance_uuid: str,
        values: Values,
        expected: Values | None = None,
        action: Values | None = None,
    ) -> Row | None:
        """:param action: inserted in the same transaction, if the row was
        as expected."""

    def instance_destroy(self, instance_uuid: str) -> bool:
        """Mark deleted (vm_state deleted, task_state NULL); False if it
        was already."""

    def instance_fault_add(self, instance_uuid: str, values: Values) -> None:
        """Record a fault: ``code``, ``message``, ``details``, ``host``."""

    def instance_faults(self, instance_uuids: Sequence[str]) -> list[Row]:
        """The latest fault of each instance that has one."""

    def instance_sums(self, group: str, of: Sequence[str]) -> list[Row]:
        """What the instances of these hosts or projects take.

        :param group: ``host`` or ``project_id``.
        :return: for each that has any: ``group``'s column, ``instances``,
            ``vcpus``, ``memory_mb``, ``root_gb``, and ``busy``: how many
            have a task state.
        """

    def instance_places(self, hosts: Sequence[str]) -> list[Row]:
        """``id``, ``uuid`` and ``host`` of the instances of these hosts,
        oldest first."""

    # -- migrations ---------------------------------------------------------
    def migration_begin(
        self,
        instance_uuid: str,
        instance_values: Values,
        instance_expected: Values,
        migration: Values,
        action: Values,
    ) -> Row | None:
        """One transaction: swap the instance's state, insert the migration
        and the instance action. None (and nothing done) if the instance
        was not as expected; else the migration's row."""

    def migration_get(self, migration_id: int) -> Row | None: ...

    def migration_list(
        self,
        filters: Values,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[Row]:
        """Newest first (created_at, id). Filter values may be lists. Keys:
        columns, ``host`` (source or destination), ``changes_since``,
        ``changes_before`` (inclusive, by updated_at).

        :param marker: a migration's uuid.
        :raises MarkerNotFound:
        """

    def migration_update(
        self,
        migration_id: int,
        values: Values,
        expected: Values | None = None,
        action: Values | None = None,
    ) -> Row | None:
        """:param action: inserted in the same transaction, if the row was
        as expected."""

    def migration_fire(
        self,
        migration_id: int,
        from_status: str,
        values: Values,
        instance_values: Values | None = None,
        instance_expected: Values | None = None,
    ) -> Row | None:
        """One transaction: swap the status (``values['status']``) and, if
        given, change the migration's instance. ``instance_expected``
        guards the instance's part only: a deleted or already changed
        instance does not stop the migration from ending."""

    # -- instance actions ---------------------------------------------------
    def action_start(self, values: Values) -> Row:
        """Insert an action: ``instance_uuid``, ``action``, ``request_id``,
        ``user_id``, ``project_id``, ``start_time``; the same (instance,
        request) twice is one."""

    def action_list(
        self,
        instance_uuid: str,
        filters: Values,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[Row]:
        """Newest first; marker is a request id; filters: changes_since,
        changes_before."""

    def action_get(self, instance_uuid: str, request_id: str) -> Row | None:
        """One action with its ``events`` (newest first)."""

    def event_start(
        self, instance_uuid: str, request_id: str, values: Values
    ) -> None:
        """Begin an event (``event``, ``host``, ``start_time``); beginning
        the same unfinished event of the same host again changes nothing."""

    def event_finish(
        self, instance_uuid: str, request_id: str, values: Values
    ) -> None:
        """End the open event of that name and host (``event``, ``host``,
        ``finish_time``, ``result``, ``details``, ``traceback``). A result
        of Error sets the action's message to Error. None open: nothing."""

    # -- flavors ------------------------------------------------------------
    def flavor_create(self, values: Values) -> Row:
        """Insert one. :raises FlavorExists: its id or name is taken."""

    def flavor_list(self) -> list[Row]:
        """Those made through the API; the catalogue file has its own."""

    def flavor_get(self, flavor_id: str) -> Row | None: ...

    def flavor_update(self, flavor_id: str, values: Values) -> Row | None: ...

    def flavor_extra_specs(
        self, flavor_id: str, put: Mapping[str, str], drop: Sequence[str] = ()
    ) -> Row | None:
        """Change some of its extra specs and leave the others."""

    def flavor_destroy(self, flavor_id: str) -> bool:
        """Remove it; False if it is not there."""

    # -- services -----------------------------------------------------------
    def service_report(self, values: Values) -> Row:
        """Heartbeat: insert or refresh the row of (``host``, ``binary``)
        with ``topic``, ``version``, ``last_seen_at``, ``facts`` (JSON)."""

    def service_list(self, filters: Values) -> list[Row]: ...

    def service_update(
        self, service_uuid: str, values: Values
    ) -> Row | None: ...

    def service_destroy(self, service_uuid: str) -> bool:
        """Mark deleted; False if it is not there. A process that reports
        again gets a new row."""
