# Sourced by the scripts here: how they speak, stop, and find the project.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034  # read by those that source this
venv=$root/.venv

# One line for each step.
say() { printf '==> %s\n' "$*"; }

# What failed, then what to do next; each argument is a line.
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
    exit 1
}

# Run quietly; on failure show the end of what it said, and stop. usage: quietly "what it does" command...
quietly() {
    local what=$1 log
    shift
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        die "$what failed (above: the end of its output)" "the command was: $*"
    fi
    rm -f "$log"
}

# The SHA-256 of files and their names, so that moving the project changes nothing; folders are walked.
# usage: hash_of path-below-the-project...
hash_of() {
    (cd "$root" && find "$@" -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) |
        sha256sum | cut -c1-64
}

# Install those of the packages that are missing. usage: apt_install package...
apt_install() {
    local missing=() package
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "these packages are missing: ${missing[*]}" "run this script as root once, or install them"
    say "packages: ${missing[*]}"
    # A machine that has just booted may be upgrading itself: wait for it.
    local apt=(env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a apt-get -q -y -o DPkg::Lock::Timeout=600)
    quietly "fetching the package lists (is there a network?)" "${apt[@]}" update
    quietly "installing ${missing[*]}" "${apt[@]}" --no-install-recommends install "${missing[@]}"
}
