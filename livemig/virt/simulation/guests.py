"""The guests of a simulated host: made, paused, shut down, built anew."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from livemig import exception
from livemig.virt import devices, driver
from livemig.virt import job as jobs
from livemig.virt.simulation.course import Job
from livemig.virt.simulation.host import (
    Fault,
    Guest,
    Host,
    Memory,
    machine_of,
)
from livemig.virt.simulation.world import World

_POST_COPY = (jobs.Reason.POST_COPY, jobs.Reason.POST_COPY_FAILED)


class GuestsDriver(driver.Driver):
    """The part of the driver that needs no second host."""

    def __init__(self, world: World, host: str) -> None:
        self._world = world
        self._name = host
        self._memory = Memory()
        with world.present():
            world.hosts[host].drivers.append(self._memory)

    @contextlib.contextmanager
    def _hypervisor(self) -> Iterator[Host]:
        """The host at this moment, if its hypervisor answers."""
        with self._world.present():
            host = self._world.hosts[self._name]
            if self._world.away(host):
                raise exception.HypervisorUnavailable(
                    host=self._name, reason='Connection refused'
                )
            yield host

    def _guest(self, host: Host, guest_id: str) -> Guest:
        try:
            return host.guests[guest_id]
        except KeyError:
            raise exception.GuestNotFound(
                guest_id=guest_id, host=self._name
            ) from None

    def _error(self, reason: str) -> exception.HypervisorError:
        return exception.HypervisorError(host=self._name, reason=reason)

    def _outgoing(self, host: Host, guest_id: str) -> Job | None:
        """The job that takes the guest away from here, if any."""
        one = self._world.jobs.get(guest_id)
        return one if one and one.source is host else None

    def _job(self, host: Host, guest_id: str) -> Job:
        one = self._outgoing(host, guest_id)
        if one is None or not one.transfer.has_job:
            raise exception.NoActiveJob(guest_id=guest_id, host=self._name)
        return one

    def _state(self, host: Host, guest_id: str) -> jobs.GuestState:
        guest = host.guests[guest_id]
        one = self._outgoing(host, guest_id)
        active = guest.incoming is not None or (
            one is not None and one.transfer.has_job
        )
        return jobs.GuestState(guest.power, guest.reason, active)

    # -- guests ---------------------------------------------------------------
    def guests(self) -> Mapping[str, jobs.GuestState]:
        with self._hypervisor() as host:
            return {one: self._state(host, one) for one in host.guests}

    def guest_state(self, guest_id: str) -> jobs.GuestState | None:
        with self._hypervisor() as host:
            if guest_id not in host.guests:
                return None
            return self._state(host, guest_id)

    def spawn(self, spec: driver.GuestSpec) -> None:
        with self._hypervisor() as host:
            guest = host.guests.get(spec.guest_id)
            if guest and guest.alive:
                return
            if guest and guest.reason is jobs.Reason.MIGRATED:
                raise self._error('the guest has migrated away from here')
            disks = {
                one.device: host.new_disk(spec.guest_id, one.device, one)
                for one in spec.disks
            }
            needed = sum(d.facts.allocated_bytes for d in disks.values())
            if host.strike(Fault.SPAWN_FAILS):
                reason = 'internal error: process exited'
            elif needed > host.room_bytes():
                reason = 'No space left on device'
            else:
                shelf = host.storage.directories.setdefault(spec.guest_id, {})
                shelf.update({**disks, **shelf})
                self._world.boot(
                    host,
                    spec.guest_id,
                    machine_of(spec, host.load, self._world.now_s),
                )
                return
            self._world.destroy(host, spec.guest_id)
            self._world.remove_directory(host, spec.guest_id)
            raise self._error(reason)

    def destroy(self, guest_id: str) -> None:
        with self._hypervisor() as host:
            self._world.destroy(host, guest_id)
            self._world.remove_directory(host, guest_id)
            host.notes.pop(guest_id, None)

    def pause(self, guest_id: str, *, forced: bool = False) -> None:
        with self._hypervisor() as host:
            guest = self._guest(host, guest_id)
            if guest.power is jobs.Power.PAUSED:
                return
            if guest.power is not jobs.Power.RUNNING:
                raise self._error('domain is not running')
            one = self._outgoing(host, guest_id)
            if one and one.transfer.has_job:
                if not host.capabilities.pause_during_migration:
                    raise exception.PauseMigrationNotSupported(host=host.name)
                one.transfer.stop_cpus()
                guest.set(jobs.Power.PAUSED, jobs.Reason.MIGRATION)
            elif guest.incoming is not None:
                raise exception.PauseMigrationNotSupported(host=host.name)
            elif forced:
                raise exception.NoActiveJob(guest_id=guest_id, host=self._name)
            else:
                guest.set(jobs.Power.PAUSED, jobs.Reason.USER)
                if one:
                    one.transfer.stopped = True

    def resume(self, guest_id: str) -> None:
        with self._hypervisor() as host:
            guest = self._guest(host, guest_id)
            if self._state(host, guest_id).job:
                # Measured with libvirt 9.0: blocks for 30 s before that.
                raise self._error('cannot acquire state change lock')
            if guest.power is jobs.Power.RUNNING:
                return
            if guest.power is not jobs.Power.PAUSED:
                raise self._error('domain is not running')
            self._world.resume(host, guest_id)

    # -- their power ----------------------------------------------------------
    def _idle(self, host: Host, guest_id: str) -> Guest:
        """The guest, if it is here and not on its way."""
        guest = self._guest(host, guest_id)
        if (
            self._state(host, guest_id).job
            or guest.waits
            or guest.reason in _POST_COPY
        ):
            raise self._error('its migration is not over')
        if guest.reason is jobs.Reason.MIGRATED and not guest.alive:
            raise self._error('the guest has migrated away from here')
        return guest

    def power_off(self, guest_id: str, timeout_s: float) -> None:
        with self._hypervisor() as host:
            if self._idle(host, guest_id).alive:
                self._world.power_off(host, guest_id)

    def suspend(self, guest_id: str) -> None:
        with self._hypervisor() as host:
            guest = self._idle(host, guest_id)
            if guest.reason is jobs.Reason.SAVED:
                return
            if not guest.alive:
                raise self._error('domain is not running')
            guest.set(jobs.Power.SHUTOFF, jobs.Reason.SAVED)

    def wake(self, guest_id: str) -> None:
        with self._hypervisor() as host:
            guest = self._idle(host, guest_id)
            if guest.power is jobs.Power.RUNNING:
                return
            if not guest.alive and guest.reason is not jobs.Reason.SAVED:
                raise self._error('the guest is not suspended')
            if host.strike(Fault.SPAWN_FAILS):
                raise self._error('operation failed: image is corrupt')
            self._world.resume(host, guest_id)

    def hard_reboot(self, spec: driver.GuestSpec) -> None:
        self._rebuild(spec, None)

    def rescue(
        self, spec: driver.GuestSpec, rescue: driver.RescueSpec
    ) -> None:
        self._rebuild(spec, rescue)

    def _rebuild(
        self, spec: driver.GuestSpec, rescue: driver.RescueSpec | None
    ) -> None:
        guest_id = spec.guest_id
        with self._hypervisor() as host:
            if guest_id in host.guests:
                self._idle(host, guest_id)
            shelf = host.storage.directories.setdefault(guest_id, {})
            for _device, name, _disk in devices.attached(spec.disks):
                if name not in shelf:
                    raise self._error(f'{name}: No such file or directory')
            self._world.destroy(host, guest_id)
            if host.strike(Fault.SPAWN_FAILS):
                raise self._error('internal error: process exited')
            shelf.pop(devices.RESCUE, None)
            if rescue is not None and rescue.disk is not None:
                shelf[devices.RESCUE] = host.new_disk(
                    guest_id, devices.RESCUE, rescue.disk
                )
            self._world.boot(
                host,
                guest_id,
                machine_of(spec, host.load, self._world.now_s, rescue),
            )
