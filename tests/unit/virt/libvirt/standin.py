"""A stand-in for the program qemu-img: writes down what it is asked, makes
the file it is asked for, answers what it is told to. The real one is tried
with real guests (tests/contract)."""

from __future__ import annotations

import json
import pathlib
import sys

PROGRAM = """#!{python} -I
import json, pathlib, sys, time
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
with open(here / 'asked', 'a') as asked:
    asked.write(json.dumps(words) + '\\n')
time.sleep(float((here / 'sleep').read_text()))
failing = (here / 'failing').read_text().split()
if words[0] in failing:
    sys.stderr.write('qemu-img: it\\n  broke\\n')
    sys.exit(1)
paths = words[words.index('--') + 1:]
if words[0] == 'info':
    sys.stdout.write((here / 'answer').read_text())
elif words[0] == 'create':
    pathlib.Path(paths[0]).write_text(' '.join(words))
elif words[0] == 'convert':
    pathlib.Path(paths[1]).write_text(' '.join(words))
"""


class QemuImg:
    """Put it on PATH: ``monkeypatch.setenv('PATH', made.path)``."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        directory.mkdir()
        program = directory / 'qemu-img'
        program.write_text(PROGRAM.format(python=sys.executable))
        program.chmod(0o755)
        self.path = str(directory)
        self.set(failing='', sleep='0', answer='{}')

    def set(self, **files: str) -> None:
        for name, text in files.items():
            (self._directory / name).write_text(text)

    def asked(self) -> list[list[str]]:
        asked = self._directory / 'asked'
        if not asked.exists():
            return []
        return [json.loads(line) for line in asked.read_text().splitlines()]
