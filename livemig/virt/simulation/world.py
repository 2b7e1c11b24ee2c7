"""The simulated world: its hosts, its time, its faults, and what it shows.

Nothing in here runs by itself. Each reading brings the world up to the
clock's present moment first (``with world.present(): ...``), so a test that
owns the clock owns everything. The world outlives drivers and managers, as
hypervisors do, and writes down whatever must never happen
(``violations``).
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from livemig import concurrency
from livemig.virt import job
from livemig.virt.simulation.course import Course, Job
from livemig.virt.simulation.host import Fault, Host, Rule, Storage
from livemig.virt.simulation.terms import Phase


class Monotonic(Protocol):
    """All the simulation wants of a clock."""

    def monotonic_s(self) -> float: ...


class Violation(Exception):  # noqa: N818 - it is what was violated
    """What must never happen has happened; the text lists it."""


class World(Course):
    """Simulated hosts that can reach each other. Thread-safe.

    :param clock: read, never waited on
    """

    def __init__(self, clock: Monotonic, name: str = 'default') -> None:
        super().__init__(clock.monotonic_s())
        self.name = name
        self.lock = concurrency.RLock()
        self._clock = clock
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    # -- building -------------------------------------------------------------
    def add_host(self, name: str, *, storage: str = '', **facts: Any) -> Host:
        """Add a host, or give one that is there other ``facts`` (fields of
        ``Host``). Hosts that name the same ``storage`` share it."""
        with self.lock:
            where = storage or f'local disks of {name}'
            shelf = self.storages.setdefault(where, Storage(where))
            host = self.hosts.get(name)
            if host is None:
                host = self.hosts[name] = Host(name, shelf)
            for field, value in facts.items():
                setattr(host, field, value)
            return host

    # -- time -----------------------------------------------------------------
    @contextlib.contextmanager
    def present(self) -> Iterator[float]:
        """Hold the world as it is at this moment; gives the moment."""
        with self.lock:
            self._advance(max(self.now_s, self._clock.monotonic_s()))
            yield self.now_s

    def _advance(self, now_s: float) -> None:
        while True:
            due_s = self._agenda[0][0] if self._agenda else now_s
            moment_s = max(self.now_s, min(now_s, due_s))
            off_s = self._next_power_off_s()
            if off_s is not None and off_s < moment_s:
                moment_s = max(self.now_s, off_s)
            self._run_to(moment_s)
            self.now_s = moment_s
            if self._power_off_those_due():
                continue
            if self._agenda and self._agenda[0][0] <= moment_s:
                heapq.heappop(self._agenda)[2]()
            elif moment_s >= now_s:
                return

    def _run_to(self, moment_s: float) -> None:
        for one in list(self.jobs.values()):
            self._run_job(one, moment_s)

    def _at(self, time_s: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (time_s, next(self._order), call))

    def _next_power_off_s(self) -> float | None:
        moments = [
            guest.machine.off_at_s
            for _, _, guest in self._executing()
            if guest.machine.off_at_s is not None
        ]
        return min(moments, default=None)

    def _power_off_those_due(self) -> bool:
        due = [
            (host, guest_id, guest.machine)
            for host, guest_id, guest in self._executing()
            if guest.machine.off_at_s is not None
            and guest.machine.off_at_s <= self.now_s
        ]
        for host, guest_id, machine in due:
            machine.off_at_s = None
            reason = job.Reason.SHUTDOWN
            power = job.Power.SHUTOFF
            if machine.crashes:
                power, reason = job.Power.CRASHED, job.Reason.CRASHED
            self._stop_guest(host, guest_id, power, reason)
        return bool(due)

    # -- for tests: faults ----------------------------------------------------
    def fail(
        self,
        fault: Fault | str,
        host: str,
        *,
        after_s: float = 0.0,
        times: int | None = None,
        lasting_s: float = 0.0,
    ) -> None:
        """Let something go wrong; see ``Fault`` for what and where.

        :param times: how often it strikes; None: until it is healed
        """
        with self.present() as now_s:
            fault = Fault(fault)
            if fault is Fault.HYPERVISOR_AWAY:
                self._at(
                    now_s + after_s,
                    lambda: self._restart_daemon(self.hosts[host], lasting_s),
                )
                self._advance(now_s)
            else:
                self.hosts[host].rules.append(
                    Rule(fault, after_s, times, lasting_s)
                )

    def heal(self, fault: Fault | str, host: str) -> None:
        with self.present():
            rules = self.hosts[host].rules
            rules[:] = [r for r in rules if r.fault is not Fault(fault)]

    def restart_daemon(self, host: str, away_s: float = 0.0) -> None:
        """The hypervisor's daemon dies and is back after ``away_s``:
        migrations before post-copy end, guests go on."""
        with self.present():
            self._restart_daemon(self.hosts[host], away_s)

    def _restart_daemon(self, host: Host, away_s: float) -> None:
        host.away_until_s = self.now_s + away_s
        for one in list(self.jobs.values()):
            called = one.transfer.phase is Phase.CALLED
            if host is one.source or (host is one.destination and not called):
                self._react(one, one.transfer.lose_peer())

    def cut(self, host: str, other: str) -> None:
        """Cut the network between two hosts, both ways."""
        with self.present():
            self._cut.add(frozenset((host, other)))
            for one in self._between(host, other):
                one.transfer.cut_link()

    def mend(self, host: str, other: str) -> None:
        with self.present():
            self._cut.discard(frozenset((host, other)))
            for one in self._between(host, other):
                one.transfer.mend_link()

    def _between(self, host: str, other: str) -> list[Job]:
        return [
            one
            for one in self.jobs.values()
            if one.destination
            and {one.source.name, one.destination.name} == {host, other}
        ]

    def kill_host(self, host: str) -> None:
        """Power fails: its guests are gone, its files stay."""
        with self.present():
            victim = self.hosts[host]
            victim.away_until_s = float('inf')
            for guest_id in list(victim.guests):
                self._stop_guest(
                    victim, guest_id, job.Power.CRASHED, job.Reason.CRASHED
                )
                victim.guests.pop(guest_id, None)

    def boot_host(self, host: str) -> None:
        with self.present():
            self.hosts[host].away_until_s = self.now_s

    def break_post_copy(self, guest_id: str) -> None:
        with self.present():
            one = self.jobs[guest_id]
            self._react(one, one.transfer.break_stream())

    def recover_post_copy(self, guest_id: str) -> None:
        """As an administrator would, by hand."""
        with self.present():
            one = self.jobs[guest_id]
            one.transfer.recover()
            self.switch_to_post_copy(one)

    def shut_down_guest(self, guest_id: str, *, crash: bool = False) -> None:
        """The guest ends by itself, wherever it runs."""
        with self.present():
            for _, other_id, guest in list(self._executing()):
                if other_id == guest_id:
                    guest.machine.off_at_s = self.now_s
                    guest.machine.crashes = crash
            self._power_off_those_due()

    # -- for tests: readings --------------------------------------------------
    def running(self, guest_id: str) -> tuple[str, ...]:
        """The hosts on which the guest's CPUs run: at most one."""
        with self.present():
            return tuple(
                host.name
                for host, other_id, _ in self._executing()
                if other_id == guest_id
            )

    def living(self, guest_id: str) -> tuple[str, ...]:
        """The hosts on which it runs or is paused, not merely awaited."""
        with self.present():
            return tuple(
                host.name
                for host in self.hosts.values()
                if (guest := host.guests.get(guest_id))
                and guest.alive
                and not guest.waits
            )

    def leftovers(self, guest_id: str = '') -> list[str]:
        """What is where it should not be, in words; of all guests if none
        is named. For when no migration is under way."""
        with self.present():
            known = {
                other_id
                for host in self.hosts.values()
                for other_id in (
                    *host.guests,
                    *host.notes,
                    *host.storage.directories,
                )
            }
            found = [
                f'{storage.name}: probe {probe}'
                for storage in self.storages.values()
                for probe in sorted(storage.probes)
            ]
            for one in sorted({guest_id} if guest_id else known):
                found += self._leftovers_of(one)
            return found

    def _leftovers_of(self, guest_id: str) -> Iterator[str]:
        homes = [self.hosts[name] for name in self.living(guest_id)]
        homes = homes or [
            host
            for host in self.hosts.values()
            if (guest := host.guests.get(guest_id))
            and guest.reason is not job.Reason.MIGRATED
            and not guest.waits
        ]
        for host in self.hosts.values():
            if host in homes:
                if guest_id in host.notes:
                    yield f'{host.name}: note of a migration of {guest_id}'
            else:
                for text in host.belongings(guest_id):
                    yield f'{text} ({guest_id})'
        shelves = [host.storage for host in homes]
        for storage in self.storages.values():
            if guest_id in storage.directories and storage not in shelves:
                yield f'{storage.name}: directory of {guest_id}'

    def check(self) -> None:
        """Nothing that must never happen has happened.

        :raises Violation: it has
        """
        with self.present():
            if self.violations:
                raise Violation('; '.join(self.violations))


_worlds: dict[str, World] = {}
_worlds_lock = concurrency.Lock()


def world(name: str, clock: Monotonic) -> World:
    """The world of that name in this process, made if need be."""
    with _worlds_lock:
        if name not in _worlds:
            _worlds[name] = World(clock, name)
        return _worlds[name]


def forget_world(name: str) -> None:
    """For tests that want a new one of the same name."""
    with _worlds_lock:
        _worlds.pop(name, None)
