#!/usr/bin/env bash
# The benchmark: its JSON is a document that says what was aimed for, whoever forks while it is written; pictures and the table of
# goals are made from it. What it measures is nobody's business here: a hundredth of the rounds.
set -u
# shellcheck source=tests/support/tap.sh
. "$TALLY_TEST_SOURCE/tests/support/tap.sh"
tools=$TALLY_TEST_SOURCE/tools/bench
json=$TMPDIR/bench.json

measures() { # those parts that fork, start agents of their own, fill a database
    "$tools/bench.sh" "$TALLY_TEST_BUILD" --scale 1 --only bursts,pairs,shutdown,disk,end-to-end,growth,python --json-to "$json" \
        >"$TMPDIR/table" 2>&1 || { tail -n 20 "$TMPDIR/table" && return 1; }
    grep -q '^Goals$' "$TMPDIR/table"
}
is_a_document() {
    python3 -m json.tool "$json" >/dev/null && python3 - "$json" <<'END'
import json, sys
document = json.load(open(sys.argv[1]))
goals = {goal["measure"]: goal for goal in document["goals"]}
named = [("bursts", "a record of 128 bytes, bursts"), ("pairs", "the same from two processes"),
         ("end-to-end", "durable end to end, one agent, 16 writers"), ("growth", "a report by model over 10 million calls")]
missing = [measure for _, measure in named if measure not in goals]
states = {goal["state"] for goal in document["goals"]} - {"met", "NOT met", "stated", "not measured"}
numbers = [row for row in document["results"] if not ({"note", "missing"} & row.keys()) and not row["median"] > -1e12]
names = [(row["part"], row.get("name"), row.get("note")) for row in document["results"]]
print(missing, states, numbers, len(names), len(set(names)))
sys.exit(bool(missing or states or numbers or document["schema"] != 2 or len(names) != len(set(names))))
END
}
prints_json() { # on standard output, and nothing but that
    "$tools/bench.sh" "$TALLY_TEST_BUILD" --scale 1 --only bursts --json 2>/dev/null | python3 -m json.tool >/dev/null
}
lists_goals() {
    "$tools/goals" "$json" >"$TMPDIR/goals.md" && grep -q '^| the same from two processes | within 1.15 x of one | ' "$TMPDIR/goals.md"
}
draws() {
    mkdir "$TMPDIR/pictures" && "$tools/plot" "$json" "$TMPDIR/pictures" || return 1
    for picture in bursts python; do
        [ "$(head -c 8 "$TMPDIR/pictures/$picture.png" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ] || return 1
    done
}

check 'parts are measured, the table ends with goals' measures
check 'the JSON is a document, each result in it once' is_a_document
check '--json prints a document' prints_json
check 'goals are a table in Markdown' lists_goals
if command -v gnuplot >/dev/null; then
    check 'pictures are drawn' draws
else
    skip 'pictures are drawn' 'gnuplot is not installed'
fi
rm -rf "$TMPDIR/pictures" "$TMPDIR/table" "$TMPDIR/goals.md" "$json"
finish
