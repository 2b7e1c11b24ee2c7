"""When an operation is refused, in words; see ``fields`` for the tables."""

from __future__ import annotations

from collections.abc import Mapping

from livemig import exception
from livemig.api import (
    extensions,
    flavor_extra_specs,
    hypervisors,
    instance_actions,
    server_filters,
    server_metadata,
    services,
    versions,
)
from livemig.api.action import Operation

Words = Mapping[type[exception.LivemigError], str]

_NOT_THERE: Words = {
    versions.VersionNotFound: 'There is no such version.',
    exception.InstanceNotFound: 'There is no such server, or it belongs to '
    'another project.',
    exception.MigrationNotFoundForInstance: 'The server has no such live '
    'migration under way.',
    exception.FlavorNotFound: 'There is no such flavor.',
    exception.ImageNotFound: 'There is no such image.',
    exception.HostNotFound: 'No compute service of that host has ever '
    'reported.',
    exception.ServiceNotFound: 'There is no such service.',
    exception.MarkerNotFound: 'There is nothing with the id of the marker.',
    server_metadata.ItemNotFound: 'The server has no such item.',
    instance_actions.ActionNotFound: 'The server has no such action.',
    flavor_extra_specs.ExtraSpecNotFound: 'The flavor has no such extra spec.',
    flavor_extra_specs.NoAccessList: 'The flavor is public.',
    hypervisors.HypervisorNotFound: 'There is no such hypervisor.',
    extensions.ExtensionNotFound: 'There is no such extension.',
}

_NOT_NOW: Words = {
    exception.InstanceLocked: 'The server is locked.',
    exception.InstanceInvalidState: 'The server is in a state that does not '
    'allow it.',
    exception.StateConflict: 'The server changed at that very moment.',
    exception.FlavorExists: 'There is a flavor of that id or name.',
    exception.FlavorOfCatalogue: "The flavor stands in the operator's "
    'catalogue, where alone it can be changed.',
    services.NotChangeable: 'The service is none of a compute host.',
    services.InUse: 'The host of the service has servers, or migrations '
    'under way.',
    server_metadata.TooMany: 'The server would have too many items.',
    server_filters.AdminOnly: 'Deleted servers are asked for, or an order '
    'by host, and an administrator is not the one who asks.',
}

_MIGRATE: Words = {
    exception.InstanceInvalidState: 'The server is neither active nor '
    'paused, or an operation on it is under way. Below 2.200 also: it is '
    'rescued.',
    exception.MigrationPreCheckError: 'Below 2.34: the checks on source and '
    'destination found reasons against it; the message has all of them.',
    exception.NoValidHost: 'Below 2.34: no host can take it.',
    exception.UnableToMigrateToSelf: 'Below 2.34: the server is on that '
    'host already.',
    exception.ComputeServiceUnavailable: 'Below 2.34: the compute service '
    'of source or destination is down.',
    exception.HypervisorError: 'From 2.200 on: the server is rescued, and '
    'the driver of a host that the message names cannot migrate such a '
    'one. Below 2.34: the hypervisor of a host refused.',
    exception.RpcVersionTooOld: 'From 2.200 on: the server is rescued, and '
    'the compute service of a host is too old for that.',
}

_ON_MIGRATION: Words = {
    exception.InvalidState: 'The server is not migrating, or the migration '
    'is in a status that does not allow it, or an abort is under way.',
    exception.RpcVersionTooOld: 'The compute service of the source is too '
    'old for that.',
}

_END: Words = {
    exception.InvalidState: 'The server is not migrating or is locked; its '
    'migration is not ``running``, as before the transfer and in post-copy; '
    'or an abort is under way.',
    exception.RpcVersionTooOld: _ON_MIGRATION[exception.RpcVersionTooOld],
}

#: Operation, resource or nothing -> what is said of each error.
REFUSALS: Mapping[str, Words] = {
    '': {**_NOT_THERE, **_NOT_NOW},
    'hypervisors': {
        exception.ComputeServiceUnavailable: 'Its host is down.',
        hypervisors.UptimeUnknown: 'Its driver does not tell.',
    },
    'servers:delete': {
        exception.StateConflict: 'The server changed several times at that '
        'very moment.',
    },
    'servers:reset_state': {
        exception.InstanceInvalidState: 'The server is migrating.',
    },
    'servers:migrate_live': _MIGRATE,
    'servers:force_end': _END,
    'server_migrations': _ON_MIGRATION,
    'server_migrations:abort': {
        **_ON_MIGRATION,
        exception.InvalidState: 'The server is not migrating; the migration '
        'is not ``running`` (from 2.65 on: nor ``queued`` nor '
        '``preparing``), as in post-copy; or an abort is under way, and the '
        'message names it.',
    },
    'server_migrations:force_complete': {
        **_ON_MIGRATION,
        exception.MigrationNotFoundForInstance: 'The server has no such '
        'migration.',
        exception.InvalidState: 'The server is not migrating; the migration '
        'is not ``running``, as before the transfer and in post-copy; or an '
        'abort is under way.',
    },
}


def refusal(error: type[exception.LivemigError], operation: Operation) -> str:
    """When that operation is refused with that error.

    :raises KeyError: nobody has said it yet.
    """
    for name in (operation.name, operation.name.partition(':')[0], ''):
        told = REFUSALS.get(name, {}).get(error)
        if told is not None:
            return told
    raise KeyError(f'{operation.name}: {error.__name__}')


#: What any operation may be refused with: code -> when.
COMMON: Mapping[int, str] = {
    400: 'Body, query or version header do not have the form they must '
    'have; the message names the place and the reason.',
    401: 'Nobody, or somebody unknown, asks.',
    403: 'The rule of the operation does not allow it to that user.',
    404: 'There is nothing at that URL at that version.',
    406: 'The microversion is not offered.',
    413: 'The body is larger than ``[api] max_request_body_size``.',
    415: 'The body is said to be something else than JSON.',
    503: 'The message broker or the database cannot be reached, or somebody '
    'did not answer in time. Try again later.',
}
