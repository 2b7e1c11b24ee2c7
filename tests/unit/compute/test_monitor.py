"""The monitor beside a simulated transfer: it sees, decides and obeys."""

import dataclasses
import threading

import pytest

from livemig import exception
from livemig.compute.convergence import Cause, Do, Policy, Request
from livemig.compute.monitor import Mailbox, Monitor, Stopped
from livemig.virt import driver as virt
from livemig.virt import fake, simulation
from tests.clock import VirtualClock

MIB = 1024**2
GUEST = 'b6e5a6ba-0000-4000-8000-000000000001'

#: It writes 80 MiB/s over 64 MiB: at 50 MiB/s it never converges.
BUSY = 'ws=64 rate=20480'
SLOWLY = virt.TransferOptions(bandwidth_mib_s=50, post_copy=True)
#: QEMU's highest maximum downtime, ms.
HIGHEST = 2_000_000

ABORT = Request(Cause.OPERATOR, 'req-abort', 'alice')
FORCE = Request(Cause.OPERATOR, 'req-force', 'alice')
PAUSE = Request(Cause.OPERATOR, 'req-pause', 'alice', 'pause')

#: No transfer here lasts that long.
HOPELESS_S = 2000

LIFTED = [('set_bandwidth', 0), ('set_max_downtime', HIGHEST)]


class Driver(fake.FakeDriver):
    """Notes what it is told to do, and fails where the test wants it to.

    :ivar told: (method, value) of each order that was carried out.
    :ivar errors: method -> errors it raises instead, one a call.
    """

    def __init__(self, world, host):
        super().__init__(world, host)
        self.told = []
        self.tried = []
        self.errors = {}

    def _order(self, name, *values, **how):
        self.tried.append(name)
        if self.errors.get(name):
            raise self.errors[name].pop(0)
        getattr(super(), name)(GUEST, *values, **how)
        self.told.append((name, *values))

    def abort(self, guest_id):
        self._order('abort')

    def pause(self, guest_id, *, forced=False):
        assert forced, 'it would stay paused if its migration just ended'
        self._order('pause', forced=forced)

    def start_post_copy(self, guest_id):
        self._order('start_post_copy')

    def set_max_downtime(self, guest_id, downtime_ms):
        self._order('set_max_downtime', downtime_ms)

    def set_bandwidth(self, guest_id, bandwidth_mib_s, *, post_copy=False):
        if post_copy:
            super().set_bandwidth(guest_id, bandwidth_mib_s, post_copy=True)
            self.told.append(('lift_post_copy', bandwidth_mib_s))
        else:
            self._order('set_bandwidth', bandwidth_mib_s)

    def job(self, guest_id):
        if self.errors.get('job'):
            raise self.errors['job'].pop(0)
        return super().job(guest_id)


class Listener:
    """Writes down what it is told; has ids for the timeout's requests."""

    def __init__(self):
        self.samples = []
        self.switches = 0
        self.breaks = []
        self.pauses = []
        self.timeouts = []
        self.refusals = []

    def sampled(self, job, elapsed_s):
        self.samples.append((job, elapsed_s))

    def switched(self):
        self.switches += 1

    def post_copy_broken(self, broken):
        self.breaks.append(broken)

    def paused(self, decision):
        self.pauses.append(decision)

    def timed_out(self, do, decision):
        self.timeouts.append((do, decision.cause))
        return Request(decision.cause, f'req-timeout-{len(self.timeouts)}')

    def refused(self, do, request, error):
        self.refusals.append((do, request and request.request_id, error))


class Rig:
    """Two hosts, a guest on a, and a monitor of its transfer to b."""

    def __init__(self):
        self.clock = VirtualClock()
        self.clock.at(HOPELESS_S, self.give_up)
        self.world = simulation.World(self.clock)
        for name in 'ab':
            self.world.add_host(name)
        self.a = Driver(self.world, 'a')
        self.b = fake.FakeDriver(self.world, 'b')
        self.policy = Policy()
        self.mailbox = Mailbox()
        self.listener = Listener()
        self.stop = threading.Event()

    @staticmethod
    def give_up():
        raise AssertionError('nobody ends this transfer')

    def boot(self, cmdline=BUSY, disks=()):
        self.a.spawn(
            virt.GuestSpec(
                guest_id=GUEST,
                name='guest',
                memory_mib=128,
                vcpus=1,
                cmdline=cmdline,
                disks=disks,
            )
        )

    def begin(self, options=SLOWLY):
        """Start the transfer, as the runner does."""
        plan = virt.TransferPlan(
            guest_id=GUEST,
            migration_id=1,
            destination=self.b.host_facts(),
            block_migration=bool(self.a.disks(GUEST)),
            disks=self.a.disks(GUEST),
        )
        self.b.prepare_destination(plan)
        self.a.start(plan, options)

    def ask(self, do, request, at_s=None):
        """Have something asked, at once or at a moment."""
        if at_s is None:
            self.mailbox.put(do, request)
        else:
            self.clock.at(at_s, lambda: self.mailbox.put(do, request))

    def watch(self, **values):
        """Watch until nothing is under way; what the monitor has seen."""
        return Monitor(
            driver=self.a,
            guest_id=GUEST,
            policy=lambda: self.policy,
            mailbox=self.mailbox,
            listener=self.listener,
            clock=self.clock,
            stop=self.stop,
            **values,
        ).run()

    def where(self):
        """(host on which the guest runs, when the watch ended)."""
        return ''.join(self.world.running(GUEST))


