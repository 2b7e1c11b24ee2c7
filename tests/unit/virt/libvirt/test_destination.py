"""What a destination refuses to touch, with libvirt's own test hypervisor.

``test://`` is a hypervisor within libvirt's library: it knows states and
definitions and runs nothing.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from livemig import concurrency, exception
from livemig.virt import driver
from livemig.virt.job import GuestState, Power, Reason
from livemig.virt.libvirt import (
    connection,
    destination,
    disks,
    files,
    guests,
    notes,
    source,
    transfer,
)
from tests.unit.virt.libvirt import values
from tests.unit.virt.libvirt.standin import QemuImg
from tests.unit.virt.libvirt.values import GUEST

NODE = f"""<node>
  <domain type='test'>
    <name>livemig-{GUEST}</name><uuid>{GUEST}</uuid>
    <memory>8192</memory><vcpu>1</vcpu>
    <os><type arch='i686'>hvm</type></os>
  </domain>
</node>"""
EMPTY = '<node/>'

COPIED = values.plan(block_migration=True, disks=(values.ROOT, values.DATA))


class Host:
    """A host whose hypervisor is libvirt's test driver."""

    def __init__(
        self, directory: pathlib.Path, place: files.Place, node: str
    ) -> None:
        path = directory / 'node.xml'
        path.write_text(node)
        clock = concurrency.Clock()
        self.place = place
        self.conn = connection.Connection(f'test://{path}', 'beta', clock)
        self.destination = destination.Destination(
            self.conn, place, 'beta', 0, clock
        )
        self.source = source.Source(
            self.conn,
            place,
            transfer.Transfers(self.conn, 'beta'),
            'beta',
            clock,
            '',
        )

    def state(self) -> GuestState | None:
        return self.conn.read(lambda conn: guests.state_of(conn, GUEST))

    def pause(self) -> None:
        self.conn.run(lambda conn: conn.lookupByUUIDString(GUEST).suspend())

    def stop(self) -> None:
        self.conn.run(lambda conn: guests.stop(conn.lookupByUUIDString(GUEST)))

    def files(self) -> list[str]:
        return sorted(os.listdir(self.place.directory(GUEST)))


@pytest.fixture
def with_guest(
    tmp_path: pathlib.Path, place: files.Place, qemu_img: QemuImg
) -> Iterator[Host]:
    made = Host(tmp_path, place, NODE)
    yield made
    made.conn.close()


@pytest.fixture
def empty(
    tmp_path: pathlib.Path, place: files.Place, qemu_img: QemuImg
) -> Iterator[Host]:
    made = Host(tmp_path, place, EMPTY)
    yield made
    made.conn.close()


def test_prepared_and_undone(empty: Host) -> None:
    empty.destination.prepare(COPIED)
    empty.destination.prepare(COPIED)
    assert empty.files() == ['console.log', 'vda.qcow2', 'vdb.raw']
    assert notes.all_here(empty.place) == [(GUEST, 7)]
    empty.destination.undo(GUEST, 7)
    empty.destination.undo(GUEST, 7)
    assert os.listdir(empty.place.path) == []


def test_without_copied_disks_there_is_room_for_the_console(
    empty: Host,
) -> None:
    empty.destination.prepare(values.plan())
    assert empty.files() == ['console.log']


def test_a_shared_directory_is_left_alone(empty: Host) -> None:
    empty.place.make_directory(GUEST)
    empty.place.make_file(f'{empty.place.directory(GUEST)}/vda.qcow2')
    empty.destination.prepare(values.plan(shared_directory=True))
    assert empty.files() == ['vda.qcow2']
    assert notes.all_here(empty.place) == [(GUEST, 7)]
    empty.destination.undo(GUEST, 7)
    assert empty.files() == ['vda.qcow2']
    assert notes.all_here(empty.place) == []


def refused(host: Host, plan: driver.TransferPlan, why: str) -> None:
    with pytest.raises(exception.DestinationNotPrepared, match=why):
        host.destination.prepare(plan)


def test_a_guest_that_is_there_already(with_guest: Host) -> None:
    refused(with_guest, COPIED, 'there already')
    with_guest.stop()
    refused(with_guest, COPIED, 'there already')
    assert not os.path.exists(with_guest.place.directory(GUEST))


def test_another_migration_that_nobody_cleaned_up(empty: Host) -> None:
    empty.destination.prepare(COPIED)
    for other in (6, 8):
        plan = values.dataclasses.replace(COPIED, migration_id=other)
        refused(empty, plan, 'migration 7')
        empty.destination.undo(GUEST, other)
    assert empty.files() == ['console.log', 'vda.qcow2', 'vdb.raw']


def test_what_fails_is_undone(empty: Host, qemu_img: QemuImg) -> None:
    qemu_img.set(failing='create')
    refused(empty, COPIED, 'it broke')
    assert os.listdir(empty.place.path) == []


def test_no_room(empty: Host) -> None:
    room = empty.place.free_bytes()
    big = values.dataclasses.replace(values.ROOT, allocated_bytes=2 * room)
    plan = values.plan(block_migration=True, disks=(big,))
    refused(empty, plan, 'not enough room')
    # Not copied: no room needed.
    plan = values.plan(shared_directory=True, disks=(big,))
    empty.destination.prepare(plan)


@pytest.mark.parametrize(
    'path',
    [
        '/srv/a/vda.qcow2',
        f'/srv/a/{GUEST}',
        f'/srv/a/{GUEST}/',
        f'/srv/a/{GUEST}/sub/vda.qcow2',
        '/var/lib/libvirt/images/vda.qcow2',
    ],
)
def test_a_disk_outside_the_guests_directory(empty: Host, path: str) -> None:
    disk = values.dataclasses.replace(values.DATA, path=path)
    plan = values.plan(block_migration=True, disks=(disk,))
    refused(empty, plan, 'not in the directory')
    assert notes.all_here(empty.place) == []


