#!/bin/sh
# Passes all tests; installs what they need. See --help.
set -u
. "$(dirname -- "$0")/setup.sh"

usage() {
    cat <<TEXT
tools/test.sh [--fast] [PART ...]

Runs the tests of livemig. Without PART: all of them.

  checks       ruff, mypy, import-linter, generated files
  unit         the pure core, tables of values
  functional   API, records and managers, on the simulated hypervisor
  eventlet     whole migrations with green threads
  contract     what every driver must do, simulated and libvirt
  databases    the records on PostgreSQL and MariaDB
  integration  real libvirt, broker, databases, Keystone, the command line,
               Nova's clients and tempest
  clients      of these, Nova's clients and tempest alone

  --fast       checks, unit and functional only: minutes, no servers

System packages (libvirt, QEMU, RabbitMQ, PostgreSQL, MariaDB, a compiler)
are installed with apt, as root or with sudo; what and why is printed.
No service of the system is started: all servers are private ones that end
with the tests.
TEXT
}

all='checks unit functional eventlet contract databases integration'
fast='checks unit functional'
parts=
for word in "$@"; do
    case $word in
        -h | --help) usage && exit 0 ;;
        --fast) parts=$fast ;;
        checks | unit | functional | eventlet | contract | databases | \
            integration | clients)
            parts="$parts $word"
            ;;
        *) usage >&2 && exit 2 ;;
    esac
done
[ -n "$parts" ] || parts=$all

purposes=build
case " $parts " in
    *' contract '* | *' integration '* | *' unit '* | *' clients '*)
        purposes='build hosts guests'
        ;;
esac
case " $parts " in
    *' integration '* | *' clients '*)
        purposes="$purposes broker postgresql mariadb keystone"
        ;;
    *' databases '*) purposes="$purposes postgresql mariadb" ;;
esac
packages $purposes
environment libvirt,postgresql,mysql,keystone,clients,test,check

export PYTHONPATH=$root/tools
export LIVEMIG_LAB_QUIET=1
cd "$root" || exit 1
bin=$venv/bin
bad=

case " $parts " in
    *' integration '* | *' clients '*)
        say 'Installing Keystone and tempest, each into an environment of its'
        say 'own (the first time this takes some minutes) ...'
        "$bin/python" -m lab fetch keystone tempest || exit 1
        ;;
esac

# run PART COMMAND ...: remembers what failed, goes on
run() {
    part=$1
    shift
    say ""
    say "=== $part: $*"
    began=$(date +%s)
    if "$@"; then
        say "=== $part: passed in $(($(date +%s) - began)) s"
    else
        say "=== $part: FAILED after $(($(date +%s) - began)) s"
        bad="$bad $part"
    fi
}

pytest() { "$bin/python" -m pytest -q -p no:cacheprovider "$@"; }

# The same, a test file in each of two processes.
pytest_twice() {
    env TMPDIR="$memory" "$bin/python" -m pytest -q -p no:cacheprovider \
        -n 2 --dist loadfile --no-loadscope-reorder "$@"
}

# Where those have their directories: in memory, if there are 2 GiB of it.
# SQLite waits for the disk again and again.
memory=${TMPDIR:-/tmp}
free_kib=$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
if [ -w /dev/shm ] && [ "${free_kib:-0}" -gt 2097152 ]; then
    memory=$(mktemp -d /dev/shm/livemig.XXXXXX) || exit 1
    trap 'rm -rf "$memory"' EXIT
    trap 'exit 130' INT TERM
fi

for part in $parts; do
    case $part in
        checks) run checks "$root/tools/checks.sh" "$bin" ;;
        unit) run unit pytest_twice tests/unit ;;
        functional) run functional pytest_twice tests/functional tests/stateful ;;
        eventlet)
            run eventlet env LIVEMIG_CONCURRENCY=eventlet \
                "$bin/python" -m pytest -q -p no:cacheprovider \
                tests/functional/compute/test_migration.py
            ;;
        contract)
            run contract env LIVEMIG_TEST_LIBVIRT=1 \
                "$bin/python" -m pytest -q -p no:cacheprovider tests/contract
            ;;
        databases)
            run databases env LIVEMIG_TEST_DATABASES=1 \
                "$bin/python" -m pytest -q -p no:cacheprovider \
                -m database tests/functional/db
            ;;
        integration)
            run integration pytest tests/integration
            ;;
        clients)
            run clients pytest tests/integration/test_clients.py \
                tests/integration/test_tempest.py
            ;;
    esac
done

if [ -n "$bad" ]; then
    say ""
    say "FAILED:$bad"
    exit 1
fi
say ""
say 'All passed.'
