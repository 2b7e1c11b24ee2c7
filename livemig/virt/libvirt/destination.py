"""The destination's side of a migration: prepare, undo, finish."""

from __future__ import annotations

import logging
import os

import libvirt

from livemig import concurrency, exception
from livemig.virt.driver import DiskFacts, TransferPlan
from livemig.virt.job import GuestState
from livemig.virt.libvirt import (
    connection,
    disks,
    files,
    flags,
    guests,
    making,
    notes,
    states,
)

LOG = logging.getLogger(__name__)

#: What can go wrong with files.
FILE_ERRORS = (
    disks.ImageError,
    files.InUse,
    making.InTheWay,
    notes.Unreadable,
    OSError,
)

#: How long an incoming guest that waits is given to end by itself: its
#: daemon destroys it within a second after the source has let go, and one
#: that is about to run must not be destroyed in that very moment.
PATIENCE_S = 3.0
POLL_S = 0.2


class Destination:
    """What this host does when a guest comes."""

    def __init__(
        self,
        conn: connection.Connection,
        place: files.Place,
        host: str,
        reserved_bytes: int,
        clock: concurrency.Clock,
    ) -> None:
        self._conn = conn
        self._place = place
        self._host = host
        self._reserved_bytes = reserved_bytes
        self._clock = clock

    # -- prepare ------------------------------------------------------------
    def prepare(self, plan: TransferPlan) -> None:
        try:
            if self._is_prepared(plan):
                return
            self._check_free(plan)
            new = self._new_disks(plan)
            self._check_room(plan)
        except FILE_ERRORS as error:
            raise self._not_prepared(plan, str(error)) from error
        try:
            if plan.shared_directory:
                self._note_only(plan)
            else:
                making.make(
                    self._place,
                    plan.guest_id,
                    plan.migration_id,
                    new,
                    use_existing=False,
                )
        except FILE_ERRORS as error:
            self._undo_quietly(plan)
            raise self._not_prepared(plan, str(error)) from error

    def _is_prepared(self, plan: TransferPlan) -> bool:
        """A repetition, when the guest is here already: all its files are
        in use, nothing may be made again."""
        note = notes.read(self._place, plan.guest_id, plan.migration_id)
        return note is not None and states.runs(self._state(plan.guest_id))

    def _check_free(self, plan: TransferPlan) -> None:
        """Nothing of this guest may be here, running or not."""
        if self._state(plan.guest_id) is not None:
            raise self._not_prepared(
                plan, 'a guest of that id is there already'
            )
        others = notes.others(self._place, plan.guest_id, plan.migration_id)
        if others:
            raise self._not_prepared(
                plan,
                f'migration {others[0]} of the same guest has not been '
                'cleaned up',
            )

    def _new_disks(self, plan: TransferPlan) -> list[making.NewDisk]:
        if not plan.block_migration:
            return []
        return [
            self._new_disk(plan, disk)
            for disk in plan.disks
            if not disk.read_only
        ]

    def _new_disk(self, plan: TransferPlan, disk: DiskFacts) -> making.NewDisk:
        directory, name = os.path.split(disk.path)
        if os.path.basename(directory) != plan.guest_id or not name:
            raise self._not_prepared(
                plan,
                f'disk {disk.device} ({disk.path}) is not in the directory '
                'of the instance',
            )
        self._check_backing(plan, disk)
        return making.NewDisk(
            name=name,
            format=disk.format,
            size_bytes=disk.virtual_size_bytes,
            backing_file=disk.backing_file,
            backing_format=disk.backing_format,
        )

    def _check_backing(self, plan: TransferPlan, disk: DiskFacts) -> None:
        """What lies under a disk is not copied with it: over another image
        the guest's file system would be in ruins, and nobody would say so.

        One that is missing here is qemu-img's to tell.
        """
        there = disk.backing_fingerprint
        here = disks.fingerprint(disk.backing_file) if there else ''
        if here and here != there:
            raise self._not_prepared(
                plan,
                f'{disk.backing_file} is another image than the one under '
                f'disk {disk.device} of the guest; the image files must be '
                'the same on all hosts',
            )

    def _check_room(self, plan: TransferPlan) -> None:
        """What is allocated at the source must fit: the pre-check, with
        its own idea of over-commitment, was some time ago."""
        copied = flags.copied_disks(plan) if plan.block_migration else []
        needed = sum(
            disk.allocated_bytes
            for disk in plan.disks
            if disk.device in copied
        )
        free = self._place.free_bytes() - self._reserved_bytes
        if copied and needed > free:
            raise self._not_prepared(
                plan,
                f'not enough room in {self._place.path}: the disks need '
                f'{needed} bytes, {max(0, free)} are free',
            )

    def _note_only(self, plan: TransferPlan) -> None:
        os.makedirs(self._place.path, mode=0o755, exist_ok=True)
        notes.write(
            self._place,
            notes.Note(plan.guest_id, plan.migration_id, False, ()),
        )

    def _undo_quietly(self, plan: TransferPlan) -> None:
        try:
            self._undo_files(plan.guest_id, plan.migration_id)
        except exception.HypervisorError as error:
            LOG.error(
                'What migration %d made is left: %s',
                plan.migration_id,
                error.message,
            )

    # -- undo ---------------------------------------------------------------
    def undo(self, guest_id: str, migration_id: int) -> None:
        ours = self._has_note(guest_id, migration_id)
        state = self._patiently(guest_id)
        if state is not None and states.waits_for_memory(state):
            if not ours and notes.others(self._place, guest_id, migration_id):
                LOG.info(
                    'Guest %s waits here for another migration than %d.',
                    guest_id,
                    migration_id,
                )
                return
            LOG.info('Destroying the waiting guest %s.', guest_id)
            state = self._conn.run(
                lambda conn: _end_waiting(conn, guest_id), guest_id
            )
        if states.runs(state):
            raise exception.HypervisorError(
                f'Guest {guest_id} runs on {self._host} (or is paused there '
                'by its user): nothing is undone.',
                host=self._host,
            )
        if state is not None and ours:
            # What never ran here leaves no definition behind.
            raise exception.HypervisorError(
                f'Guest {guest_id} is shut off on {self._host} and has run '
                'there; its newest disks may be there too: nothing is undone.',
                host=self._host,
            )
        self._undo_files(guest_id, migration_id)

    def _patiently(self, guest_id: str) -> GuestState | None:
        until_s = self._clock.monotonic_s() + PATIENCE_S
        never = concurrency.Event()
        while True:
            state = self._state(guest_id)
            if state is None or not states.waits_for_memory(state):
                return state
            if self._clock.monotonic_s() >= until_s:
                return state
            self._clock.wait(never, POLL_S)

    def _has_note(self, guest_id: str, migration_id: int) -> bool:
        try:
            return notes.read(self._place, guest_id, migration_id) is not None
        except notes.Unreadable as error:
            raise self._failed(str(error)) from error

    def _undo_files(self, guest_id: str, migration_id: int) -> None:
        try:
            left = making.undo(self._place, guest_id, migration_id)
        except FILE_ERRORS as error:
            raise self._failed(str(error)) from error
        if left:
            LOG.warning(
                'The directory of guest %s stays: migration %d did not '
                'make %s in it.',
                guest_id,
                migration_id,
                ', '.join(left),
            )

    # -- finish -------------------------------------------------------------
    def finish(self, guest_id: str, migration_id: int) -> None:
        state = self._state(guest_id)
        if state is None:
            raise exception.GuestNotFound(host=self._host, guest_id=guest_id)
        if states.waits_for_memory(state):
            raise self._failed(f'guest {guest_id} still waits here')
        self._conn.run(lambda conn: _keep(conn, guest_id), guest_id)
        try:
            making.done(self._place, guest_id, migration_id)
        except OSError as error:
            raise self._failed(str(error)) from error

    # -- helpers ------------------------------------------------------------
    def _state(self, guest_id: str) -> GuestState | None:
        return self._conn.read(
            lambda conn: guests.state_of(conn, guest_id), guest_id
        )

    def _not_prepared(
        self, plan: TransferPlan, reason: str
    ) -> exception.DestinationNotPrepared:
        return exception.DestinationNotPrepared(
            host=self._host, guest_id=plan.guest_id, reason=reason
        )

    def _failed(self, reason: str) -> exception.HypervisorError:
        return exception.HypervisorError(host=self._host, reason=reason)


def _end_waiting(conn: libvirt.virConnect, guest_id: str) -> GuestState | None:
    """Destroy it if it waits in this very moment.

    :returns: what is there instead; None: nothing any more.
    """
    domain = guests.find(conn, guest_id)
    state = None if domain is None else guests.state(domain)
    if state is None or not states.waits_for_memory(state):
        return state
    guests.stop(domain)
    guests.undefine(domain)
    return None


def _keep(conn: libvirt.virConnect, guest_id: str) -> None:
    domain = conn.lookupByUUIDString(guest_id)
    if domain.isActive():
        guests.make_lasting(conn, domain)
