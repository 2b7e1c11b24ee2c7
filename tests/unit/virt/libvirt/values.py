"""Values for the tests of the libvirt driver."""

from __future__ import annotations

import dataclasses
from typing import Any

from livemig.virt import driver

GUEST = '0b5f28d8-6a38-4bf8-8a4d-cd0d6d0a7c11'

HOST = driver.HostFacts(
    host='beta',
    hypervisor_type='QEMU',
    hypervisor_version=7002000,
    migration_uri='qemu+tcp://192.0.2.2/system',
    migration_address='192.0.2.2',
    instances_path='/srv/b',
    vcpus=2,
    memory_mib=1024,
    memory_used_mib=0,
    disk_total_bytes=10**12,
    disk_free_bytes=10**12,
    capabilities=driver.Capabilities(),
)

ROOT = driver.DiskFacts(
    device='vda',
    path=f'/srv/a/{GUEST}/vda.qcow2',
    format='qcow2',
    virtual_size_bytes=2**30,
    allocated_bytes=2**20,
    backing_file='/images/base.raw',
    backing_format='raw',
)
DATA = driver.DiskFacts(
    device='vdb',
    path=f'/srv/a/{GUEST}/vdb.raw',
    format='raw',
    virtual_size_bytes=2**20,
    allocated_bytes=0,
)
CDROM = driver.DiskFacts(
    device='sda',
    path='/images/tools.iso',
    format='raw',
    virtual_size_bytes=2**20,
    allocated_bytes=2**20,
    read_only=True,
)


def plan(**changes: Any) -> driver.TransferPlan:
    return dataclasses.replace(
        driver.TransferPlan(
            guest_id=GUEST,
            migration_id=7,
            destination=HOST,
            block_migration=False,
        ),
        **changes,
    )
