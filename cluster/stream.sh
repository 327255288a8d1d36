#!/usr/bin/env bash
# A continuous job on one machine, to look at: starts a Kafka, puts a day of sales into its topic `ventas`, and runs
# jobs/ventas-stream.toml in two processes until Ctrl-C. Started again, the job goes on where it was.
#
#   cluster/stream.sh [--wipe] [--rate N] [WORDS...]
#
#   --wipe     begins anew: Kafka's data, the job's state and its output are removed
#   --rate N   sales come in at N a second while the job runs, and not all before it
#   WORDS      for `caudal launch` (default: -n 2)
#
# All of it lies in CAUDAL_OUT (default: out). SALES_ROWS (20000) is how many sales there are; jobs/ventas holds the look-ups of
# these alone. Needs what tests/services/kafka/kafka needs: Java 17 or newer, and Maven for the first time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,/^set /{/^set /d;s/^#$//;s/^# //;p}' "${BASH_SOURCE[0]}"; }

wipe=no rate='' words=()
while (($#)); do
    case "$1" in
        --wipe) wipe=yes; shift ;;
        --rate)
            [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || { echo "stream.sh: --rate wants a number of sales a second" >&2; exit 2; }
            rate=$2
            shift 2
            ;;
        --help) usage; exit 0 ;;
        *) words+=("$1"); shift ;;
    esac
done
((${#words[@]})) || words=(-n 2)

mkdir -p "${CAUDAL_OUT:-out}"
CAUDAL_OUT=$(cd "${CAUDAL_OUT:-out}" && pwd)
export CAUDAL_OUT
data=$CAUDAL_OUT/kafka
kafka=tests/services/kafka/kafka

[ "$wipe" = no ] || { "$kafka" stop --wipe --data "$data" 2>/dev/null || true; rm -rf "$CAUDAL_OUT/ventas-stream" "$data"; }
cargo build --quiet --release
cargo bench --quiet --bench kafka_load --no-run

loader=''
end() {
    [ -z "$loader" ] || kill -- -"$loader" 2>/dev/null || true
    "$kafka" stop --data "$data"
}
trap end EXIT
trap 'exit 130' INT TERM
started=$("$kafka" start --data "$data")
KAFKA_BROKERS=${started##*KAFKA_BROKERS=}
export KAFKA_BROKERS
echo "Kafka is at $KAFKA_BROKERS"

load() { # the sales of jobs/ventas
    LOAD_BROKERS=$KAFKA_BROKERS LOAD_TOPIC=ventas LOAD_ROWS=${SALES_ROWS:-20000} LOAD_SEED=20260314 \
        cargo bench --quiet --bench kafka_load
}
if [ -e "$data/loaded" ]; then
    echo "the topic ventas is there already; --wipe begins anew"
else
    "$kafka" tool --data "$data" topics --create --topic ventas --partitions 2
    if [ -n "$rate" ]; then
        set -m # a process group of its own, to be ended whole
        LOAD_RATE=$rate load &
        loader=$!
        set +m
    else
        load
    fi
    touch "$data/loaded"
fi

cargo run --quiet --release -- launch jobs/ventas-stream.toml "${words[@]}"
