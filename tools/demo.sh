#!/bin/sh
# Moves real guests between two real hosts on this machine; see --help.
set -u
. "$(dirname -- "$0")/setup.sh"

usage() {
    cat <<TEXT
tools/demo.sh [--full | --simulated] [--keep]

Starts two libvirt/QEMU hosts and livemig on this machine and migrates seven
guests between them, each in another way. All of it is removed in the end.

  --full       API, conductor and a manager per host as processes of their
               own over RabbitMQ, with PostgreSQL
  --simulated  the same on the simulated hypervisor; needs no libvirt to run
  --keep       leave it all running and say how to use it

Exit code 0: every migration ended as it should. 1: one did not. 3: libvirt
cannot run here, or something that is needed cannot be installed.

System packages are installed with apt, as root or with sudo; what and why is
printed. No service of the system is started.
TEXT
}

purposes='build hosts guests'
extras=libvirt
chosen=
for word in "$@"; do
    case $word in
        --full)
            purposes="$purposes broker postgresql"
            extras=libvirt,postgresql
            chosen="$chosen $word"
            ;;
        --simulated)
            purposes=build
            chosen="$chosen $word"
            ;;
        --keep) ;;
        -h | --help) usage && exit 0 ;;
        *) usage >&2 && exit 2 ;;
    esac
done
case $chosen in
    *full*simulated* | *simulated*full*) usage >&2 && exit 2 ;;
esac
packages $purposes
environment "$extras"
PYTHONPATH=$root/tools exec "$venv/bin/python" -m demo "$@"
