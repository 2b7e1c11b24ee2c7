"""Options of the libvirt driver and of live migration through it."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'libvirt',
    title='The libvirt driver',
    help='How guests are run and moved by libvirt and QEMU.',
)

_CONNECTION = [
    cfg.StrOpt(
        'connection_uri',
        default='qemu:///system',
        help="""
URI of this host's own libvirt daemon, as the compute manager reaches it.

Related options: ``live_migration_uri`` (the same daemon as other hosts
reach it).
""",
    ),
    cfg.StrOpt(
        'virt_type',
        default='kvm',
        choices=[
            ('kvm', 'The processor runs the guest (needs /dev/kvm).'),
            ('qemu', 'QEMU emulates the processor: slow, runs anywhere.'),
        ],
        help='What runs the CPUs of new guests.',
    ),
    cfg.StrOpt(
        'machine_type',
        default='',
        help="""
QEMU machine type of new guests, for example ``pc-q35-7.2``.

Name a version: guests move only between hosts whose QEMU knows the same
one. Empty: QEMU's default.
""",
    ),
    cfg.StrOpt(
        'cpu_mode',
        default='',
        choices=[
            ('', 'host-model with kvm, none with qemu.'),
            ('none', 'Whatever QEMU gives by default.'),
            ('host-model', 'A named model near to the CPU of the host.'),
            (
                'host-passthrough',
                'Exactly the CPU of the host: moves only to hosts with an '
                'identical one.',
            ),
        ],
        help='CPU that new guests see. Related options: ``virt_type``.',
    ),
    cfg.StrOpt(
        'guest_network',
        default='',
        regex=r'^((bridge|network):[A-Za-z0-9._-]+)?$',
        help="""
What guests' network interfaces are connected to: ``bridge:NAME``, a bridge
of this host, or ``network:NAME``, a network of this host's libvirt.

New guests get one interface then; its MAC address is kept in the record,
so that it stays the same wherever and however often the guest is started.
A guest that moves is connected to what its new host names here. Empty: new
guests get none.
""",
    ),
    cfg.StrOpt(
        'guest_file_owner',
        default='',
        help="""
Who shall own the directories and files made for guests: ``user``,
``user:group`` or numbers, ``uid:gid``.

Needed where the compute manager runs as root and QEMU as another user that
libvirt does not hand the files to itself: a session daemon, or
``dynamic_ownership = 0`` in qemu.conf. Empty: they are left to the user
who made them.
""",
    ),
    cfg.StrOpt(
        'post_copy_capable',
        default='auto',
        choices=[
            (
                'auto',
                'yes if vm.unprivileged_userfaultfd is 1 or the system '
                'daemon runs QEMU as root, else no.',
            ),
            ('yes', 'QEMU of this host can receive guests by post-copy.'),
            ('no', 'It cannot.'),
        ],
        help="""
Whether QEMU on this host may use userfaultfd, which post-copy needs at the
destination.

An ordinary user may if the sysctl ``vm.unprivileged_userfaultfd`` is 1 or
if the process has CAP_SYS_PTRACE; the latter cannot be seen from outside,
so say ``yes`` where QEMU has it.

Related options: ``live_migration_permit_post_copy``.
""",
    ),
    cfg.BoolOpt(
        'allow_unsafe_shared_storage',
        default=False,
        help="""
Let libvirt move guests whose disks are on a shared directory that libvirt
takes for a local file system.

libvirt calls that unsafe and refuses it, rightly so for anything but two
hosts on one machine (a test bench). The flag is given only when the probe
file of the destination was seen at the source and the disks are not
copied.
""",
    ),
]

_ADDRESSES = [
    cfg.StrOpt(
        'live_migration_uri',
        default='',
        help="""
Full URI of this host's libvirt daemon as *other* hosts reach it, for
example ``qemu+tls://node1.example.org/system``.

Each host hands out its own. Empty: built as
``qemu+<live_migration_scheme>://<live_migration_inbound_addr or
host>/system``.

Related options: ``live_migration_scheme``,
``live_migration_inbound_addr``, ``[DEFAULT] host``.
""",
    ),
    cfg.StrOpt(
        'live_migration_scheme',
        default='',
        regex=r'^([a-z][a-z0-9]*)?$',
        help="""
