#!/usr/bin/env python3
"""Programs that have nothing to do with language models, or very much at a time, work with the library as they do without it."""
import gzip
import hashlib
import http.server
import os
import shutil
import ssl
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import clients
import world
from tap import Skip, expect, tries


# ---- servers of the test's own -----------------------------------------------------------------------


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, place, handler, tls=False):
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"{'https' if tls else 'http'}://localhost:{self.server_address[1]}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{place.folder}/cert.pem", f"{place.folder}/key.pem")
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass  # a client that went away


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, content, kind="application/octet-stream"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))


def git_handler(root):
    """git's own program for serving repositories, as a web server would start it."""
    class Handler(Quiet):
        def do_GET(self):
            parts = urlsplit(self.path)
            content = self.body()
            if self.headers.get("Content-Encoding") == "gzip":
                content = gzip.decompress(content)
            settings = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": root, "GIT_HTTP_EXPORT_ALL": "1", "REMOTE_USER": "t",
                        "PATH_INFO": parts.path, "QUERY_STRING": parts.query, "REQUEST_METHOD": self.command,
                        "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(content)),
                        "GIT_PROTOCOL": self.headers.get("Git-Protocol", "")}
            done = subprocess.run(["git", "http-backend"], input=content, env=settings, capture_output=True, check=False)
            head, _, rest = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
            self.answer(int(fields.get("Status", "200 OK").split()[0]), rest, fields.get("Content-Type", "text/plain"))
        do_POST = do_GET
    return Handler


def folder_handler(folder):
    class Handler(Quiet):
        def do_GET(self):
            path = os.path.normpath(f"{folder}/{urlsplit(self.path).path}")
            if not path.startswith(folder) or not os.path.isfile(path):
                self.answer(404, b"none")
                return
            with open(path, "rb") as file:
                self.answer(200, file.read())

        def do_POST(self):
            """What was sent comes back."""
            self.answer(200, self.body())
    return Handler


# ---- what is compared ------------------------------------------------------------------------------------


def nothing_recorded(place, service):
    expect(not place.rows(service), "calls were recorded of a program that makes none")


def both(place, service, words, **how):
    """Without and with; says and ends the same."""
    without = place.run(words, preload=False, **how)
    done = place.run(words, service=service, **how)
    expect(done.same_as(without), f"{words[:3]}: with the library: {done.status} {done.errors[-500:]}, without: {without.status} "
           f"{without.errors[-500:]}")
    return done


# ---- git -----------------------------------------------------------------------------------------------------

GIT = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com",
       "GIT_AUTHOR_DATE": "2026-11-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-11-01T00:00:00Z", "GIT_CONFIG_NOSYSTEM": "1",
       "GIT_TERMINAL_PROMPT": "0"}


def git_session(place, url, preload, service):
    """Clone, commit, push, fetch; what each said, and which commits there are in the end."""
    work = f"{place.folder}/work"
    said = []
    for words in (["clone", "-q", f"{url}/repository.git", work], ["-C", work, "commit", "-q", "--allow-empty", "-m", "one"],
                  ["-C", work, "push", "-q", "origin", "HEAD:refs/heads/main"], ["-C", work, "fetch", "-q", "origin"],
                  ["-C", work, "log", "--format=%H %s", "origin/main"]):
        done = place.run(["git", *words], preload=preload, service=service, settings=GIT)
        said.append((done.status, done.output, done.errors))
    shutil.rmtree(work)
    return said


def new_repository(place, root):
    shutil.rmtree(root, ignore_errors=True)
    scratch = f"{place.folder}/scratch"
    for words in (["init", "-q", "-b", "main", scratch], ["init", "-q", "--bare", "-b", "main", f"{root}/repository.git"]):
        expect(place.run(["git", *words], preload=False, settings=GIT).status == 0, "git init")
    with open(f"{scratch}/file", "wb") as file:
        file.write(bytes(range(256)) * 4000 + hashlib.sha512(b"x").digest() * 9000)
    for words in (["add", "file"], ["commit", "-q", "-m", "zero"], ["push", "-q", f"{root}/repository.git", "main"]):
        expect(place.run(["git", "-C", scratch, *words], preload=False, settings=GIT).status == 0, f"git {words[0]}")
    shutil.rmtree(scratch)
    place.run(["git", "-C", f"{root}/repository.git", "config", "http.receivepack", "true"], preload=False, settings=GIT)


