# Sourced by the scripts in this directory: a Python, system packages, and
# the project in a virtual environment of its own. Safe to run twice.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd) || exit 1
venv=${LIVEMIG_VENV:-$root/.venv}

# Where this is set each process compiles every module again: the tests and
# the services started by them take half as long again.
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s\n' "$*"; }
fail() { say "$*" >&2; exit 3; }

# The oldest Python that all of today's oslo libraries run on is 3.11.
find_python() {
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

install_python() {
    say 'Python 3.11 or newer is missing; installing python3 with apt.'
    apt='env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-remove'
    if [ "$(id -u)" != 0 ]; then apt="sudo $apt"; fi
    said=$({
        $apt update && $apt install --no-install-recommends python3
    } 2>&1) || {
        say "$said" >&2
        return 1
    }
}

# packages PURPOSE ...: what the system must have; see tools/lab.sh install
packages() {
    python=$(find_python) || install_python ||
        fail 'Neither Python 3.11 nor apt to install it with was found.'
    python=$(find_python) || fail 'This needs Python 3.11 or newer.'
    PYTHONPATH=$root/tools "$python" -m lab install "$@" >/dev/null ||
        fail 'Some system packages are missing (see above).'
}

# environment EXTRAS: the project in its virtual environment
environment() {
    wanted=$(cat "$root/setup.cfg" "$root/pyproject.toml" && echo "$1" &&
        "$python" --version)
    stamp=$venv/.livemig-installed-$(echo "$1" | tr , -)
    if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] &&
        [ "$(cat "$stamp")" = "$(printf '%s' "$wanted" | cksum)" ]; then
        return
    fi
    say "Installing livemig and what it needs into $venv"
    say '(the first time this takes a minute or two) ...'
    "$python" -m venv "$venv" || fail 'No virtual environment can be made.'
    # What build tools warn of is for livemig's own checks to say.
    said=$(SKIP_GENERATE_AUTHORS=1 SKIP_WRITE_GIT_CHANGELOG=1 \
        PBR_VERSION=${PBR_VERSION:-0.1.0} \
        "$venv/bin/python" -m pip install --quiet \
        --disable-pip-version-check -e "$root[$1]" 2>&1) || {
        say "$said" >&2
        fail 'pip could not install it (see above).'
    }
    printf '%s' "$wanted" | cksum >"$stamp"
}