Transport that other hosts reach this host's libvirt daemon by: ``tcp``,
``tls``, ``ssh`` ... Empty: ``tcp``.

Not used if ``live_migration_uri`` is set.
""",
    ),
    cfg.StrOpt(
        'live_migration_inbound_addr',
        help="""
Host name or IP address of this host on the network that migrations shall
use: guests' memory and disks are sent to it. Not set: the hypervisor
chooses (the address its host name resolves to).

Related options: ``live_migration_uri``.
""",
    ),
    cfg.IntOpt(
        'live_migration_connect_timeout',
        default=5,
        min=1,
        max=60,
        help="""
How long the source tries to reach the destination's libvirt daemon before
the migration is refused, in seconds.

libvirt itself notices a destination that swallows all packets after more
than two minutes only.
""",
    ),
]

_TRANSFER = [
    cfg.IntOpt(
        'live_migration_bandwidth',
        default=0,
        min=0,
        max=2**31 - 1,
        mutable=True,
        help="""
Limit of the speed of each migration, MiB/s. 0: no limit.

A change counts for migrations that begin after it.
""",
    ),
    cfg.IntOpt(
        'live_migration_downtime',
        default=500,
        min=100,
        max=2_000_000,
        help="""
Longest time the guest may be stopped at switchover, milliseconds.

It is reached in steps. Related options:
``live_migration_downtime_steps``, ``live_migration_downtime_delay``.
""",
    ),
    cfg.IntOpt(
        'live_migration_downtime_steps',
        default=10,
        min=3,
        help="""
Number of steps until the full downtime is allowed. At least 3.

Related options: ``live_migration_downtime``,
``live_migration_downtime_delay``.
""",
    ),
    cfg.IntOpt(
        'live_migration_downtime_delay',
        default=75,
        min=3,
        help="""
Time between two steps of the downtime, seconds per GiB of the guest's
memory and copied disks; at least 2 GiB are counted.

Related options: ``live_migration_downtime``,
``live_migration_downtime_steps``.
""",
    ),
    cfg.IntOpt(
        'live_migration_completion_timeout',
        default=800,
        min=0,
        mutable=True,
        help="""
How long a migration may take, seconds per GiB of the guest's memory and
copied disks; at least 2 GiB are counted. 0: as long as it likes.

Related options: ``live_migration_timeout_action``.
""",
    ),
    cfg.StrOpt(
        'live_migration_timeout_action',
        default='abort',
        mutable=True,
        choices=[
            ('abort', 'The guest stays where it is.'),
            (
                'force_complete',
                'By post-copy if that is permitted and possible, else by '
                'pausing the guest until all is copied.',
            ),
        ],
        help="""
What happens to a migration that takes too long.

Related options: ``live_migration_completion_timeout``,
``live_migration_permit_post_copy``, ``live_migration_forced_pause_limit``.
""",
    ),
    cfg.BoolOpt(
        'live_migration_permit_post_copy',
        default=False,
        help="""
Permit to switch a migration to post-copy: the guest runs at the
destination at once and fetches the rest of its memory; if the network or
a host fails meanwhile, the guest may be lost.

Both hosts must permit it. Copied disks and paused guests exclude it.
Related options: ``post_copy_capable``, ``live_migration_timeout_action``.
""",
    ),
    cfg.BoolOpt(
        'live_migration_permit_auto_converge',
        default=False,
        help="""
Permit to slow the guest's CPUs down while its memory changes faster than
it is copied. Decided when a migration starts.
""",
    ),
    cfg.IntOpt(
        'live_migration_forced_pause_limit',
        default=60,
        min=0,
        help="""
How long a guest that was paused to force its migration to complete may
stay paused, seconds; then the migration is aborted and the guest goes on
at the source. 0: no limit.

Related options: ``live_migration_timeout_action``.
""",
    ),
    cfg.FloatOpt(
        'live_migration_monitor_interval',
        default=0.5,
        min=0.05,
        max=10.0,
        help='Time between two looks at a running migration, seconds.',
    ),
]

OPTS: list[cfg.Opt] = _CONNECTION + _ADDRESSES + _TRANSFER


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS, GROUP.name)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP.name, OPTS)]
