"""What tempest.conf says of the livemig under test."""

from oslo_config import cfg

GROUP = cfg.OptGroup('livemig', title='Live migration with livemig')

SERVICE = cfg.BoolOpt(
    'livemig',
    default=True,
    help='Whether the compute service is livemig.',
)

OPTIONS = [
    cfg.StrOpt(
        'busy_image_ref',
        help="""
The image of a guest whose migration does not end by itself: it writes more
memory than the link between the hosts carries.
""",
    ),
    cfg.StrOpt(
        'busy_flavor_ref',
        help='The flavor of that guest. Default: that of [compute].',
    ),
    cfg.StrOpt(
        'force_completes_by',
        default='pause',
        choices=['pause', 'post-copy'],
        help="""
How this cloud forces a migration to its end: ``post-copy`` if its
[libvirt] live_migration_permit_post_copy is set and its hosts can, else
``pause``.
""",
    ),
    cfg.IntOpt(
        'completion_timeout_s',
        default=0,
        min=0,
        help="""
After how many seconds this cloud does something about a migration of the
busy guest: two times its [libvirt] live_migration_completion_timeout, which
counts at least 2 GiB. 0: never, or nobody has the time; the tests of it are
skipped.
""",
    ),
    cfg.StrOpt(
        'timeout_action',
        default='abort',
        choices=['abort', 'force_complete'],
        help='Its [libvirt] live_migration_timeout_action.',
    ),
    cfg.IntOpt(
        'migration_timeout_s',
        default=120,
        min=1,
        help='How long to wait for a migration to begin or to end, seconds.',
    ),
]
