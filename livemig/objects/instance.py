"""An instance: what livemig knows of one guest."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self

from oslo_utils import versionutils
from oslo_versionedobjects import fields

from livemig import context, exception
from livemig.objects import base, instance_states

_DateTime = fields.DateTimeField


@base.Registry.register
class Instance(base.LivemigObject):
    """One instance; its ``host`` is where livemig holds it to run."""

    #: 1.1: rescue.
    VERSION = '1.1'

    id: int
    uuid: str
    display_name: str
    description: str | None
    user_id: str
    project_id: str
    reservation_id: str | None
    hostname: str | None
    host: str | None
    node: str | None
    vm_state: str
    task_state: str | None
    power_state: int
    progress: int
    memory_mb: int
    vcpus: int
    root_gb: int
    flavor: dict[str, Any]
    image_ref: str
    image: dict[str, Any]
    rescue: dict[str, Any] | None
    metadata: dict[str, str]
    locked: bool
    locked_by: str | None
    locked_reason: str | None
    availability_zone: str | None
    key_name: str | None
    config_drive: str
    mac_address: str | None
    request_id: str | None
    launched_at: datetime.datetime | None
    terminated_at: datetime.datetime | None
    created_at: datetime.datetime
    updated_at: datetime.datetime | None
    deleted_at: datetime.datetime | None
    deleted: int

    fields = {
        'id': fields.IntegerField(),
        'uuid': fields.UUIDField(),
        'display_name': fields.StringField(),
        'description': fields.StringField(nullable=True),
        'user_id': fields.StringField(nullable=True),
        'project_id': fields.StringField(nullable=True),
        'reservation_id': fields.StringField(nullable=True),
        'hostname': fields.StringField(nullable=True),
        'host': fields.StringField(nullable=True),
        'node': fields.StringField(nullable=True),
        'vm_state': fields.StringField(),
        'task_state': fields.StringField(nullable=True),
        'power_state': fields.IntegerField(),
        'progress': fields.IntegerField(),
        'memory_mb': fields.IntegerField(),
        'vcpus': fields.IntegerField(),
        'root_gb': fields.IntegerField(),
        'flavor': base.JsonField(),
        'image_ref': fields.StringField(),
        'image': base.JsonField(),
        # Snapshot of the image it is (or is to be) rescued with.
        'rescue': base.JsonField(nullable=True),
        'metadata': base.JsonField(),
        'locked': fields.BooleanField(),
        'locked_by': fields.StringField(nullable=True),
        'locked_reason': fields.StringField(nullable=True),
        'availability_zone': fields.StringField(nullable=True),
        'key_name': fields.StringField(nullable=True),
        'config_drive': fields.StringField(nullable=True),
        'mac_address': fields.StringField(nullable=True),
        'request_id': fields.StringField(nullable=True),
        'launched_at': _DateTime(nullable=True),
        'terminated_at': _DateTime(nullable=True),
        'created_at': _DateTime(),
        'updated_at': _DateTime(nullable=True),
        'deleted_at': _DateTime(nullable=True),
        'deleted': fields.IntegerField(),
    }

    @property
    def status(self) -> str:
        """The word on the wire."""
        return instance_states.status_of(self.vm_state, self.task_state)

    @classmethod
    def get(
        cls, ctxt: context.RequestContext, uuid: str, deleted: bool = False
    ) -> Self:
        """:raises InstanceNotFound:"""
        row = ctxt.store.instance_get(uuid, deleted=deleted)
        if row is None:
            raise exception.InstanceNotFound(instance_id=uuid)
        return cls.from_row(ctxt, row)

    @classmethod
    def create(
        cls,
        ctxt: context.RequestContext,
        values: Mapping[str, Any],
        action: Mapping[str, Any],
    ) -> Self:
        return cls.from_row(ctxt, ctxt.store.instance_create(values, action))

    @classmethod
    def list(
        cls,
        ctxt: context.RequestContext,
        filters: Mapping[str, Any],
        limit: int | None = None,
        marker: str | None = None,
        **kwargs: Any,
    ) -> list[Self]:
        """See ``Store.instance_list``. :raises MarkerNotFound:"""
        rows = ctxt.store.instance_list(filters, limit, marker, **kwargs)
        return [cls.from_row(ctxt, row) for row in rows]

    def obj_make_compatible(
        self, primitive: dict[str, Any], target_version: str
    ) -> None:
        super().obj_make_compatible(primitive, target_version)
        if versionutils.convert_version_to_tuple(target_version) < (1, 1):
            primitive.pop('rescue', None)

    def refresh(self) -> None:
        """Read it again. :raises InstanceNotFound: deleted meanwhile."""
        row = self.store.instance_get(self.uuid)
        if row is None:
            raise exception.InstanceNotFound(instance_id=self.uuid)
        self.refresh_from(row)

    def swap(
        self,
        values: Mapping[str, Any],
        expected: Mapping[str, Any],
        action: Mapping[str, Any] | None = None,
    ) -> bool:
        """Change it if it is as expected (compare-and-swap).

        :param action: recorded in the same transaction, if it is changed
            (``objects.action.values``).
        :return: False if it was not; the object is unchanged then.
        """
        row = self.store.instance_update(self.uuid, values, expected, action)
        if row is None:
            return False
        self.refresh_from(row)
        return True

    def update_values(self, **values: Any) -> None:
        """Change it whatever it is; a deleted one is left alone."""
        row = self.store.instance_update(self.uuid, values)
        if row is not None:
            self.refresh_from(row)

    def destroy(self) -> bool:
        """Mark it deleted; False if it was already."""
        done = self.store.instance_destroy(self.uuid)
        row = self.store.instance_get(self.uuid, deleted=True)
        if row is not None:
            self.refresh_from(row)
        return done

    def add_fault(
        self,
        code: int,
        message: str,
        host: str | None,
        details: str | None = None,
    ) -> None:
        """Record why it is in error.

        :param message: for its owner; names no host, nor what is on one.
        :param details: for administrators.
        """
        self.store.instance_fault_add(
            self.uuid,
            {
                'code': code,
                'message': message,
                'details': details,
                'host': host,
            },
        )
