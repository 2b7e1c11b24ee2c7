"""The demonstration's command line; started by tools/demo.sh."""

import argparse
import os
import signal
import sys
import time

from demo import cases, show, stage
from lab.client import LabError
from lab.cloud import Cloud
from lab.labs import Lab

EXIT_BAD = 1
EXIT_CANNOT = 3


def _arguments() -> argparse.Namespace:
    """As tools/demo.sh, which explains and checks them, hands them on."""
    parser = argparse.ArgumentParser(prog='tools/demo.sh')
    how = parser.add_mutually_exclusive_group()
    how.add_argument('--full', action='store_true')
    how.add_argument('--simulated', action='store_true')
    parser.add_argument('--keep', action='store_true')
    return parser.parse_args()


def _hosts(words: argparse.Namespace) -> Lab:
    """Two hosts, or a lab for simulated ones. Raises LabError."""
    lab = Lab(0 if words.simulated else 2)
    try:
        for line in _about(lab, words.simulated):
            show.step(line)
    except BaseException:
        lab.stop()
        raise
    return lab


def _about(lab: Lab, simulated: bool) -> tuple[str, ...]:
    if simulated:
        return (
            'They are simulated, in real time: there is neither libvirt nor '
            'QEMU, and no guest that could be asked.',
        )
    return (
        f'Each has a libvirtd of its own, run as user {lab.facts()["user"]}.',
        f'Post-copy works: {lab.post_copy_reason}.'
        if lab.post_copy
        else 'There is no post-copy, guests are paused instead: '
        f'{lab.post_copy_reason}.',
    )


def _livemig(words: argparse.Namespace, lab: Lab, began_s: float) -> Cloud:
    """All services, started. Raises LabError."""
    if words.full:
        show.step('RabbitMQ and PostgreSQL, private, on loopback ...')
    cloud = Cloud(
        lab,
        separate=words.full,
        database=lab.postgresql() if words.full else '',
        options=cases.OPTIONS,
        simulated=('host1', 'host2') if words.simulated else (),
    )
    cloud.start()
    show.step(
        f'livemig answers at {cloud.url} after '
        f'{time.monotonic() - began_s:.1f} s'
        + (
            '; API, conductor and managers are processes of their own.'
            if words.full
            else '; API, conductor and managers are one process.'
        )
    )
    return cloud


def _keep(lab: Lab, cloud: Cloud) -> None:
    """Say how to go on with it, and let go."""
    # Each case has set its own: back to the slow link without a timeout.
    cloud.set_options(cases.OPTIONS)
    file = cloud.directory / 'openrc'
    with open(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600), 'w') as out:
        for name, value in cloud.environment().items():
            out.write(f'export {name}={value}\n')
    livemig = os.path.join(os.path.dirname(sys.executable), 'livemig')
    server = cases.CASES[0].title
    show.head('It is left running.')
    print(
        f"""  URL          {cloud.url}
  credentials  {file}
  logs         {lab.directory}/log

  . {file}
  {livemig} server list
  {livemig} server migrate --live --host host1 --wait {server}
  {livemig} migration list

  To end it and remove everything: tools/lab.sh stop {lab.name}"""
    )
    lab.detach()


def _play(cloud: Cloud) -> list[show.Row]:
    rows = []
    for case in cases.CASES:
        try:
            rows.append(stage.Play(cloud, case).run())
        except (LabError, TimeoutError) as error:
            show.trouble(str(error))
            rows.append(
                show.Row(
                    case.title, '', 'BROKE OFF', 0, None, False, '-', False
                )
            )
    return rows


def main() -> int:
    """Run the demonstration; its exit code."""
    words = _arguments()
    began_s = time.monotonic()
    show.head('Two hosts on one machine')
    try:
        lab = _hosts(words)
    except LabError as error:
        show.trouble(str(error))
        if words.simulated:
            return EXIT_BAD
        show.step(
            'libvirt cannot run here; the same on the simulated '
            'hypervisor: tools/demo.sh --simulated'
        )
        return EXIT_CANNOT
    kept = False
    try:
        try:
            cloud = _livemig(words, lab, began_s)
        except LabError as error:
            show.trouble(f'livemig did not start: {error}')
            return EXIT_BAD
        rows = _play(cloud)
        show.head(f'After {time.monotonic() - began_s:.0f} s')
        print(show.table(rows), flush=True)
        if words.keep:
            _keep(lab, cloud)
            kept = True
    finally:
        if not kept:
            lab.stop()
    return 0 if all(row.good for row in rows) else EXIT_BAD


if __name__ == '__main__':
    # In the background of a script Ctrl-C is ignored, and so it would be by
    # the watching that is shown.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        show.head('Interrupted; all of it has been removed.')
        sys.exit(130)
