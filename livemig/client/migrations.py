"""Commands on migrations: list, show, watch, abort, force."""

import argparse
from typing import Any

from cliff import show

from livemig.client import base, cells, lookup, watching
from livemig.client.listing import Column, Table
from livemig.client.progress import UNFINISHED

_SERVER_COLUMNS = (
    Column('ID', 'id'),
    Column('Status', 'status'),
    Column('Source', 'source_compute'),
    Column('Destination', 'dest_compute'),
    Column('Memory Total Bytes', 'memory_total_bytes', 4),
    Column('Memory Remaining Bytes', 'memory_remaining_bytes', 1),
    Column('Disk Total Bytes', 'disk_total_bytes', 5),
    Column('Disk Remaining Bytes', 'disk_remaining_bytes', 2),
    Column('Created At', 'created_at', 3, cells.Moment),
    Column('Updated At', 'updated_at', 6, cells.Moment),
)

_COLUMNS = (
    Column('ID', 'id'),
    Column('Server UUID', 'instance_uuid'),
    Column('Type', 'migration_type', 8),
    Column('Status', 'status'),
    Column('Source', 'source_compute', 2),
    Column('Destination', 'dest_compute', 1),
    Column('Created At', 'created_at', 3, cells.Moment),
    Column('Updated At', 'updated_at', 7, cells.Moment),
)
#: Besides, where spoken.
_COLUMNS_2_202 = (
    Column('Completed By', 'completed_by', 5),
    Column('Downtime (ms)', 'downtime_ms', 6),
    Column('Reason', 'reason', 4, wraps=True),
)

_FIELDS = (
    'id',
    'uuid',
    'server_uuid',
    'status',
    'reason',
    'completed_by',
    'downtime_ms',
    'throughput_bytes_per_s',
    'pass_number',
    'dirty_rate_bytes_per_s',
    'elapsed_s',
    'timeout_s',
    'source_compute',
    'source_node',
    'dest_compute',
    'dest_node',
    'dest_host',
    'memory_total_bytes',
    'memory_processed_bytes',
    'memory_remaining_bytes',
    'disk_total_bytes',
    'disk_processed_bytes',
    'disk_remaining_bytes',
    'old_flavor_id',
    'new_flavor_id',
    'user_id',
    'project_id',
    'created_at',
    'updated_at',
)
_KINDS = {
    'elapsed_s': cells.Number,
    'created_at': cells.Moment,
    'updated_at': cells.Moment,
}


class _OfMigration(base.Operation):
    """A command on one migration, by default the one in progress."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_server(parser)
        base.add_migration(parser)
        return parser

    def named(self, parsed_args: argparse.Namespace) -> tuple[str, int]:
        """The uuid of the server and the id of its migration."""
        uuid = self.server_uuid(parsed_args)
        if parsed_args.migration is not None:
            return uuid, parsed_args.migration
        self.compute.need('2.23', 'Finding the migration in progress')
        return uuid, lookup.migration_in_progress(self.compute, uuid)


class AbortMigration(_OfMigration):
    """Abort a live migration: the server stays where it is"""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        self.compute.need('2.24', 'Aborting a live migration')
        uuid, migration_id = self.named(parsed_args)
        self.compute.delete(f'/servers/{uuid}/migrations/{migration_id}')
        self.say(f'Abort of migration {migration_id} requested.')


class ForceCompleteMigration(_OfMigration):
    """Make a live migration complete now

    The service switches to post-copy where that is permitted and possible,
    and pauses the server until all is copied where it is not.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        self.compute.need('2.22', 'Forcing a live migration to complete')
        uuid, migration_id = self.named(parsed_args)
        self.compute.act(
            f'/servers/{uuid}/migrations/{migration_id}', 'force_complete'
        )
        self.say(f'Completion of migration {migration_id} requested.')


class ForceEndMigration(base.Operation):
    """Pause a migrating server so that its live migration ends now"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_server(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        self.compute.need('2.201', 'live-migration-force-end')
        uuid = self.server_uuid(parsed_args)
        self.compute.act(f'/servers/{uuid}', 'live-migrate-force-end')
        self.say(f'Server {parsed_args.server} is being paused.')


class ListServerMigrations(base.Listing):
    """List the live migrations of a server that are in progress"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_server(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        self.compute.need('2.23', 'Listing the migrations of a server')
        uuid = self.server_uuid(parsed_args)
        rows = self.compute.get(f'/servers/{uuid}/migrations')['migrations']
        return self.table(parsed_args, rows, _SERVER_COLUMNS)


class ShowServerMigration(base.Operation, show.ShowOne):
    """Show a live migration that is in progress"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_server(parser)
        parser.add_argument(
            'migration',
            metavar='MIGRATION',
            type=base.natural,
            help='id of the migration',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        self.compute.need('2.23', 'Showing a migration')
        uuid = self.server_uuid(parsed_args)
        row = self.compute.get(
            f'/servers/{uuid}/migrations/{parsed_args.migration}'
        )['migration']
        return base.sheet(row, _FIELDS, _KINDS)


class ListMigrations(base.Listing):
    """List migrations, ended ones too, newest first"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--host', help='only those from or to this host', metavar='HOST'
        )
        statuses = parser.add_mutually_exclusive_group()
        statuses.add_argument(
            '--status',
            help='only those with this status, for instance '
            '"running (post-copy)"',
        )
        statuses.add_argument(
            '--in-progress',
            action='store_true',
            help='only those that have not ended',
        )
        parser.add_argument(
            '--server', help='only those of this server, by uuid or name'
        )
        parser.add_argument(
            '--limit',
            type=base.natural,
            metavar='COUNT',
            help='not more than that (needs compute API 2.59)',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        if parsed_args.limit is not None:
            self.compute.need('2.59', 'Limiting the list')
        uuid = None
        if parsed_args.server:
            uuid = self.server_uuid(parsed_args)
        statuses = [parsed_args.status]
        if parsed_args.in_progress:
            statuses = list(UNFINISHED)
        # One question a status, in the order of a migration's life: so one
        # that goes on meanwhile is seen, perhaps twice, and its last status
        # is told.
        rows = {
            row['id']: row
            for status in statuses
            for row in self.compute.pages(
                '/os-migrations',
                'migrations',
                limit=parsed_args.limit,
                host=parsed_args.host,
                status=status,
                instance_uuid=uuid,
            )
        }
        if parsed_args.in_progress:
            newest = sorted(rows, reverse=True)[: parsed_args.limit]
            rows = {number: rows[number] for number in newest}
        columns: tuple[Column, ...] = _COLUMNS
        if self.compute.speaks('2.202'):
            columns += _COLUMNS_2_202
        return self.table(parsed_args, list(rows.values()), columns)


class WatchMigration(_OfMigration):
    """Watch a live migration until it has ended

    On a terminal one line is kept up to date; elsewhere lines are written
    as phases change. Ctrl-C ends watching, never the migration.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '-f',
            '--format',
            dest='formatter',
            choices=('line', 'json'),
            default='line',
            help='json: one object a line for each reading (default: line)',
        )
        parser.add_argument(
            '--interval',
            metavar='SECONDS',
            type=base.seconds,
            default=base.INTERVAL_S,
            help='how often the service is asked (default: %(default)s)',
        )
        base.add_timeout(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        self.compute.need('2.23', 'Watching a migration')
        uuid, migration_id = self.named(parsed_args)
        watching.follow(self, parsed_args, uuid, migration_id)
