"""Whole lines from one or several consoles, even if a switchover cut one."""

import dataclasses
import re
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Line:
    """A valid line and when its end arrived, in the feeder's clock (s)."""

    text: str
    at_s: float


class Lines:
    """Collects the valid lines of several consoles of one guest.

    A guest may be stopped in the middle of a line, which then begins in the
    source's file and ends in the destination's. Pieces that are no valid line
    by themselves are therefore tried in pairs. Zero bytes are dropped: they
    fill the hole where a file was truncated under its writer.
    """

    def __init__(
        self, valid: Callable[[str], bool], start: re.Pattern[str]
    ) -> None:
        """Make a collector.

        :param valid: says whether a text is a complete, undamaged line
        :param start: matches where a line begins, also inside a broken one
        """
        self._valid = valid
        self._start = start
        self._tails: dict[str, str] = {}
        self.lines: list[Line] = []
        self.scraps: list[str] = []

    def feed(self, path: str, data: bytes, at_s: float) -> None:
        """Take the next bytes of a console, which arrived at ``at_s``."""
        text = data.replace(b'\0', b'').decode('ascii', 'replace')
        text = self._tails.pop(path, '') + text.replace('\r', '')
        *whole, tail = text.split('\n')
        if tail:
            self._tails[path] = tail
        for piece in whole:
            self._take(path, piece, at_s)

    def end(self, path: str, at_s: float) -> None:
        """A console ends here or begins anew: keep its unfinished line."""
        tail = self._tails.pop(path, '')
        if tail:
            self._take(path, tail, at_s)

    def _take(self, path: str, piece: str, at_s: float) -> None:
        if self._valid(piece):
            self.lines.append(Line(piece, at_s))
            return
        for part in self._split(piece):
            if self._valid(part):
                self.lines.append(Line(part, at_s))
            elif part.strip() and not self._join(path, part, at_s):
                self.scraps.append(part)

    def _split(self, piece: str) -> list[str]:
        starts = [found.start() for found in self._start.finditer(piece)]
        cuts = sorted({0, *starts, len(piece)})
        return [piece[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]

    def _join(self, path: str, part: str, at_s: float) -> bool:
        for index, scrap in enumerate(self.scraps):
            for text in (scrap + part, part + scrap):
                if self._valid(text):
                    del self.scraps[index]
                    self.lines.append(Line(text, at_s))
                    return True
        for other, tail in self._tails.items():
            if other != path and self._valid(tail + part):
                del self._tails[other]
                self.lines.append(Line(tail + part, at_s))
                return True
        return False