def git(place, tls):
    clients.program("git")
    root = f"{place.folder}/git"
    service = f"git-{'tls' if tls else 'plain'}"
    with Server(place, git_handler(root), tls) as server:
        said = []
        for preload in (False, True):
            new_repository(place, root)
            said.append(git_session(place, server.url, preload, service))
    expect(said[0] == said[1], f"without the library: {said[0]}\nwith it: {said[1]}")
    expect(said[0][-1][1].endswith(b" zero\n") and all(status == 0 for status, _, _ in said[0]), f"git itself fails: {said[0]}")
    nothing_recorded(place, service)
    tries(len(said[1]), "programs that make no calls")


# ---- apt ---------------------------------------------------------------------------------------------------------


def make_package(place, folder):
    """A Debian repository of one package."""
    tree = f"{folder}/tree"
    os.makedirs(f"{tree}/DEBIAN")
    os.chmod(tree, 0o755)
    control = "Package: tally-nothing\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.com>\nDescription: nothing\n"
    with open(f"{tree}/DEBIAN/control", "w", encoding="ascii") as file:
        file.write(control)
    with open(f"{tree}/filler", "wb") as file:
        file.write(os.urandom(300000))
    done = subprocess.run(["dpkg-deb", "-b", tree, f"{folder}/nothing.deb"], stdin=subprocess.DEVNULL, capture_output=True,
                          check=False)
    expect(done.returncode == 0, f"dpkg-deb: {done.stderr}")
    with open(f"{folder}/nothing.deb", "rb") as file:
        content = file.read()
    with open(f"{folder}/Packages", "w", encoding="ascii") as file:
        file.write(control + f"Filename: ./nothing.deb\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n\n")
    return content


def apt(place):
    for name in ("apt-get", "dpkg-deb"):
        clients.program(name)
    folder = f"{place.folder}/apt"
    content = make_package(place, folder)
    said = []
    with Server(place, folder_handler(folder)) as server:
        for preload in (False, True):
            root = f"{place.folder}/apt-root"
            for name in ("state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d",
                         "etc/trusted.gpg.d"):
                os.makedirs(f"{root}/{name}")
            with open(f"{root}/etc/sources.list", "w", encoding="ascii") as file:
                file.write(f"deb [trusted=yes] {server.url}/ ./\n")
            options = ["-o", f"Dir::State={root}/state", "-o", f"Dir::Cache={root}/cache", "-o", f"Dir::Etc={root}/etc",
                       "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none", "-o", "Debug::NoLocking=1", "-qq"]
            for words in (["update"], ["download", "tally-nothing"]):
                done = place.run(["apt-get", *options, *words], preload=preload, service="apt")
                expect(done.status == 0, f"apt-get {words[0]}, {'with' if preload else 'without'} the library: {done.errors}")
                said.append((done.status, done.output, done.errors))
            with open(f"{place.folder}/tally-nothing_1_all.deb", "rb") as file:
                expect(file.read() == content, "apt brought something else")
            os.unlink(f"{place.folder}/tally-nothing_1_all.deb")
            shutil.rmtree(root)
    expect(said[:2] == said[2:], f"{said}")
    nothing_recorded(place, "apt")
    tries(2, "programs that make no calls")


