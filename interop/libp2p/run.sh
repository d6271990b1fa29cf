# Sourced by interop/run: nodes of js-libp2p and py-libp2p, each in a network of its own with one of ours.

# implementation, transport, and where the two are: `beside` each other on one machine, where ours alone dials, or
# `across` a cable, each on its own machine, where both dial.
readonly cases=(
    "js tcp beside"
    "js tcp across"
    "js quic across"
    "py tcp beside"
    "py tcp across"
    "py quic across"
)
# Names of network namespaces begin with this and the process that made them.
readonly prefix=peerage-interop

skip() { # skip WHY...: ends without a verdict, so that nobody takes it for one
    printf 'SKIPPED: interop with other implementations of libp2p was NOT checked: %s\n' "$*" >&2
    exit 77
}

need python3 npm
command -v ip >/dev/null || skip "there is no \`ip\` (package iproute2)"
if ((EUID != 0)); then
    sudo --non-interactive true 2>/dev/null || skip "network namespaces need root, or sudo without a password"
    peerage=$(find_peerage)
    exec sudo --non-interactive env PATH="$PATH" PEERAGE="$peerage" PEERAGE_INTEROP="${PEERAGE_INTEROP:-}" \
        "$BASH" "$here/run" libp2p
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/peerage-interop.XXXXXX")
checking=
stop() {
    if [[ -n $checking ]]; then
        kill "$checking" 2>/dev/null || true
        wait "$checking" 2>/dev/null || true
    fi
    remove "$$"
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

namespaces_of() { # namespaces_of PROCESS
    ip netns list | awk '{ print $1 }' | grep "^$prefix-$1-" || true
}

remove() { # remove PROCESS: the namespaces that it made, and what still runs in them
    local space
    for space in $(namespaces_of "$1"); do
        ip netns pids "$space" | xargs --no-run-if-empty kill -KILL 2>/dev/null || true
        ip netns delete "$space" || true
    done
}

# What an earlier run left behind that was killed.
for space in $(ip netns list | awk '{ print $1 }' | grep "^$prefix-" || true); do
    owner=${space#"$prefix-"}
    owner=${owner%%-*}
    kill -0 "$owner" 2>/dev/null || remove "$owner"
done

# A network of two machines: ours, and the one at the other end of the cable.
lay() { # lay OURS OTHER
    ip netns add "$1" && ip netns add "$2" || return
    ip -n "$1" link add eth0 type veth peer name eth0 netns "$2"
    ip -n "$1" address add 10.99.0.1/24 dev eth0
    ip -n "$2" address add 10.99.0.2/24 dev eth0
    local space
    for space in "$1" "$2"; do
        ip -n "$space" link set lo up
        ip -n "$space" link set eth0 up
        # py-libp2p tells the address by which it would reach the internet.
        ip -n "$space" route add default dev eth0
    done
}

ip netns add "$prefix-$$-try" 2>/dev/null || skip "no network namespace can be made here"
peerage=$(find_peerage)

installed=${PEERAGE_INTEROP:-$work/installed}/libp2p
mkdir -p "$installed"
if [[ ! -x $installed/venv/bin/python ]]; then
    python3 -m venv "$installed/venv" || fail "no virtual environment for Python"
fi
"$installed/venv/bin/pip" --quiet --disable-pip-version-check install --no-deps \
    --requirement "$here/libp2p/requirements.txt" || fail "the Python packages cannot be installed"
# Beside their packages, where Node looks for them.
cp "$here/libp2p/package.json" "$here/libp2p/peer.js" "$installed/"
npm install --prefix "$installed" --silent --no-fund --no-audit --no-package-lock ||
    fail "the npm packages cannot be installed"

arguments=()
for ((number = 0; number < ${#cases[@]}; number++)); do
    ours=$prefix-$$-$number-ours
    other=$prefix-$$-$number-other
    lay "$ours" "$other" || fail "the network $number cannot be made"
    [[ ${cases[number]} == *beside ]] && other=$ours
    arguments+=(--case "${cases[number]} $ours $other")
done

"$installed/venv/bin/python" "$here/libp2p/check.py" \
    --peerage "$peerage" \
    --work "$work" \
    --js "$installed/node_modules/.bin/node $installed/peer.js" \
    --py "$installed/venv/bin/python $here/libp2p/peer.py" \
    "${arguments[@]}" &
checking=$!
wait "$checking"
