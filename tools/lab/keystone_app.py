"""Prepares a Keystone and serves it; the password comes in by environment.

Stands alone and runs in the virtual environment of lab.keystone:
    OS_KEYSTONE_CONFIG_FILES=FILE OS_BOOTSTRAP_PASSWORD=... \\
        python keystone_app.py PORT URL

What keystone-manage does at the first start is done in children of this
process: importing Keystone takes longer than all of it.
"""

import os
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path

from cheroot import wsgi
from keystone.cmd import cli
from keystone.server.wsgi import initialize_public_application

ADDRESS = '127.0.0.1'
MARK = 'prepared'  # beside the option file: the first start was completed


def manage(config: str, words: Sequence[str]) -> None:
    """keystone-manage WORDS, in a child. Raises SystemExit."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            argv = ['keystone-manage', '--config-file', config, *words]
            cli.main(argv=argv)
            code = 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if status:
        raise SystemExit(f'keystone-manage {words[0]} failed')


def prepare(config: str, url: str) -> None:
    """Database, keys, administrator and roles, unless they are there."""
    mark = Path(config).with_name(MARK)
    if mark.exists():
        return
    name = pwd.getpwuid(os.geteuid()).pw_name
    me = ('--keystone-user', name, '--keystone-group', str(os.getegid()))
    manage(config, ['db_sync'])
    manage(config, ['fernet_setup', *me])
    manage(config, ['credential_setup', *me])
    manage(
        config,
        [
            'bootstrap',
            '--bootstrap-region-id',
            'RegionOne',
            *(
                word
                for kind in ('public', 'internal', 'admin')
                for word in (f'--bootstrap-{kind}-url', url)
            ),
        ],
    )
    mark.touch()


def main() -> None:
    """Serve until a signal ends the process."""
    port, url = sys.argv[1:]
    # Keystone would take our arguments for its own.
    del sys.argv[1:]
    prepare(os.environ['OS_KEYSTONE_CONFIG_FILES'], url)
    application = initialize_public_application()
    server = wsgi.Server((ADDRESS, int(port)), application, numthreads=4)
    server.safe_start()


if __name__ == '__main__':
    main()