@pytest.fixture
def rig():
    made = Rig()
    yield made
    made.world.check()


@pytest.fixture
def busy(rig):
    """A transfer that never ends by itself."""
    rig.boot()
    rig.begin()
    return rig


def test_a_transfer_that_converges_is_watched_to_its_end(rig):
    rig.boot('ws=16 rate=100')
    rig.begin(virt.TransferOptions(bandwidth_mib_s=10))
    seen = rig.watch(sample_s=5.0)
    assert rig.where() == 'b'
    assert rig.a.told == []
    assert not seen.forced
    times = [elapsed_s for _, elapsed_s in rig.listener.samples]
    # 128 MiB at 10 MiB/s, a look every 0.5 s, a sample every 5.
    assert times == [0, 5, 10]
    totals = [job.memory_total_bytes for job, _ in rig.listener.samples]
    assert totals == [0, 128 * MIB, 128 * MIB]


# -- abort ----------------------------------------------------------------
def test_an_abort_is_carried_out_once(busy):
    busy.ask(Do.ABORT, ABORT, at_s=5)
    seen = busy.watch()
    assert busy.where() == 'a'
    assert busy.a.told == [('abort',)]
    assert seen.aborted
    assert seen.abort == ABORT
    assert busy.listener.refusals == []
    assert 5 <= busy.clock.monotonic_s() <= 7


def test_an_abort_that_is_too_early_is_tried_again(busy):
    """libvirt has no job yet and says so; 50 ms later it takes it."""
    busy.ask(Do.ABORT, ABORT)
    seen = busy.watch(tick_s=0.02)
    assert busy.where() == 'a'
    assert busy.a.tried.count('abort') > 1
    assert busy.a.told == [('abort',)]
    assert seen.aborted
    assert busy.listener.refusals == []


def test_an_abort_the_driver_cannot_do_is_refused_for_good(busy):
    unable = dataclasses.replace(busy.a.capabilities(), abort=False)
    busy.world.hosts['a'].capabilities = unable
    # The timeout does not try what cannot be done either.
    busy.policy = Policy(timeout_s=20)
    busy.ask(Do.ABORT, ABORT, at_s=5)
    busy.ask(Do.PAUSE, PAUSE, at_s=40)
    seen = busy.watch()
    assert busy.where() == 'b'
    assert seen.abort_refused
    assert busy.a.tried.count('abort') == 1
    ((do, request_id, error),) = busy.listener.refusals
    assert (do, request_id) == (Do.ABORT, 'req-abort')
    assert isinstance(error, exception.AbortMigrationNotSupported)
    assert busy.listener.timeouts == []


def test_an_abort_the_hypervisor_will_not_do_any_more_is_refused(busy):
    error = exception.AbortRefused(guest_id=GUEST, host='a', reason='late')
    busy.a.errors['abort'] = [error]
    busy.ask(Do.ABORT, ABORT, at_s=5)
    busy.ask(Do.PAUSE, PAUSE, at_s=10)
    seen = busy.watch()
    assert busy.where() == 'b'
    assert seen.abort is None
    assert busy.listener.refusals == [(Do.ABORT, 'req-abort', error)]
    assert busy.a.tried.count('abort') == 1


def test_an_abort_without_a_job_is_refused_and_may_be_asked_again(busy):
    error = exception.NoActiveJob(guest_id=GUEST, host='a')
    busy.a.errors['abort'] = [error]
    busy.ask(Do.ABORT, ABORT, at_s=5)
    again = dataclasses.replace(ABORT, request_id='req-again')
    busy.ask(Do.ABORT, again, at_s=10)
    seen = busy.watch()
    assert busy.where() == 'a'
    assert busy.listener.refusals == [(Do.ABORT, 'req-abort', error)]
    assert seen.abort == again


