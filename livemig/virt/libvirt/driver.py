"""The libvirt driver: one host's guests and their migrations.

What it promises is written at ``livemig.virt.driver.Driver``.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

import libvirt
from oslo_config import cfg

from livemig import concurrency, exception
from livemig.virt import driver
from livemig.virt import job as jobs
from livemig.virt.libvirt import (
    connection,
    destination,
    disks,
    domain_xml,
    errors,
    files,
    flags,
    guests,
    host,
    making,
    notes,
    power,
    reach,
    source,
    states,
    transfer,
)

LOG = logging.getLogger(__name__)

T = TypeVar('T')

_POST_COPY = frozenset({jobs.Reason.POST_COPY, jobs.Reason.POST_COPY_FAILED})


def build(conf: cfg.ConfigOpts, clock: concurrency.Clock) -> driver.Driver:
    """The entry point. Connects to nothing yet.

    :raises ConfigurationError:
    """
    return LibvirtDriver(conf, clock)


class LibvirtDriver(driver.Driver):
    """See ``livemig.virt.driver.Driver``."""

    def __init__(self, conf: cfg.ConfigOpts, clock: concurrency.Clock) -> None:
        self._conf = conf
        self._host: str = conf.host
        self._place = files.Place(conf.instances_path, _owner(conf), conf.host)
        self._migration_uri = host.migration_uri(
            conf.libvirt.live_migration_uri,
            conf.libvirt.live_migration_scheme,
            conf.libvirt.live_migration_inbound_addr,
            conf.host,
        )
        self._conn = connection.Connection(
            conf.libvirt.connection_uri, conf.host, clock
        )
        self._transfers = transfer.Transfers(self._conn, conf.host)
        self._destination = destination.Destination(
            self._conn,
            self._place,
            conf.host,
            conf.reserved_host_disk_mb * 1024**2,
            clock,
        )
        self._source = source.Source(
            self._conn,
            self._place,
            self._transfers,
            conf.host,
            clock,
            conf.libvirt.guest_network,
        )
        self._powering = power.Powering(
            self._conn, self._place, conf.host, clock, self._machine
        )
        self._root_qemu: bool | None = None

    # -- the host -----------------------------------------------------------
    def capabilities(self) -> driver.Capabilities:
        return driver.Capabilities(
            live_migration=True,
            abort=True,
            pause_during_migration=True,
            post_copy=self._post_copy(),
            block_migration=disks.available(),
            supports_live_migrate_rescued=True,
        )

    def _post_copy(self) -> bool:
        said = self._conf.libvirt.post_copy_capable
        if said != 'auto':
            return bool(said == 'yes')
        if host.userfaultfd_for_all():
            return True
        if self._root_qemu is None:
            self._root_qemu = host.qemu_runs_as_root(
                self._conn.read(lambda c: c.getCapabilities())
            )
        return self._root_qemu

    def host_facts(self) -> driver.HostFacts:
        settings = self._conf.libvirt
        kind, version, info, used_mib, cpu = self._conn.read(
            functools.partial(_read_host, with_cpu=settings.virt_type == 'kvm')
        )
        try:
            total, free = self._place.total_bytes(), self._place.free_bytes()
        except OSError as error:
            raise self._failed(error) from error
        return driver.HostFacts(
            host=self._host,
            hypervisor_type=kind,
            hypervisor_version=version,
            migration_uri=self._migration_uri,
            migration_address=settings.live_migration_inbound_addr or None,
            instances_path=self._place.path,
            vcpus=info[2],
            memory_mib=info[1],
            memory_used_mib=used_mib,
            disk_total_bytes=total,
            disk_free_bytes=free,
            capabilities=self.capabilities(),
            cpu=cpu,
            guest_network=settings.guest_network,
            uptime=host.uptime(),
        )

    # -- guests -------------------------------------------------------------
    def guests(self) -> Mapping[str, jobs.GuestState]:
        found = {}
        for guest_id, plain in self._conn.read(guests.all_powers).items():
            state: jobs.GuestState | None
            try:
                state = self.guest_state(guest_id)
            except connection.Hangs as error:
                # One guest does not hide the others. A job may be active.
                LOG.warning('%s', error.message)
                state = dataclasses.replace(plain, job=True)
            if state is not None:
                found[guest_id] = state
        return found

    def guest_state(self, guest_id: str) -> jobs.GuestState | None:
        if not files.is_guest_id(guest_id):
            return None
        return self._conn.read(
            lambda conn: guests.state_of(conn, guest_id), guest_id
        )

    def spawn(self, spec: driver.GuestSpec) -> None:
        self._check_id(spec.guest_id)
        state = self.guest_state(spec.guest_id)
        if states.runs(state):
            LOG.info('Guest %s runs already.', spec.guest_id)
            # Also if its manager died before it could: never made again.
            making.done(self._place, spec.guest_id, notes.SPAWN)
            return
        if state is not None and state.reason is jobs.Reason.MIGRATED:
            raise self._failed(
                f'guest {spec.guest_id} has migrated away from here and '
                'may run elsewhere'
            )
        try:
            self._make_and_start(spec)
        except (*destination.FILE_ERRORS, domain_xml.BadText) as error:
            self._unspawn(spec.guest_id)
            raise self._failed(error) from error
        except exception.HypervisorError:
            self._unspawn(spec.guest_id)
            raise

    def _make_and_start(self, spec: driver.GuestSpec) -> None:
        directory = self._place.directory(spec.guest_id)
        xml = domain_xml.build(spec, directory, self._machine())
        making.make(
            self._place,
            spec.guest_id,
            notes.SPAWN,
            [power.new_disk(disk.device, disk) for disk in spec.disks],
            use_existing=True,
        )
        self._conn.run(
            lambda conn: guests.define_and_start(conn, xml),
            spec.guest_id,
            limit_s=connection.LONG_S,
        )
        making.done(self._place, spec.guest_id, notes.SPAWN)

    def _machine(self) -> domain_xml.Machine:
        return domain_xml.Machine(
            virt_type=self._conf.libvirt.virt_type,
            arch=self._conn.read(lambda conn: conn.getInfo()[0]),
            machine_type=self._conf.libvirt.machine_type,
            cpu_mode=self._conf.libvirt.cpu_mode,
            cache='none' if self._place.direct_io() else 'writeback',
        )

    def _unspawn(self, guest_id: str) -> None:
        """Remove what a spawn made, unless the guest runs after all."""
        try:
            if states.runs(self.guest_state(guest_id)):
                return
            making.undo(self._place, guest_id, notes.SPAWN)
        except (*destination.FILE_ERRORS, exception.HypervisorError) as error:
            LOG.error('What was made for guest %s is left: %s',
                      guest_id, error)  # fmt: skip

    def destroy(self, guest_id: str) -> None:
        self._check_id(guest_id)
        self._conn.run(lambda conn: guests.end(conn, guest_id), guest_id)
        self._transfers.forget(guest_id)
        self._conn.forget_figures(guest_id)
        try:
            self._place.remove_directory(guest_id)
            notes.drop_all(self._place, guest_id)
        except destination.FILE_ERRORS as error:
            raise self._failed(error) from error

    def pause(self, guest_id: str, *, forced: bool = False) -> None:
        state = self._known(guest_id)
        if state.power is jobs.Power.PAUSED:
            return
        if state.reason in _POST_COPY:
            # libvirt would block until all memory has come, or for 30 s.
            raise exception.PauseMigrationNotSupported(
                f'Guest {guest_id} on {self._host} is in post-copy and '
                'cannot be paused.',
                host=self._host,
            )
        if not forced:
            self._on_domain(guest_id, lambda domain: domain.suspend())
        elif not self._on_domain(guest_id, source.force):
            raise exception.NoActiveJob(host=self._host, guest_id=guest_id)

    def resume(self, guest_id: str) -> None:
        state = self._known(guest_id)
        if state.job or state.reason in _POST_COPY:
            raise self._failed(
                f'guest {guest_id} cannot be resumed: a migration job is '
                'active'
            )
        if state.power is not jobs.Power.RUNNING:
            self._on_domain(guest_id, lambda domain: domain.resume())

    def power_off(self, guest_id: str, timeout_s: float) -> None:
        self._find(guest_id)
        self._powering.off(guest_id, timeout_s)

    def hard_reboot(self, spec: driver.GuestSpec) -> None:
        self._check_id(spec.guest_id)
        self._powering.rebuild(spec, None)

    def suspend(self, guest_id: str) -> None:
        self._find(guest_id)
        self._powering.suspend(guest_id)

    def wake(self, guest_id: str) -> None:
        self._find(guest_id)
        self._powering.wake(guest_id)

    def rescue(
        self, spec: driver.GuestSpec, rescue: driver.RescueSpec
    ) -> None:
        self._check_id(spec.guest_id)
        self._powering.rebuild(spec, rescue)

    # -- checks before a migration ------------------------------------------
    def make_probe(self) -> str:
        return self._with_files(self._place.make_probe)

    def sees_probe(self, probe: str) -> bool:
        return self._with_files(lambda: self._place.sees_probe(probe))

    def drop_probe(self, probe: str) -> None:
        self._with_files(lambda: self._place.drop_probe(probe))

    def disks(self, guest_id: str) -> tuple[driver.DiskFacts, ...]:
        self._find(guest_id)
        xml = self._conn.read(
            lambda c: c.lookupByUUIDString(guest_id).XMLDesc(0), guest_id
        )
        return tuple(
            self._with_files(functools.partial(_disk_facts, part))
            for part in domain_xml.disks(xml)
        )

    def cpu_fits(self, cpu: str) -> bool:
        if not cpu:
            return True
        return self._conn.read(lambda conn: host.cpu_fits(conn, cpu))

    def reachable(self, destination: driver.HostFacts) -> str:
        return reach.why_not(*self._way_to(destination))

    def alive(self, destination: driver.HostFacts) -> str:
        return reach.why_silent(*self._way_to(destination))

    def _way_to(self, there: driver.HostFacts) -> tuple[str, str, float]:
        limit_s = self._conf.libvirt.live_migration_connect_timeout
        return there.host, there.migration_uri, limit_s

    # -- destination side ---------------------------------------------------
    def prepare_destination(self, plan: driver.TransferPlan) -> None:
        self._check_id(plan.guest_id)
        self._destination.prepare(plan)

    def prepared(self) -> list[tuple[str, int]]:
        return self._with_files(lambda: notes.all_here(self._place))

    def undo_destination(self, guest_id: str, migration_id: int) -> None:
        self._check_id(guest_id)
        self._destination.undo(guest_id, migration_id)

    def finish_destination(self, guest_id: str, migration_id: int) -> None:
        self._check_id(guest_id)
        self._destination.finish(guest_id, migration_id)

    # -- source side --------------------------------------------------------
    def start(
        self, plan: driver.TransferPlan, options: driver.TransferOptions
    ) -> None:
        self._check_id(plan.guest_id)
        self._source.start(
            plan,
            options,
            unsafe_storage=self._conf.libvirt.allow_unsafe_shared_storage,
        )

    def finish_source(self, plan: driver.TransferPlan) -> None:
        self._check_id(plan.guest_id)
        self._source.finish(plan)

    def job(self, guest_id: str) -> jobs.JobStats:
        return self._source.job(guest_id)

    def transfer_error(self, guest_id: str) -> str:
        ours = self._transfers.get(guest_id)
        return ours.error if ours else ''

    def completed_job(self, guest_id: str) -> jobs.JobStats | None:
        return self._source.completed_job(guest_id)

    def set_max_downtime(self, guest_id: str, downtime_ms: int) -> None:
        limit_ms = flags.downtime(downtime_ms)
        self._on_job(
            guest_id, lambda domain: domain.migrateSetMaxDowntime(limit_ms)
        )

    def set_bandwidth(
        self, guest_id: str, bandwidth_mib_s: int, *, post_copy: bool = False
    ) -> None:
        if post_copy:
            # The one limit where 0 means none to libvirt too.
            limit = min(max(0, bandwidth_mib_s), flags.MAX_BANDWIDTH_MIB_S)
            which = libvirt.VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY
        else:
            limit, which = flags.bandwidth(bandwidth_mib_s), 0
        self._on_job(
            guest_id, lambda domain: domain.migrateSetMaxSpeed(limit, which)
        )

    def restore_limits(
        self, guest_id: str, options: driver.TransferOptions
    ) -> None:
        self._find(guest_id)
        self._source.restore_limits(guest_id, options)

    def start_post_copy(self, guest_id: str) -> None:
        self._source.start_post_copy(guest_id)

    def abort(self, guest_id: str) -> None:
        self._source.abort(guest_id)

    def close(self) -> None:
        self._conn.close()

    # -- helpers ------------------------------------------------------------
    def _failed(self, reason: object) -> exception.HypervisorError:
        return exception.HypervisorError(host=self._host, reason=str(reason))

    def _not_found(self, guest_id: str) -> exception.GuestNotFound:
        return exception.GuestNotFound(host=self._host, guest_id=guest_id)

    def _check_id(self, guest_id: str) -> None:
        """Before a guest's id becomes part of a path."""
        if not files.is_guest_id(guest_id):
            raise self._failed(f'{guest_id!r} is not the uuid of a guest')

    def _find(self, guest_id: str) -> None:
        """:raises GuestNotFound: nobody can have that id."""
        if not files.is_guest_id(guest_id):
            raise self._not_found(guest_id)

    def _known(self, guest_id: str) -> jobs.GuestState:
        state = self.guest_state(guest_id)
        if state is None:
            raise self._not_found(guest_id)
        return state

    def _on_domain(
        self, guest_id: str, fn: Callable[[libvirt.virDomain], T]
    ) -> T:
        return self._conn.run(
            lambda conn: fn(conn.lookupByUUIDString(guest_id)),
            guest_id,
            translate=lambda e: errors.translate_passing(
                e, self._host, guest_id
            ),
        )

    def _on_job(
        self, guest_id: str, fn: Callable[[libvirt.virDomain], object]
    ) -> None:
        """Do something to the guest's outgoing job.

        Without one libvirt would keep the limit for the next migration.
        """
        if not files.is_guest_id(guest_id):
            raise exception.NoActiveJob(host=self._host, guest_id=guest_id)

        def act(conn: libvirt.virConnect) -> bool:
            domain = guests.find(conn, guest_id)
            if domain is None or not transfer.sends(domain):
                return False
            fn(domain)
            return True

        if not self._conn.run(act, guest_id, translate=self._gone(guest_id)):
            raise exception.NoActiveJob(host=self._host, guest_id=guest_id)

    def _gone(self, guest_id: str) -> connection.Translate:
        """A guest that leaves in that very moment has no job any more."""

        def translate(
            error: libvirt.libvirtError,
        ) -> exception.HypervisorError:
            if errors.code(error) in transfer.NO_JOB:
                return exception.NoActiveJob(
                    host=self._host, guest_id=guest_id
                )
            return errors.translate_passing(error, self._host, guest_id)

        return translate

    def _with_files(self, fn: Callable[[], T]) -> T:
        try:
            return fn()
        except destination.FILE_ERRORS as error:
            raise self._failed(error) from error


def _owner(conf: cfg.ConfigOpts) -> files.Owner:
    try:
        return files.owner(conf.libvirt.guest_file_owner)
    except ValueError as error:
        raise exception.ConfigurationError(
            option='[libvirt] guest_file_owner', reason=str(error)
        ) from error


def _read_host(
    conn: libvirt.virConnect, *, with_cpu: bool
) -> tuple[str, int, list[int], int, str]:
    return (
        conn.getType(),
        conn.getVersion(),
        conn.getInfo(),
        host.memory_used_mib(conn),
        host.cpu_xml(conn) if with_cpu else '',
    )


def _disk_facts(part: domain_xml.DiskPart) -> driver.DiskFacts:
    image = disks.look(part.path, part.format)
    return driver.DiskFacts(
        device=part.device,
        path=part.path,
        format=part.format,
        virtual_size_bytes=image.virtual_size_bytes,
        allocated_bytes=image.allocated_bytes,
        backing_file=image.backing_file,
        backing_format=image.backing_format,
        backing_fingerprint=disks.fingerprint(image.backing_file)
        if image.backing_file
        else '',
        read_only=part.read_only,
    )
