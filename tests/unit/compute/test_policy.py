"""From options and a plan to one migration's policy: units, permissions."""

import dataclasses

import pytest
from oslo_config import cfg

from livemig import conf as confs
from livemig.compute import convergence, policy
from livemig.virt.driver import (
    Capabilities,
    DiskFacts,
    HostFacts,
    TransferPlan,
)

GIB = 1024**3
ABLE = Capabilities(post_copy=True)
UNABLE = Capabilities(post_copy=False)


@pytest.fixture
def conf():
    made = cfg.ConfigOpts()
    confs.register_opts(made)
    made([], project='livemig', default_config_files=[])
    return made


@pytest.fixture
def option(conf):
    def set_(name, value):
        conf.set_override(f'live_migration_{name}', value, 'libvirt')

    return set_


def plan(capabilities=ABLE, **fields):
    there = HostFacts(
        host='beta',
        hypervisor_type='QEMU',
        hypervisor_version=1,
        migration_uri='',
        migration_address=None,
        instances_path='/instances',
        vcpus=1,
        memory_mib=1024,
        memory_used_mib=0,
        disk_total_bytes=GIB,
        disk_free_bytes=GIB,
        capabilities=capabilities,
    )
    values = {
        'guest_id': 'guest',
        'migration_id': 1,
        'destination': there,
        'block_migration': False,
    }
    return TransferPlan(**(values | fields))


def disk(size_gib):
    return DiskFacts('vda', '/vda', 'qcow2', size_gib * GIB, 0)


COPIED = {'block_migration': True, 'disks': (disk(6),)}


def test_by_default_it_waits_800_s_per_gib_and_aborts(conf):
    made = policy.build(conf, plan(), 64, ABLE)
    # 2 GiB at the least.
    assert made.timeout_s == 1600
    assert made.timeout_action == 'abort'
    assert made.downtime_steps[0] == (0.0, 50)
    assert made.downtime_steps[-1] == (1500.0, 500)
    assert not made.post_copy
    assert not made.auto_converge
    assert made.bandwidth_mib_s == 0
    assert made.forced_pause_limit_s == 60


@pytest.mark.parametrize(
    ('memory_mib', 'fields', 'gib'),
    [
        (64, {}, 2),
        (3072, {}, 3),
        (3072, COPIED, 9),
        (64, {'block_migration': True, 'disks': (disk(1), disk(3))}, 7),
        # Disks that stay where they are do not count.
        (64, {'disks': (disk(6),), 'shared_directory': True}, 2),
    ],
)
def test_what_is_per_gib(conf, option, memory_mib, fields, gib):
    option('completion_timeout', 10)
    option('downtime_delay', 20)
    made = policy.build(conf, plan(**fields), memory_mib, ABLE)
    assert made.timeout_s == 10 * gib
    assert made.downtime_steps[1][0] == 20 * gib


def test_a_fraction_of_a_gib_counts_and_seconds_are_whole(conf, option):
    option('completion_timeout', 3)
    assert policy.build(conf, plan(), 2560, ABLE).timeout_s == 7


def test_no_timeout_stays_none(conf, option):
    option('completion_timeout', 0)
    assert policy.build(conf, plan(), 65536, ABLE).timeout_s == 0


def test_the_other_options(conf, option):
    option('timeout_action', 'force_complete')
    option('bandwidth', 125)
    option('forced_pause_limit', 7)
    option('downtime', 900)
    option('downtime_steps', 3)
    made = policy.build(conf, plan(), 2048, ABLE)
    assert made.timeout_action == 'force_complete'
    assert made.bandwidth_mib_s == 125
    assert made.forced_pause_limit_s == 7
    assert [ms for _, ms in made.downtime_steps] == [300, 500, 700, 900]


def test_a_reloaded_option_holds(conf, option):
    before = policy.build(conf, plan(), 64, ABLE)
    option('completion_timeout', 1)
    after = policy.build(conf, plan(), 64, ABLE)
    assert (before.timeout_s, after.timeout_s) == (1600, 2)


# -- post-copy ------------------------------------------------------------
@pytest.mark.parametrize(
    ('permitted', 'source', 'fields', 'expected'),
    [
        (True, ABLE, {}, True),
        (False, ABLE, {}, False),
        (True, UNABLE, {}, False),
        (True, ABLE, {'capabilities': UNABLE}, False),
        # libvirt: "not supported with non-live or paused migration".
        (True, ABLE, {'paused': True}, False),
        # It would run on disks that are not there yet.
        (True, ABLE, COPIED, False),
        (True, ABLE, {'shared_directory': True, 'disks': (disk(1),)}, True),
    ],
    ids=[
        'permitted',
        'not-permitted',
        'source-unable',
        'destination-unable',
        'paused-guest',
        'copied-disks',
        'shared-disks',
    ],
)
def test_who_may_switch_to_post_copy(
    conf, option, permitted, source, fields, expected
):
    option('permit_post_copy', permitted)
    made = policy.build(conf, plan(**fields), 64, source)
    assert made.post_copy is expected
    # And so is it begun: a switch must be prepared for at the start.
    assert policy.options_of(made).post_copy is expected


def test_either_post_copy_or_auto_converge(conf, option):
    option('permit_post_copy', True)
    option('permit_auto_converge', True)
    both = policy.options_of(policy.build(conf, plan(), 64, ABLE))
    assert (both.post_copy, both.auto_converge) == (True, False)
    paused = policy.build(conf, plan(paused=True), 64, ABLE)
    begun = policy.options_of(paused)
    assert (begun.post_copy, begun.auto_converge) == (False, True)


def test_how_it_is_begun():
    made = convergence.Policy(
        downtime_steps=((0.0, 50), (10.0, 90)), bandwidth_mib_s=20
    )
    begun = policy.options_of(made)
    assert (begun.bandwidth_mib_s, begun.max_downtime_ms) == (20, 50)
    without = dataclasses.replace(made, downtime_steps=())
    assert policy.options_of(without).max_downtime_ms is None
