#!/bin/sh
# Libvirt hosts and servers on this machine; see: tools/lab.sh --help
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} exec "${PYTHON:-python3}" -m lab "$@"
