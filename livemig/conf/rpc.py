"""Options of the messages, and what livemig changes of oslo.messaging's."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup('rpc', title='Messages between the services')

OPTS: list[cfg.Opt] = [
    cfg.FloatOpt(
        'send_limit',
        default=10.0,
        min=1.0,
        max=300.0,
        help="""
Seconds that the message broker may take to accept a message. After that
the request fails and says that the broker cannot be reached (the API
answers 503), whatever the broker library goes on trying.
""",
    ),
    cfg.IntOpt(
        'send_threads',
        default=16,
        min=1,
        max=256,
        help="""
Messages that a process sends at the same time while the broker is slow;
further ones wait, at most ``send_limit``.
""",
    ),
    cfg.IntOpt(
        'call_threads',
        default=64,
        min=1,
        max=1024,
        help="""
Calls that a process has under way at the same time; further ones wait, at
most as long as they may take.
""",
    ),
]

#: Defaults of oslo.messaging that livemig changes, (group, name): value.
#: RabbitMQ 4.3 refuses queues that are neither durable nor exclusive;
#: with the library's 30 s a broker that was away for long is found again
#: only that late. An exchange of its own keeps livemig's queues apart
#: from another OpenStack service's on the same virtual host.
MESSAGING_DEFAULTS: dict[tuple[str | None, str], object] = {
    (None, 'control_exchange'): 'livemig',
    ('oslo_messaging_rabbit', 'rabbit_quorum_queue'): True,
    ('oslo_messaging_rabbit', 'rabbit_transient_quorum_queue'): True,
    ('oslo_messaging_rabbit', 'rabbit_interval_max'): 5,
}


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS, GROUP.name)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP.name, OPTS)]
