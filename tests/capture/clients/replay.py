"""Very many requests in one process, as tests/capture/test_exchanges.py asks: replay.py libcurl|http|bytes PLAN [N]

    libcurl   pycurl, one handle
    http      http.client, a connection for each host, kept alive
    bytes     a socket, which is read N bytes at a time; one connection a request

PLAN has one request a line, as JSON: wish, url, method, type, body, tags. Written to standard output: for each its status and the number of
bytes and the checksum of its answer's body, or what became of it.
"""
import http.client
import json
import socket
import ssl
import sys
import zlib
from urllib.parse import urlsplit


def requests(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            request = json.loads(line)
            request["headers"] = {"x-standin": request["wish"], "x-tally-tags": request["tags"],
                                  "Authorization": "Bearer sk-standin-secret"}
            if request["type"]:
                request["headers"]["Content-Type"] = request["type"]
            yield request


def say(*words):
    print(*words)


def by_libcurl(plan):
    import pycurl

    handle = pycurl.Curl()
    for request in plan:
        received = []
        handle.reset()
        handle.setopt(pycurl.URL, request["url"])
        handle.setopt(pycurl.ACCEPT_ENCODING, "")
        handle.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in request["headers"].items()] + ["Expect:"])
        if request["method"] == "POST":
            handle.setopt(pycurl.POST, 1)
            handle.setopt(pycurl.POSTFIELDS, request["body"].encode())
        else:
            handle.setopt(pycurl.CUSTOMREQUEST, request["method"])
        handle.setopt(pycurl.WRITEFUNCTION, received.append)
        handle.perform()
        body = b"".join(received)
        say(handle.getinfo(pycurl.RESPONSE_CODE), len(body), zlib.crc32(body))
    handle.close()


def by_http(plan):
    links = {}
    for request in plan:
        parts = urlsplit(request["url"])
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        link = links.setdefault((parts.scheme, parts.netloc), kind(parts.netloc))
        link.request(request["method"], parts.path + (f"?{parts.query}" if parts.query else ""), request["body"].encode(),
                     request["headers"])
        response = link.getresponse()
        body = response.read()
        say(response.status, len(body), zlib.crc32(body))


def by_bytes(plan, size):
    context = ssl.create_default_context()
    for request in plan:
        parts = urlsplit(request["url"])
        host, _, port = parts.netloc.partition(":")
        link = socket.create_connection((host, int(port or (443 if parts.scheme == "https" else 80))))
        if parts.scheme == "https":
            link = context.wrap_socket(link, server_hostname=host)
        body = request["body"].encode()
        headers = {"Host": parts.netloc, **request["headers"], "Content-Length": len(body), "Connection": "close"}
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        link.sendall((f"{request['method']} {target} HTTP/1.1\r\n"
                      + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode())
        link.sendall(body)
        received = []
        while piece := link.recv(size):
            received.append(piece)
        link.close()
        answer = b"".join(received)
        say(answer[9:12].decode(), len(answer), zlib.crc32(answer))


def main():
    how, plan = sys.argv[1], requests(sys.argv[2])
    if how == "libcurl":
        by_libcurl(plan)
    elif how == "http":
        by_http(plan)
    else:
        by_bytes(plan, int(sys.argv[3]))


if __name__ == "__main__":
    main()
