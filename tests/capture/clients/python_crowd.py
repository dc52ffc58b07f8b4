"""24 threads, and processes that come and go beside them; every one makes calls. python_crowd.py SCHEME HTTPS-OR-HTTP-URL...

Says how many answers of each kind came, in all, and what its children said.
"""
import collections
import http.client
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from urllib.parse import urlsplit

THREADS, ROUNDS = 24, 4


def connect(url):
    parts = urlsplit(url)
    return (http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection)(parts.netloc), parts.path


def call(link, path, wish, body):
    link.request("POST", path, body, {"Content-Type": "application/json", "x-standin": wish, "x-tally-tags": f"kind={wish}"})
    response = link.getresponse()
    return f"{response.status} {wish} {len(response.read())}"


def several(wishes, count):
    """On one connection each."""
    said = []
    for wish, url in wishes:
        link, path = connect(url)
        said += [call(link, path, wish, json.dumps({"model": "m", "n": n})) for n in range(count)]
        link.close()
    return said


def child_of_fork(wish, link, path):
    """Goes on with the connection that its parent opened. It opens none: what another thread of its parent had locked in OpenSSL
    would stay locked here, with or without tally."""
    return len([call(link, path, wish, "{}") for _ in range(3)])


def thread(number, wishes, total, lock):
    said = several(wishes, ROUNDS)
    if number % 4 == 0:
        wish, url = wishes[0]
        done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", f"%{{http_code}} {wish} %{{size_download}}\n", "-H",
                               f"x-standin: {wish}", "-H", f"x-tally-tags: kind={wish}", "-d", "{}", url],
                              capture_output=True, text=True, check=True)
        said += done.stdout.splitlines()
    said += several(wishes, 1)
    with lock:
        total.update(said)


def main():
    words = sys.argv[1:]
    wishes = list(zip(words[::2], words[1::2]))
    total, lock = collections.Counter(), threading.Lock()
    pool = multiprocessing.get_context("fork").Pool(4)  # before there are threads
    threads = [threading.Thread(target=thread, args=(n, wishes, total, lock)) for n in range(THREADS)]
    for one in threads:
        one.start()
    # Forks in the midst of it.
    children = []
    for _ in range(8):
        link, path = connect(wishes[0][1])
        with lock:
            total[call(link, path, wishes[0][0], "{}")] += 1
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os._exit(child_of_fork(wishes[0][0], link, path))
        children.append(child)
        link.close()
    for said in pool.starmap(several, [(wishes, ROUNDS)] * 4):
        with lock:
            total.update(said)
    pool.close()
    pool.join()
    for one in threads:
        one.join()
    ends = collections.Counter(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    print(sorted(total.items()), sorted(ends.items()))


main()
