"""The API for gunicorn and uWSGI: ``livemig.api.wsgi:application``.

Options come from the files in the environment variable
LIVEMIG_CONF_FILES (several with ":" between them), by default from where
oslo.config looks for ``livemig.conf``.
"""

from livemig import concurrency

concurrency.setup()

import os  # noqa: E402
from collections.abc import Iterable  # noqa: E402
from typing import Any  # noqa: E402

#: Names the option files.
VARIABLE = 'LIVEMIG_CONF_FILES'

_lock = concurrency.Lock()
_built: Any = None


def _build() -> Any:
    """Options, log, database, messages; then the API itself."""
    from oslo_config import cfg
    from oslo_log import log

    import livemig.conf
    from livemig import rpc
    from livemig.api import deploy
    from livemig.db import api as db_api

    conf = cfg.ConfigOpts()
    livemig.conf.register_opts(conf)
    log.register_options(conf)
    rpc.register_opts(conf)
    named = os.environ.get(VARIABLE)
    files = named.split(os.pathsep) if named else None
    # Not the server's own command line.
    conf([], project='livemig', default_config_files=files)
    livemig.conf.check(conf)
    log.setup(conf, 'livemig')
    database = db_api.Database(
        conf.database.connection,
        max_pool_size=conf.database.max_pool_size,
        max_overflow=conf.database.max_overflow,
    )
    way = rpc.Rpc(conf, database)
    return deploy.build_app(conf, database, way, concurrency.Clock())


def application(
    environ: dict[str, Any], start_response: Any
) -> Iterable[bytes]:
    """Built by the first request: servers import this module before they
    fork, and neither connections nor threads survive that."""
    global _built
    if _built is None:
        with _lock:
            if _built is None:
                _built = _build()
    answer: Iterable[bytes] = _built(environ, start_response)
    return answer
