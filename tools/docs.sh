#!/bin/sh
# Builds the documentation into doc/build; a warning is an error.
cd "$(dirname -- "$0")/.." || exit 1
exec python3 -W ignore -m sphinx -W --keep-going -q -b html \
    doc/source doc/build/html "$@"
