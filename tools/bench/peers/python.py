"""Contenders in Python: tally through ctypes, and the usual tracker, a queue in the process and a thread that empties it.

    python.py tally|call LIBRARY      tally_record(); of a ctypes call alone: tally_version()
    python.py tracker DATABASE

They speak as peers/order.h says.
"""
import ctypes
import queue
import sqlite3
import sys
import threading
import time

TEXTS = ("provider operation request_model response_model response_id service_tier server_address error_type "
         "user team project session key_fingerprint trace_id span_id tags").split()
NUMBERS = ("input_tokens output_tokens cache_read_tokens cache_write_5m_tokens cache_write_1h_tokens "
           "reasoning_tokens input_audio_tokens output_audio_tokens input_image_tokens output_image_tokens "
           "start_time_unix_ns duration_ns time_to_first_token_ns provider_cost_picodollars").split()


class Usage(ctypes.Structure):
    """struct tally_usage of tally.h."""
    _fields_ = ([("size", ctypes.c_uint32), ("flags", ctypes.c_uint32)]
                + [(name, ctypes.c_char_p) for name in TEXTS]
                + [(name, ctypes.c_int64) for name in NUMBERS]
                + [("status", ctypes.c_int32), ("http_status", ctypes.c_int32),
                   ("usage_json", ctypes.c_char_p), ("usage_json_length", ctypes.c_size_t)])


def tally(path):
    # The interpreter's lock is kept (PyDLL): giving it up and taking it again costs more than the call, which does not wait.
    tally_record = ctypes.PyDLL(path).tally_record
    tally_shutdown = ctypes.CDLL(path).tally_shutdown  # which does
    usage = Usage(size=ctypes.sizeof(Usage), http_status=-1, status=0, **{name: -1 for name in NUMBERS})
    usage.provider, usage.operation, usage.request_model, usage.team = b"openai", b"chat", b"gpt-4o-mini", b"search"
    reference = ctypes.byref(usage)
    # Numbers that differ from call to call go through a view, which costs less than a structure's attributes.
    numbers = memoryview(usage).cast("B").cast("q")
    at_input, at_output, at_duration = (getattr(Usage, name).offset // 8
                                        for name in ("input_tokens", "output_tokens", "duration_ns"))

    def record(number):
        numbers[at_input] = number
        numbers[at_output] = 64
        numbers[at_duration] = 900000000
        if tally_record(reference):
            raise SystemExit("tally_record failed")

    def await_reader():
        if tally_shutdown(20000) != 1:
            raise SystemExit("the agent did not take the records within 20 s")

    return record, await_reader


def call(path):
    version = ctypes.PyDLL(path).tally_version
    return (lambda number: version()), (lambda: None)


def tracker(path):
    pending = queue.Queue()

    def flush(connection, rows):
        with connection:
            connection.executemany("INSERT INTO usage VALUES (:time, :provider, :operation, :model, :team, :input, "
                                   ":output, :duration)", rows)
        rows.clear()

    def run():
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE usage (time, provider, operation, model, team, input, output, duration)")
        rows, since = [], time.monotonic()
        while True:
            try:
                row = pending.get(timeout=0.5)
                if row is not None:
                    rows.append(row)
                if row is None or len(rows) >= 100 or time.monotonic() - since > 0.5:
                    flush(connection, rows)
                    since = time.monotonic()
                pending.task_done()
            except queue.Empty:
                flush(connection, rows)
                since = time.monotonic()

    threading.Thread(target=run, daemon=True).start()

    def record(number):
        pending.put({"time": time.time_ns(), "provider": "openai", "operation": "chat", "model": "gpt-4o-mini",
                     "team": "search", "input": number, "output": 64, "duration": 900000000})

    def await_reader():
        pending.put(None)
        pending.join()

    return record, await_reader


def paced(record, count):
    now = time.perf_counter_ns
    start, answers = now(), []
    for number in range(count):
        time.sleep(max(0, start + (number + 1) * 1000000 - now()) / 1e9)
        before = now()
        record(number)
        answers.append(now() - before)
    return answers


def burst(record, count):
    start = time.perf_counter_ns()
    for number in range(count):
        record(number)
    return [time.perf_counter_ns() - start]


def processor(record, count, await_reader):
    """Until the reader has it all: a tracker's thread is the program's own, and takes the interpreter from it."""
    start = time.process_time_ns()
    burst(record, count)
    await_reader()
    return [time.process_time_ns() - start]


def main():
    kind, argument = sys.argv[1], sys.argv[2]
    record, await_reader = {"tally": tally, "call": call, "tracker": tracker}[kind](argument)
    burst(record, 2)
    await_reader()
    print("ready", flush=True)
    for order in sys.stdin:
        count = int(order[1:])
        if order[0] == "c":
            answers = processor(record, count, await_reader)
        else:
            answers = (burst if order[0] == "b" else paced)(record, count)
            await_reader()
        print(*answers, flush=True)


main()
