"""What the contract suite needs of two hosts, whatever is behind them.

A rig has two hosts that do not share disks, starts guests and lets time
pass: virtual for simulated hosts, real (and bounded) for real ones. The
suite reads the guests' states through the drivers alone, and asks the rig
for what no driver tells: whether anything is left anywhere, and whether a
guest was restarted or damaged.
"""

from __future__ import annotations

import abc
import dataclasses
import itertools
import os
import threading
import uuid
from collections.abc import Callable

import pytest

from livemig import exception
from livemig.virt import driver, fake, job, simulation
from tests import clock

MIB = 1024 * 1024
MEMORY_MIB = 64
#: With ``SLOW``, an idle guest takes seconds and a busy one never ends.
SLOW = 10
POST_COPY = (job.Reason.POST_COPY, job.Reason.POST_COPY_FAILED)
#: load: (working set MiB, pages rewritten a second).
LOADS = {'idle': (16, 0), 'light': (16, 200), 'busy': (20, 10000)}

#: No guest has this id.
NOBODY = str(uuid.UUID(int=0))
ANY = driver.TransferOptions()

_migration_ids = itertools.count(1)


class Rig(abc.ABC):
    """Two hosts, from which guests move to which."""

    source: driver.Driver
    destination: driver.Driver

    def __init__(self) -> None:
        self.spawned: list[str] = []
        #: What was asked for, as the record of an instance has it.
        self.specs: dict[str, driver.GuestSpec] = {}

    # -- what each kind of rig does its own way -------------------------------
    @abc.abstractmethod
    def spec(
        self, guest_id: str, cmdline: str, disk_mib: int
    ) -> driver.GuestSpec:
        """A guest with ``MEMORY_MIB`` that obeys that command line."""

    @abc.abstractmethod
    def rescue_spec(self, cmdline: str, disk_mib: int) -> driver.RescueSpec:
        """What a guest is rescued with; without a disk if that is 0."""

    @abc.abstractmethod
    def boots(self, guest_id: str) -> int:
        """How often it was started from nothing."""

    @abc.abstractmethod
    def files(self, guest_id: str, host: str) -> list[str]:
        """Names of the disks in its directory, without their formats.

        :param host: ``source`` or ``destination``
        """

    @abc.abstractmethod
    def limits(self, guest_id: str) -> tuple[int, int]:
        """Bandwidth (MiB/s) and maximum downtime (ms) that its hypervisor
        at the source was last told."""

    @abc.abstractmethod
    def second_source_driver(self) -> driver.Driver:
        """Another driver of the source, as a restarted manager has it."""

    @abc.abstractmethod
    def wait_until(
        self, happens: Callable[[], object], timeout_s: float = 60.0
    ) -> None:
        """Let time pass until that is true.

        :raises AssertionError: it was not within ``timeout_s``
        """

    @abc.abstractmethod
    def break_post_copy(self, guest_id: str) -> None:
        """Break the stream of a guest in post-copy."""

    @abc.abstractmethod
    def restart_daemon(self, host: str) -> None:
        """Kill that host's hypervisor daemon; it comes back at once.

        :param host: ``source`` or ``destination``
        """

    @abc.abstractmethod
    def drop_broken(self, plan: driver.TransferPlan) -> None:
        """Get rid of a guest that is stuck in a broken post-copy, or
        get it out of there."""

    @abc.abstractmethod
    def nowhere(self) -> str:
        """A migration URI at which nothing listens."""

    @abc.abstractmethod
    def leftovers(self) -> list[str]:
        """Whatever is on a host and does not belong to a guest that lives
        there: definitions, files, notes, probes; in words."""

    @abc.abstractmethod
    def assert_intact(self, guest_id: str) -> None:
        """It was never restarted or damaged, nor ran twice at once."""

    @abc.abstractmethod
    def close(self) -> None:
        """Remove everything."""

    # -- for the suite --------------------------------------------------------
    def spawn(
        self, load: str = 'idle', *, disk_mib: int = 0, off_s: int = 0
    ) -> str:
        """Start a guest at the source; its id.

        :param off_s: it powers itself off after that time
        """
        guest_id = str(uuid.uuid4())
        working_set, rate = LOADS[load]
        cmdline = f'ws={working_set} rate={rate} print=100 off={off_s}'
        self.spawned.append(guest_id)
        self.specs[guest_id] = self.spec(guest_id, cmdline, disk_mib)
        self.source.spawn(self.specs[guest_id])
        return guest_id

    def plan(
        self, guest_id: str, *, block: bool = False
    ) -> driver.TransferPlan:
        """A new migration of it, as both pre-checks would have it."""
        state = self.source.guest_state(guest_id)
        return driver.TransferPlan(
            guest_id=guest_id,
            migration_id=next(_migration_ids),
            destination=self.destination.host_facts(),
            block_migration=block,
            disks=self.source.disks(guest_id),
            shared_directory=False,
            paused=bool(state and state.power is job.Power.PAUSED),
        )

    def to_nowhere(self, plan: driver.TransferPlan) -> driver.TransferPlan:
        return dataclasses.replace(
            plan,
            destination=dataclasses.replace(
                plan.destination, migration_uri=self.nowhere()
            ),
        )

    def begin(
        self,
        guest_id: str,
        *,
        block: bool = False,
        bandwidth_mib_s: int = SLOW,
        post_copy: bool = False,
        auto_converge: bool = False,
        max_downtime_ms: int | None = None,
    ) -> driver.TransferPlan:
        """Prepare the destination and start a transfer, by default one
        slow enough to be watched."""
        plan = self.plan(guest_id, block=block)
        self.destination.prepare_destination(plan)
        self.source.start(
            plan,
            driver.TransferOptions(
                bandwidth_mib_s=bandwidth_mib_s,
                post_copy=post_copy,
                auto_converge=auto_converge,
                max_downtime_ms=max_downtime_ms,
            ),
        )
        return plan

    def job(self, guest_id: str) -> job.JobStats:
        return self.source.job(guest_id)

    def ended(self, guest_id: str) -> bool:
        return self.job(guest_id).state is job.JobState.NONE

    def wait_for_pass(self, guest_id: str, number: int = 1) -> job.JobStats:
        """Let time pass until that pass over the memory has begun."""
        seen: list[job.JobStats] = []

        def begun() -> bool:
            seen.append(self.job(guest_id))
            return seen[-1].pass_number >= number

        self.wait_until(begun)
        return seen[-1]

    def wait_for_end(self, guest_id: str, timeout_s: float = 60.0) -> None:
        self.wait_until(lambda: self.ended(guest_id), timeout_s)

    def abort(self, guest_id: str) -> None:
        """Ask to abort as soon as the hypervisor takes it."""

        def taken() -> bool:
            assert not self.ended(guest_id), 'ended before it was aborted'
            try:
                self.source.abort(guest_id)
            except exception.NoActiveJob:
                return False
            return True

        self.wait_until(taken, 10.0)

    def running_at(self, guest_id: str) -> list[str]:
        """Of 'source' and 'destination', where its CPUs run."""
        return [
            name
            for name, one in (
                ('source', self.source),
                ('destination', self.destination),
            )
            if (state := one.guest_state(guest_id))
            and state.power is job.Power.RUNNING
        ]

    def assert_moved(self, plan: driver.TransferPlan) -> None:
        """Do what follows a success; then it is one and complete."""
        guest_id = plan.guest_id
        self.destination.finish_destination(guest_id, plan.migration_id)
        self.source.finish_source(plan)
        assert self.source.guest_state(guest_id) is None
        state = self.destination.guest_state(guest_id)
        assert state is not None
        assert state.power in (job.Power.RUNNING, job.Power.PAUSED)
        assert not state.job
        assert self.destination.prepared() == []
        assert self.leftovers() == []
        self.assert_intact(guest_id)

    def assert_rolled_back(self, plan: driver.TransferPlan) -> None:
        """Do what follows a failure; then it is as before the start."""
        guest_id = plan.guest_id
        self.destination.undo_destination(guest_id, plan.migration_id)
        assert self.destination.guest_state(guest_id) is None
        state = self.source.guest_state(guest_id)
        assert state is not None
        assert state.power in (job.Power.RUNNING, job.Power.PAUSED)
        assert not state.job
        assert self.destination.prepared() == []
        assert self.leftovers() == []
        self.assert_intact(guest_id)


