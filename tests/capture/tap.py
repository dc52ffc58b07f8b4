"""What the tests of this folder have in common: results in TAP, and how a test says no."""
import sys
import time

DEADLINE = 60  # seconds, for anything that should happen


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def expect(truth, what):
    if not truth:
        raise Failure(what)


def wait_for(condition, what):
    """Waits for the event, not for a time: what it yields when it is true."""
    end = time.monotonic() + DEADLINE
    while not (value := condition()):
        expect(time.monotonic() < end, f"waited {DEADLINE} s in vain for {what}")
        time.sleep(0.01)
    return value


def note(text):
    print(f"# note: {text}", flush=True)


def tries(number, what):
    print(f"# tries: {number} {what}", flush=True)


def run(tests):
    """tests: (name, callable) each. The exit status."""
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    for index, (name, test) in enumerate(tests, 1):
        try:
            test()
            print(f"ok {index} - {name}")
        except Skip as why:
            print(f"ok {index} - {name} # SKIP {why}")
        except Failure as why:
            print("# " + str(why).replace("\n", "\n# "))
            print(f"not ok {index} - {name}")
            failed += 1
        sys.stdout.flush()
    return 1 if failed else 0
