"""Options of the catalogue: the flavors and images there are."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup('catalogue', title='Flavors and images')

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'path',
        default='/etc/livemig/catalogue.yaml',
        help='File that describes the flavors and images, YAML. Image '
        'files must have the same path on all hosts.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS, GROUP.name)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP.name, OPTS)]
