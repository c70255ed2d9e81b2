# Sourced by scripts that need a cluster on loopback: start_nodes COUNT [flags], stop_nodes; $work is a folder that goes
# when the script succeeds, and is kept when it fails. The nodes are deploy/local-cluster's, whose other verbs work too: $cluster kill 2.
cairn="${CAIRN:-${CARGO_TARGET_DIR:-target}/release/cairn}"
[ -x "$cairn" ] || { echo "There is no $cairn: build it with cargo build --release --bin cairn"; exit 1; }
work=$(mktemp -d)
: "${BASE:=31400}" # SQL at BASE + node, the nodes' own traffic at BASE + 100 + node, HTTP at BASE + 200 + node
export CAIRN=$cairn BASE CAIRN_CLUSTER_DIR="$work/cluster" PGHOST=127.0.0.1 PGPORT=$((BASE + 1)) PGUSER=root PGDATABASE=cairn
cluster="$PWD/deploy/local-cluster"

start_nodes() { local count=$1; shift; "$cluster" up "$count" -- "$@"; }
stop_nodes() { "$cluster" down; }

# A counter, summed over nodes: metric COUNT NAME
metric() {
    local i
    for i in $(seq "$1"); do curl -s "http://127.0.0.1:$((BASE + 200 + i))/metrics"; done | awk -v name="cairn_$2_total" '$1 == name {sum += $2} END {print sum + 0}'
}

trap 'code=$?; "$cluster" down --keep; [ $code = 0 ] && rm -rf "$work" || echo "kept: $work"' EXIT
