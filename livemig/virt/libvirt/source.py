"""The source's side of a migration: start, read, abort, switch, finish."""

from __future__ import annotations

import enum
import logging

import libvirt

from livemig import concurrency, exception
from livemig.virt.driver import TransferOptions, TransferPlan
from livemig.virt.job import GuestState, JobState, JobStats, Power, Reason
from livemig.virt.libvirt import (
    connection,
    deadline,
    domain_xml,
    errors,
    files,
    flags,
    guests,
    notes,
    states,
    stats,
    transfer,
)

LOG = logging.getLogger(__name__)

#: How long the source's QEMU may take to end after the guest runs at the
#: destination.
LEAVE_S = 30.0
POLL_S = 0.2

#: ``abortJob`` at the very end of a migration may never return (libvirt
#: 9.0).
ABORT_S = 30.0

#: How long QEMU may take from being told to switch to switching.
SWITCH_S = 5.0
SWITCH_POLL_S = 0.02

_POST_COPY = frozenset({Reason.POST_COPY, Reason.POST_COPY_FAILED})

_COMPLETED = (
    libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED
    # Reading does not consume them.
    | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
)


class Source:
    """What this host does when a guest leaves."""

    def __init__(
        self,
        conn: connection.Connection,
        place: files.Place,
        transfers: transfer.Transfers,
        host: str,
        clock: concurrency.Clock,
        network: str,
    ) -> None:
        self._conn = conn
        self._place = place
        self._network = network
        self._transfers = transfers
        self._host = host
        self._clock = clock
        #: Guests whose switch to post-copy was asked for and is not seen
        #: yet.
        self._switching: set[str] = set()
        self._aborts: dict[str, deadline.Call[_Answer]] = {}

    # -- start --------------------------------------------------------------
    def start(
        self,
        plan: TransferPlan,
        options: TransferOptions,
        *,
        unsafe_storage: bool,
    ) -> None:
        guest_id = plan.guest_id
        state = self._state(guest_id)
        if state is None:
            raise self._not_found(guest_id)
        if not states.runs(state) or state.job or state.reason in _POST_COPY:
            raise self._failed(
                f'guest {guest_id} cannot be moved: it is {state.power} '
                f'({state.reason})'
                + (', another job is active' if state.job else '')
            )
        try:
            chosen = flags.choose_flags(
                plan,
                options,
                paused=state.power is Power.PAUSED,
                unsafe_storage=unsafe_storage,
            )
        except flags.Refused as error:
            raise self._failed(str(error)) from error
        self._check_storage(plan)
        live, lasting = self._moved_xml(plan)
        request = flags.Request(
            uri=plan.destination.migration_uri,
            flags=chosen,
            params=flags.params(plan, options, live, lasting),
        )
        LOG.info(
            'Migration %d of guest %s to %s begins: flags %#x.',
            plan.migration_id,
            guest_id,
            request.uri,
            chosen,
        )
        self._transfers.start(guest_id, request, flags.first_downtime(options))

    def _check_storage(self, plan: TransferPlan) -> None:
        """The verdict of the pre-check once more, by the note that the
        destination has written since: a mount may have come or gone. Disks
        that are one file must not be removed when the guest has left, nor
        those be left behind that are two."""
        there = plan.destination.host
        shared = notes.sees(
            self._place, plan.guest_id, plan.migration_id, there
        )
        if shared is not plan.shared_directory:
            found, said = ('is', 'not') if shared else ('is not', 'it was')
            raise self._failed(
                f'{self._place.path} {found} shared with {there}, though the '
                f'checks before said {said}; migrate the guest again'
            )

    def _moved_xml(self, plan: TransferPlan) -> tuple[str | None, str | None]:
        """The guest's live and lasting definition as the destination shall
        have them; None: as they are here."""
        here = self._place.directory(plan.guest_id)
        there = f'{plan.destination.instances_path}/{plan.guest_id}'
        network, new_network = self._network, plan.destination.guest_network
        if here == there and network == new_network:
            return None, None
        live, lasting = self._conn.read(
            lambda conn: _xml(conn, plan.guest_id), plan.guest_id
        )
        return (
            domain_xml.moved(live, here, there, network, new_network),
            domain_xml.moved(lasting, here, there, network, new_network),
        )

    # -- read ---------------------------------------------------------------
    def job(self, guest_id: str) -> JobStats:
        # First ours, then libvirt's: a call that returns in between leaves
        # no reading that looks like an end.
        ours = self._transfers.running(guest_id)
        reading = None
        if files.is_guest_id(guest_id):
            reading = self._conn.read(
                lambda conn: _read_job(conn, guest_id), guest_id
            )
        if reading is not None:
            return reading if ours is None else ours.seen(reading)
        if ours is not None and ours.running:
            return ours.unseen()
        return JobStats(state=JobState.NONE)

    def completed_job(self, guest_id: str) -> JobStats | None:
        if not files.is_guest_id(guest_id):
            return None
        came = self._conn.read(
            lambda conn: _read_completed(conn, guest_id), guest_id
        )
        return came or self._conn.figures(guest_id)

    # -- obey ---------------------------------------------------------------
    def abort(self, guest_id: str) -> None:
        if not files.is_guest_id(guest_id):
            raise self._no_job(guest_id)
        if guest_id in self._switching:
            raise self._abort_refused(
                guest_id, 'the switch to post-copy is under way'
            )
        before = self._aborts.get(guest_id)
        if before is not None and before.alive:
            LOG.warning('An abort of guest %s still hangs.', guest_id)
            return
        call = self._conn.begin(
            lambda conn: _abort(conn, guest_id), f'abort-{guest_id}'
        )
        self._aborts[guest_id] = call
        try:
            answer = call.result(ABORT_S)
        except libvirt.libvirtError as error:
            raise errors.translate_abort(
                error, self._host, guest_id
            ) from error
        except TimeoutError as error:
            # It was asked for; what comes of it both hypervisors will say.
            LOG.warning('Abort of guest %s: %s.', guest_id, error)
            return
        finally:
            if not call.alive:
                self._aborts.pop(guest_id, None)
        if answer is _Answer.POST_COPY:
            raise self._abort_refused(guest_id, 'it is in post-copy')
        if answer is _Answer.NO_JOB:
            raise self._no_job(guest_id)

    def restore_limits(self, guest_id: str, options: TransferOptions) -> None:
        state = self._state(guest_id)
        if state is None:
            raise self._not_found(guest_id)
        if not states.runs(state):
            return
        bandwidth_mib_s = flags.bandwidth(options.bandwidth_mib_s)
        downtime_ms = flags.first_downtime(options)

        def restore(conn: libvirt.virConnect) -> None:
            domain = conn.lookupByUUIDString(guest_id)
            domain.migrateSetMaxSpeed(bandwidth_mib_s)
            domain.migrateSetMaxDowntime(downtime_ms)

        # Not as what may go better in a moment: a roll-back waits for it.
        self._conn.run(restore, guest_id)

    def start_post_copy(self, guest_id: str) -> None:
        if not files.is_guest_id(guest_id):
            raise self._no_job(guest_id)
        self._switching.add(guest_id)
        try:
            self._ask_for_post_copy(guest_id)
            self._wait_for_post_copy(guest_id)
        finally:
            self._switching.discard(guest_id)

    def _ask_for_post_copy(self, guest_id: str) -> None:
        under_way = self._transfers.running(guest_id) is not None

        def ask(conn: libvirt.virConnect) -> None:
            nonlocal under_way
            domain = conn.lookupByUUIDString(guest_id)
            if _in_post_copy(domain):
                return
            under_way = under_way or transfer.sends(domain)
            domain.migrateStartPostCopy(0)

        self._conn.run(
            ask,
            guest_id,
            translate=lambda e: errors.translate_post_copy(
                e, self._host, guest_id, under_way
            ),
        )

    def _wait_for_post_copy(self, guest_id: str) -> None:
        """Until it shows, QEMU only knows that it shall: an abort in that
        moment is accepted and takes effect (libvirt 9.0, QEMU 7.2)."""
        until_s = self._clock.monotonic_s() + SWITCH_S
        never = concurrency.Event()
        while self._clock.monotonic_s() < until_s:
            if self._conn.read(
                lambda conn: _before_post_copy(conn, guest_id), guest_id
            ):
                self._clock.wait(never, SWITCH_POLL_S)
            else:
                return
        LOG.warning('Guest %s does not switch to post-copy.', guest_id)

    # -- finish -------------------------------------------------------------
    def finish(self, plan: TransferPlan) -> None:
        guest_id = plan.guest_id
        state = self._wait_until_left(guest_id)
        if state is not None and states.runs(state):
            raise self._failed(
                f'guest {guest_id} should have left, but is {state.power} '
                f'({state.reason}) there: nothing of it is touched'
            )
        if state is not None:
            self._conn.run(
                lambda conn: guests.undefine_stopped(conn, guest_id), guest_id
            )
        self._transfers.forget(guest_id)
        try:
            if not plan.shared_directory:
                self._place.remove_directory(guest_id)
            # What an earlier migration to this host could not finish.
            notes.drop_all(self._place, guest_id)
        except (files.InUse, OSError) as error:
            raise self._failed(str(error)) from error

    def _wait_until_left(self, guest_id: str) -> GuestState | None:
        """The guest runs at the destination some time before its QEMU here
        has ended."""
        until_s = self._clock.monotonic_s() + LEAVE_S
        never = concurrency.Event()
        while True:
            ours = self._transfers.running(guest_id)
            state = self._state(guest_id)
            leaving = ours is not None or (
                state is not None and _is_leaving(state)
            )
            if not leaving or self._clock.monotonic_s() >= until_s:
                return state
            self._clock.wait(never, POLL_S)

    # -- helpers ------------------------------------------------------------
    def _state(self, guest_id: str) -> GuestState | None:
        return self._conn.read(
            lambda conn: guests.state_of(conn, guest_id), guest_id
        )

    def _failed(self, reason: str) -> exception.HypervisorError:
        return exception.HypervisorError(host=self._host, reason=reason)

    def _not_found(self, guest_id: str) -> exception.GuestNotFound:
        return exception.GuestNotFound(host=self._host, guest_id=guest_id)

    def _abort_refused(
        self, guest_id: str, reason: str
    ) -> exception.AbortRefused:
        return exception.AbortRefused(
            host=self._host, guest_id=guest_id, reason=reason
        )

    def _no_job(self, guest_id: str) -> exception.NoActiveJob:
        return exception.NoActiveJob(host=self._host, guest_id=guest_id)


