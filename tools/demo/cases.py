"""The seven cases of the demonstration, as data."""

import dataclasses

from lab.cloud import Options

#: The link is slow on purpose, so that a busy guest does not converge.
BANDWIDTH_MIB_S = 20

#: Options of the demonstration; link and timeouts are set case by case.
OPTIONS: Options = {
    'libvirt': {
        'live_migration_bandwidth': BANDWIDTH_MIB_S,
        'live_migration_permit_post_copy': 'true',
        'live_migration_completion_timeout': 0,
        'live_migration_timeout_action': 'abort',
    },
    'fake': {'bandwidth_mib_s': 200},
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One guest, what is done to it, and how it must end."""

    title: str
    why: str
    image: str
    #: How it must end, and by what.
    status: str
    completed_by: str = ''
    #: The operator's command while the guest is on its way.
    command: str = ''
    #: Seconds per GiB, times 2 GiB at the least; 0: no timeout.
    timeout_s_per_gib: int = 0
    timeout_action: str = 'abort'
    #: Of the link; 0: as fast as it goes.
    bandwidth_mib_s: int = BANDWIDTH_MIB_S


CASES = (
    Case(
        'moves',
        'A quiet guest: pre-copy converges by itself, its counter goes on.',
        'idle',
        'completed',
        'converged',
    ),
    Case(
        'aborted',
        'A guest that writes 40 MiB/s over a link of 20 MiB/s never '
        'converges. The operator gives up: it must go on at host1 as if '
        'nothing had happened.',
        'busy',
        'cancelled',
        command='live-migration-abort',
    ),
    Case(
        'paused',
        'The same load, but the operator wants it moved, at the price of a '
        'short stop: force end always pauses.',
        'busy',
        'completed',
        'pause',
        command='live-migration-force-end',
    ),
    Case(
        'post-copied',
        'The same load; force complete switches to post-copy where both '
        'hosts can (else it pauses): the guest runs at host2 at once and '
        'fetches its memory behind.',
        'busy',
        'completed',
        'post-copy',
        command='live-migration-force-complete',
    ),
    Case(
        'timed-out-forced',
        'Nobody watches: the completion timeout of 8 s forces it to '
        'complete (live_migration_timeout_action = force_complete).',
        'busy',
        'completed',
        'post-copy',
        timeout_s_per_gib=4,
        timeout_action='force_complete',
    ),
    Case(
        'timed-out-aborted',
        'Nobody watches: the completion timeout of 8 s aborts it '
        '(live_migration_timeout_action = abort).',
        'busy',
        'cancelled',
        timeout_s_per_gib=4,
    ),
    Case(
        'with-its-disk',
        'A Linux guest whose disk is a local file of host1: the disk is '
        'copied first, then the memory.',
        'linux',
        'completed',
        'converged',
        # See busybox.cmdline: a Linux kernel moves best over a fast link.
        bandwidth_mib_s=0,
    ),
)
