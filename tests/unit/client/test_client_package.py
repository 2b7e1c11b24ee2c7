"""What holds for the whole command line: commands, imports, documents."""

import importlib
import importlib.metadata
import pathlib
import pkgutil
import subprocess
import sys

from livemig import client
from livemig.client import base, errors, shell

OPENSTACK = 'openstack.livemig.v2'
DOCUMENT = (
    pathlib.Path(__file__).parents[3]
    / 'doc'
    / 'source'
    / 'cli'
    / 'livemig.rst'
)


def registered(
    group: str = shell.NAMESPACE,
) -> dict[str, type[base.Operation]]:
    return {
        entry.name.replace('_', ' '): entry.load()
        for entry in importlib.metadata.entry_points(group=group)
    }


def written() -> set[type[base.Operation]]:
    """Every command class of the package."""
    found = set()
    for module in pkgutil.iter_modules(client.__path__):
        contents = vars(
            importlib.import_module(f'livemig.client.{module.name}')
        )
        found |= {
            value
            for value in contents.values()
            if isinstance(value, type)
            and issubclass(value, base.Operation)
            and value.__module__.endswith(f'.{module.name}')
            and 'take_action' in vars(value)
        }
    return found


def test_every_command_is_registered_once() -> None:
    commands = registered()
    assert set(commands.values()) == written()
    assert len(commands) == len(written())


def test_every_command_says_what_it_does() -> None:
    for name, command in registered().items():
        assert command.__doc__, name
        # cliff shows the first line in its list of commands.
        assert not command.__doc__.split('\n')[0].endswith('.'), name


def test_every_command_and_exit_code_is_documented() -> None:
    text = DOCUMENT.read_text()
    for name in registered():
        assert f'\n{name}\n~' in text, name
    for code, meaning in errors.EXIT_CODES:
        assert f'   * - {code}\n     - {meaning}' in text, code


def test_every_command_for_openstack_is_one_of_livemig() -> None:
    commands = registered(OPENSTACK)
    assert commands
    ours = tuple(written())
    text = DOCUMENT.with_name('openstackclient.rst').read_text()
    for name, command in commands.items():
        assert issubclass(command, ours), name
        assert command.__doc__, name
        assert f'\n{name}\n{"=" * len(name)}\n' in text, name


def test_exit_codes_are_those_of_the_errors() -> None:
    listed = {code for code, _ in errors.EXIT_CODES}
    kinds = errors.ClientError.__subclasses__()
    assert {kind.exit_code for kind in kinds} == listed - {0, 1}
    assert errors.ClientError.exit_code == 1


def test_nothing_of_the_service_is_imported() -> None:
    """So that the command starts fast, and runs where only it is wanted."""
    modules = [
        f'livemig.client.{module.name}'
        for module in pkgutil.iter_modules(client.__path__)
    ]
    told = subprocess.run(
        [
            sys.executable,
            '-c',
            f'import {", ".join(modules)}, sys; print(*sys.modules)',
        ],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    ).stdout.split()
    ours = {name for name in told if name.split('.')[0] == 'livemig'}
    assert ours == {'livemig', 'livemig.client', *modules}
    # Found slow: only what talks to a service needs these.
    assert not {'openstack', 'keystoneauth1', 'requests'} & set(told)