class _Answer(enum.Enum):
    ASKED = 'asked'
    NO_JOB = 'no job'
    POST_COPY = 'post-copy'


def _abort(conn: libvirt.virConnect, guest_id: str) -> _Answer:
    domain = conn.lookupByUUIDString(guest_id)
    if _in_post_copy(domain):
        return _Answer.POST_COPY
    # abortJob ends jobs of any kind, also a snapshot.
    if not transfer.sends(domain):
        return _Answer.NO_JOB
    domain.abortJob()
    return _Answer.ASKED


def force(domain: libvirt.virDomain) -> bool:
    """Pause a guest that is being sent; False if it is not: it goes on."""
    if not transfer.sends(domain):
        return False
    domain.suspend()
    if states.guest_state(*domain.state()).reason is not Reason.USER:
        return True
    # The job had ended before: nobody would ever let the guest go on.
    domain.resume()
    return False


def _in_post_copy(domain: libvirt.virDomain) -> bool:
    return states.guest_state(*domain.state()).reason in _POST_COPY


def _before_post_copy(conn: libvirt.virConnect, guest_id: str) -> bool:
    """A job is active, and it is still (or again) in pre-copy."""
    domain = guests.find(conn, guest_id)
    if domain is None:
        return False
    state = guests.state(domain)
    return state is not None and state.job and state.reason not in _POST_COPY


