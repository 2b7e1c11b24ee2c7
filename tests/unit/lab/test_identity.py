"""As whom the lab's processes can run."""

import os
from pathlib import Path

from lab import identity


def _sudo(directory: Path, condition: str) -> str:
    """A sudo that works on a condition over $6, the session it runs in."""
    program = directory / 'sudo'
    program.write_text(
        '#!/bin/sh\n'
        'set -- $(cat /proc/$$/stat) "$@"\n'
        f'{condition} || exit 1\n'
        'while [ "$1" != -- ]; do shift; done\n'
        'shift\n'
        'exec "$@"\n'
    )
    program.chmod(0o755)
    return str(program)


def test_a_password_typed_at_this_terminal_is_none_of_the_keepers(
    tmp_path: Path,
) -> None:
    sudo = _sudo(tmp_path, f'[ "$6" = {os.getsid(0)} ]')

    assert identity._probe((sudo, '--')) is None


def test_a_sudo_that_needs_no_password_is_found(tmp_path: Path) -> None:
    sudo = _sudo(tmp_path, f'[ "$6" != {os.getsid(0)} ]')

    assert identity._probe((sudo, '--')) in (True, False)
