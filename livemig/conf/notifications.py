"""Options of the notifications about instances and their migrations."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup('notifications', title='Notifications')

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'notification_format',
        default='unversioned',
        choices=[
            ('unversioned', "Nova's older form only"),
            ('versioned', "Nova's versioned form only"),
            ('both', 'Both, each with its own topics'),
        ],
        help="""
The form in which notifications are sent.

Related options: ``[oslo_messaging_notifications] driver``: without it none
is sent; ``topics`` of the same group is for the unversioned ones,
``versioned_notifications_topics`` for the others.
""",
    ),
    cfg.ListOpt(
        'versioned_notifications_topics',
        default=['versioned_notifications'],
        help='Topics of the versioned notifications.',
    ),
    cfg.IntOpt(
        'queue_length',
        default=1000,
        min=1,
        help="""
Notifications that wait to be sent while the broker is slow or away; when
there are more, new ones are dropped and the log says so. No migration ever
waits for a notification.
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS, GROUP.name)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP.name, OPTS)]
