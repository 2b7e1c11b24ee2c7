#!/bin/sh
# Moves real guests between two real hosts on this machine; see --help.
set -u
. "$(dirname -- "$0")/setup.sh"

purposes='build hosts guests'
extras=libvirt
for word in "$@"; do
    case $word in
        --full)
            purposes="$purposes broker postgresql"
            extras=libvirt,postgresql
            ;;
        --simulated)
            purposes=build
            extras=libvirt
            ;;
    esac
done
packages $purposes
environment "$extras"
PYTHONPATH=$root/tools exec "$venv/bin/python" -m demo "$@"
