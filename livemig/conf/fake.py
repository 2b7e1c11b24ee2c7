"""Options of the fake driver."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup('fake', title='The fake driver')

OPTS: list[cfg.Opt] = []


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_group(GROUP)
    conf.register_opts(OPTS, GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP.name, OPTS)]
