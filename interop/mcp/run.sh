# Sourced by interop/run: two nodes on loopback, and what check.py makes of them.

need python3 node npm
peerage=$(find_peerage)
fixture=$(find_fixture)

work=$(mktemp -d "${TMPDIR:-/tmp}/peerage-interop.XXXXXX")
pids=()
stop() {
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "${pids[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

installed=${PEERAGE_INTEROP:-$work/installed}/mcp
mkdir -p "$installed"
if [[ ! -x $installed/venv/bin/python ]]; then
    python3 -m venv "$installed/venv" || fail "no virtual environment for Python"
fi
"$installed/venv/bin/pip" --quiet --disable-pip-version-check install \
    --requirement "$here/mcp/requirements.txt" || fail "the Python packages cannot be installed"
cp "$here/mcp/package.json" "$installed/package.json"
npm install --prefix "$installed" --silent --no-fund --no-audit || fail "the npm packages cannot be installed"

# The suites need a newer Node than many systems have.
export PATH=$installed/node_modules/node/bin:$PATH
python=$installed/venv/bin/python
time_server="$python -m mcp_server_time --local-timezone Etc/UTC"
files=$work/files
mkdir -p "$files"
filesystem_server="node $installed/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js $files"
everything_server="node $installed/node_modules/@modelcontextprotocol/server-everything/dist/index.js stdio"

on() { # on NODE ARGUMENTS...: the program with that node's home
    local home=$work/$1
    shift
    PEERAGE_HOME=$home "$peerage" "$@"
}

up() { # up NODE ARGUMENTS...: starts a node and waits until it answers
    local node=$1
    shift
    mkdir -p "$work/$node"
    PEERAGE_HOME=$work/$node "$peerage" up --name "$node" --api 127.0.0.1:0 \
        --listen /ip4/127.0.0.1/tcp/0 --no-mdns "$@" >"$work/$node.log" 2>&1 &
    pids+=($!)
    await 30 "$node to start" on "$node" status --json
}

await() { # await SECONDS WHAT COMMAND...: until the command succeeds
    local until=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= until)); then
            tail -n 40 "$work"/*.log >&2 || true
            fail "waited in vain for $what"
        fi
        sleep 0.2
    done
}

field() { # field NAME: of the JSON on standard input
    "$python" -c 'import json, sys
value = json.load(sys.stdin)[sys.argv[1]]
print(value[0] if isinstance(value, list) else value)' "$1"
}

url_of() { # url_of NAME PROGRAM...: starts a program that prints its URL, which it leaves in $url
    local name=$1
    shift
    "$@" >"$work/$name.url" 2>"$work/$name.log" &
    pids+=($!)
    await 30 "the URL of $name" grep -q http "$work/$name.url"
    url=$(<"$work/$name.url")
}

# There are more tools here than are listed by default.
export PEERAGE_ALL_TOOLS=true

servers_listed() {
    on caller tools --json | "$python" -c 'import json, sys
listed = json.load(sys.stdin)
listed = listed["tools"] if isinstance(listed, dict) else listed
sys.exit({"time", "everything", "files", "fixture", "web"} - {tool["server"] for tool in listed} != set())'
}

url_of fixture "$fixture" http
direct=$url
up sharer --share "time=$time_server" --share "everything=$everything_server" \
    --share "broken=false" --share "files=$filesystem_server" --share "fixture=$fixture stdio" --share "web=$direct"
address=$(on sharer status --json | field listen)
sharer=$(on sharer status --json | field peer_id)
[[ $address == */p2p/* ]] || address=$address/p2p/$sharer

mkdir -p "$work/caller"
code=$(on sharer invite --json | field code)
on caller --name caller join "$code" >"$work/join.log" 2>&1 || fail "join: $(cat "$work/join.log")"
up caller --peer "$address"
await 30 "the shared tools to be listed" servers_listed

api=$(on caller status --json | field api)
token=$(on caller status --json | field token_file)
[[ $api == *://* ]] || api=http://$api
failed=0
part() { # part COMMAND...: runs one of the programs that check, whose last line counts
    "$@" | tee -a "$work/counted" || failed=1
}
ways=()

part "$python" "$here/mcp/check.py" \
    --peerage "$peerage" \
    --home "$work/caller" \
    --api "$api" \
    --token-file "$token" \
    --peer "$sharer" \
    --server "time=$time_server" \
    --server "everything=$everything_server"

endpoint=$api/peers/$sharer/mcp
part "$python" "$here/mcp/fidelity.py" --token-file "$token" --aggregate "$api/mcp" \
    --way "fixture=$endpoint/fixture" --way "web=$endpoint/web"
# Modules are looked for beside the file.
cp "$here/mcp/typescript.mjs" "$installed/"
for server in fixture web; do
    part node "$installed/typescript.mjs" "$token" "$endpoint/$server" "$direct" "$endpoint/files" "$files"
done

for server in fixture web; do
    url_of "to-$server" node "$here/mcp/bearer.mjs" "$api/peers/$sharer/mcp/$server" "$token"
    ways+=("--way" "two nodes, $server=$url")
done
part "$python" "$here/mcp/conformance.py" --modules "$installed/node_modules" --direct "$direct" "${ways[@]}"
part "$python" "$here/mcp/clients.py" --modules "$installed/node_modules" \
    --peerage "$peerage" --sharer "$work/sharer" --caller "$work/caller"
awk '/^[0-9]+ passed, [0-9]+ failed$/ { p += $1; f += $3 } END { print p " passed, " f " failed" }' "$work/counted"
exit "$failed"