@pytest.mark.parametrize(
    'error',
    [
        exception.HypervisorUnavailable(host='a', reason='gone'),
        exception.HypervisorError(host='a', reason='busy'),
    ],
    ids=['unavailable', 'error'],
)
def test_an_abort_that_fails_is_tried_again(busy, error):
    busy.a.errors['abort'] = [error] * 3
    busy.ask(Do.ABORT, ABORT, at_s=5)
    seen = busy.watch()
    assert busy.where() == 'a'
    assert seen.aborted
    assert busy.a.tried.count('abort') == 4
    assert busy.listener.refusals == []


def test_a_second_abort_is_not_a_second_one(busy):
    busy.ask(Do.ABORT, ABORT, at_s=5)
    busy.ask(Do.ABORT, dataclasses.replace(ABORT, request_id='2'), at_s=5)
    seen = busy.watch()
    assert seen.abort == ABORT
    assert busy.a.told == [('abort',)]


# -- force complete -------------------------------------------------------
def test_a_forced_pause_lifts_the_limits_first(busy):
    """Kept, they would hold the guest still for the rest of the pass."""
    busy.ask(Do.PAUSE, FORCE, at_s=20)
    seen = busy.watch()
    assert busy.where() == 'b'
    assert busy.a.told == [*LIFTED, ('pause',)]
    (decision,) = busy.listener.pauses
    assert decision.cause is Cause.OPERATOR
    assert seen.force == FORCE
    assert seen.paused_at_s == pytest.approx(20, abs=1)
    assert busy.b.completed_job(GUEST).downtime_ms < 1000


def test_a_second_force_has_no_effect(busy):
    busy.ask(Do.PAUSE, FORCE, at_s=20)
    busy.ask(Do.PAUSE, PAUSE, at_s=20)
    seen = busy.watch()
    assert seen.force == FORCE
    assert busy.a.told == [*LIFTED, ('pause',)]
    assert len(busy.listener.pauses) == 1


def test_before_memory_flows_only_the_limits_are_lifted(rig):
    disk = virt.DiskSpec('vda', 'raw', 500 * MIB)
    rig.boot(disks=(disk,))
    rig.begin(virt.TransferOptions(bandwidth_mib_s=50))
    rig.ask(Do.PAUSE, PAUSE)
    seen = rig.watch(tick_s=0.02)
    assert rig.where() == 'b'
    # The bandwidth alone at first: nothing may be allowed to switch over.
    assert rig.a.told == [('set_bandwidth', 0), *LIFTED, ('pause',)]
    # 500 MiB at 50 MiB/s would take 10 s.
    assert seen.paused_at_s < 2


def test_forcing_switches_to_post_copy_where_it_is_permitted(busy):
    busy.policy = Policy(post_copy=True)
    busy.ask(Do.PAUSE, FORCE, at_s=20)
    seen = busy.watch()
    assert busy.where() == 'b'
    assert busy.a.told[0] == ('start_post_copy',)
    assert ('pause',) not in busy.a.told
    assert busy.listener.switches == 1
    assert busy.listener.pauses == []
    assert seen.post_copy_started
    assert seen.post_copy_seen


def slow_down(rig, mib_s):
    """A link on which post-copy lasts longer than a look."""
    transfer = rig.world.jobs[GUEST].transfer
    transfer.pace = dataclasses.replace(
        transfer.pace, link_bytes_per_s=mib_s * MIB
    )


def test_a_limit_of_post_copy_is_lifted(busy):
    """A limited post-copy lets the guest wait for its memory."""
    busy.policy = Policy(post_copy=True)
    busy.ask(Do.PAUSE, FORCE, at_s=20)
    slow_down(busy, 20)
    seen = busy.watch()
    assert busy.a.told == [('start_post_copy',), ('lift_post_copy', 0)]
    assert seen.post_copy_limit_lifted
    assert busy.where() == 'b'


def test_by_pausing_means_by_pausing(busy):
    busy.policy = Policy(post_copy=True)
    busy.ask(Do.PAUSE, PAUSE, at_s=20)
    busy.watch()
    assert busy.a.told == [*LIFTED, ('pause',)]
    assert busy.listener.switches == 0


def refused_switch():
    return exception.PostCopyRefused(guest_id=GUEST, host='a', reason='early')


