"""Domain errors: what went wrong, in words; no HTTP in here.

An error crosses the message bus by its class name, its message and its
keyword arguments (oslo.messaging builds it again from ``args`` and
``kwargs``), so all it carries must be JSON. ``str()`` of an error that
came over the bus has the remote traceback appended: show ``message``.
"""

from __future__ import annotations

from typing import Any


class LivemigError(Exception):
    """Base of every error livemig raises on purpose.

    :param message: the finished text; without it the class's template is
        filled with the keyword arguments.
    """

    template = 'An unexpected error happened.'

    def __init__(self, message: str | None = None, **kwargs: Any) -> None:
        self.kwargs = kwargs
        super().__init__(message or self.template.format(**kwargs))

    @property
    def message(self) -> str:
        """The text alone, without a remote traceback."""
        return str(self.args[0])


# -- asking for something that is not there ---------------------------------
class NotFound(LivemigError):
    template = 'The resource could not be found.'


class InstanceNotFound(NotFound):
    template = 'Instance {instance_id} could not be found.'


class MigrationNotFound(NotFound):
    template = 'Migration {migration_id} could not be found.'


class MigrationNotFoundForInstance(NotFound):
    template = 'Migration {migration_id} not found for instance {instance_id}.'


class FlavorNotFound(NotFound):
    template = 'Flavor {flavor_id} could not be found.'


class FlavorExists(LivemigError):
    template = 'There is a flavor with the id {flavor_id} or the name {name}.'


class FlavorOfCatalogue(LivemigError):
    template = (
        "Flavor {flavor_id} stands in the operator's catalogue file: it "
        'can be changed only there.'
    )


class ImageNotFound(NotFound):
    template = 'Image {image_id} could not be found.'


class HostNotFound(NotFound):
    template = (
        'Compute host {host} could not be found: no compute manager of '
        'that name has ever reported.'
    )


class ServiceNotFound(NotFound):
    template = 'Service {service} could not be found.'


class MarkerNotFound(NotFound):
    template = 'Marker {marker} could not be found.'


# -- asking at the wrong moment ---------------------------------------------
class InvalidState(LivemigError):
    """Base: the thing exists, but what was asked does not go now."""


class InstanceInvalidState(InvalidState):
    template = (
        'Cannot {action} instance {instance_id} while it is in {attribute} '
        '{state}.'
    )


class InstanceLocked(InvalidState):
    template = 'Instance {instance_id} is locked.'


class InvalidMigrationState(InvalidState):
    template = (
        'Cannot {action} migration {migration_id} of instance '
        '{instance_id}: its status is {status}.'
    )


class AbortUnderWay(InvalidState):
    template = (
        'Migration {migration_id} of instance {instance_id} is already '
        'being aborted: asked at {requested_at} by user {requested_by} '
        '(request {request_id}).'
    )


class StateConflict(InvalidState):
    """A compare-and-swap lost: somebody else changed the row first."""

    template = '{what} changed meanwhile: expected {expected}, found {found}.'


class UnexpectedTransition(InvalidState):
    """The life-cycle table has no such cell."""

    template = (
        'Event {event} is not possible for migration {migration_id} in '
        'status {status}.'
    )


# -- a migration cannot be made ---------------------------------------------
class MigrationPreCheckError(LivemigError):
    """One or several reasons why this guest cannot move there.

    ``kwargs['reasons']`` is a list of ``{'host': ..., 'text': ...}``.
    """

    template = 'Migration pre-check failed: {text}'


class NoValidHost(LivemigError):
    template = 'No valid host was found. {reason}'


class UnableToMigrateToSelf(LivemigError):
    template = (
        'Unable to migrate instance {instance_id} to host {host}: it runs '
        'there already.'
    )


class HostForcedDown(LivemigError):
    template = (
        '{host} is forced down: an administrator has said that nothing runs '
        'there.'
    )


class ComputeServiceUnavailable(LivemigError):
    template = 'Compute service of {host} is unavailable at this time.'


class RpcVersionTooOld(LivemigError):
    template = (
        'Host {host} cannot {action}: its compute manager is limited to '
        'RPC version {have}, {needed} is needed.'
    )


# -- the world outside ------------------------------------------------------
class BrokerUnreachable(LivemigError):
    template = (
        'The message broker did not take the message within {limit_s} s. '
        'Nothing was started; try again when it is back.'
    )


class ReplyTimeout(LivemigError):
    template = '{host} did not answer {method} within {limit_s} s.'


class DatabaseUnreachable(LivemigError):
    template = 'The database cannot be reached at the moment. Try again.'


class CatalogueError(LivemigError):
    template = 'The catalogue {path} is wrong: {reason}'


class ConfigurationError(LivemigError):
    template = 'Option {option} is wrong: {reason}'


# -- the hypervisor ---------------------------------------------------------
class HypervisorError(LivemigError):
    """The hypervisor refused or failed; ``message`` is its own text."""

    template = 'The hypervisor of {host} failed: {reason}'


class HypervisorUnavailable(HypervisorError):
    template = 'The hypervisor of {host} cannot be reached: {reason}'


class GuestNotFound(HypervisorError):
    template = 'Guest {guest_id} is not known to the hypervisor of {host}.'


class NoActiveJob(HypervisorError):
    """There is no job to abort, pause or switch: too early or too late."""

    template = 'Guest {guest_id} on {host} has no active migration job.'


class AbortRefused(HypervisorError):
    """The hypervisor will not abort any more (post-copy, switchover)."""

    template = 'Abort of guest {guest_id} on {host} was refused: {reason}'


class PostCopyRefused(HypervisorError):
    """The switch to post-copy was refused; may work a moment later."""

    template = (
        'Switch of guest {guest_id} on {host} to post-copy was refused: '
        '{reason}'
    )


class DestinationNotPrepared(HypervisorError):
    template = (
        'Destination {host} could not be prepared for guest {guest_id}: '
        '{reason}'
    )


class NotSupportedByDriver(HypervisorError):
    """Base: the driver of that host cannot do this at all."""


class AbortMigrationNotSupported(NotSupportedByDriver):
    template = 'The driver of host {host} cannot abort a migration.'


class PauseMigrationNotSupported(NotSupportedByDriver):
    template = (
        'The driver of host {host} cannot pause a guest during its migration.'
    )


class PostCopyNotSupported(NotSupportedByDriver):
    template = 'The driver of host {host} cannot do post-copy.'


class LiveMigrationNotSupported(NotSupportedByDriver):
    template = 'The driver of host {host} cannot migrate live.'
