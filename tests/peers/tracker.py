"""The usual tracker: a queue in the process and a thread that flushes it, here once a second and at exit.

    tracker.py DATABASE COUNTS INDEX RECORDS
"""
import atexit
import mmap
import queue
import sqlite3
import struct
import sys
import threading

database, counts, index, records = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
pending = queue.Queue()
leaving = threading.Event()


def flush():
    rows = []
    while not pending.empty():
        rows.append(pending.get())
    with sqlite3.connect(database, timeout=30) as connection:
        connection.executemany("INSERT INTO usage VALUES (?, ?, ?)", rows)


def run():
    while not leaving.wait(1.0):
        flush()


thread = threading.Thread(target=run, daemon=True)
thread.start()


@atexit.register
def leave():
    leaving.set()
    thread.join()
    flush()


with open(counts, "r+b") as file:
    shared = mmap.mmap(file.fileno(), 256)
number = 1
while records == 0 or number <= records:
    pending.put((index, number, "gpt-4o-mini"))
    struct.pack_into("=Q", shared, 8 * index, number)
    number += 1
