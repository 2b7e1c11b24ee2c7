"""What stands in the way of an upgrade: options, records, tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from oslo_config import cfg

from livemig import context, exception
from livemig.cmd.old_options import REMARKS, Level
from livemig.db import api as db_api
from livemig.db import migration as db_migration
from livemig.objects.service import SERVICE_VERSION, Service


@dataclasses.dataclass(frozen=True)
class Finding:
    level: Level
    text: str


def check(conf: cfg.ConfigOpts, database: db_api.Database) -> list[Finding]:
    """All there is to say; worst first."""
    tables = list(_tables(database))
    services = [] if tables else list(_services(database))
    found = [*_options(conf), *_files_options(conf), *tables, *services]
    return sorted(found, key=lambda one: -one.level)


def _files(conf: cfg.ConfigOpts) -> list[str]:
    directories = conf.config_dir or []
    return list(conf.config_file or []) + [
        str(file)
        for directory in directories
        for file in sorted(Path(directory).glob('*.conf'))
    ]


def _files_options(conf: cfg.ConfigOpts) -> Iterator[Finding]:
    """Each file on its own: which of them wins is another service's
    matter."""
    for file in _files(conf):
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(file, sections).parse()
        for (group, name), remark in REMARKS.items():
            values = sections.get(group, {}).get(name, [])
            if values and remark.about(values[-1]):
                yield Finding(
                    remark.level,
                    f'option [{group}] {name} in {file} {remark.text}',
                )


def _options(conf: cfg.ConfigOpts) -> Iterator[Finding]:
    rabbit = conf.oslo_messaging_rabbit
    for name in ('rabbit_quorum_queue', 'rabbit_transient_quorum_queue'):
        if conf.transport_url.startswith('rabbit') and not rabbit[name]:
            yield Finding(
                Level.WARNING,
                f'option [oslo_messaging_rabbit] {name} is false: RabbitMQ '
                '4.3 refuses such queues',
            )


def _tables(database: db_api.Database) -> Iterator[Finding]:
    try:
        have, newest = db_migration.version(database), db_migration.head()
    except exception.DatabaseUnreachable as error:
        yield Finding(Level.FAILURE, error.message)
        return
    if have is None:
        yield Finding(
            Level.FAILURE,
            'the database has no tables; run: livemig-manage db sync',
        )
    elif have != newest:
        yield Finding(
            Level.FAILURE,
            f'the database is at revision {have}, this livemig needs '
            f'{newest}; run: livemig-manage db sync',
        )


def _services(database: db_api.Database) -> Iterator[Finding]:
    for one in Service.list(context.admin_context(database), {}):
        if one.version < SERVICE_VERSION:
            yield Finding(
                Level.WARNING,
                f'{one.binary} of {one.host} last reported as version '
                f'{one.version}, older than {SERVICE_VERSION}: upgrade it, '
                'and leave [upgrade_levels] compute set until then',
            )
        elif one.version > SERVICE_VERSION:
            yield Finding(
                Level.WARNING,
                f'{one.binary} of {one.host} is newer ({one.version}) than '
                f'this livemig ({SERVICE_VERSION})',
            )
