"""Life of the instances of a host: make, destroy, keep the record true."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from oslo_log import log

from livemig import context, exception
from livemig.compute import rpcapi, specs
from livemig.compute.hands import Hands
from livemig.compute.journal import AWAY
from livemig.compute.sweep import sweep
from livemig.notifications import Notifier, Phase
from livemig.objects import action as actions
from livemig.objects import base, migration_states
from livemig.objects.instance import Instance
from livemig.objects.instance_states import (
    PowerState,
    TaskState,
    VmState,
    shut_down_values,
)
from livemig.objects.migration import Migration
from livemig.objects.migration_states import Status
from livemig.virt import driver as virt
from livemig.virt import job as jobs

if TYPE_CHECKING:
    from livemig.compute.registry import Registry

LOG = log.getLogger(__name__)


#: What ends no work: it is tried again, and its event stays open.
AGAIN = (exception.HypervisorUnavailable, *AWAY)


class Recorded:
    """An event of an instance action, as long as the block lasts.

    :param again: errors after which somebody tries again: the event does
        not end with them. (An Error would stay on the action for ever.)
    """

    def __init__(
        self,
        ctxt: context.RequestContext,
        host: str,
        instance_uuid: str,
        request_id: str,
        event: str,
        notify: Callable[[Phase, BaseException | None], None] | None = None,
        again: tuple[type[Exception], ...] = (),
    ) -> None:
        self._store = ctxt.store
        self._of = (instance_uuid, request_id)
        self._values: dict[str, Any] = {'event': event, 'host': host}
        self._notify = notify or (lambda phase, error: None)
        self._again = again
        self._refusal = ''

    def __enter__(self) -> Self:
        self._store.event_start(
            *self._of, self._values | {'start_time': base.utcnow()}
        )
        self._notify(Phase.START, None)
        return self

    def refused(self, reasons: str) -> None:
        """It ends without an exception, yet not well. '': it does."""
        self._refusal = reasons

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        if isinstance(error, self._again):
            return
        details = self._refusal or None
        if isinstance(error, exception.LivemigError):
            details = error.message
        elif error is not None:
            details = type(error).__name__
        self._store.event_finish(
            *self._of,
            self._values
            | {
                'finish_time': base.utcnow(),
                'result': actions.ERROR if details else actions.SUCCESS,
                'details': details,
            },
        )
        self._notify(Phase.ERROR if error else Phase.END, error)


class Instances:
    """What a host does with its instances besides migrating them."""

    def __init__(
        self,
        host: str,
        driver: virt.Driver,
        notifier: Notifier,
        compute_api: rpcapi.ComputeAPI,
        hands: Hands,
        guest_network: str = '',
    ) -> None:
        self._host = host
        self._driver = driver
        self._notifier = notifier
        self._compute_api = compute_api
        self._hands = hands
        self._guest_network = guest_network

    def carry_on(
        self, ctxt: context.RequestContext, registry: Registry
    ) -> None:
        """Go on with what a lost message or a restart left half done."""
        work = {
            str(TaskState.SPAWNING): self.build,
            str(TaskState.DELETING): self.terminate,
        }
        sweep(
            functools.partial(work[str(one.task_state)], ctxt, one.uuid)
            for one in Instance.list(
                ctxt, {'host': self._host, 'task_state': list(work)}
            )
            if registry.of_instance(one.uuid) is None
        )

    # -- make ---------------------------------------------------------------
    def build(self, ctxt: context.RequestContext, instance_uuid: str) -> None:
        """Make the guest; repeating is harmless."""
        with self._hands.alone(instance_uuid) as alone:
            if alone:
                self._build(ctxt, instance_uuid)

    def _build(self, ctxt: context.RequestContext, instance_uuid: str) -> None:
        try:
            instance = Instance.get(ctxt, instance_uuid)
        except exception.InstanceNotFound:
            return
        if (
            instance.host != self._host
            or instance.task_state != TaskState.SPAWNING
        ):
            return
        ctxt = actions.context_of(ctxt, instance.uuid, actions.CREATE)
        notify = self._notify(ctxt, instance, 'create')
        notify(Phase.START, None)
        try:
            with Recorded(
                ctxt,
                self._host,
                instance.uuid,
                str(instance.request_id),
                'compute_build_instance',
                again=AGAIN,
            ):
                self._give_address(instance)
                self._driver.spawn(
                    specs.spec_of(instance, self._guest_network)
                )
        except AGAIN:
            # Nothing is known to be wrong with it: it is taken up again.
            raise
        except exception.LivemigError as exc:
            LOG.error(
                'Instance %(uuid)s: %(exc)s',
                {'uuid': instance.uuid, 'exc': exc.message},
            )
            self._built(instance, VmState.ERROR, PowerState.NOSTATE)
            instance.add_fault(
                500, 'It could not be made.', self._host, exc.message
            )
            notify(Phase.ERROR, exc)
        else:
            self._built(instance, VmState.ACTIVE, PowerState.RUNNING)
            notify(Phase.END, None)

    def _give_address(self, instance: Instance) -> None:
        """The record keeps it: it outlives hosts and rebuildings."""
        if self._guest_network and not instance.mac_address:
            instance.update_values(mac_address=specs.mac_of(instance.uuid))

    def _built(
        self, instance: Instance, vm_state: VmState, power: PowerState
    ) -> None:
        done = instance.swap(
            {
                'vm_state': str(vm_state),
                'task_state': None,
                'power_state': int(power),
                'launched_at': base.utcnow(),
            },
            {'task_state': str(TaskState.SPAWNING), 'host': self._host},
        )
        if not done:
            # Deleted while it was made: look_for_work destroys it.
            LOG.info('Instance %s was deleted meanwhile.', instance.uuid)

    # -- destroy ------------------------------------------------------------
    def terminate(
        self, ctxt: context.RequestContext, instance_uuid: str
    ) -> None:
        """Destroy the guest, then the record; repeating is harmless."""
        with self._hands.alone(instance_uuid) as alone:
            if alone:
                self._terminate(ctxt, instance_uuid)

    def _terminate(
        self, ctxt: context.RequestContext, instance_uuid: str
    ) -> None:
        try:
            instance = Instance.get(ctxt, instance_uuid)
        except exception.InstanceNotFound:
            self._driver.destroy(instance_uuid)
            return
        if instance.task_state != TaskState.DELETING:
            return
        if instance.host != self._host:
            self._terminate_for(ctxt, instance)
            return
        if Migration.get_by_instance_and_status(
            ctxt, instance.uuid, migration_states.ON_SOURCE
        ):
            # Its runner, at the source, ends first: there is something to
            # be removed at both hosts.
            LOG.info(
                'Instance %s is deleted after its migration.', instance.uuid
            )
            return
        ctxt = actions.context_of(ctxt, instance.uuid, actions.DELETE)
        notify = self._notify(ctxt, instance, 'delete')
        with Recorded(
            ctxt,
            self._host,
            instance.uuid,
            str(ctxt.request_id),
            'compute_terminate_instance',
            notify,
            AGAIN,
        ):
            # The other end first: as long as the record is there, who dies
            # in between begins again.
            for host in self._other_ends(ctxt, instance.uuid):
                self._compute_api.terminate_instance(ctxt, host, instance.uuid)
            self._driver.destroy(instance.uuid)
            instance.destroy()

    def _terminate_for(
        self, ctxt: context.RequestContext, instance: Instance
    ) -> None:
        """The instance of another host is being deleted."""
        ends = self._other_ends(ctxt, instance.uuid, but=instance.host)
        if self._host in ends:
            self._driver.destroy(instance.uuid)
        elif instance.host:
            # It moved while the message was on its way.
            self._compute_api.terminate_instance(
                ctxt, instance.host, instance.uuid
            )

    def _other_ends(
        self,
        ctxt: context.RequestContext,
        instance_uuid: str,
        but: str | None = None,
    ) -> list[str]:
        """Nothing was touched where a migration ended in error; when the
        instance is deleted, nothing of it is needed at either end.

        :param but: not this host; None: not ours.
        """
        lost = Migration.get_by_instance_and_status(
            ctxt, instance_uuid, Status.ERROR
        )
        ends = {one.source_compute for one in lost}
        ends |= {one.dest_compute for one in lost}
        return sorted(filter(None, ends - {but or self._host}))

    def after_work(
        self, ctxt: context.RequestContext, instance_uuid: str
    ) -> None:
        """What kept it busy has ended: was it deleted meanwhile?"""
        try:
            self.terminate(ctxt, instance_uuid)
        except exception.LivemigError as exc:
            LOG.warning(
                'Instance %(uuid)s: %(exc)s It is tried again.',
                {'uuid': instance_uuid, 'exc': exc.message},
            )

    # -- keep the record true -----------------------------------------------
    def sync_power_states(
        self, ctxt: context.RequestContext, registry: Registry
    ) -> None:
        """A guest that shut itself down shows as such."""
        guests = self._driver.guests()
        for instance in Instance.list(
            ctxt,
            {
                'host': self._host,
                'task_state': None,
                'vm_state': [str(VmState.ACTIVE), str(VmState.RESCUED)],
            },
        ):
            # The first reading may be older than the record: a start in
            # between shows in the second.
            if (
                _shows_running(instance)
                and not registry.of_instance(instance.uuid)
                and _is_off(guests.get(instance.uuid))
                and _is_off(self._driver.guest_state(instance.uuid))
            ):
                self._has_shut_down(instance)

    def _has_shut_down(self, instance: Instance) -> None:
        LOG.info('Guest %s has shut down.', instance.uuid)
        instance.swap(
            shut_down_values(instance.vm_state),
            {
                'vm_state': instance.vm_state,
                'task_state': None,
                'host': self._host,
            },
        )

    def _notify(
        self,
        ctxt: context.RequestContext,
        instance: Instance,
        operation: str,
    ) -> Callable[[Phase, BaseException | None], None]:
        def notify(phase: Phase, error: BaseException | None) -> None:
            self._notifier.notify(
                ctxt, operation, phase, instance, None, error
            )

        return notify


def _shows_running(instance: Instance) -> bool:
    return (
        instance.vm_state == VmState.ACTIVE
        or instance.power_state != PowerState.SHUTDOWN
    )


def _is_off(state: jobs.GuestState | None) -> bool:
    """It has shut down here, and has not merely moved or been saved."""
    return (
        state is not None
        and state.power is jobs.Power.SHUTOFF
        and state.reason not in (jobs.Reason.MIGRATED, jobs.Reason.SAVED)
    )
