"""The sample of all options, as the generator's command writes it."""

from __future__ import annotations

import re
import subprocess
import sys

from oslo_config import cfg, generator

from livemig import rpc
from tests.unit.test_conf import EVERY


def test_the_shipped_sample_has_every_option(tmp_path):
    sample = tmp_path / 'sample.conf'
    done = subprocess.run(
        [
            sys.executable,
            '-W',
            'ignore',
            '-m',
            'oslo_config.generator',
            '--config-file',
            'etc/livemig/livemig-config-generator.conf',
            '--output-file',
            str(sample),
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    text = sample.read_text()
    sections = {
        part.partition(']')[0]: part.partition(']')[2]
        for part in re.split(r'^\[', text, flags=re.MULTILINE)[1:]
    }
    conf = cfg.ConfigOpts()
    rpc.register_opts(conf)
    expected = EVERY + [
        (group or 'DEFAULT', opt)
        for group, opts in generator._list_opts(['oslo.messaging'])[0][1]
        for opt in opts
    ]
    for group, opt in expected:
        found = re.search(
            rf'^#?{opt.dest} =', sections[str(group)], re.MULTILINE
        )
        assert found, (group, opt.dest)
    rabbit = sections['oslo_messaging_rabbit']
    assert '\n#rabbit_quorum_queue = true\n' in rabbit
    assert '\n#rabbit_transient_quorum_queue = true\n' in rabbit
    assert '\n#rabbit_interval_max = 5\n' in rabbit
    assert '\n#control_exchange = livemig\n' in sections['DEFAULT']
    assert '\n#host = <hostname>\n' in sections['DEFAULT']
