"""livemig-all: API, conductor and compute managers in one process."""

from livemig import concurrency

concurrency.setup()

import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402

from oslo_config import cfg  # noqa: E402

import livemig.conf  # noqa: E402
from livemig import service  # noqa: E402
from livemig.cmd import api, common, compute, conductor  # noqa: E402
from livemig.db import migration as db_migration  # noqa: E402

PROG = 'livemig-all'

#: Where the option files do not say otherwise.
TRANSPORT = 'inproc://livemig/'

CLI = [
    cfg.MultiStrOpt(
        'compute-config',
        default=[],
        metavar='FILE',
        help='Options of one more compute manager, on top of the common '
        'ones; each must set another [DEFAULT] host. May be repeated; '
        'without it there is one manager with the common options.',
    ),
    cfg.BoolOpt(
        'db-sync',
        default=False,
        help='Create or upgrade the tables of the database first.',
    ),
]


def host_confs(conf: cfg.ConfigOpts) -> Sequence[cfg.ConfigOpts]:
    """The options of each compute manager.

    :raises WrongOption: two of them have the same host.
    """
    if not conf.compute_config:
        return [conf]
    common_files = [
        word
        for file in conf.config_file or ()
        for word in ('--config-file', file)
    ] + [
        word
        for directory in conf.config_dir or ()
        for word in ('--config-dir', directory)
    ]
    made: dict[str, cfg.ConfigOpts] = {}
    for file in conf.compute_config:
        one = common.load(PROG, [*common_files, '--config-file', file])
        if one.host in made:
            raise livemig.conf.WrongOption(
                f'option [DEFAULT] host in {file}: another compute manager '
                f'is {one.host} already'
            )
        made[one.host] = one
    return list(made.values())


def main(argv: list[str] | None = None) -> int:
    return common.run(PROG, lambda: _main(argv))


def _main(argv: list[str] | None) -> int:
    conf = common.load(PROG, sys.argv[1:] if argv is None else argv, CLI)
    conf.set_default('transport_url', TRANSPORT)
    hosts = host_confs(conf)
    common.set_up_log(conf)
    common.make_state_path(conf)
    database = common.open_database(conf)
    if conf.db_sync:
        db_migration.upgrade(database)
    common.check_schema(database)
    clock = concurrency.Clock()
    url = conf.transport_url
    parts: list[service.Part] = [
        conductor.build(conf, database, clock, url),
        *(compute.build(one, clock, url) for one in hosts),
        api.build(conf, database, clock, url),
    ]
    return service.Process(
        PROG,
        parts,
        clock,
        conf.graceful_shutdown_timeout,
        [database.dispose],
    ).run()


if __name__ == '__main__':
    sys.exit(main())
