"""Fixtures that gabbits name."""

from __future__ import annotations

import os

from gabbi import fixture

from tests.functional.api import world


def _name(kind: str, name: str) -> str:
    return f'{kind}_{name.upper().replace("-", "_")}'


#: What gabbits call servers and migrations: $ENVIRON['S_RUNNING'].
NAMES = {
    **{_name('S', n): uuid for n, uuid in world.SERVERS.items()},
    **{_name('M', n): str(id_) for n, id_ in world.MIGRATIONS.items()},
    'SERVICE1': world.OTHER_SERVICE,
    'SERVICE2': world.SERVICE,
    'SERVICE3': world.SPARE_SERVICE,
    'UNKNOWN': world.UNKNOWN,
    'IMAGE': world.IMAGE,
    'STABLE_IMAGE': world.STABLE_IMAGE,
    'OWN': world.OWN,
    'FOREIGN': world.FOREIGN,
}


class FullWorld(fixture.GabbiFixture):
    """A fresh world for each file."""

    def start_fixture(self) -> None:
        os.environ.update(NAMES)
        world.enter()

    def stop_fixture(self) -> None:
        world.leave()
        for name in NAMES:
            os.environ.pop(name, None)
