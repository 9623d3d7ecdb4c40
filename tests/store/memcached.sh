#!/usr/bin/env bash
# Prints the command that starts a real memcached, one part per line, and what it is on standard error.
#
# It takes a memcached that is installed, or else Debian's packages, which it downloads and unpacks below target/. That
# needs apt-get and dpkg, but not root. With --offline it downloads nothing.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
unpacked=$root/target/memcached

command_of() {
    # An unpacked memcached finds its libraries by this variable.
    libraries=$(find "$unpacked/root" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
    printf '%s\n' env "LD_LIBRARY_PATH=$libraries" "$unpacked/root/usr/bin/memcached"
}

missing() {
    echo "memcached is missing: $1. Install memcached, or unset TOWER_KEYSTONE_MEMCACHED to test with a server of the tests." >&2
    exit 1
}

if installed=$(command -v memcached); then
    "$installed" -V >&2
    printf '%s\n' "$installed"
    exit
fi
if [ ! -e "$unpacked/complete" ]; then
    [ "${1-}" != --offline ] || missing "it is not installed and was not downloaded"
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || missing "it is not installed, and there is no apt-get and dpkg"
    mkdir -p "$unpacked"
    # Two runs at once must not unpack into the same directory.
    exec 9>"$unpacked/lock"
    flock 9
    if [ ! -e "$unpacked/complete" ]; then
        rm -rf "$unpacked/root" "$unpacked/packages"
        mkdir -p "$unpacked/packages"
        cd "$unpacked/packages"
        needed=$(apt-cache depends memcached 2>/dev/null | sed -n 's/^ *Depends: \(lib[a-z]*\(event\|sasl\|ssl\)[-0-9a-z.]*\)$/\1/p')
        # shellcheck disable=SC2086
        apt-get download memcached $needed >&2 || missing "apt-get cannot download it; apt-get update may help"
        for package in *.deb; do
            dpkg -x "$package" "$unpacked/root"
        done
        mapfile -t start < <(command_of)
        "${start[@]}" -V >&2 || missing "the downloaded one does not start"
        touch "$unpacked/complete"
    fi
fi
mapfile -t start < <(command_of)
"${start[@]}" -V >&2
printf '%s\n' "${start[@]}"
