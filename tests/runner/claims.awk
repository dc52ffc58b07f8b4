# What was claimed, and what became of it: a table in Markdown.
#
#   awk [-v all=1] -f claims.awk PROGRAMS RESULTS CLAIMS      all: also claims of which nothing was run
#
# PROGRAMS  the names of all programs that could have been run, one a line
# RESULTS   what tests/run saw: PROGRAM, TEST, then passed | failed | skipped and why | tries and NUMBER and WHAT, with
#           tabs between; the TEST of what concerns all of a program is empty
# CLAIMS    claim | how it was tried | PROGRAM[:TEST][, ...]     a # begins a comment
#
# A line `! WHY` is a claim that cannot be judged, which is an error: a check that cannot fail is a defect.
BEGIN { FS = "\t"; holds = failed = 0 }

FILENAME == ARGV[1] { known[$1] = 1; next }
FILENAME == ARGV[2] {
    ran[$1] = 1
    if ($3 == "tries") {
        count[$1, $2, ++lines[$1, $2]] = $4
        what[$1, $2, lines[$1, $2]] = $5
        said[$1, $2] = 1
    } else {
        verdict[$1, $2, $3]++
        if ($3 == "skipped")
            why[$1, $2] = $4
    }
    if (!(($1, $2) in seen)) {
        seen[$1, $2] = 1
        tests[$1, ++test_count[$1]] = $2
    }
    next
}

function trim(text) {
    gsub(/^[ \t]+|[ \t]+$/, "", text)
    return text
}

function grouped(number,    out) {
    number = sprintf("%.0f", number)
    while (length(number) > 3) {
        out = "," substr(number, length(number) - 2) out
        number = substr(number, 1, length(number) - 3)
    }
    return number out
}

function complain(text) {
    print "! " FILENAME ", line " FNR ": " text
    wrong = 1
}

# One test's part in a claim.
function add_test(program, test,    i, name) {
    if (verdict[program, test, "failed"])
        bad++
    if (verdict[program, test, "passed"])
        good++
    if (verdict[program, test, "skipped"]) {
        skips++
        reason = why[program, test]
    }
    for (i = 1; i <= lines[program, test]; i++) {
        name = what[program, test, i]
        if (!(name in sum))
            names[++name_count] = name
        sum[name] += count[program, test, i]
    }
}

# One entry of the list of programs. Whoever was skipped need not say how often it was tried.
function add_entry(entry,    program, test, colon, i, found, tried) {
    colon = index(entry, ":")
    program = colon ? substr(entry, 1, colon - 1) : entry
    test = colon ? substr(entry, colon + 1) : ""
    if (!(program in known)) {
        complain("there is no program " program)
        return
    }
    if (!(program in ran)) {
        missing++
        return
    }
    for (i = 1; i <= test_count[program]; i++) {
        if (test != "" && tests[program, i] != test && tests[program, i] != "")
            continue
        found += tests[program, i] == test || test == ""
        tried += (said[program, tests[program, i]] && (test == "" || tests[program, i] == test)) || \
                 verdict[program, tests[program, i], "skipped"]
        if (tests[program, i] == "" && test != "")
            bad += verdict[program, "", "failed"] > 0
        else
            add_test(program, tests[program, i])
    }
    if (!found && !bad && verdict[program, "(all)", "skipped"]) {
        skips++
        reason = why[program, "(all)"]
    } else if (!found && !bad)
        complain(program " has no test " test)
    else if (!tried && !bad)
        complain(entry " does not say how often it tried (tests/support/tries.h)")
}

/^[ \t]*(#|$)/ { next }
{
    parts = split($0, part, "|")
    wrong = bad = good = skips = missing = name_count = 0
    reason = ""
    split("", sum)
    split("", names)
    if (parts != 3 || trim(part[1]) == "" || trim(part[2]) == "" || trim(part[3]) == "") {
        complain("not of the form: claim | how it was tried | programs")
        next
    }
    entries = split(part[3], entry, ",")
    for (e = 1; e <= entries; e++)
        add_entry(trim(entry[e]))
    if (wrong || (missing == entries && !all))
        next
    tries = ""
    for (i = 1; i <= name_count; i++) {
        tries = tries (i > 1 ? ", " : "") grouped(sum[names[i]]) " " names[i]
        if (sum[names[i]] == 0 && !bad)
            complain("tried no " names[i])
    }
    result = bad ? "**FAILED**" : good ? "holds" : skips ? "skipped: " reason : "not run"
    if (good && !bad && skips)
        result = result "; in part skipped: " reason
    if (missing && missing < entries)
        result = result "; in part not run"
    if (!header++) {
        print "| claim | how it was tried | tries | result |"
        print "|---|---|---|---|"
    }
    print "| " trim(part[1]) " | " trim(part[2]) " | " tries " | " result " |"
}
