"""Brings the guests of a host to what their records ask for (``power``).

The record comes first: messages, and the look at the records after a
restart, only say "look there". One thread at a time is at an instance.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from typing import Any

from oslo_config import cfg
from oslo_log import log

from livemig import concurrency, context, exception
from livemig.compute import power, power_states, specs
from livemig.compute.hands import Hands
from livemig.compute.monitor import Stopped
from livemig.compute.patience import Patience
from livemig.notifications import Notifier, Phase
from livemig.objects import action as actions
from livemig.objects import base
from livemig.objects.instance import Instance
from livemig.objects.instance_states import PowerState, VmState
from livemig.virt import driver as virt

LOG = log.getLogger(__name__)

#: How many of an instance's actions are looked through for what a hard
#: reboot took the place of.
ACTIONS = 20


class Powering:
    """The instances of this host that something is done to.

    :param own_context: a context of livemig's own work.
    :param after: called with the uuid of each instance that was worked at;
        it may have been deleted meanwhile.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        driver: virt.Driver,
        notifier: Notifier,
        clock: concurrency.Clock,
        hands: Hands,
        own_context: Callable[[], context.RequestContext],
        after: Callable[[str], None],
    ) -> None:
        self._conf = conf
        self._host: str = conf.host
        self._driver = driver
        self._notifier = notifier
        self._clock = clock
        self._hands = hands
        self._own_context = own_context
        self._after = after
        self._stop = concurrency.Event()
        self._lock = concurrency.Condition()
        #: Instances with a thread at them. True: its record is to be looked
        #: at (again).
        self._at: dict[str, bool] = {}

    # -- from outside -------------------------------------------------------
    def receivers(self) -> types.SimpleNamespace:
        """A method for each of ``power.MESSAGES``."""
        return types.SimpleNamespace(
            **{
                name: functools.partial(self._receive, name)
                for name in power.MESSAGES
            }
        )

    def _receive(
        self,
        message: str,
        ctxt: context.RequestContext,
        instance_uuid: str,
        issued_at: str,
        **arguments: Any,
    ) -> None:
        """Hand over, if that is what the record asks for."""
        instance = Instance.get(ctxt, instance_uuid)
        row = self._asked_of(instance)
        if row is None or row.message != message:
            LOG.info(
                'Instance %(uuid)s at %(host)s has the task %(task)s: '
                '%(message)s of %(issued)s comes too late.',
                {
                    'uuid': instance_uuid,
                    'host': instance.host,
                    'task': instance.task_state,
                    'message': message,
                    'issued': issued_at,
                },
            )
            return
        self.take_up(instance_uuid)

    def carry_on(self, ctxt: context.RequestContext) -> None:
        """Go on with what a lost message or a restart left half done."""
        for instance in Instance.list(
            ctxt, {'host': self._host, 'task_state': list(power.TASK_STATES)}
        ):
            self.take_up(instance.uuid)

    def take_up(self, instance_uuid: str) -> None:
        """Have a thread look at its record, now or as soon as the one that
        is at it has done what it does."""
        with self._lock:
            if self._stop.is_set():
                return
            known = instance_uuid in self._at
            self._at[instance_uuid] = True
        if not known:
            concurrency.spawn(
                self._run, instance_uuid, name=f'power-{instance_uuid}'
            )

    def wait_idle(self, patience_s: float | None) -> bool:
        """Wait until no instance is worked at; False if one still is."""
        with self._lock:
            return bool(self._lock.wait_for(lambda: not self._at, patience_s))

    def close(self, patience_s: float | None) -> bool:
        """Begin nothing any more; what is not done stays on the record."""
        with self._lock:
            self._stop.set()
        return self.wait_idle(patience_s)

    # -- one instance -------------------------------------------------------
    def _run(self, instance_uuid: str) -> None:
        try:
            while self._is_to_look(instance_uuid):
                with self._hands.alone(instance_uuid) as alone:
                    while alone and self._step(instance_uuid):
                        pass
                self._after(instance_uuid)
        except BaseException as exc:
            self._leave(instance_uuid)
            if not isinstance(exc, Stopped):
                raise
            LOG.info(
                'What was asked of instance %s is done after the restart.',
                instance_uuid,
            )

    def _is_to_look(self, instance_uuid: str) -> bool:
        """False: all that was said was looked at, and the thread ends."""
        with self._lock:
            if self._at[instance_uuid] and not self._stop.is_set():
                self._at[instance_uuid] = False
                return True
            del self._at[instance_uuid]
            self._lock.notify_all()
            return False

    def _leave(self, instance_uuid: str) -> None:
        with self._lock:
            del self._at[instance_uuid]
            self._lock.notify_all()

    def _step(self, instance_uuid: str) -> bool:
        """Do what the record asks for; True: it may ask for more.

        :raises Stopped:
        """
        patience = Patience(
            self._clock, self._stop, f'Instance {instance_uuid}'
        )
        try:
            instance = patience.ask(
                lambda: Instance.get(self._own_context(), instance_uuid)
            )
        except exception.InstanceNotFound:
            return False
        row = self._asked_of(instance)
        if row is None:
            return False
        ctxt = patience.ask(
            lambda: actions.context_of(
                self._own_context(), instance.uuid, row.action
            )
        )
        ctxt.update_store()
        if row.displaces:
            patience.ask(lambda: self._end_displaced(ctxt, instance))
        step = _Step(
            host=self._host,
            driver=self._driver,
            notifier=self._notifier,
            patience=patience,
            ctxt=ctxt,
            instance=instance,
            row=row,
        )
        return step.run(
            lambda: power.Work(
                spec=specs.spec_of(instance, self._conf.libvirt.guest_network),
                rescue=specs.rescue_of(instance),
                shutdown_timeout_s=self._conf.shutdown_timeout,
            )
        )

    def _end_displaced(
        self, ctxt: context.RequestContext, instance: Instance
    ) -> None:
        """Nobody else ends the events of what got stuck before this."""
        store = ctxt.store
        for older in store.action_list(instance.uuid, {}, ACTIONS):
            request_id = older['request_id']
            if request_id == ctxt.request_id:
                continue
            found = store.action_get(instance.uuid, request_id) or older
            for event in found.get('events', []):
                if (
                    event['event'] in power.EVENTS
                    and event['host'] == self._host
                    and event['finish_time'] is None
                ):
                    store.event_finish(
                        instance.uuid,
                        request_id,
                        {
                            'event': event['event'],
                            'host': self._host,
                            'finish_time': base.utcnow(),
                            'result': actions.ERROR,
                            'details': 'A hard reboot took its place.',
                        },
                    )

    def _asked_of(self, instance: Instance) -> power.Operation | None:
        if instance.host != self._host:
            return None
        return power.of(instance.task_state)


