"""What libvirt 9.0 was seen to raise, and what becomes of it."""

from __future__ import annotations

import libvirt
import pytest

from livemig import exception
from livemig.virt.libvirt import errors
from tests.unit.virt.libvirt.values import GUEST

QEMU, RPC = libvirt.VIR_FROM_QEMU, libvirt.VIR_FROM_RPC


def raised(
    code: int, message: str = 'what it said', domain: int = QEMU
) -> libvirt.libvirtError:
    error = libvirt.libvirtError('call failed')
    error.err = (code, domain, message, 2, '', '', '', 0, 0)
    return error


@pytest.mark.parametrize(
    ('error', 'kind', 'lost'),
    [
        (raised(42), exception.GuestNotFound, False),
        (raised(1), exception.HypervisorError, False),
        (raised(9), exception.HypervisorError, False),
        (raised(68), exception.HypervisorUnavailable, False),
        (raised(5), exception.HypervisorUnavailable, True),
        (
            raised(1, 'internal error: client socket is closed', RPC),
            exception.HypervisorUnavailable,
            True,
        ),
        (
            raised(38, 'End of file while reading data', RPC),
            exception.HypervisorUnavailable,
            True,
        ),
        # The daemon's own trouble with something else.
        (raised(38, 'unable to stat'), exception.HypervisorError, False),
    ],
)
def test_in_general(
    error: libvirt.libvirtError,
    kind: type[exception.HypervisorError],
    lost: bool,
) -> None:
    found = errors.translate(error, 'alpha', GUEST)
    assert type(found) is kind
    assert 'alpha' in found.message
    assert errors.connection_lost(error) is lost


@pytest.mark.parametrize(
    ('error', 'kind'),
    [
        (
            raised(55, 'no job is active on the domain'),
            exception.NoActiveJob,
        ),
        (raised(55, 'domain is not running'), exception.NoActiveJob),
        (raised(42), exception.NoActiveJob),
        (
            raised(55, 'cannot abort migration in post-copy mode'),
            exception.AbortRefused,
        ),
        (raised(68), exception.HypervisorUnavailable),
        (raised(1, 'End of file from qemu'), exception.HypervisorError),
    ],
)
def test_of_an_abort(
    error: libvirt.libvirtError, kind: type[exception.HypervisorError]
) -> None:
    assert type(errors.translate_abort(error, 'alpha', GUEST)) is kind


@pytest.mark.parametrize(
    ('error', 'under_way', 'kind'),
    [
        (
            raised(55, 'switching to post-copy requires migration to be '
                   'started with VIR_MIGRATE_POSTCOPY flag'),
            True,
            exception.PostCopyRefused,
        ),
        (
            raised(1, "unable to execute QEMU command 'migrate-start-"
                   "postcopy': Enable postcopy with migrate_set_capability "
                   'before the start of migration'),
            True,
            exception.PostCopyRefused,
        ),
        (
            raised(55, 'post-copy can only be started while outgoing '
                   'migration is in progress'),
            True,
            exception.PostCopyRefused,
        ),
        (
            raised(55, 'post-copy can only be started while outgoing '
                   'migration is in progress'),
            False,
            exception.NoActiveJob,
        ),
        (raised(42), True, exception.NoActiveJob),
        (
            raised(38, 'End of file', RPC),
            True,
            exception.HypervisorUnavailable,
        ),
    ],
)  # fmt: skip
def test_of_a_switch_to_post_copy(
    error: libvirt.libvirtError,
    under_way: bool,
    kind: type[exception.HypervisorError],
) -> None:
    found = errors.translate_post_copy(error, 'alpha', GUEST, under_way)
    assert type(found) is kind


@pytest.mark.parametrize(
    ('code', 'kind'),
    [
        (1, exception.HypervisorUnavailable),
        (9, exception.HypervisorUnavailable),
        (42, exception.GuestNotFound),
        (55, exception.HypervisorError),
    ],
)
def test_of_an_order_to_a_guest(
    code: int, kind: type[exception.HypervisorError]
) -> None:
    found = errors.translate_passing(raised(code), 'alpha', GUEST)
    assert type(found) is kind


def test_text_is_one_line() -> None:
    assert errors.text(raised(9, 'a\n  b')) == 'a b'
    assert errors.code(libvirt.libvirtError('bare')) == 0
