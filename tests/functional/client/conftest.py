"""The stand-in on loopback, and the command run against it."""

import contextlib
import dataclasses
import io
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cheroot import wsgi

from livemig.client import shell
from tests import clock as clocks
from tests.functional.client import standin as stand_in


class Clock(clocks.VirtualClock):
    """Virtual time, for one who sleeps."""

    def sleep(self, seconds: float) -> None:
        self.wait(threading.Event(), seconds)


@dataclasses.dataclass
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def json_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Outcome]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """The root logger is afterwards as before."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.fixture
def standin() -> stand_in.StandIn:
    return stand_in.StandIn()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope='session')
def web() -> Iterator[wsgi.Server]:
    """One server for all tests: cheroot takes half a second to stop."""
    server = wsgi.Server(('127.0.0.1', 0), None, numthreads=2)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    server.stop()
    thread.join()


@pytest.fixture
def address(standin: stand_in.StandIn, web: wsgi.Server) -> str:
    """http://127.0.0.1:PORT of the stand-in."""
    web.wsgi_app = standin
    return f'http://127.0.0.1:{web.bind_addr[1]}'


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, clock: Clock) -> Run:
    """Run the command, knowing nothing of any service."""
    for name in os.environ:
        if name.startswith('OS_'):
            monkeypatch.delenv(name)
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    monkeypatch.setenv('OS_CLIENT_CONFIG_FILE', str(tmp_path / 'no.yaml'))
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        with quietly():
            code = shell.Shell(
                stdin=io.StringIO(), stdout=out, stderr=err, clock=clock
            ).run([*words])
        return Outcome(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def livemig(bare: Run, address: str) -> Run:
    """Run the command against the stand-in."""

    def run(*words: str) -> Outcome:
        return bare(
            *words,
            '--os-auth-type=none',
            f'--os-endpoint={address}/v2.1',
        )

    return run
