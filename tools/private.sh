# shellcheck shell=bash
# Sourced by the demo and the benchmark: an arena, a state folder and an agent of their own, gone
# at exit however that comes.
#
#   private_begin NAME   makes $room, $arena, exports TALLY_ARENA and TALLY_STATE_DIR, sets the traps
#   agent_start, agent_await, agent_kill, agent_stop; tallyd's options in the array agent_options
#   wait_at_most SECONDS COMMAND...
#
# $build is the caller's; it may put pids of its own into the array private_pids.
: "${build:?the folder of the build}"
room='' arena='' agent='' agent_options=() private_pids=()

private_begin() {
    local name
    # What the user's shell says about tally and its clients is not meant here.
    for name in $(compgen -e | grep -E '^(TALLY|OTEL)_'); do
        unset "$name"
    done
    room=$(mktemp -d "${TMPDIR:-/tmp}/tally-$1.XXXXXX") || exit 1
    arena=/tally-$1-$$-$RANDOM.v1
    export TALLY_ARENA=$arena TALLY_STATE_DIR=$room/state
    trap private_end EXIT
    trap 'echo interrupted >&2; exit 130' INT TERM HUP
    mkdir -m 700 "$TALLY_STATE_DIR" || exit 1
}

private_end() {
    local pid
    trap - EXIT
    trap '' INT TERM HUP
    for pid in "${private_pids[@]+"${private_pids[@]}"}" $agent; do
        kill -TERM "$pid" 2>/dev/null
        wait_at_most 10 is_gone "$pid" || kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    rm -rf "$room" "/dev/shm$arena" "/dev/shm$arena."*
}

wait_at_most() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

is_gone() { # a child that has ended but was not waited for counts as gone
    local state
    state=$(sed -E 's/.*\) (.).*/\1/' "/proc/$1/stat" 2>/dev/null) || return 0
    [ "$state" = Z ]
}

agent_start() {
    "$build/tallyd" --foreground "${agent_options[@]+"${agent_options[@]}"}" >>"$room/agent.log" 2>&1 &
    agent=$!
}

# It is ready when its board is there, which says that it serves this arena.
agent_await() {
    wait_at_most 20 agent_serves_or_is_gone && ! is_gone "$agent"
}
agent_serves_or_is_gone() {
    is_gone "$agent" || [ -s "/dev/shm$arena.board" ]
}

agent_kill() {
    kill -KILL "$agent" || return 1
    wait "$agent" 2>/dev/null
    agent=''
}

agent_stop() { # as systemd would; its exit status
    local pid=$agent
    agent=''
    kill -TERM "$pid"
    wait "$pid"
}
