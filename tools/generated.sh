#!/bin/sh
# Writes all files that are made of the code; --check only compares them.
# The examples of api-ref are checked by the functional tests.
set -u
tools=$(dirname -- "$0")
bad=0
for script in genstates genopenapi genapiref gensamples; do
    python3 -W ignore "$tools/$script.py" "$@" || bad=1
done
exit $bad
