"""Addresses a host hands out, and whether it can receive by post-copy."""

from __future__ import annotations

import re
import socket

import pytest

from livemig import exception
from livemig.virt.libvirt import deadline, host, reach


@pytest.mark.parametrize(
    ('uri', 'scheme', 'address', 'expected'),
    [
        ('', '', None, 'qemu+tcp://alpha/system'),
        ('', 'tls', None, 'qemu+tls://alpha/system'),
        ('', '', '192.0.2.1', 'qemu+tcp://192.0.2.1/system'),
        ('', 'ssh', '2001:db8::1', 'qemu+ssh://[2001:db8::1]/system'),
        ('qemu+tcp://h:1/session', 'tls', 'x', 'qemu+tcp://h:1/session'),
        ('qemu+ssh://u@[::1]/system', '', None, 'qemu+ssh://u@[::1]/system'),
    ],
)
def test_how_others_reach_it(
    uri: str, scheme: str, address: str | None, expected: str
) -> None:
    assert host.migration_uri(uri, scheme, address, 'alpha') == expected


@pytest.mark.parametrize(
    ('uri', 'address'),
    [
        ('', 'a/b'),
        ('', 'a?socket=/x'),
        ('', '-a'),
        ('', 'a b'),
        ('', '::1]/x'),
        ('', '2001:db8::1/64'),
        ('qemu+tcp://h/system', 'a/b'),
        ('qemu:///system', None),
        ('qemu+unix://%20/system', None),
        ('qemu+tcp://h:99999/system', None),
        ('qemu+tcp://h/sys tem', None),
    ],
)
def test_what_nobody_could_reach(uri: str, address: str | None) -> None:
    with pytest.raises(exception.ConfigurationError):
        host.migration_uri(uri, '', address, 'alpha')


@pytest.mark.parametrize(
    ('models', 'root'),
    [
        ('', False),
        ('<secmodel><model>none</model></secmodel>', False),
        # A session daemon: no label.
        ('<secmodel><model>dac</model><doi>0</doi></secmodel>', False),
        (
            '<secmodel><model>apparmor</model></secmodel><secmodel>'
            "<model>dac</model><baselabel type='kvm'>+64055:+108</baselabel>"
            "<baselabel type='qemu'>+64055:+108</baselabel></secmodel>",
            False,
        ),
        (
            '<secmodel><model>dac</model>'
            "<baselabel type='kvm'>+0:+0</baselabel>"
            "<baselabel type='qemu'>+0:+0</baselabel></secmodel>",
            True,
        ),
    ],
)
def test_whose_qemu_is(models: str, root: bool) -> None:
    capabilities = f'<capabilities><host>{models}</host></capabilities>'
    assert host.qemu_runs_as_root(capabilities) is root


@pytest.mark.parametrize(
    ('content', 'allowed'), [('1\n', True), ('0\n', False), (None, False)]
)
def test_userfaultfd(
    tmp_path: object,
    monkeypatch: pytest.MonkeyPatch,
    content: str | None,
    allowed: bool,
) -> None:
    path = f'{tmp_path}/unprivileged_userfaultfd'
    if content is not None:
        with open(path, 'w', encoding='ascii') as file:
            file.write(content)
    monkeypatch.setattr(host, 'USERFAULTFD', path)
    assert host.userfaultfd_for_all() is allowed


# -- reach -------------------------------------------------------------------
@pytest.mark.parametrize(
    ('uri', 'expected'),
    [
        ('qemu+tcp://h/system', ('h', 16509)),
        ('qemu+tls://h/system', ('h', 16514)),
        ('qemu://h/system', ('h', 16514)),
        ('qemu+ssh://u@h/system', ('h', 22)),
        ('qemu+tcp://[::1]:7/session', ('::1', 7)),
    ],
)
def test_where_a_uri_leads(uri: str, expected: tuple[str, int]) -> None:
    assert reach.endpoint(uri) == expected


@pytest.mark.parametrize(
    'uri',
    ['qemu:///system', '', 'qemu+tcp://h:0/x', 'qemu+x://h/', 'a://h:b/'],
)
def test_a_uri_that_leads_nowhere(uri: str) -> None:
    with pytest.raises(reach.NoAddress):
        reach.endpoint(uri)
    assert 'beta' in reach.why_not('beta', uri, 1)


def test_one_that_listens_is_reached() -> None:
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
        assert reach.why_not('beta', f'qemu+tcp://127.0.0.1:{port}/', 5) == ''
    said = reach.why_not('beta', f'qemu+tcp://127.0.0.1:{port}/', 5)
    for part in ('beta', '127.0.0.1', str(port), 'refused'):
        assert part in said


def test_one_that_swallows_all_is_given_up_soon() -> None:
    """A full queue of a listener drops what comes, like a black hole."""
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        server.listen(0)
        port = server.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(('127.0.0.1', port))
            said = reach.why_not('beta', f'qemu+tcp://127.0.0.1:{port}/', 0.3)
        finally:
            for one in waiting:
                one.close()
    assert 'nothing heard within 0.3 s' in said


# -- deadline ----------------------------------------------------------------
def test_a_call_in_time() -> None:
    assert deadline.Call(lambda: 7, 'seven').result(5) == 7


def test_its_error_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        deadline.Call(lambda: 1 // 0, 'none').result(5)


def test_a_call_that_hangs_is_left_behind() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        call = deadline.Call(lambda: theirs.recv(1), 'hangs')
        with pytest.raises(TimeoutError):
            call.result(0.05)
        assert call.alive
        ours.send(b'x')
        assert call.result(5) == b'x'


# -- uptime ------------------------------------------------------------------
def test_uptime_as_clients_read_it() -> None:
    """The form that openstack hypervisor show takes apart."""
    found = re.match(
        r'\s*(.+)\sup\s+(.+),\s+(.+)\susers?,\s+load average:\s(.+)',
        host.uptime(),
    )
    assert found and re.fullmatch(r'[0-9:]+', found[1])


def test_a_host_without_such_a_command(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, 'UPTIME', [f'{tmp_path}/none'])
    assert host.uptime() == ''