def node_restricted(place):
    """node that may load named files only starts as ever: the hook, which it may not load, is not forced on it."""
    node = clients.program("node")
    file = place.file("restricted.js", b"console.log(1 + 1, process.env.NODE_OPTIONS)\n")
    policy = place.file("policy.json", b'{"resources":{"./restricted.js":{"integrity":true,"dependencies":true}}}\n')
    ways = [["--no-warnings", option] for option in ("--experimental-permission", "--permission")]
    ways = [[*way, f"--allow-fs-read={place.folder}/"] for way in ways] + [["--no-warnings", f"--experimental-policy={policy}"]]
    known = [way for way in ways if place.run([node, *way, file], preload=False).status == 0]
    if not known:
        raise Skip("this node has neither permissions nor policies")
    for way in known:
        both(place, "node-restricted", [node, *way, file])
        both(place, "node-restricted", [node, file], settings={"NODE_OPTIONS": " ".join(way)})
    nothing_recorded(place, "node-restricted")
    tries(2 * len(known), "programs that make no calls")


# ---- much, and many --------------------------------------------------------------------------------------------------


def large_bodies(place, tls):
    """What goes up and comes down is the same to the byte."""
    folder = f"{place.folder}/large"
    os.makedirs(folder)
    content = os.urandom(1 << 20) * 12
    with open(f"{folder}/large", "wb") as file:
        file.write(content)
    with Server(place, folder_handler(folder), tls) as server:
        for number, words in enumerate((["curl", "-sS", f"{server.url}/large"],
                                        ["curl", "-sS", "-H", "Content-Type: application/json", "--data-binary",
                                         f"@{folder}/large", f"{server.url}/v1/chat/completions"],
                                        ["wget", "-q", "-O", "-", f"{server.url}/large"])):
            if tls and words[0] == "wget":
                words.insert(1, f"--ca-certificate={place.standin.trust}")
            done = both(place, f"large-{tls}-{number}", words)
            expect(done.output == content, f"{words}: {len(done.output)} bytes came, not {len(content)}: {done.errors}")
    shutil.rmtree(folder)
    tries(3, "large bodies, compared to the byte")


def ordinary_programs(place):
    """Programs that make no calls of any kind, pipes and redirections among them: no record, no lane, no output."""
    for number, words in enumerate((
            ["ls", "-lR", "/etc"], ["sh", "-c", "for i in 1 2 3; do echo $i | cat | sort -r; done; exit 7"],
            [clients.DEBIAN_PYTHON, "-c", "import subprocess as s; print(s.run(['true']).returncode, s.check_output(['echo', 'x']))"],
            ["perl", "-e", "print join ',', map { $_ * 2 } 1..9; print STDERR 'e'; exit 3"], ["sh", "-c", "kill -TERM $$"],
            ["git", "--version"], ["openssl", "dgst", "-sha256", "/etc/passwd"], ["tar", "-cf", "-", "-C", "/etc", "passwd"])):
        both(place, f"ordinary-{number}", words)
    known = place.query("SELECT service FROM clients WHERE service LIKE 'ordinary-%'")
    expect(not known, f"programs that make no calls took lanes: {known}")
    tries(8, "programs that make no calls")


def crowd(place, scheme):
    """Threads, forks, children of vfork: the same results, and each call once."""
    kinds = [("openai-chat", f"{scheme}://api.openai.com/v1/chat/completions"),
             ("anthropic-stream", f"{scheme}://api.anthropic.com/v1/messages"),
             ("plain-json", f"{scheme}://api.example.com/v1/orders")]
    words = [clients.DEBIAN_PYTHON, f"{clients.PROGRAMS}/python_crowd.py", *(word for kind in kinds for word in kind)]
    service = f"crowd-{scheme}"
    without = place.run(words, preload=False)
    expect(without.status == 0, f"without the library it fails: {without.errors.decode()[-800:]}")
    since = place.standin.ask("served")["next"]
    done = place.run(words, service=service)
    expect(done.same_as(without), f"with the library: {done.status} {done.output!r} {done.errors[-800:]!r}, without: {without.output!r}")
    served = [row["exchange"] for row in place.standin.ask("served", since=since, done=True)["rows"]]
    rows = place.rows(service)
    for kind, _ in kinds:
        exchange = place.exchanges[kind]
        found = [row for row in rows if row["tags"].get("kind") == kind]
        wanted = served.count(kind) if exchange.expect else 0
        expect(len(found) == wanted, f"{kind}: {len(found)} rows of {served.count(kind)} answers")
        for row in found:
            usage = {name: world.counts_of(row)[name] for name in exchange.usage}
            expect(usage == exchange.usage and row["status"] == "ok", f"{kind}: {row['status']} {usage}")
    expect(len(rows) == sum(served.count(kind) for kind, _ in kinds[:2]), f"{len(rows)} rows in all")
    expect(len({row["pid"] for row in rows}) > 8, "the children's calls are their parent's")
    tries(len(rows), "calls of a program with 24 threads and forks")


