"""livemig-compute: the manager of one host."""

from livemig import concurrency

concurrency.setup()

import sys  # noqa: E402
from typing import Any  # noqa: E402

from oslo_config import cfg  # noqa: E402
from stevedore import driver as plugins  # noqa: E402
from stevedore import exception as plugins_exception  # noqa: E402

from livemig import exception, rpc, service  # noqa: E402
from livemig.cmd import common  # noqa: E402
from livemig.compute import manager, rpcapi  # noqa: E402
from livemig.conductor import rpcapi as conductor_rpcapi  # noqa: E402
from livemig.virt import driver  # noqa: E402

PROG = 'livemig-compute'
STAGE = 1


def load_driver(
    conf: cfg.ConfigOpts, clock: concurrency.Clock
) -> driver.Driver:
    """The hypervisor driver of ``[DEFAULT] compute_driver``.

    :raises ConfigurationError: there is none, or it cannot be imported.
    """
    wrong: list[BaseException] = []
    try:
        found: Any = plugins.DriverManager(
            'livemig.virt.drivers',
            conf.compute_driver,
            on_load_failure_callback=lambda _m, _e, error: wrong.append(error),
            warn_on_missing_entrypoint=False,
        )
    except plugins_exception.NoMatches:
        why = 'there is no such driver'
        if wrong:
            why = f'the driver {conf.compute_driver} needs: {wrong[0]}'
        raise exception.ConfigurationError(
            option='[DEFAULT] compute_driver', reason=why
        ) from None
    made: driver.Driver = found.driver(conf, clock)
    return made


def build(
    conf: cfg.ConfigOpts,
    clock: concurrency.Clock,
    url: str | None = None,
) -> service.ManagerPart:
    """One host's manager as a part of a process."""
    hypervisor = load_driver(conf, clock)
    way = rpc.Rpc(conf, None, url)
    way.store = conductor_rpcapi.conductor_store(
        way.client(conductor_rpcapi.TOPIC)
    )
    made = manager.ComputeManager(conf, hypervisor, way, clock, way.store)
    server = way.server(rpcapi.TOPIC, conf.host, made.rpc_endpoints())
    return service.ManagerPart(
        f'compute {conf.host}', STAGE, conf, made, server, way, clock
    )


def main(argv: list[str] | None = None) -> int:
    return common.run(PROG, lambda: _main(argv))


def _main(argv: list[str] | None) -> int:
    conf = common.load(PROG, sys.argv[1:] if argv is None else argv)
    common.set_up_log(conf)
    common.make_state_path(conf)
    clock = concurrency.Clock()
    return service.Process(
        PROG, [build(conf, clock)], clock, conf.graceful_shutdown_timeout
    ).run()


if __name__ == '__main__':
    sys.exit(main())
