#!/usr/bin/env python3
"""Stands in for providers of language models: replays exchanges over HTTP/1.1, with TLS and without. See README.md.

    standin.py --ask SOCKET QUESTION
    standin.py --control SOCKET [--http ADDRESS:PORT]... [--tls ADDRESS:PORT --certificate FILE --key FILE] EXCHANGES...

Says "ready {..}" on standard output when it listens; ends when standard input does, or by SIGTERM.
"""
import argparse
import json
import os
import signal
import socket
import ssl
import struct
import sys
import threading
from urllib.parse import parse_qs, urlsplit

import answer
import exchanges

HOLD_MAX = 120  # seconds; a test that forgot to release gets its connection cut


class Log:
    """What was served, and who waits: for the test to ask. All under one lock."""

    def __init__(self):
        self.changed = threading.Condition()
        self.rows = []
        self.held = {}  # number of a row: Event

    def begin(self, **row):
        with self.changed:
            row.update(number=len(self.rows), body_bytes=0, wire_bytes=0, done=False, whole=False)
            self.rows.append(row)
            self.changed.notify_all()
            return row

    def update(self, row, **news):
        with self.changed:
            row.update(news)
            self.changed.notify_all()

    def hold(self, row):
        release = threading.Event()
        with self.changed:
            self.held[row["number"]] = release
            self.changed.notify_all()
        released = release.wait(HOLD_MAX)
        with self.changed:
            self.held.pop(row["number"], None)
        return released


class Catalogue:
    def __init__(self, paths):
        self.all = [exchange for path in paths for exchange in exchanges.load(path)]
        self.by_id = {exchange.id: exchange for exchange in self.all}

    def choose(self, host, path, wants_stream):
        """For clients that cannot say which: the first for this host and path that streams as was asked."""
        fitting = [e for e in self.all if path in [e.path, *e.row.get("also", [])] and e.host.split(":")[0] == host
                   and not e.row.get("by_name")]
        return next((e for e in fitting if e.streams == wants_stream), fitting[0] if fitting else None)


class Connection(threading.Thread):
    def __init__(self, stand, raw, context):
        super().__init__(daemon=True)
        self.stand, self.raw, self.context = stand, raw, context
        self.link = self.input = None

    def run(self):
        try:
            self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.link = self.context.wrap_socket(self.raw, server_side=True) if self.context else self.raw
            self.input = self.link.makefile("rb")
            while self.serve_one():
                pass
        except (OSError, ValueError):
            pass  # the client went away: what was served by then stands in the log
        finally:
            self.close()

    def close(self):
        for thing in (self.input, self.link, self.raw):
            try:
                if thing:
                    thing.close()
            except OSError:
                pass

    # ---- a request

    def read_head(self):
        line = self.input.readline(65536)
        words = line.split()
        if len(words) != 3:
            return None
        headers = {}
        while (line := self.input.readline(65536)) not in (b"\r\n", b"\n", b""):
            name, _, value = line.partition(b":")
            headers[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")
        return [word.decode("latin-1") for word in words], headers

    def read_body(self, headers):
        if headers.get("expect", "").lower() == "100-continue":
            self.link.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.input.readline(1024).split(b";")[0], 16):
                body += self.input.read(size)
                self.input.readline(8)
            while self.input.readline(65536) not in (b"\r\n", b""):
                pass
            return body
        return self.input.read(int(headers.get("content-length", 0)))

    # ---- its answer

    def find(self, target, headers, body):
        parts = urlsplit(target)
        text = headers.get("x-standin") or parse_qs(parts.query).get("x-standin", [""])[0]
        name, wish = answer.parse_wish(text)
        if name:
            return self.stand.catalogue.by_id.get(name), wish
        streams = "stream" in parts.path.rsplit("/", 1)[-1].lower()
        try:
            asked = json.loads(body)
            streams = streams or bool(asked.get("stream", parts.path in ("/api/chat", "/api/generate")))
        except (ValueError, AttributeError):
            pass
        return self.stand.catalogue.choose(headers.get("host", "").split(":")[0], parts.path, streams), wish

    def serve_one(self):
        head = self.read_head()
        if not head:
            return False
        (method, target, version), headers = head
        body = self.read_body(headers)
        exchange, wish = self.find(target, headers, body)
        row = self.stand.log.begin(exchange=exchange.id if exchange else None, method=method, target=target,
                                   host=headers.get("host"), tls=self.context is not None, version=version,
                                   agent=headers.get("user-agent"), coding=headers.get("accept-encoding"),
                                   request_bytes=len(body), request_intact=exchange is not None and
                                   body == exchange.request_bytes())
        if not exchange:
            return self.refuse(row, 404, "no such exchange")
        try:
            plan = answer.Answer(exchange, wish, old_client=version == "HTTP/1.0")
        except answer.Unable as why:
            return self.refuse(row, 501, str(why))
        self.stand.log.update(row, status=exchange.status)
        self.send(row, plan)
        if plan.reset:
            # With the data sent and nothing lingering, closing is a reset.
            self.link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        keep = not plan.ends and headers.get("connection", "").lower() != "close" and version != "HTTP/1.0"
        if not keep and self.context and not plan.reset and plan.whole:
            self.raw = self.link.unwrap()
        return keep

    def refuse(self, row, status, why):
        body = json.dumps({"error": {"message": why, "type": "standin"}}).encode()
        self.link.sendall(b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" %
                          (status, len(body), body))
        self.stand.log.update(row, status=status, done=True, whole=True, body_bytes=len(body))
        return True

    def send(self, row, plan):
        sent = 0
        held = plan.hold is None
        waiting = plan.head
        for number, part in enumerate(plan.parts):
            if not held and number == plan.hold:
                sent += self.write(waiting, plan.write)
                self.stand.log.update(row, wire_bytes=sent)
                waiting, held = b"", True
                if not self.stand.log.hold(row):
                    raise OSError("never released")
            waiting += part
            # Events leave one by one, as a model would speak; a document at once, with its head.
            if len(plan.parts) > 2 or len(waiting) > 1 << 16:
                sent += self.write(waiting, plan.write)
                waiting = b""
        sent += self.write(waiting, plan.write)
        self.stand.log.update(row, wire_bytes=sent, body_bytes=plan.body_bytes, done=True, whole=plan.whole)

    def write(self, data, size):
        for at in range(0, len(data), size or max(1, len(data))):
            self.link.sendall(data[at:at + size] if size else data)
        return len(data)


