"""Options and a plan -> the policy of one migration, units resolved."""

from __future__ import annotations

from oslo_config import cfg

from livemig.compute import convergence
from livemig.virt import driver as virt


def build(
    conf: cfg.ConfigOpts,
    plan: virt.TransferPlan,
    memory_mib: int,
    source: virt.Capabilities,
) -> convergence.Policy:
    """The policy that today's options give this migration.

    Called again after a reload: the timeout and its action are mutable. So
    is the bandwidth, but only for those that have not begun.
    """
    options = conf.libvirt
    size_gib = convergence.data_gib(
        memory_mib,
        tuple(d.virtual_size_bytes for d in plan.disks)
        if plan.block_migration
        else (),
    )
    return convergence.Policy(
        timeout_s=int(options.live_migration_completion_timeout * size_gib),
        timeout_action=options.live_migration_timeout_action,
        downtime_steps=convergence.downtime_steps(
            options.live_migration_downtime,
            options.live_migration_downtime_steps,
            options.live_migration_downtime_delay,
            size_gib,
        ),
        bandwidth_mib_s=options.live_migration_bandwidth,
        post_copy=_post_copy(conf, plan, source),
        auto_converge=options.live_migration_permit_auto_converge,
        forced_pause_limit_s=options.live_migration_forced_pause_limit,
    )


def _post_copy(
    conf: cfg.ConfigOpts, plan: virt.TransferPlan, source: virt.Capabilities
) -> bool:
    """Permitted, both ends can, and so can this guest.

    A paused guest cannot (libvirt: "not supported with non-live or paused
    migration"), nor one whose disks are copied: it would run on disks
    that are not there yet (kubevirt issue 13697).
    """
    return bool(
        conf.libvirt.live_migration_permit_post_copy
        and source.post_copy
        and plan.destination.capabilities.post_copy
        and not plan.paused
        and not plan.block_migration
    )


def options_of(
    policy: convergence.Policy,
) -> virt.TransferOptions:
    """How the transfer is begun under that policy."""
    first = policy.downtime_steps[0][1] if policy.downtime_steps else None
    return virt.TransferOptions(
        bandwidth_mib_s=policy.bandwidth_mib_s,
        post_copy=policy.post_copy,
        auto_converge=policy.auto_converge and not policy.post_copy,
        max_downtime_ms=first,
    )