@dataclasses.dataclass(frozen=True)
class _Step:
    """One row of the table, once, for one instance."""

    host: str
    driver: virt.Driver
    notifier: Notifier
    patience: Patience
    ctxt: context.RequestContext
    instance: Instance
    row: power.Operation

    def run(self, work: Callable[[], power.Work]) -> bool:
        """False: the hypervisor is away, and all is still to be done.

        :raises Stopped:
        """
        self._event(self.ctxt.store.event_start, start_time=base.utcnow())
        self._tell(Phase.START)
        error: exception.LivemigError | None = None
        try:
            self.row.call(self.driver, work())
        except exception.HypervisorUnavailable as exc:
            LOG.warning(
                'Instance %(uuid)s stays %(task)s: %(exc)s It is tried again.',
                {
                    'uuid': self.instance.uuid,
                    'task': self.row.task_state,
                    'exc': exc.message,
                },
            )
            return False
        except exception.LivemigError as exc:
            error = exc
        except Exception as exc:
            # Our bug; repeating it for ever would help nobody.
            LOG.exception('Instance %s', self.instance.uuid)
            error = exception.LivemigError(
                f'{self.row.message} failed: {type(exc).__name__}'
            )
        self._end(error)
        return True

    def _end(self, error: exception.LivemigError | None) -> None:
        """Event, record, notification: a restart between two of them does
        it all again rather than leave one of them out."""
        self._event(
            self.ctxt.store.event_finish,
            finish_time=base.utcnow(),
            result=actions.ERROR if error else actions.SUCCESS,
            details=error.message if error else None,
        )
        if error is None:
            self._write(self._done())
        else:
            self._write(self._failed())
            told = f'The action {self.row.action} failed.'
            self.patience.ask(
                lambda: self.instance.add_fault(
                    500, told, self.host, error.message
                )
            )
        LOG.info(
            'Instance %(uuid)s, %(task)s: %(end)s. It is %(state)s now.',
            {
                'uuid': self.instance.uuid,
                'task': self.row.task_state,
                'end': error.message if error else 'done',
                'state': self.instance.vm_state,
            },
        )
        self._tell(Phase.ERROR if error else Phase.END, error)

    # -- what the record says then ------------------------------------------
    def _done(self) -> Mapping[str, Any]:
        values = self._values(self.row.vm_state, self.row.power_state)
        if self.row.launches:
            values['launched_at'] = base.utcnow()
        return values

    def _failed(self) -> Mapping[str, Any]:
        """A guest that still runs was not touched, and is what it was."""
        power_state = self._power_state()
        vm_state = VmState(self.instance.vm_state)
        if power_state is not PowerState.RUNNING and self.row.failed:
            vm_state = self.row.failed
        return self._values(vm_state, power_state)

    def _values(
        self, vm_state: VmState, power_state: PowerState
    ) -> dict[str, Any]:
        values: dict[str, Any] = {
            'vm_state': str(vm_state),
            'task_state': None,
            'power_state': int(power_state),
        }
        if vm_state is not VmState.RESCUED:
            values['rescue'] = None
        return values

    def _power_state(self) -> PowerState:
        try:
            state = self.driver.guest_state(self.instance.uuid)
        except exception.HypervisorUnavailable:
            state = None
        return power_states.of(state)

    # -- telling ------------------------------------------------------------
    def _write(self, values: Mapping[str, Any]) -> None:
        expected = {
            'task_state': str(self.row.task_state),
            'host': self.host,
        }
        if not self.patience.ask(lambda: self.instance.swap(values, expected)):
            LOG.info(
                'Instance %s has changed meanwhile; its record is left as '
                'it is.',
                self.instance.uuid,
            )

    def _event(
        self,
        write: Callable[[str, str, Mapping[str, Any]], None],
        **values: Any,
    ) -> None:
        self.patience.ask(
            lambda: write(
                self.instance.uuid,
                str(self.ctxt.request_id),
                {'event': self.row.event, 'host': self.host, **values},
            )
        )

    def _tell(self, phase: Phase, error: BaseException | None = None) -> None:
        self.notifier.notify(
            self.ctxt,
            self.row.notification,
            phase,
            self.instance,
            None,
            error,
        )
