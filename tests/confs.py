"""A configuration of one's own, as every service has."""

from __future__ import annotations

from oslo_config import cfg

import livemig.conf


def new_conf(*files, **overrides):
    """Default options and these; ``group__option`` for those of groups."""
    conf = cfg.ConfigOpts()
    livemig.conf.register_opts(conf)
    conf([], project='livemig', default_config_files=list(files))
    for name, value in overrides.items():
        group, _, option = name.rpartition('__')
        conf.set_override(option, value, group or None)
    return conf
