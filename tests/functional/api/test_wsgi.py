"""The application that gunicorn and uWSGI are pointed at."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import bcrypt
import pytest

ROOT = pathlib.Path(__file__).parents[3]

#: In a process of its own: it sets up concurrency and the log.
PROGRAM = """
import threading
from livemig.api import wsgi
assert wsgi._built is None
import webob
answers = []
def ask():
    request = webob.Request.blank('/v2.1/servers')
    request.authorization = ('Basic', 'YW5uYTpzZWNyZXQ=')
    answers.append(request.get_response(wsgi.application))
threads = [threading.Thread(target=ask) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(sorted((a.status_int, a.text) for a in answers)[-1])
"""


def run(tmp_path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-c', PROGRAM],
        env={**os.environ, 'PYTHONPATH': str(ROOT), **environ},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture
def option_file(tmp_path):
    hashed = bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()
    users = tmp_path / 'htpasswd'
    users.write_text(f'anna:{hashed}:p1:admin\n')
    users.chmod(0o600)
    made = tmp_path / 'livemig.conf'
    made.write_text(
        '[DEFAULT]\n'
        f'state_path = {tmp_path}\n'
        'transport_url = inproc://wsgi/\n'
        '[api]\n'
        f'http_basic_user_file = {tmp_path}/htpasswd\n'
    )
    return made


def test_it_serves(tmp_path, option_file) -> None:
    from livemig.db import api as db_api
    from livemig.db import migration

    database = db_api.Database(f'sqlite:///{tmp_path}/livemig.sqlite')
    migration.upgrade(database)
    database.dispose()
    ended = run(tmp_path, LIVEMIG_CONF_FILES=str(option_file))
    assert ended.stdout.strip() == """(200, '{"servers":[]}')""", ended.stderr


def test_a_missing_file_is_said(tmp_path) -> None:
    ended = run(tmp_path, LIVEMIG_CONF_FILES=str(tmp_path / 'none.conf'))
    assert 'none.conf' in ended.stderr
