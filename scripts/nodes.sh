# Sourced by scripts that need a cluster on loopback: start_nodes COUNT [flags], stop_nodes; $work is a folder that goes
# when the script succeeds, and is kept when it fails.
cairn="${CARGO_TARGET_DIR:-target}/release/cairn"
[ -x "$cairn" ] || { echo "There is no $cairn: build it with cargo build --release --bin cairn"; exit 1; }
work=$(mktemp -d); pids=()
: "${BASE:=31400}" # SQL at BASE + node, the nodes' own traffic at BASE + 100 + node, HTTP at BASE + 200 + node
export PGHOST=127.0.0.1 PGPORT=$((BASE + 1)) PGUSER=root PGDATABASE=cairn

start_nodes() {
    local count=$1 join="" i; shift
    for i in $(seq "$count"); do
        # shellcheck disable=SC2086
        "$cairn" start --data "$work/node$i" --sql-addr 127.0.0.1:$((BASE + i)) --rpc-addr 127.0.0.1:$((BASE + 100 + i)) \
            --http-addr 127.0.0.1:$((BASE + 200 + i)) "$@" $join >"$work/out$i" 2>"$work/log$i" &
        pids+=($!)
        for _ in $(seq 300); do grep -q '^ready' "$work/out$i" && break; sleep 0.1; done
        grep -q '^ready' "$work/out$i" || { echo "node $i did not start:"; tail -5 "$work/log$i"; exit 1; }
        join="--join 127.0.0.1:$((BASE + 101))"
    done
    whole "$count"
}

whole() { # until every range has as many replicas as there can be
    for _ in $(seq 300); do
        [ "$(psql -Atc "select count(*) from cairn.ranges where cardinality(voters) < least($1, 3)")" = 0 ] && return 0; sleep 0.1
    done
    echo "the ranges did not get their replicas within 30 s"; exit 1
}

stop_nodes() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    pids=()
}

# A counter, summed over nodes: metric COUNT NAME
metric() {
    local i
    for i in $(seq "$1"); do curl -s "http://127.0.0.1:$((BASE + 200 + i))/metrics"; done | awk -v name="cairn_$2_total" '$1 == name {sum += $2} END {print sum + 0}'
}

trap 'code=$?; stop_nodes; [ $code = 0 ] && rm -rf "$work" || echo "kept: $work"' EXIT
