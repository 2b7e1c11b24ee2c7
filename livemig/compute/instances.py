"""Life of the instances of a host: make, destroy, keep the record true."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

from oslo_log import log

from livemig import concurrency, context, exception
from livemig.compute import rpcapi
from livemig.compute.journal import AWAY
from livemig.notifications import Notifier, Phase
from livemig.objects import action as actions
from livemig.objects import base, migration_states
from livemig.objects.instance import Instance
from livemig.objects.instance_states import PowerState, TaskState, VmState
from livemig.objects.migration import Migration
from livemig.virt import driver as virt
from livemig.virt import job as jobs

if TYPE_CHECKING:
    from livemig.compute.registry import Registry

LOG = log.getLogger(__name__)


class Recorded:
    """An event of an instance action, as long as the block lasts."""

    def __init__(
        self,
        ctxt: context.RequestContext,
        host: str,
        instance_uuid: str,
        request_id: str,
        event: str,
        notify: Callable[[Phase, BaseException | None], None] | None = None,
    ) -> None:
        self._store = ctxt.store
        self._of = (instance_uuid, request_id)
        self._values: dict[str, Any] = {'event': event, 'host': host}
        self._notify = notify or (lambda phase, error: None)

    def __enter__(self) -> Self:
        self._store.event_start(
            *self._of, self._values | {'start_time': base.utcnow()}
        )
        self._notify(Phase.START, None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        details = None
        if isinstance(error, exception.LivemigError):
            details = error.message
        elif error is not None:
            details = type(error).__name__
        self._store.event_finish(
            *self._of,
            self._values
            | {
                'finish_time': base.utcnow(),
                'result': actions.ERROR if error else actions.SUCCESS,
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
    ) -> None:
        self._host = host
        self._driver = driver
        self._notifier = notifier
        self._compute_api = compute_api
        self._lock = concurrency.Lock()
        self._busy: set[str] = set()

    @contextlib.contextmanager
    def _alone(self, instance_uuid: str) -> Iterator[bool]:
        """Only one thread at a time makes or destroys a guest.

        A message and the periodic look at the records may find the same
        work; a disk made twice would be taken from a guest that runs.

        :returns: False if another one is at it: whatever is still to be
            done then is found on the record.
        """
        with self._lock:
            alone = instance_uuid not in self._busy
            self._busy.add(instance_uuid)
        try:
            yield alone
        finally:
            if alone:
                with self._lock:
                    self._busy.discard(instance_uuid)

    def carry_on(
        self, ctxt: context.RequestContext, registry: Registry
    ) -> None:
        """Go on with what a lost message or a restart left half done."""
        for instance in Instance.list(
            ctxt,
            {
                'host': self._host,
                'task_state': [
                    str(TaskState.SPAWNING),
                    str(TaskState.DELETING),
                ],
            },
        ):
            if registry.of_instance(instance.uuid) is not None:
                continue
            if instance.task_state == TaskState.DELETING:
                self.terminate(ctxt, instance.uuid)
            else:
                self.build(ctxt, instance.uuid)

    # -- make ---------------------------------------------------------------
    def build(self, ctxt: context.RequestContext, instance_uuid: str) -> None:
        """Make the guest; repeating is harmless."""
        with self._alone(instance_uuid) as alone:
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
        notify = self._notify(ctxt, instance, 'create')
        try:
            with Recorded(
                ctxt,
                self._host,
                instance.uuid,
                str(instance.request_id),
                'compute_build_instance',
                notify,
            ):
                self._driver.spawn(spec_of(instance))
        except (exception.HypervisorUnavailable, *AWAY):
            # Nothing is known to be wrong with it: it is taken up again.
            raise
        except exception.LivemigError as exc:
            LOG.error(
                'Instance %(uuid)s: %(exc)s',
                {'uuid': instance.uuid, 'exc': exc.message},
            )
            self._built(instance, VmState.ERROR, PowerState.NOSTATE)
            instance.add_fault(500, exc.message, self._host)
        else:
            self._built(instance, VmState.ACTIVE, PowerState.RUNNING)

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
        with self._alone(instance_uuid) as alone:
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
            # It moved while the message was on its way.
            if instance.host:
                self._compute_api.terminate_instance(
                    ctxt, instance.host, instance_uuid
                )
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
        notify = self._notify(ctxt, instance, 'delete')
        with Recorded(
            ctxt,
            self._host,
            instance.uuid,
            str(ctxt.request_id),
            'compute_terminate_instance',
            notify,
        ):
            self._driver.destroy(instance.uuid)
            instance.destroy()

    def after_migration(
        self, ctxt: context.RequestContext, instance_uuid: str
    ) -> None:
        """Its migration has ended: was it deleted meanwhile?"""
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
            ctxt, {'host': self._host, 'task_state': None}
        ):
            state = guests.get(instance.uuid)
            if registry.of_instance(instance.uuid) or state is None:
                continue
            if (
                instance.vm_state == VmState.ACTIVE
                and state.power is jobs.Power.SHUTOFF
                and state.reason is not jobs.Reason.MIGRATED
            ):
                LOG.info('Guest %s has shut down.', instance.uuid)
                instance.swap(
                    {
                        'vm_state': str(VmState.STOPPED),
                        'power_state': int(PowerState.SHUTDOWN),
                    },
                    {
                        'vm_state': str(VmState.ACTIVE),
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


def spec_of(instance: Instance) -> virt.GuestSpec:
    """The record -> what the driver is to build."""
    image = instance.image or {}
    disks = []
    for index, disk in enumerate(image.get('disks') or []):
        size = int(disk.get('size_bytes') or 0)
        if index == 0:
            size = max(size, instance.root_gb * 1024**3)
        disks.append(
            virt.DiskSpec(
                device=disk['device'],
                format=disk.get('format', 'qcow2'),
                size_bytes=size,
                image_file=disk.get('image_file') or '',
                image_format=disk.get('image_format') or 'raw',
            )
        )
    return virt.GuestSpec(
        guest_id=instance.uuid,
        name=instance.display_name,
        memory_mib=instance.memory_mb,
        vcpus=instance.vcpus,
        kernel=image.get('kernel') or '',
        initrd=image.get('initrd') or '',
        cmdline=image.get('cmdline') or '',
        disks=tuple(disks),
    )
