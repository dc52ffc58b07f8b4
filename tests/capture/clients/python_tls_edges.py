"""TLS at its edges, by Python's ssl module and by libssl itself, found by its handle. What is printed is the same in every run; lines that begin with
"expect" say what should be counted: a status, and input tokens if the answer came.

    python_tls_edges.py SITUATION
"""
import ctypes
import hashlib
import json
import os
import select
import socket
import ssl
import sys
import threading

HOST = "api.openai.com"
TOKENS = {"openai-chat": 1117, "openai-stream": 14}


def request(wish, size=0):
    body = json.dumps({"model": "gpt-5-mini", "messages": [{"role": "user", "content": "x" * size}],
                       "stream": wish.startswith("openai-stream")}).encode()
    return (f"POST /v1/chat/completions HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nx-standin: {wish}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def whole(data):
    """Whether it is one whole answer."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return False
    if b"chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return len(body) >= int(length[0].split(b":")[1])


def say(wish, data, status="ok"):
    tokens = TOKENS[wish.split(",")[0]] if status == "ok" else ""
    print(len(data), hashlib.sha256(data).hexdigest()[:16])
    print("expect", status, tokens)


def dial():
    return socket.create_connection((HOST, 443))


def connect(**settings):
    return ssl.create_default_context().wrap_socket(dial(), server_hostname=HOST, **settings)


def read_all(link, size=65536):
    data = b""
    while not whole(data):
        piece = link.recv(size)
        if not piece:
            break
        data += piece
    return data


# ---- Python's ssl --------------------------------------------------------------------------------------


def kept_alive():
    """Many calls on one connection, read in pieces of all sizes, peeked at, into buffers."""
    with connect() as link:
        for size in (1, 7, 1460, 65536):
            for wish in TOKENS:
                link.sendall(request(wish))
                link.pending()
                say(wish, read_all(link, size))
        link.sendall(request("openai-chat"))
        room, length = bytearray(65536), 0
        while not whole(bytes(room[:length])):
            length += link.recv_into(memoryview(room)[length:], 100)
        say("openai-chat", bytes(room[:length]))


def memory():
    """As asyncio does it: no socket is known to libssl, and bytes come one by one."""
    raw, incoming, outgoing = dial(), ssl.MemoryBIO(), ssl.MemoryBIO()
    link = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=HOST)

    def turn(step):
        while True:
            try:
                result = step()
                raw.sendall(outgoing.read())
                return result
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(1))

    turn(link.do_handshake)
    for wish in TOKENS:
        turn(lambda w=wish: link.write(request(w)))
        data = b""
        while not whole(data):
            data += turn(lambda: link.read(50))
        say(wish, data)
    raw.close()


def partial():
    """A megabyte through a small buffer, without waiting: the same bytes are given again and again."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    raw.connect((HOST, 443))
    with ssl.create_default_context().wrap_socket(raw, server_hostname=HOST) as link:
        link.setblocking(False)
        for wish in TOKENS:
            data, rest = b"", memoryview(request(wish, 1 << 20))
            while rest:
                try:
                    rest = rest[link.send(rest):]
                except ssl.SSLWantWriteError:
                    select.select([], [link], [])
                except ssl.SSLWantReadError:
                    select.select([link], [], [])
            while not whole(data):
                try:
                    data += link.recv(4096)
                except ssl.SSLWantReadError:
                    select.select([link], [], [])
            say(wish, data)


def cut():
    """The provider leaves in the middle: with and without a word, or by a reset."""
    for how in ("cut=20", "cut=20,end=reset"):
        for suppress in (True, False):
            with connect(suppress_ragged_eofs=suppress) as link:
                link.sendall(request(f"openai-chat,{how}"))
                try:
                    data = read_all(link)
                except OSError as error:
                    print(type(error).__name__, error.errno, error.strerror)
                    data = b""
                say("openai-chat", data[-20:], "error")


def left():
    """The program leaves in the middle."""
    for how in ("close", "unwrap", "shutdown", "forget"):
        link = connect()
        link.sendall(request("openai-stream"))
        data = link.recv(20)
        if how == "unwrap":
            try:
                link.unwrap()
            except OSError as error:
                print(type(error).__name__)
        elif how == "shutdown":
            link.shutdown(socket.SHUT_RDWR)
        if how != "forget":
            link.close()
        del link
        say("openai-stream", data, "cancelled")


def crowd():
    """Threads with connections of their own, which fork children that close theirs."""
    results = {}

    def work(number):
        link = connect()
        for turn in range(4):
            link.sendall(request("openai-stream"))
            if turn % 2:
                child = os.fork()
                if not child:
                    link.close()
                    os._exit(0)
                os.waitpid(child, 0)
            results[number, turn] = read_all(link)
        link.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for key in sorted(results):
        say("openai-stream", results[key])


# ---- libssl by its handle ----------------------------------------------------------------------------------


def by_handle():
    """As .NET and foreign function interfaces do it; the functions with and without _ex, and no error left behind that is not ours."""
    lib = ctypes.CDLL("libssl.so.3", use_errno=True)
    crypto = ctypes.CDLL("libcrypto.so.3")
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(lib, name).restype = ctypes.c_void_p
    crypto.ERR_peek_error.restype = ctypes.c_ulong
    context = ctypes.c_void_p(lib.SSL_CTX_new(ctypes.c_void_p(lib.TLS_client_method())))
    room, count = ctypes.create_string_buffer(65536), ctypes.c_size_t()
    for turn, wish in enumerate(["openai-chat", "openai-stream"] * 2):
        raw, link = dial(), ctypes.c_void_p(lib.SSL_new(context))
        lib.SSL_set_fd(link, raw.fileno())
        print(lib.SSL_connect(link))
        data, sent = b"", request(wish)
        if turn < 2:
            print(lib.SSL_write(link, sent, len(sent)) == len(sent))
        else:
            print(lib.SSL_write_ex(link, sent, ctypes.c_size_t(len(sent)), ctypes.byref(count)), count.value == len(sent))
        while not whole(data):
            if turn < 2:
                peeked = lib.SSL_peek(link, room, 10)
                assert peeked > 0
                got = lib.SSL_read(link, room, 1000)
                data += room.raw[:got]
            else:
                assert lib.SSL_read_ex(link, room, ctypes.c_size_t(1000), ctypes.byref(count)) == 1
                data += room.raw[:count.value]
        say(wish, data)
        print(crypto.ERR_peek_error())
        if turn == 3:
            raw.setblocking(False)
            ctypes.set_errno(0)
            print(lib.SSL_get_error(link, lib.SSL_read(link, room, 10)), crypto.ERR_peek_error())
        lib.SSL_free(link)
        raw.close()


if __name__ == "__main__":
    {"kept_alive": kept_alive, "memory": memory, "partial": partial, "cut": cut, "left": left, "crowd": crowd,
     "by_handle": by_handle}[sys.argv[1]]()
