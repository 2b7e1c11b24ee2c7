"""livemig-manage: what an operator does to the database and the files."""

from livemig import concurrency

concurrency.setup()

import argparse  # noqa: E402
import datetime  # noqa: E402
import getpass  # noqa: E402
import logging  # noqa: E402
import secrets  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from typing import Any  # noqa: E402

from alembic.util import CommandError  # noqa: E402
from oslo_config import cfg  # noqa: E402

from livemig import context, exception, service  # noqa: E402
from livemig.cmd import common, old_options, upgrade, user_file  # noqa: E402
from livemig.db import api as db_api  # noqa: E402
from livemig.db import migration as db_migration  # noqa: E402
from livemig.objects.service import Service  # noqa: E402

PROG = 'livemig-manage'


# -- db -----------------------------------------------------------------------
def db_sync(conf: cfg.ConfigOpts, database: db_api.Database) -> int:
    common.make_state_path(conf)
    db_migration.upgrade(database, conf.command.revision)
    return db_version(conf, database)


def db_version(conf: cfg.ConfigOpts, database: db_api.Database) -> int:
    have, newest = db_migration.version(database), db_migration.head()
    pending = '' if have == newest else f' (newest: {newest})'
    print(f'{have or "no tables"}{pending}')
    return service.ENDED


def db_downgrade(conf: cfg.ConfigOpts, database: db_api.Database) -> int:
    if not conf.command.yes:
        print(
            f'{PROG}: a downgrade removes columns and tables with their '
            'data; say --yes if that is what you want.',
            file=sys.stderr,
        )
        return service.FAILED
    db_migration.downgrade(database, conf.command.revision)
    return db_version(conf, database)


def db_purge(conf: cfg.ConfigOpts, database: db_api.Database) -> int:
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(
        days=conf.command.before
    )
    dry_run = conf.command.dry_run
    counts = database.purge(before, dry_run=dry_run)
    said = 'would be removed' if dry_run else 'removed'
    for table in sorted(counts):
        print(f'{table}: {counts[table]} {said}')
    print(f'{sum(counts.values())} rows {said} in all')
    return service.ENDED


# -- upgrade ------------------------------------------------------------------
def upgrade_check(conf: cfg.ConfigOpts, database: db_api.Database) -> int:
    findings = upgrade.check(conf, database)
    for finding in findings:
        print(f'{finding.level.name.lower()}: {finding.text}')
    worst = max((one.level for one in findings), default=old_options.Level.OK)
    if worst is old_options.Level.OK:
        print('ok: nothing stands in the way')
    return int(worst)


# -- users --------------------------------------------------------------------
def user_set(conf: cfg.ConfigOpts, database: db_api.Database) -> int:
    command = conf.command
    try:
        password, shown = _password(command)
        user_file.put(
            conf.api.http_basic_user_file,
            command.user,
            password,
            command.project,
            command.role or [],
        )
    except (ValueError, OSError) as error:
        print(f'{PROG}: {error}', file=sys.stderr)
        return service.FAILED
    if shown:
        print(password)
    return service.ENDED


def _password(command: Any) -> tuple[str, bool]:
    """The password, and whether it is to be shown."""
    if command.random:
        return secrets.token_urlsafe(24), True
    if command.password_stdin:
        return sys.stdin.readline().rstrip('\r\n'), False
    first = getpass.getpass('Password: ')
    if getpass.getpass('Again: ') != first:
        raise ValueError('the two passwords differ')
    return first, False


