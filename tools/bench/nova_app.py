"""Serves Nova's compute API, with the WSGI server that livemig uses too.

Stands alone and runs in the virtual environment of bench.alternative:
    OS_NOVA_CONFIG_DIR=DIRECTORY python nova_app.py PORT
"""

import sys

from cheroot import wsgi

ADDRESS = '127.0.0.1'


def main() -> None:
    """Serve until a signal ends the process."""
    port = int(sys.argv.pop())  # Nova would take it for its own
    from nova.wsgi.osapi_compute import application

    wsgi.Server((ADDRESS, port), application, numthreads=10).safe_start()


if __name__ == '__main__':
    main()
