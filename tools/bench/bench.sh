#!/usr/bin/env bash
# The benchmark, with an arena, a state folder and an agent of its own.
#
#   tools/bench/bench.sh BUILD-DIR [--json] [--json-to FILE] [--only PART[,...]] [--scale PERCENT]
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd) || exit 2
shift
# shellcheck source=tools/private.sh
. "$here/../private.sh"

"$here/peers/build" "$build"
private_begin bench
export TALLY_BENCH_FOLDER=$room TALLY_BENCH_BUILD=$build TALLY_BENCH_PEERS=$here/peers
export TALLY_OVERFLOW=block TALLY_BLOCK_MS=20000
agent_start
# The first record makes the arena, and the agent its board.
"$build/tally" record --provider none --request-model none --input-tokens 0 || exit 1
if ! agent_await; then
    echo 'bench: the agent is not ready:' >&2
    tail -n 12 "$room/agent.log" >&2
    exit 1
fi

export TALLY_BENCH_AGENT=$agent

TALLY_BENCH_MACHINE="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors, Linux $(uname -r), $(stat -f -c %T "$room"), $(date -u +%F)"
export TALLY_BENCH_MACHINE
case " $* " in
*' --json '*) ;;
*) echo "tally benchmark on $TALLY_BENCH_MACHINE" ;;
esac
"$build/tools/bench/bench" "$@"
status=$?
if ! agent_stop; then
    echo 'bench: the agent did not end well:' >&2
    tail -n 12 "$room/agent.log" >&2
    exit 1
fi
exit "$status"
