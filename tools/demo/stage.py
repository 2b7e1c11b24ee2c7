"""Plays one case: boot, migrate, act, wait, and ask the guest itself."""

import json
import sys
import time
from typing import Any

from demo import show
from demo.cases import Case
from lab.client import LabError
from lab.cloud import Cloud
from lab.guests import busybox, proof
from lab.guests.watcher import ConsoleWatcher

#: A busy guest is left alone for so long before the operator acts.
WATCH_S = 5.0


class Play:
    """One case on one guest."""

    def __init__(self, cloud: Cloud, case: Case) -> None:
        self._cloud = cloud
        self._case = case
        self._source, self._destination = cloud.hosts[:2]

    def run(self) -> show.Row:
        """Play it. Raises LabError, TimeoutError."""
        case = self._case
        show.head(f'{case.title}')
        show.step(case.why)
        self._cloud.set_options(
            {
                'libvirt': {
                    'live_migration_bandwidth': case.bandwidth_mib_s,
                    'live_migration_completion_timeout': (
                        case.timeout_s_per_gib
                    ),
                    'live_migration_timeout_action': case.timeout_action,
                }
            }
        )
        server = self._create()
        watcher = self._watch(server)
        try:
            return self._migrate(server, watcher)
        finally:
            if watcher is not None:
                watcher.close()

    def _create(self) -> str:
        """Boot the guest; the server's uuid. Raises LabError."""
        case = self._case
        made = self._say(
            *('server', 'create', case.title, '--image', case.image),
            *('--flavor', 'proof', '--host', self._source, '--wait'),
            *('-f', 'json'),
        )
        return str(json.loads(made)['id'])

    def _watch(self, server: str) -> ConsoleWatcher | None:
        """Read the guest's console from now on; none where simulated."""
        if self._cloud.simulated:
            return None
        kind = busybox if self._case.image == 'linux' else proof
        watcher: proof.Watcher | busybox.Watcher = kind.Watcher(
            self._cloud.consoles(server)
        )
        watcher.wait_ready(60.0)
        return watcher

    def _migrate(
        self, server: str, watcher: ConsoleWatcher | None
    ) -> show.Row:
        case = self._case
        began_s = time.monotonic()
        self._say(
            *('server', 'migrate', '--live', '--host', self._destination),
            case.title,
        )
        migration = int(self._cloud.migrations(server)[0]['id'])
        if case.command:
            self._act(server, migration)
        ended = self._cloud.wait_migration(server, migration, timeout_s=90)
        total_s = time.monotonic() - began_s
        shown = self._cloud.show(server)
        host = shown['OS-EXT-SRV-ATTR:host']
        faults = self._faults(ended, shown)
        show.step(
            f'-> {ended["status"]}'
            + (f' by {ended["completed_by"]}' * bool(ended['completed_by']))
            + f', the record says it runs on {host}.'
        )
        if ended['reason']:
            show.step(f'   {ended["reason"]}')
        downtime_ms, felt, said, intact = self._ask(watcher, ended)
        if not intact:
            faults.append('the guest is not as it was')
        for fault in faults:
            show.trouble(f'Not as it should be: {fault}.')
        return show.Row(
            case.title,
            f'{self._source} > {self._destination}',
            ended['status']
            + (f', {ended["completed_by"]}' * bool(ended['completed_by'])),
            total_s,
            downtime_ms,
            felt,
            said,
            not faults,
        )

    def _act(self, server: str, migration: int) -> None:
        """The operator watches for a while, then acts."""
        self._cloud.wait_pass(server, migration)
        name = self._case.title
        show.command(f'livemig migration watch {name}')
        watch = ('migration', 'watch', name)
        if sys.stdout.isatty():
            # There it keeps one line up to date: it is worth seeing.
            self._cloud.cli_for(WATCH_S, *watch, shown=True)
        else:
            for line in self._cloud.cli_for(WATCH_S, *watch).splitlines():
                show.step(line)
        self._say(self._case.command, name)

    def _say(self, *words: str) -> str:
        """Run the operator's command; what it printed. Raises LabError."""
        shown = ' '.join(words)
        show.command(f'livemig {shown}')
        done = self._cloud.cli(*words)
        if done.returncode:
            raise LabError(f'livemig {shown}: {done.stderr}')
        return done.stdout

    def _faults(
        self, ended: dict[str, Any], shown: dict[str, Any]
    ) -> list[str]:
        """Where the record is not as the case demands."""
        case = self._case
        faults = []
        if ended['status'] != case.status:
            faults.append(
                f'the migration is {ended["status"]}, not {case.status}'
            )
        by, wanted = ended['completed_by'], case.completed_by
        if wanted == 'post-copy' and not self._cloud.post_copy:
            wanted = 'pause'
        if wanted and by != wanted:
            faults.append(f'it completed by {by}, not by {wanted}')
        where = (
            self._destination if case.status == 'completed' else self._source
        )
        if shown['OS-EXT-SRV-ATTR:host'] != where:
            faults.append(f'the record says it is not on {where}')
        if shown['status'] != 'ACTIVE':
            faults.append(f'the server is {shown["status"]}')
        return faults

    def _ask(
        self, watcher: ConsoleWatcher | None, ended: dict[str, Any]
    ) -> tuple[float | None, bool, str, bool]:
        """(downtime in ms, as the guest felt it, what it says, intact)
        from its console."""
        recorded_ms = ended['downtime_ms']
        if watcher is None:
            return recorded_ms, False, '', True
        if isinstance(watcher, busybox.Watcher):
            if not watcher.alive_within(10):
                return None, False, 'its console is silent', False
            console = watcher.console()
            # It beats once a second, too seldom to feel a short stop.
            return recorded_ms, False, console.summary, console.intact
        assert isinstance(watcher, proof.Watcher)
        try:
            watcher.wait_swept()
            stood_still_ms = watcher.guest_stood_still_ms()
        except TimeoutError as error:
            return None, False, str(error), False
        told = watcher.proof()
        return stood_still_ms, True, told.summary, told.intact
