"""How a migration ended, in words a person can act on. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from livemig.compute.convergence import Cause, Policy
from livemig.compute.outcome import Outcome
from livemig.objects.migration import Migration
from livemig.virt.job import JobStats

MIB = 1024**2

SHUT_DOWN = 'The guest shut down while it was being migrated.'


def aborted(
    cause: Cause,
    migration: Migration,
    policy: Policy,
    job: JobStats | None,
    elapsed_s: float,
) -> str:
    """Who ended it, how far it had come, where the guest is."""
    why: Mapping[Cause, str] = {
        Cause.OPERATOR: 'Aborted on request of user '
        f'{migration.abort_requested_by}.',
        Cause.TIMEOUT: 'Aborted by the completion timeout of '
        f'{policy.timeout_s} s (live_migration_completion_timeout).',
        Cause.PAUSE_LIMIT: 'Aborted because the forced pause had not '
        f'arrived after {policy.forced_pause_limit_s:g} s '
        '(live_migration_forced_pause_limit).',
        Cause.DELETE: 'Aborted because the instance is deleted.',
    }
    left = ''
    if job is not None:
        left = (
            f' {job.memory_remaining_bytes // MIB} MiB of memory and '
            f'{job.disk_remaining_bytes // MIB} MiB of disks were left in '
            f'pass {job.pass_number} after {elapsed_s:.0f} s.'
        )
    return f'{why[cause]}{left} {_stays(migration)}'


def failed(error: str, migration: Migration) -> str:
    """The hypervisor gave up."""
    return (
        f'The transfer from {migration.source_compute} to '
        f'{migration.dest_compute} failed: {error}. {_stays(migration)}'
    )


def lost(found: Outcome, migration: Migration) -> str:
    """Somebody has to look at both hosts."""
    source, destination = migration.source_compute, migration.dest_compute
    return {
        Outcome.LOST: f'The guest is gone from {source} and '
        f'{destination}. Look at the QEMU logs of both hosts.',
        Outcome.TWICE: f'The guest runs on {source} AND {destination}. '
        'Neither is touched; stop the wrong one by hand before its disks '
        'are damaged.',
        Outcome.RAN_THERE: f'The guest ran on {destination} and ended there. '
        f'What {source} still has of it is older. Nothing is touched; keep '
        f'what is on {destination}, and remove the other by hand.',
        Outcome.AT_SOURCE: f'The guest is at {source} although it had been '
        'switched to post-copy. Look at it before using it.',
        Outcome.SHUT_OFF_AT_SOURCE: 'The guest ended in post-copy: what is '
        f'left of it is shut off at {source}. Look at the QEMU logs of both '
        'hosts.',
    }[found]


def post_copy_broken(migration: Migration) -> str:
    """Both halves of the guest are still needed."""
    return (
        "Post-copy is broken: part of the guest's memory is still at "
        f'{migration.source_compute}. Nothing is touched; do not stop '
        'either host.'
    )


def waits(migration: Migration, broken: bool) -> str:
    """Nobody at the destination can be asked.

    :param broken: post-copy is.
    """
    so_far = (
        post_copy_broken(migration) if broken else 'The transfer has ended.'
    )
    return (
        f'{so_far} Whether the guest is on '
        f'{migration.dest_compute} is not known until its compute manager '
        'and its hypervisor answer; nothing is touched until then. If that '
        'host never comes back, force its service down.'
    )


def _stays(migration: Migration) -> str:
    return f'The guest runs on {migration.source_compute}.'
