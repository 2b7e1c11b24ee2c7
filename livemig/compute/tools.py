"""What the runners of a host work with."""

from __future__ import annotations

import dataclasses

from oslo_config import cfg

from livemig import concurrency
from livemig.compute.rpcapi import ComputeAPI
from livemig.notifications import Notifier
from livemig.virt import driver as virt


@dataclasses.dataclass(frozen=True)
class Tools:
    """Made once at start-up."""

    conf: cfg.ConfigOpts
    host: str
    driver: virt.Driver
    compute_api: ComputeAPI
    notifier: Notifier
    clock: concurrency.Clock
    stop: concurrency.Event
