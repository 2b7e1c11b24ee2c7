"""Options of a rolling upgrade: which message versions may be sent."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'upgrade_levels', title='Message versions during an upgrade'
)

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'compute',
        regex=r'^[1-9][0-9]*\.[0-9]+$',
        help="""
Highest version of the compute managers' interface that is sent, such as
``1.1``, while some of them are older than this service. Requests that need
more are refused and name the version. Not set: no limit.
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS, GROUP.name)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP.name, OPTS)]
