#!/bin/sh
# Style, types, layers, generated files: .pre-commit-config.yaml says which.
# checks.sh BIN: the directory of the virtual environment's commands.
PATH=$1:$PATH
export PATH
exec pre-commit run --all-files --show-diff-on-failure
