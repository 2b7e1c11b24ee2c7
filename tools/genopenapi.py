#!/usr/bin/env python3
"""Writes the description of the API out of the code.

python tools/genopenapi.py          # write the file
python tools/genopenapi.py --check  # exit code 1 if it is out of date
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from livemig.api import openapi, operations  # noqa: E402

FILE = ROOT / 'api-ref/openapi.json'


def render() -> bytes:
    """The whole of the generated file."""
    return openapi.text(openapi.document(operations.OPERATIONS))


def main(words: list[str]) -> int:
    if words == ['--check']:
        if FILE.is_file() and FILE.read_bytes() == render():
            return 0
        print(f'{FILE} is out of date: run tools/genopenapi.py.')
        return 1
    if words:
        print(__doc__)
        return 2
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(render())
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
