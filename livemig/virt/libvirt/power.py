"""A guest's power: off, saved, and built anew from what the record says."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import libvirt

from livemig import concurrency, exception
from livemig.virt import devices, driver
from livemig.virt.job import GuestState, Power, Reason
from livemig.virt.libvirt import (
    connection,
    destination,
    disks,
    domain_xml,
    errors,
    files,
    guests,
    making,
    states,
)

LOG = logging.getLogger(__name__)

#: Between two looks at a guest that shuts down; and how soon its button is
#: pressed again: one that is just booting does not hear it.
POLL_S = 0.2
PRESS_AGAIN_S = 10.0

_POST_COPY = frozenset({Reason.POST_COPY, Reason.POST_COPY_FAILED})


class Powering:
    """What this host does with a guest besides migrating it.

    :param machine: what guests get here, read when one is built.
    """

    def __init__(
        self,
        conn: connection.Connection,
        place: files.Place,
        host: str,
        clock: concurrency.Clock,
        machine: Callable[[], domain_xml.Machine],
    ) -> None:
        self._conn = conn
        self._place = place
        self._host = host
        self._clock = clock
        self._machine = machine

    # -- off ----------------------------------------------------------------
    def off(self, guest_id: str, timeout_s: float) -> None:
        state = self._known(guest_id)
        if not states.runs(state):
            return
        self._conn.run(lambda conn: _keep(conn, guest_id), guest_id)
        if state.power is Power.RUNNING and self._shuts_down(
            guest_id, timeout_s
        ):
            return
        LOG.info('The power of guest %s is cut.', guest_id)
        self._conn.run(
            lambda conn: guests.stop(conn.lookupByUUIDString(guest_id)),
            guest_id,
        )

    def _shuts_down(self, guest_id: str, timeout_s: float) -> bool:
        """Press its power button; True when it is off."""
        now_s = self._clock.monotonic_s()
        until_s, press_s = now_s + timeout_s, now_s
        never = concurrency.Event()
        while now_s < until_s:
            if now_s >= press_s:
                self._conn.run(lambda conn: _press(conn, guest_id), guest_id)
                press_s = now_s + PRESS_AGAIN_S
            self._clock.wait(never, POLL_S)
            if not states.runs(self._state(guest_id)):
                return True
            now_s = self._clock.monotonic_s()
        LOG.warning(
            'Guest %s has not shut down within %g s.', guest_id, timeout_s
        )
        return False

    # -- saved --------------------------------------------------------------
    def suspend(self, guest_id: str) -> None:
        state = self._known(guest_id)
        if state == GuestState(Power.SHUTOFF, Reason.SAVED):
            return
        if not states.runs(state):
            raise self._failed(f'guest {guest_id} is {state.power}')
        self._conn.run(
            lambda conn: _save(conn, guest_id),
            guest_id,
            limit_s=connection.LONG_S,
        )

    def wake(self, guest_id: str) -> None:
        state = self._known(guest_id)
        if state.power is Power.SHUTOFF:
            if state.reason is not Reason.SAVED:
                raise self._failed(f'guest {guest_id} is not suspended')
            self._conn.run(
                lambda conn: conn.lookupByUUIDString(guest_id).create(),
                guest_id,
                limit_s=connection.LONG_S,
            )
            state = self._known(guest_id)
        if state.power is Power.PAUSED:
            self._conn.run(
                lambda conn: conn.lookupByUUIDString(guest_id).resume(),
                guest_id,
            )

    # -- built anew ---------------------------------------------------------
    def rebuild(
        self, spec: driver.GuestSpec, rescue: driver.RescueSpec | None
    ) -> None:
        """:param rescue: boot that; None: what a rescue left goes."""
        guest_id = spec.guest_id
        state = self._state(guest_id)
        if state is not None:
            self._check_is_here(guest_id, state)
        directory = self._place.directory(guest_id)
        try:
            _check_disks(directory, spec)
            xml = domain_xml.build(spec, directory, self._machine(), rescue)
            self._place.make_directory(guest_id)
            self._place.make_file(f'{directory}/{domain_xml.CONSOLE}')
            if rescue is not None and rescue.disk is not None:
                self._make_rescue_disk(directory, rescue.disk)
        except (*destination.FILE_ERRORS, domain_xml.BadText) as error:
            raise self._failed(error) from error
        self._conn.run(lambda conn: guests.end(conn, guest_id), guest_id)
        self._conn.run(
            lambda conn: guests.define_and_start(conn, xml),
            guest_id,
            limit_s=connection.LONG_S,
        )
        if rescue is None:
            self._forget_rescue(directory)

    def _make_rescue_disk(self, directory: str, disk: driver.DiskSpec) -> None:
        """Always a new one: what stands on it is nobody's.

        A guest that runs with the one before keeps it open until it ends.
        """
        _remove_rescue_disks(directory)
        making.make_disk(
            self._place, directory, new_disk(devices.RESCUE, disk)
        )

    def _forget_rescue(self, directory: str) -> None:
        """The guest runs: what cannot be removed now goes with it."""
        try:
            _remove_rescue_disks(directory)
        except OSError as error:
            LOG.error('A rescue disk is left: %s', error)

    # -- helpers ------------------------------------------------------------
    def _known(self, guest_id: str) -> GuestState:
        state = self._state(guest_id)
        if state is None:
            raise exception.GuestNotFound(host=self._host, guest_id=guest_id)
        self._check_is_here(guest_id, state)
        return state

    def _check_is_here(self, guest_id: str, state: GuestState) -> None:
        """Here, and nowhere else, now and for the moment.

        :raises HypervisorUnavailable: it is being saved: ask again.
        """
        if state == GuestState(Power.PAUSED, Reason.SAVED):
            raise exception.HypervisorUnavailable(
                host=self._host, reason=f'guest {guest_id} is being saved'
            )
        if (
            state.job
            or state.reason in _POST_COPY
            or (states.waits_for_memory(state) and self._comes(guest_id))
        ):
            raise self._failed(
                f'guest {guest_id} is {state.power} ({state.reason}): its '
                'migration is not over'
            )
        if state == GuestState(Power.SHUTOFF, Reason.MIGRATED):
            raise self._failed(
                f'guest {guest_id} has migrated away from here and may run '
                'elsewhere'
            )

    def _comes(self, guest_id: str) -> bool:
        """Is it defined only when it has come? One that is defined was
        paused by a migration that is over, and nobody let it go on."""
        return not self._conn.read(
            lambda conn: conn.lookupByUUIDString(guest_id).isPersistent(),
            guest_id,
        )

    def _state(self, guest_id: str) -> GuestState | None:
        return self._conn.read(
            lambda conn: guests.state_of(conn, guest_id), guest_id
        )

    def _failed(self, reason: object) -> exception.HypervisorError:
        return exception.HypervisorError(host=self._host, reason=str(reason))


def new_disk(name: str, disk: driver.DiskSpec) -> making.NewDisk:
    """A disk yet to be made: over its image (qcow2), or a copy of it (raw).

    :param name: of the file, without its format.
    """
    over = disk.format == 'qcow2'
    return making.NewDisk(
        name=f'{name}.{disk.format}',
        format=disk.format,
        size_bytes=disk.size_bytes,
        backing_file=disk.image_file if over else '',
        backing_format=disk.image_format if over and disk.image_file else '',
        image_file='' if over else disk.image_file,
        image_format=disk.image_format,
    )


def _remove_rescue_disks(directory: str) -> None:
    """:raises OSError:"""
    for format_ in sorted(disks.FORMATS):
        files.remove(domain_xml.disk_path(directory, devices.RESCUE, format_))


def _check_disks(directory: str, spec: driver.GuestSpec) -> None:
    """An empty disk in the place of a lost one would hide the loss.

    :raises FileNotFoundError:
    """
    for _device, name, disk in devices.attached(spec.disks):
        os.stat(domain_xml.disk_path(directory, name, disk.format))


def _keep(conn: libvirt.virConnect, guest_id: str) -> None:
    guests.make_lasting(conn, conn.lookupByUUIDString(guest_id))


def _press(conn: libvirt.virConnect, guest_id: str) -> None:
    """What it does then is seen from its state; a guest without ACPI, or
    one that ends in this moment, is no error."""
    try:
        conn.lookupByUUIDString(guest_id).shutdownFlags(
            libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
        )
    except libvirt.libvirtError as error:
        if errors.connection_lost(error):
            raise
        LOG.debug('Guest %s, power button: %s', guest_id, errors.text(error))


def _save(conn: libvirt.virConnect, guest_id: str) -> None:
    domain = conn.lookupByUUIDString(guest_id)
    guests.make_lasting(conn, domain)
    domain.managedSave(0)