def test_a_switch_that_is_refused_is_tried_again(busy):
    busy.policy = Policy(post_copy=True)
    busy.a.errors['start_post_copy'] = [refused_switch() for _ in range(9)]
    busy.ask(Do.PAUSE, FORCE, at_s=20)
    seen = busy.watch()
    assert busy.a.tried.count('start_post_copy') == 10
    assert seen.post_copy_seen
    assert busy.listener.pauses == []


def test_nothing_is_switched_to_a_destination_that_stands_still(busy):
    """It would not learn of it, and could end the guest afterwards."""
    busy.policy = Policy(post_copy=True)
    answers = iter(['b stands still.'] * 3)
    busy.ask(Do.PAUSE, FORCE, at_s=20)
    seen = busy.watch(destination_alive=lambda: next(answers, ''))
    assert seen.post_copy_refusals == 3
    assert busy.a.tried.count('start_post_copy') == 1
    assert seen.post_copy_seen
    assert busy.where() == 'b'


def test_a_destination_that_never_answers_becomes_a_pause(busy):
    busy.policy = Policy(post_copy=True)
    busy.ask(Do.PAUSE, FORCE, at_s=20)
    busy.watch(destination_alive=lambda: 'b stands still.')
    assert 'start_post_copy' not in busy.a.tried
    assert busy.a.told == [*LIFTED, ('pause',)]


def test_a_switch_that_stays_refused_becomes_a_pause(busy):
    busy.policy = Policy(post_copy=True)
    busy.a.errors['start_post_copy'] = [refused_switch() for _ in range(99)]
    busy.ask(Do.PAUSE, FORCE, at_s=20)
    seen = busy.watch()
    assert busy.where() == 'b'
    assert busy.a.tried.count('start_post_copy') == 10
    assert busy.a.told == [*LIFTED, ('pause',)]
    assert not seen.post_copy_started


def test_a_switch_nobody_can_do_becomes_a_pause_at_once(busy):
    busy.policy = Policy(post_copy=True)
    unable = dataclasses.replace(busy.a.capabilities(), post_copy=False)
    busy.world.hosts['a'].capabilities = unable
    busy.ask(Do.PAUSE, FORCE, at_s=20)
    busy.watch()
    assert busy.a.tried.count('start_post_copy') == 1
    assert busy.a.told == [*LIFTED, ('pause',)]


def test_a_pause_the_driver_cannot_do_is_refused(busy):
    error = exception.PauseMigrationNotSupported(host='a')
    busy.a.errors['pause'] = [error]
    busy.ask(Do.PAUSE, PAUSE, at_s=20)
    seen = busy.watch()
    assert busy.listener.refusals == [(Do.PAUSE, 'req-pause', error)]
    assert seen.force_refused
    assert busy.a.tried.count('pause') == 1
    assert busy.listener.pauses == []


def test_a_pause_while_the_hypervisor_is_away_is_made_later(busy):
    away = exception.HypervisorUnavailable(host='a', reason='gone')
    busy.a.errors['set_bandwidth'] = [away] * 3
    busy.ask(Do.PAUSE, PAUSE, at_s=20)
    seen = busy.watch()
    assert busy.where() == 'b'
    assert busy.a.tried.count('set_bandwidth') == 4
    assert busy.a.told == [*LIFTED, ('pause',)]
    assert seen.paused_at_s == pytest.approx(21.5, abs=0.6)
    assert busy.listener.refusals == []


def test_a_forced_pause_that_does_not_arrive_is_aborted(busy):
    busy.policy = Policy(forced_pause_limit_s=3)
    busy.ask(Do.PAUSE, PAUSE, at_s=20)
    busy.clock.at(20, lambda: busy.world.cut('a', 'b'))
    seen = busy.watch()
    assert busy.where() == 'a'
    assert busy.a.told == [*LIFTED, ('pause',), ('abort',)]
    assert busy.listener.timeouts == [(Do.ABORT, Cause.PAUSE_LIMIT)]
    assert seen.abort.cause is Cause.PAUSE_LIMIT
    # libvirt would give the link up after 6 s.
    assert 23 < busy.clock.monotonic_s() < 26


# -- the timeout ----------------------------------------------------------
def test_the_timeout_aborts_once(busy):
    busy.policy = Policy(timeout_s=10)
    seen = busy.watch()
    assert busy.where() == 'a'
    assert busy.a.told == [('abort',)]
    assert busy.listener.timeouts == [(Do.ABORT, Cause.TIMEOUT)]
    assert seen.abort.request_id == 'req-timeout-1'
    assert 10 < busy.clock.monotonic_s() < 12


