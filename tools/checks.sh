#!/bin/sh
# Style, types, layers and generated files; pre-commit runs the same.
# checks.sh BIN: the directory of the virtual environment's commands.
bin=$1
bad=0
for check in \
    "ruff check ." \
    "ruff format --check ." \
    "mypy" \
    "lint-imports"; do
    echo "--- $check"
    # shellcheck disable=SC2086
    "$bin"/$check || bad=1
done
exit $bad
