"""What stands in the way of an upgrade: options, records, tables."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from pathlib import Path

from oslo_config import cfg

from livemig import context, exception
from livemig.db import api as db_api
from livemig.db import migration as db_migration
from livemig.objects.service import SERVICE_VERSION, Service


class Level(enum.IntEnum):
    """Also the command's exit code."""

    OK = 0
    WARNING = 1
    FAILURE = 2


@dataclasses.dataclass(frozen=True)
class Finding:
    level: Level
    text: str


#: Options that are gone, and why: people bring them along from Nova, or
#: from older releases of the libraries. A file that still has them is
#: read without a word.
GONE = {
    ('libvirt', 'live_migration_progress_timeout'): (
        'a transfer without progress is no reason to abort it; see '
        'live_migration_completion_timeout'
    ),
    ('libvirt', 'live_migration_tunnelled'): (
        'libvirt sends memory between the QEMUs directly; it cannot be '
        'tunnelled together with copied disks or post-copy'
    ),
    ('libvirt', 'live_migration_flag'): 'livemig chooses the flags',
    ('libvirt', 'block_migration_flag'): 'livemig chooses the flags',
    ('oslo_messaging_rabbit', 'heartbeat_in_pthread'): (
        'oslo.messaging has it no more; heartbeats have their own thread'
    ),
    ('oslo_messaging_rabbit', 'rabbit_ha_queues'): (
        'RabbitMQ 4 has no mirrored queues; see rabbit_quorum_queue'
    ),
    ('oslo_policy', 'enforce_scope'): (
        'oslo.policy has it no more; scopes are always enforced'
    ),
    ('DEFAULT', 'rpc_backend'): 'transport_url says it',
}


def check(conf: cfg.ConfigOpts, database: db_api.Database) -> list[Finding]:
    """All there is to say; worst first."""
    found = [*_options(conf), *_tables(database)]
    if not any(one.level is Level.FAILURE for one in found):
        found += _services(database)
    return sorted(found, key=lambda one: -one.level)


def _files(conf: cfg.ConfigOpts) -> list[str]:
    directories = conf.config_dir or []
    return list(conf.config_file or []) + [
        str(file)
        for directory in directories
        for file in sorted(Path(directory).glob('*.conf'))
    ]


def _options(conf: cfg.ConfigOpts) -> Iterator[Finding]:
    for file in _files(conf):
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(file, sections).parse()
        for (group, name), why in GONE.items():
            if name in sections.get(group, {}):
                yield Finding(
                    Level.WARNING,
                    f'option [{group}] {name} in {file} has no effect any '
                    f'more: {why}',
                )
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
