"""Options of no group: who this host is, where things lie, limits."""

from __future__ import annotations

import socket

from oslo_config import cfg

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'host',
        default=socket.gethostname(),
        sample_default='<hostname>',
        regex=r'^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$',
        help="""
Name of this compute host.

Migrations, instances and messages name hosts by it: it must be unique and
must stay the same for as long as instances are on the host. It need not be
resolvable; how other hosts reach this one's hypervisor is said by
``[libvirt] live_migration_uri`` and ``live_migration_inbound_addr``.
""",
    ),
    cfg.StrOpt(
        'state_path',
        default='/var/lib/livemig',
        help="""
Directory for what livemig itself keeps on this machine.

Related options: ``instances_path`` and ``[database] connection`` lie in it
by default.
""",
    ),
    cfg.StrOpt(
        'instances_path',
        default='$state_path/instances',
        help="""
Directory with one directory per instance, which holds its disks.

It must be the same path on all hosts. If it is on storage that hosts share,
livemig finds that out by itself and copies no disks between them.
""",
    ),
    cfg.StrOpt(
        'compute_driver',
        default='libvirt',
        help="""
The hypervisor driver of this host: ``libvirt``, or ``fake``, a simulated
hypervisor for demonstrations and tests (or the name of any entry point in
``livemig.virt.drivers``).
""",
    ),
    cfg.IntOpt(
        'max_concurrent_live_migrations',
        default=1,
        min=0,
        mutable=True,
        help="""
How many live migrations may leave this host at the same time; further ones
wait with status ``queued``. 0 means no limit.

Each of them gets a part of the link only, and so a longer time in which the
guest can change its memory faster than it is sent.
""",
    ),
    cfg.IntOpt(
        'report_interval',
        default=10,
        min=1,
        help="""
Seconds between two reports of a compute manager that it is there.

Related options: ``service_down_time`` should be some times as long.
""",
    ),
    cfg.IntOpt(
        'service_down_time',
        default=60,
        min=2,
        mutable=True,
        help="""
Seconds since the last report after which a compute manager counts as down:
nothing is placed there, and requests that need it are refused.

Related options: must be longer than ``report_interval``.
""",
    ),
    cfg.IntOpt(
        'periodic_interval',
        default=10,
        min=1,
        help="""
Seconds between two looks at the records for work that a lost message or a
dead process has left undone.
""",
    ),
    cfg.IntOpt(
        'reserved_host_disk_mb',
        default=0,
        min=0,
        help='MiB of disk below ``instances_path`` that are kept free. '
        '0 keeps nothing.',
    ),
    cfg.IntOpt(
        'reserved_host_memory_mb',
        default=0,
        min=0,
        help='MiB of memory that are kept for the host itself. 0 keeps '
        'nothing.',
    ),
    cfg.FloatOpt(
        'ram_allocation_ratio',
        default=1.0,
        min=0.1,
        help="""
Memory of guests that may be placed on a host, as a multiple of its memory.

Related options: ``reserved_host_memory_mb`` is taken off before.
""",
    ),
    cfg.IntOpt(
        'migrate_max_retries',
        default=-1,
        min=-1,
        help="""
How many further hosts are tried when the checks say that an instance
cannot go to the one that was chosen. -1 tries all hosts, 0 the first only.
A host that was named in the request is the only one that is tried.
""",
    ),
    cfg.IntOpt(
        'shutdown_timeout',
        default=60,
        min=0,
        help="""
Seconds that a guest is given to shut itself down, when it is stopped,
rebooted softly or rescued, before its power is cut. 0 cuts it at once.
""",
    ),
    cfg.IntOpt(
        'graceful_shutdown_timeout',
        default=60,
        min=0,
        help="""
Seconds that a service may take to end what it is doing after SIGTERM or
SIGINT. 0 means no limit. A second signal ends it at once. Migrations under
way go on in the hypervisor, whichever way the service ends.
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [('DEFAULT', OPTS)]
