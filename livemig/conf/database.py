"""Options of the database connection; API and conductor have one."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup('database', title='The database')

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'connection',
        default='sqlite:///$state_path/livemig.sqlite',
        secret=True,
        help="""
SQLAlchemy URL of the database: ``postgresql+psycopg2://...``,
``mysql+pymysql://...``, or a SQLite file if everything runs on one machine.
``sqlite://`` (in memory) is refused. Compute managers need none: they ask
the conductor.
""",
    ),
    cfg.IntOpt(
        'max_pool_size',
        default=5,
        min=1,
        help='Connections that a process keeps open.',
    ),
    cfg.IntOpt(
        'max_overflow',
        default=80,
        min=0,
        help="""
Connections that a process may open above ``max_pool_size`` for a while.
0 means none.

Related options: the sum should be at least ``executor_thread_pool_size``
plus ``[api] threads``, or requests wait for a connection and fail.
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS, GROUP.name)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP.name, OPTS)]
