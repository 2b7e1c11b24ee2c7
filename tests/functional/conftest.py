"""Fixtures of the functional tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.functional.deployment import Deployment


@pytest.fixture
def deploy(tmp_path) -> Iterator[Callable[..., Deployment]]:
    """Make deployments; what was made is stopped and checked."""
    made: list[Deployment] = []

    def deploy_(*args, **kwargs) -> Deployment:
        made.append(Deployment(tmp_path, *args, **kwargs))
        return made[-1]

    yield deploy_
    for deployment in made:
        world = deployment.world
        deployment.stop()
        world.check()


@pytest.fixture
def deployment(deploy) -> Deployment:
    """Two hosts, default options."""
    return deploy()
