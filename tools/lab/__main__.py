"""Decides what `python -m lab` offers an operator."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from lab import packages, registry
from lab.client import LabError
from lab.environments import PROGRAMS, program
from lab.labs import Lab

EXIT_FAILED = 1

_DESCRIPTION = """\
Bring up real libvirt/QEMU hosts, and the servers livemig works with, on
this one machine: for trying things out, for the demo and for tests. Nothing
of it touches the machine's own libvirt, broker or databases; everything
listens on loopback, runs without root's rights, and is gone after "stop".
"""
_START = """\
Start a lab that stays until it is stopped, and print where to reach it.
The hosts' libvirt takes TCP connections from every user of this machine:
where other people's programs run, use --no-tcp.
"""
_INSTALL = """\
Install the Debian or Ubuntu packages that a lab needs, as root or with
sudo; says first which and why. No service is started. Ends with 3 if
that cannot be done here.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)  # type: ignore[no-any-return]
    except packages.CannotInstall as error:
        print(error, file=sys.stderr)
        return packages.EXIT_CANNOT_INSTALL
    except (LabError, ValueError) as error:
        print(f'lab: {error}', file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130


#: Servers that a lab can have, and what to say of each.
_SERVERS = {
    'broker': 'a private RabbitMQ',
    'postgresql': 'a private PostgreSQL',
    'mariadb': 'a private MariaDB',
    'keystone': 'a private Keystone (the first time from PyPI, 1 min); its '
    'administrator is the cloud "lab" of D/keystone/clouds.yaml',
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='lab', description=_DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar='COMMAND')

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        first = text.partition('.')[0].replace('\n', ' ')
        made = commands.add_parser(name, help=first, description=text)
        made.set_defaults(run=run)
        return made

    _add_start(command('start', _start, _START))
    _add_json(command('list', _list, 'List the labs of this user.'))
    stop = command(
        'stop',
        _stop,
        'Stop labs: ends all their processes, guests included, and removes '
        'all their files.',
    )
    stop.add_argument('names', nargs='*', metavar='NAME', help='see "list"')
    stop.add_argument('--all', action='store_true', help='all of this user')
    install = command('install', _install, _INSTALL)
    install.add_argument(
        'purposes',
        nargs='*',
        metavar='PURPOSE',
        help=f'what for: {", ".join(packages.PACKAGES)} (default: hosts)',
    )
    install.add_argument(
        '--dry-run', action='store_true', help='only say what is missing'
    )
    fetch = command(
        'fetch',
        _fetch,
        'Install programs from PyPI, each in an environment of its own '
        "below the lab's cache, so that nothing has to wait for them later.",
    )
    fetch.add_argument(
        'programs',
        nargs='+',
        choices=sorted(PROGRAMS),
        metavar='PROGRAM',
        help=f'one of: {", ".join(sorted(PROGRAMS))}',
    )
    return parser


def _add_start(start: argparse.ArgumentParser) -> None:
    start.add_argument(
        '--hosts',
        type=int,
        default=2,
        metavar='N',
        help='how many libvirt hosts (default: 2; 0: servers alone)',
    )
    for kind, text in _SERVERS.items():
        start.add_argument(
            f'--{kind}', action='store_true', help=f'add {text}'
        )
    start.add_argument(
        '--name', help='what to call it in "stop" (default: one is drawn)'
    )
    start.add_argument(
        '--dir',
        metavar='D',
        help='directory for all its files; it must not exist yet and is '
        'removed at the end (default: a new one in the temporary directory)',
    )
    start.add_argument(
        '--no-tcp',
        action='store_true',
        help="close the hosts' TCP ports; they migrate over unix sockets",
    )
    start.add_argument(
        '--install',
        action='store_true',
        help='first install what is missing, as the command "install" does',
    )
    _add_json(start)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--json', action='store_true', help='print JSON for programs'
    )


def _start(options: argparse.Namespace) -> int:
    servers = [kind for kind in _SERVERS if getattr(options, kind)]
    if options.install:
        packages.install((['hosts'] if options.hosts else []) + servers)
    with Lab(
        options.hosts, options.name, options.dir, tcp=not options.no_tcp
    ) as lab:
        for kind in servers:
            getattr(lab, kind)()
        lab.detach()
        facts = lab.facts()
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        print('\n'.join(_described(facts)))
    return 0


def _described(facts: dict[str, Any]) -> list[str]:
    lines = [
        f'lab {facts["name"]}: {facts["directory"]}',
        f'  runs as     {facts["user"]}',
        f'  post-copy   {"yes" if facts["post_copy"] else "no"} '
        f'({facts["post_copy_reason"]})',
        f'  shared      {facts["shared_path"]}',
    ]
    for host in facts['hosts']:
        lines += [
            f'  {host["name"]}',
            f'    control   {host["control_uri"]}',
            f'    migration {host["migration_uri"]}',
            f'    instances {host["instances_path"]}',
        ]
    lines += [
        f'  {kind:11} {facts[kind]}' for kind in _SERVERS if kind in facts
    ]
    lines.append(f'Stop it with: tools/lab.sh stop {facts["name"]}')
    return lines


def _list(options: argparse.Namespace) -> int:
    found = []
    for entry in registry.entries():
        state, processes = 'dead', 0
        if entry.alive:
            state = 'running'
            try:
                listed = entry.describe()['processes']
                processes = sum(p['exit_code'] is None for p in listed)
            except (LabError, TimeoutError):
                state = 'no answer'
        found.append(
            {
                'name': entry.name,
                'state': state,
                'processes': processes,
                'directory': str(entry.directory),
            }
        )
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for lab in found:
        print('{name:20} {state:10} {processes:3} {directory}'.format(**lab))
    if not found:
        print('No lab.')
    return 0


def _stop(options: argparse.Namespace) -> int:
    known = {entry.name: entry for entry in registry.entries()}
    names = list(known) if options.all else options.names
    if not names and not options.all:
        raise LabError('say which lab to stop, or --all; see "list"')
    for name in names:
        if name not in known:
            raise LabError(f'there is no lab {name}; see "list"')
    for name in names:
        registry.stop(known[name])
        print(f'lab {name} has ended')
    return 0


def _install(options: argparse.Namespace) -> int:
    purposes = options.purposes or ['hosts']
    if options.dry_run:
        for package in packages.missing(purposes):
            print(f'{package.name:28} {package.reason}')
        return 0
    done = packages.install(purposes)
    if not done:
        print('Nothing is missing.')
    return 0


def _fetch(options: argparse.Namespace) -> int:
    for name in options.programs:
        print(f'{name:28} {program(name)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
