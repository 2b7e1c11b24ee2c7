#!/usr/bin/env python3
"""Writes the samples of the configuration and of the policy.

python tools/gensamples.py          # write the files
python tools/gensamples.py --check  # exit code 1 if one is out of date

They have livemig's own options and rules alone, so that a new release of a
library changes neither. ``oslo-config-generator --config-file
etc/livemig/livemig-config-generator.conf`` prints a sample with the options
of the libraries as well.
"""

import io
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from livemig import concurrency  # noqa: E402

# Before anything imports oslo.messaging.
concurrency.setup()

from oslo_config import cfg, generator  # noqa: E402
from oslo_policy import generator as policy_generator  # noqa: E402

DIRECTORY = ROOT / 'etc/livemig'


def configuration() -> str:
    conf = cfg.ConfigOpts()
    generator.register_cli_opts(conf)
    conf(['--namespace', 'livemig', '--wrap-width', '78'])
    text = io.StringIO()
    generator.generate(conf, text)
    return _tidy(text.getvalue())


def policy() -> str:
    """Each rule as a comment, with what it is for."""
    with tempfile.NamedTemporaryFile('r', encoding='utf-8') as file:
        words = ['--namespace', 'livemig', '--output-file', file.name]
        policy_generator.generate_sample(words, cfg.ConfigOpts())
        return _tidy(Path(file.name).read_text('utf-8'))


def _tidy(text: str) -> str:
    lines = [line.rstrip() for line in text.strip().split('\n')]
    return '\n'.join([*lines, ''])


FILES: dict[str, Callable[[], str]] = {
    'livemig.conf.sample': configuration,
    'policy.yaml.sample': policy,
}


def main(words: list[str]) -> int:
    if words not in ([], ['--check']):
        print(__doc__)
        return 2
    stale = False
    for name, made in FILES.items():
        file = DIRECTORY / name
        text = made()
        if not words:
            file.write_text(text, 'utf-8')
        elif not file.is_file() or file.read_text('utf-8') != text:
            print(f'{file} is out of date: run tools/gensamples.py.')
            stale = True
    return 1 if stale else 0


if __name__ == '__main__':
    warnings.simplefilter('ignore')
    sys.exit(main(sys.argv[1:]))
