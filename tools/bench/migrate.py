"""How long a migration takes through livemig and by bare libvirt.

Each moves a proof guest of the same kind there and back, by turns, in one
run, so that what else the machine does hits both alike. Prints the ratio
of the medians; nothing is asserted.

    tools/bench/run.sh migrate [--rounds N]
"""

import argparse
import statistics
import time

import libvirt

from lab import Lab
from lab.cloud import Cloud

FLAGS = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PEER2PEER
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
)


def through_livemig(cloud: Cloud, server: str, host: str) -> float:
    """Seconds from the request until the record says completed."""
    began_s = time.monotonic()
    migration = cloud.migrate(server, host)
    ended = cloud.wait_migration(server, migration)
    if ended['status'] != 'completed':
        raise SystemExit(f'{ended["status"]}: {ended["reason"]}')
    return time.monotonic() - began_s


def by_libvirt(lab: Lab, server: str, source: int, destination: int) -> float:
    """Seconds that migrateToURI3 takes, called as virsh calls it."""
    there = lab.hosts[destination]
    connection = libvirt.open(lab.hosts[source].control_uri)
    try:
        domain = connection.lookupByUUIDString(server)
        began_s = time.monotonic()
        domain.migrateToURI3(
            there.migration_uri,
            {
                libvirt.VIR_MIGRATE_PARAM_URI: (
                    f'tcp:{there.migration_address}'
                )
            },
            FLAGS,
        )
        return time.monotonic() - began_s
    finally:
        connection.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=5)
    rounds = parser.parse_args().rounds
    with Lab(2) as lab:
        cloud = Cloud(lab, shared=True)
        cloud.start()
        ours, theirs = [], []
        managed = cloud.boot('idle', 'host1')
        bare = cloud.boot('idle', 'host1')
        for number in range(rounds):
            source, destination = (0, 1) if number % 2 == 0 else (1, 0)
            there = lab.hosts[destination].name
            ours.append(through_livemig(cloud, managed, there))
            theirs.append(by_libvirt(lab, bare, source, destination))
        print(f'livemig  median {statistics.median(ours):.2f} s')
        print(f'libvirt  median {statistics.median(theirs):.2f} s')
        print(
            'ratio    '
            f'{statistics.median(ours) / statistics.median(theirs):.2f}'
        )


if __name__ == '__main__':
    main()
