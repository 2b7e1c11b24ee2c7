"""Options of the fake driver: a hypervisor that is only simulated."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'fake',
    title='The fake driver',
    help="""
A simulated hypervisor, for trying livemig out and for its tests. Nothing
runs, nothing is copied, but all of it takes its time and can go wrong.

Related options: ``[DEFAULT] compute_driver``.
""",
)

_WORLD = [
    cfg.StrOpt(
        'world',
        default='default',
        help="""
Name of the world this host is in. Compute managers of one process that
name the same world see each other's hosts; guests cannot leave a world.
""",
    ),
    cfg.StrOpt(
        'shared_storage',
        default='',
        help="""
Name of the storage on which this host keeps its guests' disks. Hosts that
name the same one share it, so that disks need not be copied between them.
Empty: disks of its own.
""",
    ),
    cfg.IntOpt(
        'memory_mib',
        default=65536,
        min=1,
        help="Size of this host's memory, MiB.",
    ),
    cfg.IntOpt('vcpus', default=16, min=1, help="Number of this host's CPUs."),
    cfg.ListOpt(
        'without',
        default=[],
        help="""
What this host's driver cannot do, of: ``live_migration``, ``abort``,
``pause_during_migration``, ``post_copy``, ``block_migration``,
``supports_live_migrate_rescued``. Empty: it can do all of it.
""",
    ),
    cfg.ListOpt(
        'faults',
        default=[],
        help="""
What shall go wrong on this host: a list of NAME [after=S] [times=N]
[lasting=S], for example ``transfer-breaks after=5 times=1, unreachable``.

Names: ``unreachable``, ``black-hole``, ``prepare-refused``,
``incoming-refused``, ``no-room`` (as a destination); ``transfer-breaks``,
``guest-shuts-down``, ``guest-crashes``, ``post-copy-refused``,
``post-copy-breaks``, ``left-behind`` (as a source); ``spawn-fails``,
``hypervisor-away``. ``after``: so many seconds later. ``times``: how often;
left out: always. ``lasting``: for so many seconds (``hypervisor-away``).
""",
    ),
]

_PACE = [
    cfg.FloatOpt(
        'bandwidth_mib_s',
        default=1000.0,
        min=0.1,
        help="""
Speed of the link over which guests leave this host, MiB/s.

Related options: ``[libvirt] live_migration_bandwidth`` limits a migration
below that.
""",
    ),
    cfg.FloatOpt(
        'prepare_s',
        default=0.5,
        min=0.0,
        help="""
Time it takes to prepare a destination, seconds. 0: none.
""",
    ),
    cfg.FloatOpt(
        'abort_s',
        default=0.1,
        min=0.0,
        help="""
Time from a request to abort to its effect, seconds. 0: at once.
""",
    ),
    cfg.FloatOpt(
        'dirty_mib_s',
        default=10.0,
        min=0.0,
        help="""
How fast guests write their memory, MiB/s; 0: not at all. A guest whose
kernel command line has ``rate=PAGES_PER_SECOND`` does what that says.

Related options: ``working_set_mib``. A guest converges where the link is
faster than it writes, or its working set small.
""",
    ),
    cfg.FloatOpt(
        'working_set_mib',
        default=64.0,
        min=0.0,
        help="""
How much memory guests write again and again, MiB; 0: none. A guest whose
kernel command line has ``ws=MIB`` does what that says.
""",
    ),
]

OPTS: list[cfg.Opt] = [*_WORLD, *_PACE]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS, GROUP.name)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP.name, OPTS)]
