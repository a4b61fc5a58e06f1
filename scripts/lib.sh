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

# Sets missing: those of the packages that are not installed; false when all are. usage: any_missing package...
any_missing() {
    local package
    missing=()
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ]
}

# Do this system's package lists have it? Its whole output is read: apt-cache that is cut short by a pipe's reader fails.
# usage: is_package package
is_package() {
    local policy
    policy=$(apt-cache policy "$1" 2>/dev/null || true)
    [[ $policy == *"Candidate: "[0-9]* ]]
}

# Install those of the packages that are missing. usage: apt_install package...
apt_install() {
    local missing
    any_missing "$@" || return 0
    [ "$(id -u)" = 0 ] || die "these packages are missing: ${missing[*]}" "run this script as root once, or install them"
    say "packages: ${missing[*]}"
    fetch_package_lists
    quietly "installing ${missing[*]}" "${apt[@]}" --no-install-recommends install "${missing[@]}"
}

fetch_package_lists() { quietly "fetching the package lists (is there a network?)" "${apt[@]}" update; }
# A machine that has just booted may be upgrading itself: wait for it.
apt=(env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a apt-get -q -y -o DPkg::Lock::Timeout=600)

# As apt_install, where programs are wanted and not the services they come with: none is started, neither now nor when
# the machine boots. Services that were there before stay as they are. usage: apt_install_idle package...
apt_install_idle() {
    local missing before unit
    any_missing "$@" || return 0
    before=$(installed_packages)
    (
        policy=/usr/sbin/policy-rc.d
        [ "$(id -u)" != 0 ] || {
            # A copy that is there already is of a run that was killed: it is the machine's own.
            if [ -e "$policy" ] && [ ! -e "$policy.before-flowsnap" ]; then mv "$policy" "$policy.before-flowsnap"; fi
            trap 'rm -f "$policy"; if [ -e "$policy.before-flowsnap" ]; then mv "$policy.before-flowsnap" "$policy"; fi' EXIT
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod 755 "$policy"
        }
        apt_install "$@"
    )
    command -v systemctl >/dev/null || return 0
    comm -13 <(echo "$before") <(installed_packages) | xargs -r dpkg -L |
        sed -n 's,^\(/usr\)\?/lib/systemd/system/\([^@/]*\.\(service\|socket\|timer\)\)$,\2,p; s,^/etc/init\.d/\([^/]*\)$,\1.service,p' |
        sort -u | while read -r unit; do systemctl disable --quiet "$unit" >/dev/null 2>&1 || true; done
}

installed_packages() { dpkg-query -W -f '${Package}\n' | LC_ALL=C sort; }
