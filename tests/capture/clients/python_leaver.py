"""http.client, and a program that goes when it has read N bytes of its answer: python_leaver.py close|exit|exec N WISH URL FILE"""
import http.client
import os
import sys
from urllib.parse import urlsplit

import plan

how, size = sys.argv[1], int(sys.argv[2])
del sys.argv[1:3]
for url, headers, body in plan.requests():
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    link = kind(parts.netloc)
    link.request("POST", parts.path, body, headers)
    response = link.getresponse()
    while size > 0 and (piece := response.read1(size)):
        size -= len(piece)
    if how == "exec":
        os.execv("/bin/true", ["true"])
    if how == "exit":
        os._exit(3)
    response.close()
    link.close()
