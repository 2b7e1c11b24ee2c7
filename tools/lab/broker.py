"""Decides how the private RabbitMQ is configured."""

import os
import secrets
import socket
from pathlib import Path

from lab.client import LabError
from lab.hosts import ADDRESS, spawn
from lab.servers import READY_S, USER, Server


class Broker(Server):
    """RabbitMQ, with one virtual host and one user, not "guest"."""

    fact = 'broker'
    system_user = 'rabbitmq'
    purpose = 'broker'

    @property
    def url(self) -> str:
        """The transport URL for oslo.messaging."""
        return f'rabbit://{USER}:{self.password}@{ADDRESS}:{self.port}/{USER}'

    def ctl(self, *arguments: str) -> str:
        """rabbitmqctl on this broker; its output. Raises LabError."""
        argv = [self._script('rabbitmqctl'), *arguments]
        log = self.log.with_suffix(f'.{secrets.token_hex(4)}')
        handle = spawn(
            self._keeper,
            'rabbitmqctl',
            argv,
            self._environment(),
            log,
            user=self._user.for_keeper(),
            cwd=self.path,
        )
        code = handle.wait(READY_S)
        text = log.read_text()
        log.unlink()
        if code:
            raise LabError(f'rabbitmqctl: {text}')
        return text

    def _make(self) -> None:
        self._distribution_port: int = self._keeper.ask('port')['port']
        self._mapper_port: int = self._keeper.ask('port')['port']
        self._script('rabbitmq-server')
        for name in ('data', 'log'):
            self._directory(name)
        # default_user replaces "guest": that one is never made.
        settings = {
            'listeners.tcp.1': f'{ADDRESS}:{self.port}',
            'distribution.listener.interface': ADDRESS,
            'default_vhost': USER,
            'default_user': USER,
            'default_pass': self.password,
            'default_permissions.configure': '.*',
            'default_permissions.read': '.*',
            'default_permissions.write': '.*',
            'disk_free_limit.absolute': '50MB',
            'raft.wal_max_size_bytes': str(16 << 20),
        }
        lines = [f'{key} = {value}\n' for key, value in settings.items()]
        self._file('rabbitmq.conf', ''.join(lines))
        self._file('enabled_plugins', '[].\n')
        self._file('.erlang.cookie', secrets.token_hex(16))
        (self.path / '.erlang.cookie').chmod(0o400)

    def _command(self) -> list[str]:
        return [self._script('rabbitmq-server')]

    def _environment(self) -> dict[str, str]:
        # epmd, Erlang's port mapper, is this broker's own as well: without
        # ERL_EPMD_ADDRESS it listens on all addresses, and it would stay.
        # +sbwt none: idle schedulers do not spin.
        return {
            **super()._environment(),
            'RABBITMQ_NODENAME': 'livemig@localhost',
            'RABBITMQ_CONF_ENV_FILE': os.devnull,
            'RABBITMQ_CONFIG_FILE': str(self.path / 'rabbitmq.conf'),
            'RABBITMQ_ENABLED_PLUGINS_FILE': str(
                self.path / 'enabled_plugins'
            ),
            'RABBITMQ_MNESIA_BASE': str(self.path / 'data'),
            'RABBITMQ_LOG_BASE': str(self.path / 'log'),
            'RABBITMQ_LOGS': '-',
            'RABBITMQ_PID_FILE': str(self.path / 'pid'),
            'RABBITMQ_GENERATED_CONFIG_DIR': str(self.path / 'data/config'),
            'RABBITMQ_DIST_PORT': str(self._distribution_port),
            'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': (
                '-kernel inet_dist_use_interface {127,0,0,1} '
                '+sbwt none +sbwtdcpu none +sbwtdio none'
            ),
            'ERL_EPMD_PORT': str(self._mapper_port),
            'ERL_EPMD_ADDRESS': ADDRESS,
            'ERL_CRASH_DUMP_SECONDS': '0',
        }

    def _main_pid(self) -> int:
        # The shell script that was started would not wait for Erlang.
        try:
            return int((self.path / 'pid').read_text())
        except (OSError, ValueError) as error:
            raise LabError(f'{self.fact}: {error}') from None

    def _script(self, name: str) -> str:
        # Not /usr/sbin's wrapper: it changes the user and the environment.
        path = Path('/usr/lib/rabbitmq/bin', name)
        if not path.exists():
            raise LabError(self.not_installed())
        return str(path)

    def _ready(self) -> bool:
        """Whether our user may open our virtual host (AMQP 0-9-1)."""
        plain = b'\0' + USER.encode() + b'\0' + self.password.encode()
        start_ok = (
            b'\0\x0a\0\x0b'
            + bytes(4)
            + b'\x05PLAIN'
            + len(plain).to_bytes(4)
            + plain
            + b'\x05en_US'
        )
        with socket.socket() as connection:
            connection.settimeout(5)
            try:
                connection.connect((ADDRESS, self.port))
                connection.sendall(b'AMQP\0\0\x09\x01')
                if _method(connection) != (10, 10):  # connection.start
                    return False
                connection.sendall(_frame(start_ok))
                if _method(connection) != (10, 30):  # connection.tune
                    return False
                # tune-ok: 1 channel, frames of 128 KiB, no heartbeat
                body = b'\0\x0a\0\x1f' + b'\0\x01\0\x02\0\0\0\0'
                connection.sendall(_frame(body))
                host = USER.encode()
                body = b'\0\x0a\0\x28' + bytes([len(host)]) + host + b'\0\0'
                connection.sendall(_frame(body))
                ready = _method(connection) == (10, 41)  # open-ok
                connection.sendall(_frame(b'\0\x0a\0\x32' + bytes(7)))
                _method(connection)  # close-ok
            except OSError:
                return False
            return ready


def _frame(body: bytes) -> bytes:
    """An AMQP method frame on channel 0."""
    return b'\x01\0\0' + len(body).to_bytes(4) + body + b'\xce'


def _method(connection: socket.socket) -> tuple[int, int]:
    """Class and method of the next frame; OSError at the end."""
    header = _exactly(connection, 7)
    body = _exactly(connection, int.from_bytes(header[3:7]) + 1)
    return int.from_bytes(body[0:2]), int.from_bytes(body[2:4])


def _exactly(connection: socket.socket, count: int) -> bytes:
    received = b''
    while len(received) < count:
        piece = connection.recv(count - len(received))
        if not piece:
            raise ConnectionError('the broker closed the connection')
        received += piece
    return received
