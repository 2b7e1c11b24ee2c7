"""Follows a guest's consoles and times the arrival of each line."""

import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from lab.guests.lines import Line, Lines

POLL_S = 0.002


class _Follower:
    """Reads what is new in a file, which may appear, shrink or be replaced."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd: int | None = None
        self._inode = (0, 0)
        self._offset = 0

    def news(self) -> Iterator[bytes | None]:
        """Yield new bytes; None where the file begins anew."""
        try:
            found = os.stat(self.path)
        except OSError:
            return
        if self._fd is not None and (
            (found.st_dev, found.st_ino) != self._inode
            or found.st_size < self._offset
        ):
            self.close()
            yield None
        if self._fd is None:
            try:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return
            opened = os.fstat(self._fd)
            self._inode = (opened.st_dev, opened.st_ino)
            self._offset = 0
        while found.st_size > self._offset:
            data = os.pread(self._fd, 1 << 20, self._offset)
            if not data:
                return
            self._offset += len(data)
            yield data

    def size(self) -> int:
        """Bytes read so far; 0 while there is no file."""
        return self._offset if self._fd is not None else 0

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class ConsoleWatcher:
    """A thread that follows the consoles of one guest.

    ``count`` tells the counter of a line that comes at regular intervals and
    None for any other line. All times are ``time.monotonic()`` seconds.
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        lines: Lines,
        count: Callable[[str], int | None],
        poll_s: float = POLL_S,
    ) -> None:
        self._followers = [_Follower(str(pathlib.Path(p))) for p in paths]
        self._lines = lines
        self._count = count
        self._poll_s = poll_s
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._seen = 0
        self._arrivals: list[tuple[int, float]] = []
        self._thread = threading.Thread(
            target=self._run, name='console-watcher', daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop following. What was seen stays readable."""
        self._stop.set()
        self._thread.join()
        for follower in self._followers:
            follower.close()

    def _run(self) -> None:
        while not self._stop.wait(self._poll_s):
            self._poll()

    def _poll(self) -> None:
        for follower in self._followers:
            for data in follower.news():
                at_s = time.monotonic()
                with self._changed:
                    if data is None:
                        self._lines.end(follower.path, at_s)
                    else:
                        self._lines.feed(follower.path, data, at_s)
                    self._note_arrivals()

    def _note_arrivals(self) -> None:
        fresh = self._lines.lines[self._seen :]
        if not fresh:
            return
        self._seen += len(fresh)
        for line in fresh:
            counter = self._count(line.text)
            if counter is not None:
                self._arrivals.append((counter, line.at_s))
        self._changed.notify_all()

    @property
    def lines(self) -> list[Line]:
        """All valid lines up to now."""
        with self._changed:
            return list(self._lines.lines)

    @property
    def arrivals(self) -> list[tuple[int, float]]:
        """Counter and time of arrival of each counting line."""
        with self._changed:
            return list(self._arrivals)

    @property
    def counter(self) -> int:
        """The counter of the last counting line; 0 before the first."""
        with self._changed:
            return self._arrivals[-1][0] if self._arrivals else 0

    def wait_line(
        self, wanted: Callable[[str], bool], timeout_s: float
    ) -> Line:
        """Wait for a line, which may have come already.

        :raises TimeoutError: naming the last lines seen
        """
        checked = 0

        def found() -> Line | None:
            nonlocal checked
            for line in self._lines.lines[checked:]:
                checked += 1
                if wanted(line.text):
                    return line
            return None

        with self._changed:
            line = self._changed.wait_for(found, timeout_s)
            if line is None:
                raise TimeoutError(self._complaint('the line', timeout_s))
            return line

    def wait_counter(self, n: int, timeout_s: float = 30.0) -> int:
        """Wait until the counter is at least ``n`` and return it.

        :raises TimeoutError: naming the last lines seen
        """
        with self._changed:
            reached = self._changed.wait_for(
                lambda: self._arrivals and self._arrivals[-1][0] >= n,
                timeout_s,
            )
            if not reached:
                raise TimeoutError(self._complaint(f'counter {n}', timeout_s))
            return self._arrivals[-1][0]

    def alive_within(self, timeout_s: float) -> bool:
        """Say whether a counting line arrives from now on, in that time."""
        with self._changed:
            before = len(self._arrivals)
            return self._changed.wait_for(
                lambda: len(self._arrivals) > before, timeout_s
            )

    def largest_gap_ms(self, since_s: float = 0.0) -> float:
        """The longest time between two counting lines, the last of which
        arrived after ``since_s``; a silence that still lasts counts too."""
        now_s = time.monotonic()
        with self._changed:
            times = [at_s for _, at_s in self._arrivals]
        if times and not self._stop.is_set():
            times.append(now_s)
        gaps = [
            (b - a) * 1000
            for a, b in zip(times, times[1:], strict=False)
            if b > since_s
        ]
        return max(gaps, default=0.0)

    def _complaint(self, what: str, timeout_s: float) -> str:
        last = [line.text for line in self._lines.lines[-3:]]
        sizes = {
            follower.path: follower.size() for follower in self._followers
        }
        return (
            f'{what} did not come in {timeout_s} s;'
            f' bytes read {sizes}, last lines {last}'
        )