def _is_leaving(state: GuestState) -> bool:
    """Paused until its QEMU has ended; one that its user paused stays so.

    After a broken post-copy nothing ends by itself.
    """
    return (
        state.power is Power.PAUSED
        and state.reason is not Reason.POST_COPY_FAILED
        and (state.job or state.reason in (Reason.MIGRATION, Reason.POST_COPY))
    )


def _xml(conn: libvirt.virConnect, guest_id: str) -> tuple[str, str]:
    """The live and the lasting definition."""
    domain = conn.lookupByUUIDString(guest_id)
    secure = libvirt.VIR_DOMAIN_XML_SECURE
    live = domain.XMLDesc(secure | libvirt.VIR_DOMAIN_XML_MIGRATABLE)
    return live, domain.XMLDesc(secure | libvirt.VIR_DOMAIN_XML_INACTIVE)


def _read_job(conn: libvirt.virConnect, guest_id: str) -> JobStats | None:
    domain = guests.find(conn, guest_id)
    if domain is None:
        return None
    try:
        state = states.guest_state(*domain.state())
    except libvirt.libvirtError as error:
        if errors.code(error) == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    return transfer.read_job(domain, state)


def _read_completed(
    conn: libvirt.virConnect, guest_id: str
) -> JobStats | None:
    domain = guests.find(conn, guest_id)
    if domain is None:
        return None
    try:
        return stats.completed(domain.jobStats(_COMPLETED))
    except libvirt.libvirtError as error:
        if errors.code(error) in transfer.NO_JOB:
            return None
        raise