def test_the_timeout_forces_once(busy):
    busy.policy = Policy(timeout_s=10, timeout_action='force_complete')
    seen = busy.watch()
    assert busy.where() == 'b'
    assert busy.a.told == [*LIFTED, ('pause',)]
    assert busy.listener.timeouts == [(Do.PAUSE, Cause.TIMEOUT)]
    assert [d.cause for d in busy.listener.pauses] == [Cause.TIMEOUT]
    assert seen.force.request_id == 'req-timeout-1'


def test_an_abort_of_the_timeout_that_fails_is_still_one_request(busy):
    busy.policy = Policy(timeout_s=10)
    error = exception.HypervisorError(host='a', reason='busy')
    busy.a.errors['abort'] = [error] * 4
    busy.watch()
    assert busy.listener.timeouts == [(Do.ABORT, Cause.TIMEOUT)]


def test_a_reloaded_timeout_holds_at_once(busy):
    busy.policy = Policy(timeout_s=1000)

    def reload():
        busy.policy = Policy(timeout_s=15)

    busy.clock.at(20, reload)
    busy.watch()
    assert 20 <= busy.clock.monotonic_s() < 22


def test_after_a_restart_time_counts_from_the_start_of_the_job(busy):
    busy.clock.advance(30)
    busy.policy = Policy(timeout_s=40)
    busy.watch()
    assert 40 < busy.clock.monotonic_s() < 42
    assert busy.listener.samples[0][1] == pytest.approx(30, abs=0.1)


# -- downtime -------------------------------------------------------------
def test_the_maximum_downtime_rises_step_by_step(busy):
    busy.policy = Policy(
        timeout_s=20, downtime_steps=((0.0, 10), (6.0, 20), (12.0, 30))
    )
    busy.watch()
    assert busy.a.told == [
        ('set_max_downtime', 10),
        ('set_max_downtime', 20),
        ('set_max_downtime', 30),
        ('abort',),
    ]


# -- when nobody answers --------------------------------------------------
def test_a_hypervisor_that_is_away_ends_no_migration(busy):
    away = exception.HypervisorUnavailable(host='a', reason='gone')
    busy.a.errors['job'] = [away] * 20
    busy.ask(Do.ABORT, ABORT, at_s=5)
    seen = busy.watch()
    # 20 looks in vain, 0.5 s apart, then the abort that waited.
    assert seen.aborted
    assert 10 <= busy.clock.monotonic_s() < 12
    assert busy.a.tried.count('abort') == 1


@pytest.mark.parametrize(
    ('do', 'request_', 'step'),
    [
        (Do.PAUSE, PAUSE, 'set_bandwidth'),
        (Do.PAUSE, FORCE, 'start_post_copy'),
        (Do.ABORT, ABORT, 'abort'),
    ],
)
def test_a_step_that_fails_is_tried_again(busy, do, request_, step):
    busy.policy = Policy(post_copy=True)
    error = exception.HypervisorError(host='a', reason='internal error')
    busy.a.errors[step] = [error, error]
    busy.ask(do, request_, at_s=20)
    busy.watch()
    assert busy.a.tried.count(step) >= 3
    assert busy.a.errors[step] == []
    assert busy.where() == ('a' if do is Do.ABORT else 'b')
    assert busy.listener.refusals == []


def test_a_daemon_that_restarts_in_post_copy_is_waited_for(busy):
    busy.policy = Policy(post_copy=True, timeout_s=60)
    slow_down(busy, 10)
    busy.ask(Do.PAUSE, FORCE, at_s=10)
    busy.clock.at(12, lambda: busy.world.restart_daemon('a', away_s=5))
    seen = busy.watch()
    assert seen.post_copy_seen
    assert busy.listener.switches == 1
    assert busy.where() == 'b'
    assert busy.clock.monotonic_s() >= 17
    assert ('abort',) not in busy.a.told


def test_a_process_that_stops_leaves_the_transfer_alone(busy):
    busy.clock.at(10, busy.stop.set)
    with pytest.raises(Stopped):
        busy.watch()
    assert busy.a.told == []
    assert busy.a.job(GUEST).state == 'active'


# -- the mailbox ----------------------------------------------------------
def test_a_repeated_message_is_one_request():
    mailbox = Mailbox()
    assert mailbox.put(Do.ABORT, ABORT) is True
    assert mailbox.put(Do.PAUSE, FORCE) is True
    assert mailbox.put(Do.ABORT, ABORT) is False
    assert mailbox.take() == [(Do.ABORT, ABORT), (Do.PAUSE, FORCE)]
    assert mailbox.take() == []
    # Also after it was read.
    assert mailbox.put(Do.ABORT, ABORT) is False
    assert mailbox.take() == []
