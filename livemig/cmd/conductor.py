"""livemig-conductor: the records' keeper, which places migrations."""

from livemig import concurrency

concurrency.setup()

import sys  # noqa: E402

from oslo_config import cfg  # noqa: E402

from livemig import rpc, service  # noqa: E402
from livemig.cmd import common  # noqa: E402
from livemig.conductor import manager, rpcapi  # noqa: E402
from livemig.db import api as db_api  # noqa: E402

PROG = 'livemig-conductor'
#: Compute managers write their last words through it.
STAGE = 2


def build(
    conf: cfg.ConfigOpts,
    database: db_api.Database,
    clock: concurrency.Clock,
    url: str | None = None,
) -> service.ManagerPart:
    """The conductor as a part of a process."""
    way = rpc.Rpc(conf, database, url)
    made = manager.ConductorManager(conf, database, way, clock)
    server = way.server(rpcapi.TOPIC, conf.host, made.rpc_endpoints())
    return service.ManagerPart(
        'conductor', STAGE, conf, made, server, way, clock
    )


def main(argv: list[str] | None = None) -> int:
    return common.run(PROG, lambda: common.serve(PROG, argv, build))


if __name__ == '__main__':
    sys.exit(main())
