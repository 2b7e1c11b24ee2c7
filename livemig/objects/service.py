"""A service: a process that reports, and what its host can do."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self

from oslo_versionedobjects import fields

from livemig import context, exception
from livemig.objects import base
from livemig.virt import driver

#: The version each compute manager registers. 1: the first one.
#: History: 1 abort, force complete, the simulated and libvirt drivers.
SERVICE_VERSION = 1

COMPUTE = 'nova-compute'
CONDUCTOR = 'nova-conductor'


@base.Registry.register
class Service(base.LivemigObject):
    """One service row. The binaries have Nova's names: clients and
    tempest ask for them by name."""

    VERSION = '1.0'

    id: int
    uuid: str
    host: str
    binary: str
    topic: str
    version: int
    disabled: bool
    disabled_reason: str | None
    forced_down: bool
    last_seen_at: datetime.datetime | None
    facts: dict[str, Any] | None
    created_at: datetime.datetime
    updated_at: datetime.datetime | None

    fields = {
        'id': fields.IntegerField(),
        'uuid': fields.UUIDField(),
        'host': fields.StringField(),
        'binary': fields.StringField(),
        'topic': fields.StringField(nullable=True),
        'version': fields.IntegerField(),
        'disabled': fields.BooleanField(),
        'disabled_reason': fields.StringField(nullable=True),
        'forced_down': fields.BooleanField(),
        'last_seen_at': fields.DateTimeField(nullable=True),
        'facts': base.JsonField(nullable=True),
        'created_at': fields.DateTimeField(),
        'updated_at': fields.DateTimeField(nullable=True),
    }

    @classmethod
    def list(
        cls, ctxt: context.RequestContext, filters: Mapping[str, Any]
    ) -> list[Self]:
        rows = ctxt.store.service_list(filters)
        return [cls.from_row(ctxt, row) for row in rows]

    @classmethod
    def compute_of(cls, ctxt: context.RequestContext, host: str) -> Self:
        """The compute service of a host. :raises HostNotFound:"""
        found = cls.list(ctxt, {'host': host, 'binary': COMPUTE})
        if not found:
            raise exception.HostNotFound(host=host)
        return found[0]

    def is_up(self, now: datetime.datetime, down_after_s: float) -> bool:
        """Reports, and is not forced down."""
        if self.forced_down or self.last_seen_at is None:
            return False
        age_s = (now - self.last_seen_at).total_seconds()
        return abs(age_s) <= down_after_s

    def host_facts(self) -> driver.HostFacts | None:
        """What the host said of itself at its last report."""
        return driver.HostFacts.from_dict(self.facts) if self.facts else None
