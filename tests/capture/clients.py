"""The table of clients: programs as users have them, none of which knows of tally.

A client is told what to do in words of three, WISH URL FILE (tests/standin/README.md says what a wish is): it posts the file's content
to the URL, with the headers that clients/plan.py names, one after another or all at one time, and writes each answer's status and
body, in that order, to its standard output.
"""
import os
import shutil
import subprocess
from tap import Skip

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = f"{HERE}/clients"
DEBIAN_PYTHON = "/usr/bin/python3"


def program(name):
    path = shutil.which(name)
    if not path:
        raise Skip(f"there is no {name} here")
    return path


def script(interpreter, name):
    def command(world, plan, https):
        return [program(interpreter), f"{PROGRAMS}/{name}", *flat(plan)]
    return command


def flat(plan):
    return [word for step in plan for word in step]


def module(name, interpreter=DEBIAN_PYTHON):
    """A Python client that needs a module of Debian's."""
    def command(world, plan, https):
        tried = subprocess.run([program(interpreter), "-c", f"import {name}"], capture_output=True, check=False,
                               stdin=subprocess.DEVNULL)
        if tried.returncode != 0:
            raise Skip(f"there is no Python module {name} here")
        return [interpreter, f"{PROGRAMS}/python_{name}.py", *flat(plan)]
    return command


def from_registry(name):
    """A Python client whose modules are in the environment that registry.py makes."""
    def command(world, plan, https):
        if not world.python:
            raise Skip(world.why_no_python)
        return [world.python, f"{PROGRAMS}/python_{name}.py", *flat(plan)]
    return command


def node_module(name):
    """A client for node whose modules are in the folder that registry.py makes."""
    def command(world, plan, https):
        if not world.node_path:
            raise Skip(world.why_no_node_path)
        return ["env", f"NODE_PATH={world.node_path}", program("node"), f"{PROGRAMS}/node_{name}.js", *flat(plan)]
    return command


def curl(*options):
    """One curl process for all: its connections are used again."""
    def command(world, plan, https):
        words = [program("curl")]
        for number, (wish, url, path) in enumerate(plan):
            if number:
                words.append("--next")
            words += ["-sS", "--compressed", *options, "-H", "Content-Type: application/json",
                      "-H", "Authorization: Bearer sk-standin-secret", "-H", f"x-standin: {wish}",
                      "-H", f"x-tally-tags: exchange={number}.{wish.split(',')[0]}",
                      "--data-binary", f"@{path}", "-w", "\\n%{http_code}\\n", url]
        return words
    return command


def curl_http2(world, plan, https):
    if not world.standin.proxy:
        raise Skip("there is no nghttpx here")
    return curl("--http2", "--connect-to", "::127.0.0.2:443")(world, plan, https)


def wget(world, plan, https):
    """One process a request: wget takes the same body and headers for all URLs of one."""
    words = []
    for number, (wish, url, path) in enumerate(plan):
        words.append(" ".join([program("wget"), "-q", "-O", "-", "--content-on-error", f"--post-file={path}",
                               "--header='Content-Type: application/json'", f"--header='x-standin: {wish}'",
                               "--header='Authorization: Bearer sk-standin-secret'",
                               f"--header='x-tally-tags: exchange={number}.{wish.split(',')[0]}'", f"'{url}'"]))
    return ["sh", "-c", "; ".join(words)]


def by_http2(command):
    """The same requests to where HTTP/2 is spoken: what their hosts are does not matter to who cannot see them."""
    def other(world, plan, https):
        if not world.standin.proxy:
            raise Skip("there is no nghttpx here")
        return command(world, [(wish, "https://http2.example.com/" + url.split("/", 3)[3], path) for wish, url, path in plan], https)
    return other


CURL, OPENSSL, SOCKET, NODE, UNSEEN = "curl", "openssl", "socket", "node", "none"
# name, how to start it, the layer that should see it over https:// (UNSEEN: none can), over http:// (None: not tried)
CLIENTS = [
    ("curl", curl(), CURL, CURL),
    ("curl_http2", curl_http2, CURL, None),
    ("pycurl", module("pycurl"), CURL, CURL),
    ("php_curl", script("php", "curl.php"), CURL, CURL),
    ("python_http", script(DEBIAN_PYTHON, "python_http.py"), OPENSSL, SOCKET),
    ("python_urllib", script(DEBIAN_PYTHON, "python_urllib.py"), OPENSSL, SOCKET),
    ("python_requests", from_registry("requests"), OPENSSL, SOCKET),
    ("python_httpx", from_registry("httpx"), OPENSSL, SOCKET),
    ("python_httpx_async", from_registry("httpx_async"), OPENSSL, SOCKET),
    ("python_aiohttp", from_registry("aiohttp"), OPENSSL, SOCKET),
    ("python_httpx_http2", by_http2(from_registry("httpx_http2")), UNSEEN, None),
    ("ruby_net_http", script("ruby", "net_http.rb"), OPENSSL, SOCKET),
    ("perl_lwp", script("perl", "lwp.pl"), OPENSSL, SOCKET),
    ("php_streams", script("php", "streams.php"), OPENSSL, SOCKET),
    ("wget", wget, OPENSSL, SOCKET),
    ("node_fetch", script("node", "node_fetch.js"), NODE, NODE),
    ("node_http", script("node", "node_http.js"), NODE, NODE),
    ("node_undici", node_module("undici"), NODE, NODE),
    ("node_axios", node_module("axios"), NODE, NODE),
]