def start_post_copy(rig: Rig, guest: str) -> None:
    """Ask until it is taken: it may be too early at first."""

    def taken() -> bool:
        try:
            rig.source.start_post_copy(guest)
        except exception.PostCopyRefused:
            return False
        return True

    rig.wait_until(taken, 10.0)


def wait_switched(rig: Rig, guest: str) -> None:
    """Until the destination knows of the switch, too."""

    def switched() -> bool:
        there = rig.destination.guest_state(guest)
        return there is not None and there.reason in POST_COPY

    rig.wait_until(switched)


class FakeRig(Rig):
    """Two simulated hosts, on virtual time."""

    #: Virtual seconds between two looks.
    STEP_S = 0.02

    def __init__(self) -> None:
        super().__init__()
        self.clock = clock.VirtualClock()
        self.world = simulation.World(self.clock)
        self.world.add_host('source')
        self.world.add_host('destination')
        self.source = fake.FakeDriver(self.world, 'source')
        self.destination = fake.FakeDriver(self.world, 'destination')

    def spec(
        self, guest_id: str, cmdline: str, disk_mib: int
    ) -> driver.GuestSpec:
        disks: tuple[driver.DiskSpec, ...] = ()
        if disk_mib:
            disks = (driver.DiskSpec('vda', 'qcow2', disk_mib * MIB),)
        return driver.GuestSpec(
            guest_id=guest_id,
            name=f'guest-{guest_id[:8]}',
            memory_mib=MEMORY_MIB,
            vcpus=1,
            kernel='/proof-guest',
            cmdline=cmdline,
            disks=disks,
        )

    def rescue_spec(self, cmdline: str, disk_mib: int) -> driver.RescueSpec:
        return driver.RescueSpec(
            kernel='/rescue',
            cmdline=cmdline,
            disk=driver.DiskSpec('vda', 'raw', disk_mib * MIB)
            if disk_mib
            else None,
        )

    def boots(self, guest_id: str) -> int:
        with self.world.present():
            return self.world.boots[guest_id]

    def files(self, guest_id: str, host: str) -> list[str]:
        storage = self.world.hosts[host].storage
        return sorted(storage.directories.get(guest_id, {}))

    def limits(self, guest_id: str) -> tuple[int, int]:
        found = self.world.hosts['source'].guests[guest_id].limits
        return found.bandwidth_mib_s, found.max_downtime_ms

    def second_source_driver(self) -> driver.Driver:
        return fake.FakeDriver(self.world, 'source')

    def wait_until(
        self, happens: Callable[[], object], timeout_s: float = 60.0
    ) -> None:
        end_s = self.clock.monotonic_s() + timeout_s
        while not happens():
            assert self.clock.monotonic_s() < end_s, 'has not happened'
            self.clock.wait(threading.Event(), self.STEP_S)

    def break_post_copy(self, guest_id: str) -> None:
        self.world.break_post_copy(guest_id)

    def restart_daemon(self, host: str) -> None:
        self.world.restart_daemon(host)

    def drop_broken(self, plan: driver.TransferPlan) -> None:
        self.source.set_bandwidth(plan.guest_id, 0, post_copy=True)
        self.world.recover_post_copy(plan.guest_id)
        self.wait_for_end(plan.guest_id)
        self.assert_moved(plan)

    def nowhere(self) -> str:
        return 'fake://nowhere/'

    def leftovers(self) -> list[str]:
        return self.world.leftovers()

    def assert_intact(self, guest_id: str) -> None:
        self.world.check()
        assert self.world.boots[guest_id] == 1

    def close(self) -> None:
        for guest_id in self.spawned:
            # Where it lives first: its disks may be shared.
            for one in sorted(
                (self.source, self.destination),
                key=lambda d: d.guest_state(guest_id) is None,
            ):
                one.destroy(guest_id)
        self.world.check()
        assert self.leftovers() == []


def real() -> bool:
    """Is this run for real hosts too?"""
    return os.environ.get('LIVEMIG_TEST_LIBVIRT') == '1'


def kinds() -> list[object]:
    """The kinds of rig this run is for, as fixture parameters.

    The simulated one always; libvirt's where ``LIVEMIG_TEST_LIBVIRT=1``
    says that the machine has it. Nothing is skipped: what is not asked
    for is not there.
    """
    wanted: list[object] = ['fake']
    if real():
        wanted.append(pytest.param('libvirt', marks=pytest.mark.libvirt))
    return wanted
