"""An answer as it goes over the wire: how it is coded, framed and cut, where it is held, and how it ends.

What a client wishes stands in a header, `x-standin: ID[,NAME=VALUE]...`, or in the query, `?x-standin=ID...`:

    framing=length|chunked|close   how the body's end is known; streams are chunked unless told, documents have a length
    chunk=N                        chunks of N bytes each, instead of one a piece
    write=N                        N bytes in each write to the connection, head included (over TLS: in each TLS record)
    coding=gzip|deflate|zlib|br|zstd
    hold=K                         after K pieces wait until the test says `release`
    cut=N                          after N bytes of the coded body the connection ends (end=reset: is reset)
    end=reset
    head=N                         N headers more, each of 60 bytes
    early=1                        100 Continue before the head; early=2: 103 Early Hints, too, which not every client can take
"""
import shutil
import subprocess
import zlib


class Unable(Exception):
    """What was wished for cannot be done here: the client is told 501."""


def parse_wish(text):
    words = text.split(",")
    return words[0].strip(), dict(word.strip().partition("=")[::2] for word in words[1:] if word.strip())


def by_program(name, body):
    program = shutil.which(name)
    if not program:
        raise Unable(f"there is no program {name}")
    return subprocess.run([program, "-c"], input=body, stdout=subprocess.PIPE, check=True).stdout


def encode(pieces, coding):
    """The coded pieces, flushed one by one where that can be had without a library: a hold then shows what came before it."""
    if coding in (None, "", "identity"):
        return pieces
    if coding in ("br", "zstd"):
        return [by_program({"br": "brotli", "zstd": "zstd"}[coding], b"".join(pieces))]
    window = {"gzip": 31, "zlib": 15, "deflate": -15}.get(coding)
    if window is None:
        raise Unable(f"no such coding: {coding}")
    packer = zlib.compressobj(6, zlib.DEFLATED, window)
    coded = [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
    return coded + [packer.flush()]


def chunked(data, size):
    size = size or len(data)
    return b"".join(b"%x\r\n%s\r\n" % (len(data[at:at + size]), data[at:at + size]) for at in range(0, len(data), size))


def head_of(exchange, wish, length):
    """Status line and headers; length None: chunked, -1: until the connection ends."""
    name = wish.get("coding")
    lines = [f"HTTP/1.1 {exchange.status} {'OK' if exchange.status < 400 else 'No'}",
             f"Content-Type: {exchange.content_type}", "Date: Sun, 01 Nov 2026 00:00:00 GMT", "Server: standin",
             f"X-Request-Id: {exchange.id}"]
    lines += [f"{key}: {value}" for key, value in exchange.headers.items()]
    lines += [f"X-Filler-{i:04d}: {'x' * 45}" for i in range(int(wish.get("head", 0)))]
    if name not in (None, "", "identity"):
        lines.append(f"Content-Encoding: {'deflate' if name == 'zlib' else name}")
    if length is None:
        lines.append("Transfer-Encoding: chunked")
    elif length >= 0:
        lines.append(f"Content-Length: {length}")
    if length == -1:
        lines.append("Connection: close")
    head = "\r\n".join(lines) + "\r\n\r\n"
    if wish.get("early") == "2":
        head = "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n" + head
    if wish.get("early"):
        head = "HTTP/1.1 100 Continue\r\n\r\n" + head
    return head.encode()


class Answer:
    """parts: bytes to be written one after another; after how many of them to wait; whether the connection then ends."""

    def __init__(self, exchange, wish, old_client=False):
        coded = encode(exchange.pieces, wish.get("coding"))
        framing = wish.get("framing") or ("chunked" if len(exchange.pieces) > 1 else "length")
        if old_client and framing == "chunked":
            framing = "close"
        self.hold = int(wish["hold"]) if "hold" in wish else None
        self.write = int(wish.get("write", 0))
        self.reset = wish.get("end") == "reset"
        self.ends = framing == "close" or "cut" in wish or self.reset
        cut = int(wish["cut"]) if "cut" in wish else None
        self.whole = cut is None
        length = {"length": sum(map(len, coded)), "chunked": None, "close": -1}[framing]
        self.body_bytes = 0
        self.head = head_of(exchange, wish, length)
        self.parts = []
        for piece in coded:
            if cut is not None:
                piece = piece[:max(0, cut - self.body_bytes)]
            self.body_bytes += len(piece)
            if piece or cut is None:
                self.parts.append(chunked(piece, int(wish.get("chunk", 0))) if framing == "chunked" else piece)
        if framing == "chunked" and self.whole:
            self.parts.append(b"0\r\n\r\n")