def over(base: pathlib.Path) -> driver.TransferPlan:
    """A disk over that image, as it is now."""
    disk = values.dataclasses.replace(
        values.ROOT,
        backing_file=str(base),
        backing_fingerprint=disks.fingerprint(str(base)),
    )
    return values.plan(block_migration=True, disks=(disk,))


def test_another_image_of_the_same_name(
    empty: Host, tmp_path: pathlib.Path
) -> None:
    base = tmp_path / 'base.raw'
    base.write_bytes(b'one')
    plan = over(base)
    base.write_bytes(b'two')
    refused(empty, plan, 'base.raw is another image')
    assert not os.path.exists(empty.place.directory(GUEST))
    assert notes.all_here(empty.place) == []
    base.write_bytes(b'one')
    empty.destination.prepare(plan)
    assert empty.files() == ['console.log', 'vda.qcow2']


def test_a_guest_that_runs_is_never_undone(with_guest: Host) -> None:
    notes_of(with_guest, 7)
    with pytest.raises(exception.HypervisorError, match='runs on beta'):
        with_guest.destination.undo(GUEST, 7)
    with_guest.pause()
    with pytest.raises(exception.HypervisorError, match='paused'):
        with_guest.destination.undo(GUEST, 7)
    assert with_guest.state() == GuestState(Power.PAUSED, Reason.USER)
    assert notes.all_here(with_guest.place) == [(GUEST, 7)]


def notes_of(host: Host, migration_id: int) -> None:
    os.makedirs(host.place.path)
    notes.write(host.place, notes.Note(GUEST, migration_id, False, ()))


def test_a_guest_that_ran_here_keeps_its_disks(with_guest: Host) -> None:
    """Shut off after it came: what was made for it is all it has."""
    notes_of(with_guest, 7)
    with_guest.stop()
    with pytest.raises(exception.HypervisorError, match='has run there'):
        with_guest.destination.undo(GUEST, 7)
    assert with_guest.state() == GuestState(Power.SHUTOFF, Reason.SHUTDOWN)
    assert notes.all_here(with_guest.place) == [(GUEST, 7)]


def test_a_definition_of_earlier_is_not_this_migrations(
    with_guest: Host,
) -> None:
    with_guest.stop()
    with_guest.destination.undo(GUEST, 7)
    assert with_guest.state() == GuestState(Power.SHUTOFF, Reason.SHUTDOWN)


def test_finishing_drops_the_note(with_guest: Host) -> None:
    notes_of(with_guest, 7)
    with_guest.destination.finish(GUEST, 7)
    with_guest.destination.finish(GUEST, 7)
    assert notes.all_here(with_guest.place) == []
    assert with_guest.state() == GuestState(Power.RUNNING)


def test_a_guest_that_has_not_come_cannot_be_finished(empty: Host) -> None:
    notes_of(empty, 7)
    with pytest.raises(exception.GuestNotFound):
        empty.destination.finish(GUEST, 7)
    assert notes.all_here(empty.place) == [(GUEST, 7)]


# -- the source --------------------------------------------------------------
def test_a_guest_that_runs_keeps_its_files(with_guest: Host) -> None:
    with_guest.place.make_directory(GUEST)
    with pytest.raises(exception.HypervisorError, match='should have left'):
        with_guest.source.finish(values.plan())
    assert with_guest.files() == []
    assert with_guest.state() == GuestState(Power.RUNNING)


@pytest.mark.parametrize(('shared', 'left'), [(True, [GUEST]), (False, [])])
def test_files_of_a_guest_that_has_left(
    empty: Host, shared: bool, left: list[str]
) -> None:
    empty.place.make_directory(GUEST)
    plan = values.plan(shared_directory=shared)
    empty.source.finish(plan)
    empty.source.finish(plan)
    assert os.listdir(empty.place.path) == left


def test_what_is_not_there_cannot_be_sent(empty: Host) -> None:
    with pytest.raises(exception.GuestNotFound):
        empty.source.start(
            values.plan(), driver.TransferOptions(), unsafe_storage=False
        )


def test_what_is_off_cannot_be_sent(with_guest: Host) -> None:
    with_guest.stop()
    with pytest.raises(exception.HypervisorError, match='shutoff'):
        with_guest.source.start(
            values.plan(), driver.TransferOptions(), unsafe_storage=False
        )


def test_copied_disks_and_post_copy_are_refused(with_guest: Host) -> None:
    with pytest.raises(exception.HypervisorError, match='exclude'):
        with_guest.source.start(
            COPIED,
            driver.TransferOptions(post_copy=True),
            unsafe_storage=False,
        )


@pytest.mark.parametrize(
    ('noted', 'shared', 'words'),
    [(True, False, 'is shared with beta'), (False, True, 'is not shared')],
)
def test_what_is_shared_is_looked_at_again(
    with_guest: Host, noted: bool, shared: bool, words: str
) -> None:
    """The destination's note lies here too, or does not, against the plan:
    with a file taken for two, the guest's only disk would be removed."""
    with_guest.place.make_directory(GUEST)
    if noted:
        notes.write(with_guest.place, notes.Note(GUEST, 7, False, ()))
    with pytest.raises(exception.HypervisorError, match=words):
        with_guest.source.start(
            values.plan(shared_directory=shared),
            driver.TransferOptions(),
            unsafe_storage=True,
        )
