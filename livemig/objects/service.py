"""A service: a process that reports, and what its host can do."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self

from oslo_versionedobjects import fields

from livemig import context, exception
from livemig.objects import base
from livemig.objects.instance import Instance
from livemig.virt import driver

#: The version each compute manager registers. 1: the first one.
#: History: 1 abort, force complete, the simulated and libvirt drivers.
#: 2 pause to unrescue; a rescued instance can be migrated live.
SERVICE_VERSION = 2

#: The first that can move a rescued instance, if its driver can.
RESCUED_SINCE = 2

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
    def find(cls, ctxt: context.RequestContext, **filters: Any) -> Self:
        """The one that is meant. :raises ServiceNotFound:"""
        found = cls.list(ctxt, filters)
        if not found:
            named = ' '.join(str(value) for value in filters.values())
            raise exception.ServiceNotFound(service=named[:300])
        return found[0]

    @classmethod
    def compute_of(cls, ctxt: context.RequestContext, host: str) -> Self:
        """The compute service of a host. :raises HostNotFound:"""
        found = cls.list(ctxt, {'host': host, 'binary': COMPUTE})
        if not found:
            raise exception.HostNotFound(host=host)
        return found[0]

    def update_values(self, **values: Any) -> None:
        """Change it. :raises ServiceNotFound: deleted meanwhile."""
        row = self.store.service_update(self.uuid, values)
        if row is None:
            raise exception.ServiceNotFound(service=self.uuid)
        self.refresh_from(row)

    def destroy(self) -> bool:
        """Forget it; False if it was already. If its process is alive, it
        registers anew at its next report."""
        return self.store.service_destroy(self.uuid)

    def is_up(self, now: datetime.datetime, down_after_s: float) -> bool:
        """Reports, and is not forced down."""
        if self.forced_down or self.last_seen_at is None:
            return False
        age_s = (now - self.last_seen_at).total_seconds()
        return abs(age_s) <= down_after_s

    def why_not_rescued(self) -> str:
        """'' if its driver and its version can move a rescued instance,
        from here or to here; else why not."""
        if self.version < RESCUED_SINCE:
            return (
                'its compute manager is too old to move a rescued instance '
                f'(service version {self.version}, {RESCUED_SINCE} is '
                'needed).'
            )
        facts = self.host_facts()
        if (
            facts is None
            or not facts.capabilities.supports_live_migrate_rescued
        ):
            return 'its driver cannot move a rescued instance.'
        return ''

    def host_facts(self) -> driver.HostFacts | None:
        """What the host said of itself at its last report."""
        return driver.HostFacts.from_dict(self.facts) if self.facts else None


def rescued_refusal(
    ctxt: context.RequestContext,
    instance: Instance,
    destination_host: str | None,
) -> str | None:
    """Why a rescued instance cannot be moved live, as far as the service
    records tell; None: nothing speaks against it.

    The source counts always, the destination if one is named; else one
    other host must be able to take it.

    :raises HostNotFound: source or destination has never reported.
    """
    source = Service.compute_of(ctxt, str(instance.host))
    why = source.why_not_rescued()
    if why:
        return _refusal('source', [(source.host, why)])
    if destination_host is not None:
        named = Service.compute_of(ctxt, destination_host)
        why = named.why_not_rescued()
        return _refusal('destination', [(named.host, why)]) if why else None
    found = {
        one.host: one.why_not_rescued()
        for one in Service.list(ctxt, {'binary': COMPUTE})
        if one.host != source.host
    }
    if not found or '' in found.values():
        return None
    return _refusal('destination', sorted(found.items()))


def _refusal(end: str, hosts: list[tuple[str, str]]) -> str:
    told = '; '.join(
        f'{end} host {host}: {why.removesuffix(".")}' for host, why in hosts
    )
    return f'A rescued instance cannot be migrated live because of {told}.'