# -- services -----------------------------------------------------------------
def service_list(conf: cfg.ConfigOpts, database: db_api.Database) -> int:
    now = datetime.datetime.now(datetime.UTC)
    rows = [('host', 'binary', 'status', 'state', 'version', 'last seen')]
    for one in Service.list(context.admin_context(database), {}):
        seen = one.last_seen_at
        rows.append(
            (
                one.host,
                one.binary,
                'disabled' if one.disabled else 'enabled',
                'up' if one.is_up(now, conf.service_down_time) else 'down',
                str(one.version),
                seen.isoformat(timespec='seconds') if seen else 'never',
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        print('  '.join(f'{c:<{w}}' for c, w in cells).rstrip())
    return service.ENDED


# -- the command line ---------------------------------------------------------
def _days(text: str) -> int:
    if not text.isdecimal() or int(text) > 36500:
        raise argparse.ArgumentTypeError(f'{text!r} is not 0 to 36500 days')
    return int(text)


def _verb(
    verbs: Any, name: str, does: Callable[..., int], text: str
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = verbs.add_parser(
        name, help=text, description=text
    )
    made.set_defaults(does=does)
    return made


def _add_parsers(nouns: Any) -> None:
    _add_db(_noun(nouns, 'db', 'The database.'))
    _verb(
        _noun(nouns, 'upgrade', 'Before an upgrade.'),
        'check',
        upgrade_check,
        'Look for what stands in the way. Exit code: 0 nothing, 1 '
        'warnings, 2 something that must be done first.',
    )
    _add_user(_noun(nouns, 'user', 'The users of auth_strategy http_basic.'))
    _verb(
        _noun(nouns, 'service', 'The services that have reported.'),
        'list',
        service_list,
        'Show them.',
    )


def _noun(nouns: Any, name: str, text: str) -> Any:
    made = nouns.add_parser(name, help=text, description=text)
    return made.add_subparsers(dest='verb', required=True)


def _add_db(db: Any) -> None:
    # Nova's word for it, and alembic's.
    for name in ('sync', 'upgrade'):
        up = _verb(db, name, db_sync, 'Create or upgrade the tables.')
        up.add_argument('revision', nargs='?', default='head')
    _verb(db, 'version', db_version, 'Show the revision of the tables.')
    down = _verb(
        db, 'downgrade', db_downgrade, 'Take the tables back; loses data.'
    )
    down.add_argument('revision', help='a revision, or base for no tables')
    down.add_argument('--yes', action='store_true', help='I mean it')
    purge = _verb(
        db,
        'purge',
        db_purge,
        'Forget instances that were deleted, and migrations that ended, '
        'long ago.',
    )
    purge.add_argument(
        '--before', type=_days, required=True, metavar='DAYS', help='days ago'
    )
    purge.add_argument(
        '--dry-run', action='store_true', help='only say what would go'
    )


def _add_user(users: Any) -> None:
    user = _verb(
        users,
        'set',
        user_set,
        'Add a user, or set his password, project and roles anew.',
    )
    user.add_argument('user', metavar='NAME')
    user.add_argument('--project', required=True)
    user.add_argument(
        '--role', action='append', help='such as admin; may be repeated'
    )
    how = user.add_mutually_exclusive_group()
    how.add_argument('--password-stdin', action='store_true', help='one line')
    how.add_argument(
        '--random', action='store_true', help='make one and show it once'
    )


def main(argv: Sequence[str] | None = None) -> int:
    return common.run(
        PROG, lambda: _main(sys.argv[1:] if argv is None else argv)
    )


def _main(argv: Sequence[str]) -> int:
    command = cfg.SubCommandOpt(
        'command', title='commands', handler=_add_parsers
    )
    # A wrong option of a service must not keep anybody from mending it.
    conf = common.load(PROG, argv, [command], check=False)
    # What is asked for goes to standard output; nothing else does.
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if conf.debug else logging.WARNING,
        format=f'{PROG}: %(message)s',
    )
    database = common.open_database(conf)
    try:
        return int(conf.command.does(conf, database))
    except (exception.DatabaseUnreachable, CommandError) as error:
        print(f'{PROG}: {error}', file=sys.stderr)
        return service.FAILED
    finally:
        database.dispose()


if __name__ == '__main__':
    sys.exit(main())
