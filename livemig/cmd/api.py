"""livemig-api: the REST API, served by itself.

Behind many clients gunicorn or uWSGI serve ``livemig.api.wsgi`` instead.
"""

from livemig import concurrency

concurrency.setup()

import sys  # noqa: E402
from typing import Any  # noqa: E402

from cheroot import wsgi  # noqa: E402
from cheroot.ssl import builtin  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_log import log as logging  # noqa: E402

from livemig import exception, rpc  # noqa: E402
from livemig.api import deploy  # noqa: E402
from livemig.cmd import common  # noqa: E402
from livemig.db import api as db_api  # noqa: E402

LOG = logging.getLogger(__name__)

PROG = 'livemig-api'
STAGE = 0

#: Far above what a token and all headers of a client need.
MAX_HEADER_BYTES = 64 * 1024
#: Connections that wait for a free thread.
BACKLOG = 128


class _Server(wsgi.Server):  # type: ignore[misc,unused-ignore]
    """cheroot's, with its complaints in our log."""

    def error_log(
        self, msg: str = '', level: int = 20, traceback: bool = False
    ) -> None:
        LOG.log(level, '%s', msg, exc_info=traceback)


class ApiPart:
    """The API in a WSGI server of its own threads."""

    name = 'api'
    stage = STAGE

    def __init__(self, conf: cfg.ConfigOpts, app: Any, way: rpc.Rpc) -> None:
        """
        :raises ConfigurationError: the address or the certificate is
            wrong or taken.
        """
        self._conf = conf
        self._rpc = way
        self._server = _Server(
            (conf.api.bind_host, conf.api.bind_port),
            app,
            numthreads=conf.api.threads,
            max=conf.api.threads,
            request_queue_size=BACKLOG,
            timeout=conf.api.client_timeout,
        )
        # The application refuses what is too large with a proper answer;
        # this only keeps the rest off.
        self._server.max_request_body_size = 2 * conf.api.max_request_body_size
        self._server.max_request_header_size = MAX_HEADER_BYTES
        self._thread: concurrency.Handle | None = None
        self._prepare()

    def _prepare(self) -> None:
        api = self._conf.api
        option = 'tls_cert_file'
        try:
            if api.tls_cert_file:
                self._server.ssl_adapter = builtin.BuiltinSSLAdapter(
                    api.tls_cert_file, api.tls_key_file
                )
            option = 'bind_host and bind_port'
            self._server.prepare()
        except OSError as error:
            raise exception.ConfigurationError(
                option=f'[api] {option}', reason=str(error)
            ) from error

    @property
    def url(self) -> str:
        """Where it is reached, with the real port."""
        host, port = self._server.bind_addr[:2]
        scheme = 'https' if self._server.ssl_adapter else 'http'
        shown = f'[{host}]' if ':' in host else host
        return f'{scheme}://{shown}:{port}'

    @property
    def alive(self) -> bool:
        return self._thread is None or self._thread.alive

    def start(self) -> None:
        self._thread = concurrency.spawn(self._server.serve, name='api')
        LOG.info('The API is at %s/v2.1/', self.url)

    def reload(self) -> None:
        self._conf.mutate_config_files()

    def stop(self, timeout_s: float) -> bool:
        """Requests under way are answered."""
        self._server.shutdown_timeout = timeout_s
        return concurrency.run_all([self._server.stop], timeout_s)

    def close(self) -> None:
        self._rpc.close()


def build(
    conf: cfg.ConfigOpts,
    database: db_api.Database,
    clock: concurrency.Clock,
    url: str | None = None,
) -> ApiPart:
    """The API as a part of a process."""
    way = rpc.Rpc(conf, database, url)
    return ApiPart(conf, deploy.build_app(conf, database, way, clock), way)


def main(argv: list[str] | None = None) -> int:
    return common.run(PROG, lambda: common.serve(PROG, argv, build))


if __name__ == '__main__':
    sys.exit(main())
