"""Directories and files of guests: where they are, whose, how they go.

Nothing here follows a name that was not checked to be a guest's uuid.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import grp
import json
import os
import pwd
import re
import shutil
import stat
import struct
import time
import uuid
from collections.abc import Iterator
from typing import Any

_UUID = re.compile(
    r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
)

_PROBE = re.compile(r'\.livemig-probe-[0-9a-f]{32}')

#: What lives for seconds, unless its maker is killed in them; after a day
#: it is nobody's any more, whatever the clocks of hosts that share it say.
_PASSING = re.compile(
    r'\.livemig-(?:(?:probe|direct)-[0-9a-f]{32}|migration-.+\.json\.part)'
)
STALE_S = 24 * 3600.0

#: The bytes of an image that QEMU locks: 100-163 for what it does with the
#: image, 200-263 for what it lets others do (QEMU, block/file-posix.c).
_QEMU_LOCKS = (100, 264)

#: struct flock: type, whence, start, length, pid.
_FLOCK = struct.Struct('hhqqi4x')


def is_guest_id(text: str) -> bool:
    """A uuid in the form libvirt writes it; the only thing that may become
    part of a path."""
    return _UUID.fullmatch(text) is not None


@dataclasses.dataclass(frozen=True)
class Owner:
    """Who owns what is made for guests; None: whoever makes it."""

    uid: int | None = None
    gid: int | None = None

    def give(self, path: str) -> None:
        if self.uid is not None or self.gid is not None:
            os.chown(
                path,
                -1 if self.uid is None else self.uid,
                -1 if self.gid is None else self.gid,
                follow_symlinks=False,
            )


def owner(text: str) -> Owner:
    """Read ``user``, ``user:group``, ``:group`` or numbers; '': nobody.

    A user without a group brings its own group along.

    :raises ValueError: no such user or group.
    """
    user, _, group = text.strip().partition(':')
    uid = gid = None
    try:
        if user.isdigit():
            uid = int(user)
        elif user:
            entry = pwd.getpwnam(user)
            uid, gid = entry.pw_uid, entry.pw_gid
        if group.isdigit():
            gid = int(group)
        elif group:
            gid = grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ValueError(str(error.args[0])) from None
    return Owner(uid, gid)


class Place:
    """``instances_path`` of this host."""

    def __init__(self, instances_path: str, owner_: Owner, host: str) -> None:
        self.path = os.path.abspath(instances_path)
        self.owner = owner_
        #: Hosts that share the directory tell their notes apart by it.
        self.host = host

    def directory(self, guest_id: str) -> str:
        """The guest's directory.

        :raises ValueError: that is no uuid.
        """
        if not is_guest_id(guest_id):
            raise ValueError(f'{guest_id!r} is not the uuid of a guest')
        return f'{self.path}/{guest_id}'

    def make_directory(self, guest_id: str) -> None:
        """Make the guest's directory; it may be there."""
        os.makedirs(self.path, mode=0o755, exist_ok=True)
        path = self.directory(guest_id)
        try:
            os.mkdir(path, 0o711)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise
            return
        self.owner.give(path)

    def make_file(self, path: str) -> None:
        """Make an empty file, or leave the one that is there."""
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        except FileExistsError:
            return
        os.close(fd)
        self.owner.give(path)

    def remove_directory(self, guest_id: str) -> None:
        """Remove the guest's directory with all in it; it may be gone.

        :raises InUse: a QEMU has a disk in it open.
        :raises OSError:
        """
        path = self.directory(guest_id)
        if not os.path.lexists(path):
            return
        for name in images_in(path):
            if in_use(name):
                raise InUse(name)
        shutil.rmtree(path)
        sync_directory(self.path)

    def free_bytes(self) -> int:
        os.makedirs(self.path, mode=0o755, exist_ok=True)
        figures = os.statvfs(self.path)
        return figures.f_bavail * figures.f_frsize

    def total_bytes(self) -> int:
        os.makedirs(self.path, mode=0o755, exist_ok=True)
        figures = os.statvfs(self.path)
        return figures.f_blocks * figures.f_frsize

    def direct_io(self) -> bool:
        """Can files here be opened past the page cache (O_DIRECT)?

        Not on tmpfs of older kernels; QEMU then refuses ``cache=none``.
        """
        os.makedirs(self.path, mode=0o755, exist_ok=True)
        name = f'{self.path}/.livemig-direct-{uuid.uuid4().hex}'
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_DIRECT
        try:
            os.close(os.open(name, flags, 0o600))
        except OSError as error:
            if error.errno == errno.EINVAL:
                return False
            raise
        finally:
            remove(name)
        return True

    # -- the probe: do two hosts see the same directory? -------------------
    def make_probe(self) -> str:
        os.makedirs(self.path, mode=0o755, exist_ok=True)
        self._remove_stale()
        name = f'.livemig-probe-{uuid.uuid4().hex}'
        os.close(
            os.open(
                f'{self.path}/{name}',
                os.O_WRONLY | os.O_CREAT | os.O_EXCL,
                0o644,
            )
        )
        sync_directory(self.path)
        return name

    def sees_probe(self, probe: str) -> bool:
        return _PROBE.fullmatch(probe) is not None and os.path.exists(
            f'{self.path}/{probe}'
        )

    def drop_probe(self, probe: str) -> None:
        if _PROBE.fullmatch(probe) is not None:
            remove(f'{self.path}/{probe}')

    def _remove_stale(self) -> None:
        """What a manager that was killed left of its probes."""
        before_s = time.time() - STALE_S
        with os.scandir(self.path) as entries:
            for entry in entries:
                if _PASSING.fullmatch(entry.name) is None:
                    continue
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < before_s:
                        remove(entry.path)


class InUse(Exception):
    """A QEMU has this image open."""

    def __init__(self, path: str) -> None:
        super().__init__(f'{path} is still in use by a QEMU')


def images_in(directory: str) -> Iterator[str]:
    """Plain files right in a directory."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                yield entry.path


def in_use(path: str) -> bool:
    """Does a process (of any machine, if the file system carries locks)
    hold one of QEMU's locks on this image?

    Only asks for the first conflicting lock; takes none.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        first, end = _QEMU_LOCKS
        ask = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, first, end - first, 0)
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, ask)
    except OSError as error:
        # A file system without locks: QEMU takes none there either.
        if error.errno in (errno.EINVAL, errno.ENOLCK, errno.ENOTSUP):
            return False
        raise
    finally:
        os.close(fd)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def remove(path: str) -> None:
    """Remove a file; it may be gone."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return


def sync_directory(path: str) -> None:
    """Have the names in a directory written to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_json(path: str, value: Any) -> None:
    """Write a small file so that it is there whole or not at all, and
    stays after a power cut."""
    directory, name = os.path.split(path)
    part = f'{directory}/{name}.part'
    with open(part, 'w', encoding='utf-8') as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_directory(directory)
