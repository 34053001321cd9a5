#!/usr/bin/env bash
# setup.sh [demo|test]: installs what is missing and nothing else: Debian packages by apt, pinned Python packages into .venv.
# Safe to run again: it does nothing when nothing is missing. `test` (the default) adds what only the tests need.
set -euo pipefail
cd "$(dirname "$0")"

# To build libvirt-python, which comes as source only
build=(gcc libc6-dev libvirt-dev pkg-config python3-dev python3-venv)
# The lab's hosts, guests and LAN; the panel's Redis; the catalogues
lab=(busybox-static cpio debootstrap dnsmasq-base e2fsprogs gettext iproute2 iptables iputils-ping kmod libvirt-clients libvirt-daemon
     libvirt-daemon-config-nwfilter libvirt-daemon-driver-qemu libvirt-daemon-system libxml2-utils nftables qemu-system-x86
     qemu-utils redis-server systemd-container udev util-linux)
tests=(chromium-headless-shell conntrack postgresql)

wanted=("${build[@]}" "${lab[@]}")
[ "${1:-test}" = demo ] || wanted+=("${tests[@]}")

missing=()
for package in "${wanted[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_packages() {
    echo "Installing Debian packages: ${missing[*]}"
    [ "$(id -u)" = 0 ] || echo "(with sudo: you may be asked for your password)"
    # The lab starts daemons of its own; those of the packages must not start on this machine because of us.
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap "as_root rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod 755 $policy
    fi
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        echo "Not installed: ${missing[*]}. You are not root and there is no sudo; ask an administrator to run:" >&2
        echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
        # Without real hosts the panel still runs on libvirt's test driver; that needs these.
        for needed in "${build[@]}" redis-server gettext; do
            [[ " ${missing[*]} " != *" $needed "* ]] || exit 1
        done
    else
        command -v apt-get >/dev/null || { echo "kvmpanel's lab needs Debian 12 or a relative of it." >&2; exit 1; }
        install_packages
    fi
fi

stamp=.venv/installed
if [ ! -e $stamp ] || ! cmp -s requirements/dev.txt $stamp; then
    echo "Installing Python packages into .venv (half a minute)"
    # Debian's own python3 matches the headers of python3-dev; any other that comes first on PATH brings its own.
    python3 -m venv .venv
    .venv/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
    cp requirements/dev.txt $stamp
fi

shopt -s nullglob
for catalogue in locale/*/LC_MESSAGES/*.po; do
    compiled=${catalogue%.po}.mo
    [ "$compiled" -nt "$catalogue" ] || msgfmt -o "$compiled" "$catalogue"
done