def switched_off(place):
    """TALLY_DISABLE=1 and TALLY_CAPTURE without the layer: not a record."""
    exchange = place.exchanges["openai-chat"]
    body = place.file("body.off", exchange.request_bytes())
    for number, settings in enumerate(({"TALLY_DISABLE": "1"}, {"TALLY_CAPTURE": "node"})):
        words = clients.curl()(place, [("openai-chat", exchange.url, body)], True)
        both(place, f"off-{number}", words, settings=settings)
        nothing_recorded(place, f"off-{number}")
    both(place, "on", clients.curl()(place, [("openai-chat", exchange.url, body)], True), settings={"TALLY_CAPTURE": "curl"})
    expect(len(place.rows("on")) == 1, "with TALLY_CAPTURE=curl it is not counted")
    tries(2, "programs with capturing switched off")


def secrets(place):
    """Neither a key, nor a prompt, nor a completion, stands in the database or the shared memory."""
    exchange = place.exchanges["anthropic-message"]
    body = place.file("body.secret", b'{"model":"claude-sonnet-4-5","secret":"xyzzy-2",'
                                     b'"messages":[{"role":"user","content":"prompt-xyzzy-1"}]}')
    words = ["curl", "-sS", "-H", "x-api-key: xyzzy-3", "-H", "x-standin: anthropic-message", "-H", "Authorization: Bearer xyzzy-4",
             "-H", "Cookie: xyzzy-5", "-H", "Content-Type: application/json", "--data-binary", f"@{body}",
             exchange.url + "?key=xyzzy-6"]
    both(place, "secrets", words)
    python = [clients.DEBIAN_PYTHON, f"{clients.PROGRAMS}/python_http.py", "anthropic-message", exchange.url + "?key=xyzzy-6", body]
    both(place, "secrets", python)
    both(place, "secrets", [word.replace("https:", "http:") for word in python])
    rows = place.rows("secrets")
    expect(len(rows) == 3, f"{len(rows)} rows")
    expect(rows[0]["key_fingerprint"] and len(rows[0]["key_fingerprint"]) == 12, f"fingerprint {rows[0]['key_fingerprint']}")
    paths = [f"{folder}/{name}" for folder, _, names in os.walk(place.state) for name in names]
    paths += [f"/dev/shm/{name}" for name in os.listdir("/dev/shm") if name.startswith(place.arena[1:])]
    for path in paths:
        with open(path, "rb") as file:
            content = file.read()
        for word in (b"xyzzy", b"standin-secret", b"The Volga"):
            expect(word not in content, f"{word.decode()} stands in {os.path.basename(path)}")
    tries(len(rows), "calls searched for prompts, completions and keys")


def tests_of(place):
    yield "git_plain", lambda: git(place, False)
    yield "git_tls", lambda: git(place, True)
    yield "apt", lambda: apt(place)
    yield "large_bodies_plain", lambda: large_bodies(place, False)
    yield "large_bodies_tls", lambda: large_bodies(place, True)
    yield "ordinary_programs", lambda: ordinary_programs(place)
    yield "node_restricted", lambda: node_restricted(place)
    yield "crowd_https", lambda: crowd(place, "https")
    yield "crowd_http", lambda: crowd(place, "http")
    yield "switched_off", lambda: switched_off(place)
    yield "no_secret_is_recorded", lambda: secrets(place)


if __name__ == "__main__":
    sys.exit(world.play(tests_of))
