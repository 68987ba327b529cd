#!/bin/sh
# Installs the programs that tests/peers talks to, where it may: as root, on Debian, and only what
# is missing. Never fails: the tests themselves say what they had to skip, and whether that counts.
set -eu
PATH=$PATH:/usr/sbin:/sbin

# command:package
PEERS='haproxy:haproxy keepalived:keepalived nginx:nginx-light ab:apache2-utils ip:iproute2
    curl:curl ps:procps redis-server:redis-server openssl:openssl dnsmasq:dnsmasq-base
    exim4:exim4-daemon-light strace:strace promtool:prometheus
    systemd-analyze:systemd shellcheck:shellcheck busybox:busybox python3:python3
    chromium:chromium'

# Debian keeps these programs where no path leads: folder:package
PEERS_ELSEWHERE='/usr/lib/postgresql:postgresql'

# Package archives can be slow, but a run that hangs helps nobody.
UPDATE_SECONDS_MAX=180
INSTALL_SECONDS_MAX=600

POLICY=/usr/sbin/policy-rc.d

say() { printf 'peers: %s\n' "$*"; }

missing_packages() {
    for peer in $PEERS; do
        command -v "${peer%%:*}" >/dev/null || printf '%s ' "${peer##*:}"
    done
    for peer in $PEERS_ELSEWHERE; do
        [ -d "${peer%%:*}" ] || printf '%s ' "${peer##*:}"
    done
}

apt() {
    seconds=$1
    shift
    DEBIAN_FRONTEND=noninteractive timeout -k 10 "$seconds" apt-get -q "$@" </dev/null
}

install_packages() {
    apt "$INSTALL_SECONDS_MAX" install -y --no-install-recommends "$@"
}

# The tests start their peers themselves, on ports of their own: a package that starts its daemon
# on port 80 at once would only be in the way. An administrator's own policy stays as it is.
hold_services() {
    [ ! -e "$POLICY" ] || return 0
    trap 'rm -f "$POLICY"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
}

missing=$(missing_packages)
if [ -z "$missing" ]; then
    say "all are here, nothing to install"
elif [ "$(id -u)" -ne 0 ]; then
    say "missing: $missing- not root, so not installed; their tests are skipped"
elif ! command -v apt-get >/dev/null; then
    say "missing: $missing- no apt-get, so not installed; their tests are skipped"
else
    say "installing with apt-get, their services held back: $missing"
    hold_services
    apt "$UPDATE_SECONDS_MAX" update || say "apt-get update failed; trying with the lists at hand"
    # One by one after a failure, so that one unknown package does not cost the others.
    # shellcheck disable=SC2086 # The list is meant to be split.
    install_packages $missing || for package in $missing; do
        install_packages "$package" || say "could not install $package"
    done
    missing=$(missing_packages)
    [ -z "$missing" ] || say "still missing: $missing- their tests are skipped"
fi
