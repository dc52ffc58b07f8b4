"""Exchanges with providers: what is asked, and what comes back, as a list of pieces in which it would arrive.

Two kinds of files: recordings (*.jsonl, *.jsonl.gz, one exchange a line: ../shared/corpus/README.md), and the project's own
(*.json, a list), in which a response is one of

    "response": {..}              one document
    "events": [{..}, ..]          server-sent events; one that is a list is [name, data]; a text is sent as it is
    "lines": [{..}, ..]           newline-delimited documents
    "array": [{..}, ..]           one list, which arrives item by item
    "frames": [[type, {..}], ..]  Amazon's event stream; "wrapped": true puts payloads into {"bytes": base64}
    "text": ".."                  anything else

and "expect" says what an accountant should have found. "by_name": true is never chosen but by its name; "also" are other paths of
the same.
"""
import base64
import gzip
import json
import struct
import zlib
from urllib.parse import urlsplit


def aws_frame(kind, payload):
    """One message of application/vnd.amazon.eventstream: prelude, headers, payload, each with its checksum."""
    headers = b""
    for name, value in ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event")):
        headers += struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def compact(document):
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def event_bytes(event):
    if isinstance(event, str):
        return f"data: {event}\n\n".encode()
    if isinstance(event, list):
        return f"event: {event[0]}\n".encode() + b"data: " + compact(event[1]) + b"\n\n"
    return b"data: " + compact(event) + b"\n\n"


def frame_payload(document, wrapped):
    if not wrapped:
        return compact(document)
    return compact({"bytes": base64.b64encode(compact(document)).decode(), "p": "abcdefghijkl"})


def split_stream(body):
    """A recorded stream, parted after each empty line: as it was sent, more or less."""
    pieces, start = [], 0
    while start < len(body):
        end = min((at + len(mark) for mark in (b"\n\n", b"\r\n\r\n") if (at := body.find(mark, start)) >= 0),
                  default=len(body))
        pieces.append(body[start:end])
        start = end
    return pieces


def pieces_of(exchange):
    if "response_body" in exchange:
        body = exchange["response_body"].encode()
        return split_stream(body) if exchange.get("stream") else [body]
    if "response" in exchange:
        return [json.dumps(exchange["response"], indent=2, ensure_ascii=False).encode()]
    if "events" in exchange:
        return [event_bytes(event) for event in exchange["events"]]
    if "lines" in exchange:
        return [compact(line) + b"\n" for line in exchange["lines"]]
    if "array" in exchange:
        items = exchange["array"]
        return [(b"[" if i == 0 else b",\r\n") + compact(item) + (b"]" if i == len(items) - 1 else b"")
                for i, item in enumerate(items)]
    if "frames" in exchange:
        return [aws_frame(kind, frame_payload(document, exchange.get("wrapped"))) for kind, document in exchange["frames"]]
    return [exchange.get("text", "").encode()]


class Exchange:
    def __init__(self, row):
        self.row = row
        self.id = row["id"]
        self.url = row["url"]
        parts = urlsplit(row["url"])
        self.host = parts.netloc
        self.path = parts.path
        self.target = parts.path + (f"?{parts.query}" if parts.query else "")
        self.method = row.get("method", "POST").upper()
        self.status = row.get("status", 200)
        self.content_type = row.get("content_type", "application/json")
        self.headers = row.get("headers", {})
        self.pieces = pieces_of(row)
        self.expect = row.get("expect") or {}
        self.usage = row.get("usage") if "usage" in row else self.expect.get("usage")

    @property
    def body(self):
        return b"".join(self.pieces)

    @property
    def streams(self):
        return len(self.pieces) > 1

    def request_bytes(self):
        if "request" in self.row:
            return compact(self.row["request"])
        return (self.row.get("request_body") or "").encode()

    def request_type(self):
        body = self.request_bytes()
        if body.startswith(b"--"):
            return "multipart/form-data; boundary=" + body[2:].split(b"\r\n", 1)[0].decode()
        if body.startswith(b"grant_type=") or body.startswith(b"assertion="):
            return "application/x-www-form-urlencoded"
        return "application/json"


def load(path):
    if path.endswith(".json"):
        with open(path, encoding="utf-8") as file:
            return [Exchange(row) for row in json.load(file)]
    with (gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8")) as file:
        return [Exchange(json.loads(line)) for line in file]
