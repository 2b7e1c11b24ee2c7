"""libvirt's error codes -> livemig's errors: one table, one function."""

from __future__ import annotations

from collections.abc import Mapping

import libvirt

from livemig import exception

#: Codes that mean the same wherever they come from. Everything else is a
#: HypervisorError with libvirt's own text.
BY_CODE: Mapping[int, type[exception.HypervisorError]] = {
    libvirt.VIR_ERR_NO_DOMAIN: exception.GuestNotFound,
    libvirt.VIR_ERR_NO_CONNECT: exception.HypervisorUnavailable,
    libvirt.VIR_ERR_INVALID_CONN: exception.HypervisorUnavailable,
    libvirt.VIR_ERR_AUTH_FAILED: exception.HypervisorUnavailable,
    # "cannot acquire state change lock": another call holds the guest
    # for more than 30 s; it may go a moment later.
    libvirt.VIR_ERR_OPERATION_TIMEOUT: exception.HypervisorUnavailable,
}

_NO_CONNECTION = frozenset(
    {
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_AUTH_FAILED,
    }
)

#: Where libvirt's client reports a connection that broke. Errors that the
#: *daemon* sends (also about its own connection to the destination) carry
#: the domain of the daemon's part, QEMU mostly.
_TRANSPORT = frozenset({libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE})
_BROKEN = frozenset(
    {
        libvirt.VIR_ERR_SYSTEM_ERROR,
        libvirt.VIR_ERR_INTERNAL_ERROR,
        libvirt.VIR_ERR_RPC,
    }
)


def code(error: libvirt.libvirtError) -> int:
    """The VIR_ERR_ number; 0 if the error carries none."""
    return int(error.get_error_code() or 0)


def text(error: libvirt.libvirtError) -> str:
    """libvirt's words, in one line."""
    said = error.get_error_message() or str(error)
    return ' '.join(said.split())


def connection_lost(error: libvirt.libvirtError) -> bool:
    """Does this error say that the way to our own daemon is gone?"""
    if code(error) in _NO_CONNECTION:
        return True
    return error.get_error_domain() in _TRANSPORT and code(error) in _BROKEN


def translate(
    error: libvirt.libvirtError, host: str, guest_id: str = ''
) -> exception.HypervisorError:
    """The livemig error for what libvirt raised."""
    if connection_lost(error):
        return exception.HypervisorUnavailable(host=host, reason=text(error))
    kind = BY_CODE.get(code(error), exception.HypervisorError)
    return kind(host=host, guest_id=guest_id, reason=text(error))


def translate_passing(
    error: libvirt.libvirtError, host: str, guest_id: str
) -> exception.HypervisorError:
    """The same for a plain order to a guest that is there.

    What goes wrong there goes wrong in QEMU's monitor, mostly because that
    QEMU has just died: what is has to be looked at again.
    """
    found = translate(error, host, guest_id)
    if type(found) is exception.HypervisorError and code(error) in (
        libvirt.VIR_ERR_INTERNAL_ERROR,
        libvirt.VIR_ERR_OPERATION_FAILED,
    ):
        return exception.HypervisorUnavailable(host=host, reason=text(error))
    return found


def _not_active(said: str) -> bool:
    return 'no job is active' in said or 'is not running' in said


def translate_abort(
    error: libvirt.libvirtError, host: str, guest_id: str
) -> exception.HypervisorError:
    """The same for ``abortJob``.

    55 "no job is active" comes at once after the start and after the end;
    55 "cannot abort migration in post-copy mode" (libvirt 9.0).
    """
    said = text(error)
    gone = code(error) == libvirt.VIR_ERR_NO_DOMAIN
    refused = code(error) == libvirt.VIR_ERR_OPERATION_INVALID
    if gone or (refused and _not_active(said)):
        return exception.NoActiveJob(host=host, guest_id=guest_id)
    if refused:
        return exception.AbortRefused(
            host=host, guest_id=guest_id, reason=said
        )
    return translate(error, host, guest_id)


def translate_post_copy(
    error: libvirt.libvirtError, host: str, guest_id: str, under_way: bool
) -> exception.HypervisorError:
    """The same for ``migrateStartPostCopy``.

    Too early is 55 or, while the destination is prepared, an internal
    error with QEMU's text about migrate_set_capability (libvirt 9.0).

    :param under_way: a job, or our own call, is active.
    """
    said = text(error)
    if code(error) == libvirt.VIR_ERR_NO_DOMAIN or not under_way:
        return exception.NoActiveJob(host=host, guest_id=guest_id)
    if connection_lost(error):
        return translate(error, host, guest_id)
    return exception.PostCopyRefused(host=host, guest_id=guest_id, reason=said)
