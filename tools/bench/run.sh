#!/bin/sh
# Measures livemig against the real alternative: run.sh NAME [OPTION ...]
set -u
. "$(dirname -- "$0")/../setup.sh"
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
venv=${LIVEMIG_VENV:-$root/.venv}
name=${1:?which one: migrate, api}
shift
purposes=build
[ "$name" = api ] || purposes="build hosts guests"
packages $purposes
environment libvirt,postgresql,mysql
PYTHONPATH=$root/tools exec "$venv/bin/python" -m "bench.$name" "$@"
