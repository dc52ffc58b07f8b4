#!/usr/bin/env bash
# Break what the invariants of DESIGN rest on, one patch of tests/mutations at a time, in the library, the agent, the ledger
# and the command; the test that the patch names has to fail. Then the suite is known to notice.
#
#   tests/run --build build tests/build/test_mutations.sh     as a test; TALLY_TEST_LONG=1: all patches
#   TALLY_MUTATIONS='NAME...'                                 these patches alone
#
# A patch begins with a sentence and lines `invariant: N` and `noticed by: PROGRAM FILTER`; `long: yes` keeps it for the long
# form. Each is applied to a copy of the source beside a copy of the build, so that only what it touches is built
# anew. Not to apply, not to build, to be skipped: none of these counts as noticed.
set -u
# shellcheck source=tests/support/tap.sh
. "$TALLY_TEST_SOURCE/tests/support/tap.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/tally-mutations.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
mkdir "$work/said" "$work/verdict" "$work/took"
jobs=$(nproc)
timeout=600 # a test waits for a minute before it gives something up, and the machine may be busy
# What the make above us was told is not meant for the copies.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES BUILD

field() {
    sed -n "/^--- /q; s/^$2: //p" "$1"
}

# The tree that is broken: sources, and what has been built of them. Times stay, or all would be built again.
copy_tree() {
    local part prefix
    mkdir -p "$work/whole/build"
    for part in Makefile include shim agent tools tests; do
        cp -a "$TALLY_TEST_SOURCE/$part" "$work/whole/" || return 1
    done
    for part in agent shim tests tools flags libtally.a libtally.so libtally.so.0 libagent.a libtools.a tallyd tally; do
        [ ! -e "$TALLY_TEST_BUILD/$part" ] || cp -a "$TALLY_TEST_BUILD/$part" "$work/whole/build/" || return 1
    done
    cp -a "$TALLY_TEST_BUILD"/libtally.so.*.*.* "$work/whole/build/"
    chmod -R u+w "$work/whole"
    # Dependencies name the folder that the build stands in.
    prefix=$(sed -n 's|^\(.*\)/shim/lane\.o:.*|\1|p' "$TALLY_TEST_BUILD/shim/lane.d")
    [ -n "$prefix" ] && find "$work/whole/build" -name '*.d' -exec sed -i "s|$prefix/|build/|g" {} +
}

# targets PROGRAM: what has to be built for it
targets() {
    local helper
    case $1 in
    unit/*) echo "build/tests/$1" ;;
    build/*) ;;
    *)
        echo "all build/tests/$1"
        for helper in "$TALLY_TEST_SOURCE"/tests/programs/*.c; do
            helper=$(basename "$helper" .c)
            echo "build/tests/programs/$helper build/tests/programs/$helper-static"
        done
        ;;
    esac
}

# run_in TREE PROGRAM FILTER: build it and run it there. Status 2: it cannot be built.
run_in() {
    local path=build/tests/$2
    # shellcheck disable=SC2046 # several
    (cd "$1" && make -s BUILD=build build/tests/runner/contain $(targets "$2")) || return 2
    case $2 in build/*) path=tests/$2.sh ;; esac
    # In its short form: that has to notice.
    (cd "$1" && env -u TALLY_TEST_LONG TALLY_TEST_FILTER="$3" tests/run --build build --timeout "$timeout" "$path")
}

# What became of one run: passed, failed, or neither.
verdict() {
    local passed failed
    read -r passed failed < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, [0-9]* skipped$/\1 \2/p' "$1" | tail -n 1)
    if [ "${failed:-0}" -gt 0 ]; then
        echo failed
    elif [ "${passed:-0}" -gt 0 ]; then
        echo passed
    else
        echo 'nothing was tried'
    fi
}

# unbroken NUMBER PROGRAM FILTER; broken NUMBER PATCH: in the background, one line in $work/verdict/NUMBER
unbroken() {
    SECONDS=0
    run_in "$work/whole" "$2" "$3" >"$work/said/$1" 2>&1
    verdict "$work/said/$1" >"$work/verdict/$1"
    echo "$SECONDS" >"$work/took/$1"
}
broken() {
    local tree=$work/tree.$1 said=$work/said/$1 program filter status=0
    SECONDS=0
    read -r program filter < <(field "$2" 'noticed by')
    cp -a "$work/whole" "$tree"
    if ! patch -s -p1 -F0 --no-backup-if-mismatch -d "$tree" <"$2" >"$said" 2>&1; then
        echo 'the patch does not apply any more: mend it' >"$work/verdict/$1"
    else
        run_in "$tree" "$program" "$filter" >"$said" 2>&1 || status=$?
        if [ "$status" -eq 2 ]; then
            echo 'it cannot be built' >"$work/verdict/$1"
        else
            verdict "$said" >"$work/verdict/$1"
        fi
    fi
    rm -rf "$tree"
    echo "$SECONDS" >"$work/took/$1"
}

running=0
in_background() {
    [ "$running" -lt "$jobs" ] || { wait -n && running=$((running - 1)); }
    "$@" &
    running=$((running + 1))
}

# Says WANTED or fails with what was said.
expect() {
    local got
    got=$(cat "$work/verdict/$2" 2>/dev/null)
    if [ "$got" = "$1" ]; then
        tap_result 0 "$3" ''
        echo "# $(cat "$work/took/$2") s"
        return 0
    fi
    tap_result 1 "$3" "$got$(echo && tail -n 40 "$work/said/$2")"
    return 1
}

patches=()
for patch in "$TALLY_TEST_SOURCE"/tests/mutations/*.patch; do
    name=$(basename "$patch" .patch)
    if [ -n "${TALLY_MUTATIONS:-}" ]; then
        [[ " $TALLY_MUTATIONS " != *" $name "* ]] || patches+=("$patch")
    elif [ -n "${TALLY_TEST_LONG:-}" ] || [ "$(field "$patch" long)" != yes ]; then
        patches+=("$patch")
    fi
done

if ! copy_tree >"$work/copied" 2>&1; then
    tap_result 1 'the tree can be copied' "$(cat "$work/copied")"
    finish
fi
mapfile -t tests < <(for patch in "${patches[@]}"; do field "$patch" 'noticed by'; done | sort -u)
# All at once and before they run: they share a tree.
mapfile -t wanted < <(for test in "${tests[@]}"; do targets "${test%% *}"; done | tr ' ' '\n' | sort -u)
if ! (cd "$work/whole" && make -s -j"$jobs" BUILD=build build/tests/runner/contain "${wanted[@]}") >"$work/built" 2>&1; then
    tap_result 1 'the unbroken tree can be built' "$(tail -n 40 "$work/built")"
    finish
fi
number=0
for test in "${tests[@]}"; do
    in_background unbroken $((number += 1)) "${test%% *}" "${test#* }"
done
for patch in "${patches[@]}"; do
    in_background broken $((number += 1)) "$patch"
done
wait

number=0 caught=0
for test in "${tests[@]}"; do
    expect passed $((number += 1)) "unbroken: $test passes"
done
for patch in "${patches[@]}"; do
    expect failed $((number += 1)) "invariant $(field "$patch" invariant): $(basename "$patch" .patch): $(field "$patch" 'noticed by') fails" &&
        caught=$((caught + 1))
done
echo "# tries: $caught mutations caught"
finish
