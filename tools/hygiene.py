"""Finds what no reviewer should have to say, in the files named.

Spaces at the end of a line, tabs where spaces are meant, a missing or
doubled newline at the end, CRLF, marks of an unresolved merge, files of
more than 500 KiB, YAML and TOML that cannot be read.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import yaml

MAX_BYTES = 500 * 1024
TABS = {'.mk', '.patch', '.diff'}
MERGE = re.compile(r'^(<{7}|>{7}) ')


def complaints(path: Path) -> Iterator[str]:
    data = path.read_bytes()
    if len(data) > MAX_BYTES:
        yield f'{path}: larger than {MAX_BYTES} bytes'
    try:
        text = data.decode('utf-8')
    except UnicodeDecodeError as error:
        yield f'{path}: not UTF-8: {error}'
        return
    yield from _lines(path, text)
    if text and not text.endswith('\n'):
        yield f'{path}: no newline at the end'
    if text.endswith('\n\n'):
        yield f'{path}: empty lines at the end'
    yield from _structure(path, text)


def _lines(path: Path, text: str) -> Iterator[str]:
    for number, line in enumerate(text.split('\n'), 1):
        if line != line.rstrip():
            yield f'{path}:{number}: spaces (or CR) at the end'
        if '\t' in line and path.suffix not in TABS:
            yield f'{path}:{number}: a tab'
        if MERGE.match(line):
            yield f'{path}:{number}: mark of a merge'


def _structure(path: Path, text: str) -> Iterator[str]:
    try:
        if path.suffix in {'.yaml', '.yml'}:
            list(yaml.safe_load_all(text))
        elif path.suffix == '.toml':
            tomllib.loads(text)
    except (yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        yield f'{path}: {error}'


def main(names: list[str]) -> int:
    found = [said for name in names for said in complaints(Path(name))]
    print('\n'.join(found))
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
