"""What all records have in common: versions, fields, their keeper."""

from __future__ import annotations

import datetime
from typing import Any, Self

from oslo_versionedobjects import base, fields

from livemig import context
from livemig.objects.store import Row, Store

Registry = base.VersionedObjectRegistry


def utcnow() -> datetime.datetime:
    """Now, aware UTC. For records only: deadlines use a monotonic clock."""
    return datetime.datetime.now(datetime.UTC)


def time_text(time: datetime.datetime) -> str:
    """A time as texts for clients have it: like those of servers."""
    return time.astimezone(datetime.UTC).strftime('%Y-%m-%dT%H:%M:%SZ')


def new_request_id() -> str:
    """A request id for work nobody asked for."""
    return str(context.RequestContext().request_id)


class LivemigObject(base.VersionedObject):  # type: ignore[misc]
    """A record. It keeps the context it came with, and so its store.

    An object has no lock: it belongs to the thread that loaded it.
    """

    OBJ_PROJECT_NAMESPACE = 'livemig'
    OBJ_SERIAL_NAMESPACE = 'livemig_object'

    _context: context.RequestContext

    @property
    def store(self) -> Store:
        return self._context.store

    @classmethod
    def from_row(cls, ctxt: context.RequestContext, row: Row) -> Self:
        """Build the object from a row; unknown columns are left out, so
        that an older reader survives a newer keeper."""
        obj = cls(ctxt)
        obj.refresh_from(row)
        return obj

    def refresh_from(self, row: Row) -> None:
        """Take over a row's values and forget unsaved changes."""
        for name in self.fields:
            if name in row:
                setattr(self, name, row[name])
        self.obj_reset_changes()

    def to_values(self) -> dict[str, Any]:
        """The set fields as plain values."""
        return {
            name: getattr(self, name)
            for name in self.fields
            if self.obj_attr_is_set(name)
        }


class Serializer(base.VersionedObjectSerializer):  # type: ignore[misc]
    """Carries livemig's objects over the bus."""

    OBJ_BASE_CLASS = LivemigObject


class JsonField(fields.AutoTypedField):  # type: ignore[misc,type-arg]
    """Plain JSON: dictionaries, lists, numbers, strings."""

    class _Json(fields.FieldType):  # type: ignore[misc,type-arg]
        @staticmethod
        def coerce(_obj: Any, _attr: str, value: Any) -> Any:
            return value

    AUTO_TYPE = _Json()