class Standin:
    def __init__(self, paths):
        self.catalogue = Catalogue(paths)
        self.log = Log()

    def listen(self, address, context=None):
        host, _, port = address.rpartition(":")
        listener = socket.create_server((host, int(port)), backlog=256)
        threading.Thread(target=self.accept, args=(listener, context), daemon=True).start()
        return listener.getsockname()[1]

    def accept(self, listener, context):
        while True:
            Connection(self, listener.accept()[0], context).start()

    # ---- the test's questions

    def control(self, path):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen(16)
        threading.Thread(target=self.accept_control, args=(listener,), daemon=True).start()

    def accept_control(self, listener):
        while True:
            threading.Thread(target=self.talk, args=(listener.accept()[0],), daemon=True).start()

    def talk(self, link):
        with link, link.makefile("rw", encoding="utf-8") as lines:
            for line in lines:
                try:
                    reply = self.ask(json.loads(line))
                except (KeyError, ValueError, TypeError) as why:
                    reply = {"error": repr(why)}
                lines.write(json.dumps(reply) + "\n")
                lines.flush()

    def ask(self, question):
        log = self.log
        op, since = question["op"], question.get("since", 0)
        timeout = min(question.get("timeout", 60), 600)
        with log.changed:
            if op == "served":  # rows since, once there are `count` of them and all are done
                def enough():
                    rows = log.rows[since:]
                    return len(rows) >= question.get("count", 0) and (
                        not question.get("done") or all(row["done"] for row in rows))
                log.changed.wait_for(enough, timeout)
                return {"rows": log.rows[since:], "next": len(log.rows)}
            if op == "held":  # numbers of those who wait, once there are `count` of them
                log.changed.wait_for(lambda: len(log.held) >= question.get("count", 1), timeout)
                return {"held": sorted(log.held)}
            if op == "used":  # what answers that were sent whole say has been used, in sum
                whole = [self.catalogue.by_id[row["exchange"]].usage for row in log.rows if row["whole"] and row["exchange"]]
                return {"answers": len(whole), **{name: sum((usage or {}).get(name, 0) for usage in whole)
                                                  for name in ("input", "output")}}
            if op == "release":
                numbers = question.get("numbers", list(log.held))
                for number in numbers:
                    if number in log.held:
                        log.held[number].set()
                return {"released": numbers}
        return {"error": f"no such question: {op}"}


def ask(path, question):
    """For scripts: one question, its answer on standard output."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(path)
        with link.makefile("rw", encoding="utf-8") as lines:
            lines.write(question + "\n")
            lines.flush()
            print(lines.readline(), end="")


def main():
    if sys.argv[1:2] == ["--ask"] and len(sys.argv) == 4:
        ask(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", required=True)
    parser.add_argument("--http", action="append", default=[])
    parser.add_argument("--tls")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("exchanges", nargs="+")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    stand = Standin(options.exchanges)
    ports = {}
    for address in options.http:
        ports["http"] = stand.listen(address)
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
        context.set_alpn_protocols(["http/1.1"])
        ports["tls"] = stand.listen(options.tls, context)
    stand.control(options.control)
    print("ready " + json.dumps({**ports, "exchanges": len(stand.catalogue.all)}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
