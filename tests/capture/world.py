"""A network of its own, in which providers' names are this machine, the stand-in answers, and an agent counts.

    world.enter()          at the very start of a test program: into namespaces of its own (network, mounts), or Skip
    with world.World() as w:
        w.run([..], service="x")          a client, without and with what is preloaded
        w.rows()                          what was counted, once all is in the database
        w.standin.ask("served")           what was served

    world.py COMMAND...                   the same for a script: the network and the stand-in, whose control socket is
                                          TALLY_TEST_STANDIN; the command's exit status, or 75 where that cannot be had
"""
import ctypes
import fcntl
import fnmatch
import glob
import json
import os
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile

from tap import Failure, Skip, expect, run, wait_for

BUILD = os.environ.get("TALLY_TEST_BUILD", os.path.abspath("build"))
SOURCE = os.environ.get("TALLY_TEST_SOURCE", os.path.abspath("."))
HERE = os.path.dirname(os.path.abspath(__file__))
STANDIN = f"{SOURCE}/tests/standin"
PRELOAD = f"{BUILD}/libtally-preload.so"
CORPUS = f"{SOURCE}/../shared/corpus/exchanges-open.jsonl.gz"
OWN = sorted(glob.glob(f"{STANDIN}/exchanges/*.json"))
SYSTEM_TRUST = "/etc/ssl/certs/ca-certificates.crt"
HTTP2 = "http2.example.com"  # nghttpx, for clients that cannot be told by which address to go
INSIDE = "TALLY_TEST_CAPTURE_INSIDE"

sys.path.insert(0, STANDIN)
import authority  # noqa: E402
import exchanges  # noqa: E402


# ---- namespaces -----------------------------------------------------------------------------------


def enter():
    """Once more, in namespaces. Raises Skip where there is no right to make them."""
    if INSIDE in os.environ:
        raise_loopback()
        return
    for words in (["--net", "--mount"], ["--user", "--map-root-user", "--net", "--mount"]):
        tried = subprocess.run(["unshare", *words, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if tried.returncode == 0:
            os.environ[INSIDE] = "1"
            sys.stdout.flush()
            os.execvp("unshare", ["unshare", *words, sys.executable, *sys.argv])
    raise Skip("no right to make a network and mounts of one's own")


def raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        fcntl.ioctl(probe, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running


def bind_over(source, target):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), None, 4096, None) != 0:  # MS_BIND
        raise Failure(f"{target} could not be mounted over: {os.strerror(ctypes.get_errno())}")


# ---- processes ---------------------------------------------------------------------------------------


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def start(words, **settings):
    return subprocess.Popen(words, preexec_fn=die_with_parent, **settings)


def end(process, how=signal.SIGTERM):
    if process.poll() is None:
        process.send_signal(how)
    try:
        return process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def is_listening(address, port):
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


class Standin:
    """The stand-in, as a process, and its control socket."""

    def __init__(self, folder, paths):
        self.path = f"{folder}/control"
        hosts = {e.host.split(":")[0] for path in paths for e in exchanges.load(path)}
        self.hosts = sorted(hosts - {"localhost"})
        self.trust, certificate, key = authority.make(folder, [*self.hosts, HTTP2])
        self.process = start(
            [sys.executable, f"{STANDIN}/standin.py", "--control", self.path, "--http", "127.0.0.1:80", "--http",
             "127.0.0.1:11434", "--http", "127.0.0.1:8000", "--tls", "127.0.0.1:443", "--certificate", certificate, "--key",
             key, *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self.process.stdout.readline()
        expect(self.ready.startswith("ready "), "the stand-in did not start")
        self.link = socket.socket(socket.AF_UNIX)
        self.link.connect(self.path)
        self.lines = self.link.makefile("rw")
        self.proxy = None
        if shutil.which("nghttpx"):
            self.proxy = start(
                ["nghttpx", "--conf=/dev/null", "--frontend=127.0.0.2,443", "--backend=127.0.0.1,80", "--workers=1",
                 "--log-level=FATAL", "--accesslog-file=/dev/null", "--errorlog-file=/dev/null", "--no-ocsp",
                 "--single-process", f"--pid-file={folder}/nghttpx.pid", key, certificate],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_for(lambda: is_listening("127.0.0.2", 443), "nghttpx")

    def ask(self, op, **more):
        self.lines.write(json.dumps({"op": op, **more}) + "\n")
        self.lines.flush()
        reply = json.loads(self.lines.readline())
        expect("error" not in reply, f"the stand-in says {reply}")
        return reply

    def close(self):
        if self.proxy:
            end(self.proxy)
        self.lines.close()
        self.link.close()
        self.process.stdin.close()
        end(self.process)
        self.process.stdout.close()


def name_hosts(folder, standin):
    """From here on the stand-in's hosts are this machine, and its authority is trusted."""
    path = f"{folder}/hosts"
    with open(path, "w", encoding="ascii") as file:
        file.write(f"127.0.0.1 localhost\n127.0.0.2 {HTTP2}\n" + "".join(f"127.0.0.1 {host}\n" for host in standin.hosts))
    bind_over(path, "/etc/hosts")
    if os.path.exists(SYSTEM_TRUST):
        bind_over(standin.trust, SYSTEM_TRUST)


def trusting(trust):
    """Those clients that do not look where the system keeps its authorities."""
    return dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PERL_LWP_SSL_CA_FILE",
                          "GIT_SSL_CAINFO"), trust)


class Result:
    def __init__(self, status, output, errors):
        self.status, self.output, self.errors = status, output, errors

    def same_as(self, other):
        return (self.status, self.output, self.errors) == (other.status, other.output, other.errors)


class World:
    """All of it. Everything it makes lies in one folder, and is gone at the end."""

    def __init__(self, recordings=False, made=None):
        self.folder = tempfile.mkdtemp(prefix="tally-capture.")
        self.arena = f"/tally-capture-{os.getpid()}-{os.path.basename(self.folder)[-6:]}"
        self.state = f"{self.folder}/state"
        os.mkdir(self.state, 0o700)
        self.paths = OWN + ([CORPUS] if recordings and os.path.exists(CORPUS) else [])
        if made:  # exchanges of the test's own making
            self.paths.append(self.file("made.json", json.dumps(made).encode()))
        self.exchanges = {e.id: e for path in self.paths for e in exchanges.load(path)}
        self.python = os.environ.get("TALLY_TEST_PYTHON")
        self.why_no_python = os.environ.get("TALLY_TEST_NO_PYTHON")
        self.node_path = os.environ.get("TALLY_TEST_NODE_PATH")
        self.why_no_node_path = os.environ.get("TALLY_TEST_NO_NODE_PATH")
        self.agent = None
        self.standin = Standin(self.folder, self.paths)
        name_hosts(self.folder, self.standin)
        self.start_agent()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- the agent

    def start_agent(self):
        with open(f"{self.folder}/agent.log", "ab") as log:
            self.agent = start([f"{BUILD}/tallyd", "--foreground", "--state-dir", self.state, "--arena", self.arena],
                               stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: self.agent.poll() is not None or os.path.exists(f"/dev/shm{self.arena}.board"), "the agent")
        expect(self.agent.poll() is None, "the agent did not start:\n" + self.agent_log())

    def agent_log(self):
        with open(f"{self.folder}/agent.log", encoding="utf-8", errors="replace") as file:
            return file.read()

    # ---- clients

    def environment(self, preload, service=None, **more):
        settings = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": self.folder, "LANG": "C.UTF-8", "TMPDIR": self.folder,
            **trusting(self.standin.trust), "PYTHONDONTWRITEBYTECODE": "1",
            "OPENAI_API_KEY": "sk-standin-secret", "ANTHROPIC_API_KEY": "sk-ant-standin-secret",
            "TALLY_ARENA": self.arena, "TALLY_STATE_DIR": self.state, "TALLY_SPILL_DIR": self.state,
        }
        if preload:
            settings["LD_PRELOAD"] = PRELOAD
            for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
                if name in os.environ:
                    settings[name] = os.environ[name]
        if service:
            settings["TALLY_SERVICE"] = service
        settings.update(more)
        return {name: value for name, value in settings.items() if value is not None}

    def start_client(self, words, preload=True, service=None, settings=None, **how):
        return start(words, env=self.environment(preload, service, **(settings or {})), cwd=self.folder, **how)

    def run(self, words, preload=True, service=None, settings=None, given=b""):
        """One run. It has to come to an end by itself."""
        client = self.start_client(words, preload, service, settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        try:
            output, errors = client.communicate(given, timeout=300)
        except subprocess.TimeoutExpired:
            client.kill()
            output, errors = client.communicate()
            raise Failure(f"{words[0]} {'with' if preload else 'without'} the library hung: "
                          f"{errors.decode(errors='replace')[-500:]}") from None
        return Result(client.returncode, output, errors)

    def file(self, name, content):
        path = f"{self.folder}/{name}"
        with open(path, "wb") as file:
            file.write(content)
        return path

    # ---- what was counted

    def query(self, sql, *values):
        database = sqlite3.connect(f"file:{self.state}/usage.db?mode=ro", uri=True, timeout=30)
        database.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in database.execute(sql, values)]
        finally:
            database.close()

    def tally(self, *words):
        done = subprocess.run([f"{BUILD}/tally", *words], env=self.environment(False), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        expect(done.stdout, f"tally {' '.join(words)}: {done.stderr}")
        return done.stdout

    def settled(self, service):
        """All that has been recorded is in the database, and no call of this client's is open: those who ended have been noticed."""
        audit = json.loads(self.tally("audit", "--arena", self.arena, "--state-dir", self.state, "--json"))
        if audit["waiting"] != 0:
            return False
        sql = "SELECT count(*) AS n FROM open_calls JOIN clients ON clients.id = client_id WHERE ?1 IS NULL OR service = ?1"
        return self.query(sql, service)[0]["n"] == 0

    def rows(self, service=None):
        """Calls, oldest first; tags as a dictionary."""
        wait_for(lambda: self.settled(service), "all records to be in the database")
        sql = ("SELECT usage.*, clients.service, clients.pid, clients.ended FROM usage JOIN clients ON clients.id = client_id "
               + ("WHERE clients.service = ? " if service else "") + "ORDER BY start_time_unix_ns, usage.id")
        rows = self.query(sql, *([service] if service else []))
        for row in rows:
            row["tags"] = dict(word.partition("=")[::2] for word in (row["tags"] or "").split(",") if word)
        return rows

    # ---- the end

    def close(self):
        if self.agent:
            end(self.agent)
        self.standin.close()
        for path in glob.glob(f"/dev/shm{self.arena}*"):
            os.unlink(path)
        shutil.rmtree(self.folder, ignore_errors=True)


def play(tests_of, recordings=False, modules=False, made=None):
    """A test program: into the namespaces, a world, the tests in it. modules: with registry.py's environments for Python and node."""
    if modules and INSIDE not in os.environ:
        import registry

        python, why = registry.environment()
        os.environ["TALLY_TEST_PYTHON"], os.environ["TALLY_TEST_NO_PYTHON"] = python or "", why or ""
        path, why = registry.modules()
        os.environ["TALLY_TEST_NODE_PATH"], os.environ["TALLY_TEST_NO_NODE_PATH"] = path or "", why or ""
    try:
        enter()
    except Skip as why:
        print(f"1..0 # SKIP {why}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was made is unmade
    with World(recordings, made() if made else None) as place:
        return run(filtered(list(tests_of(place))))


def filtered(tests):
    """Those whose names match TALLY_TEST_FILTER, if it is there."""
    pattern = os.environ.get("TALLY_TEST_FILTER", "*")
    return [test for test in tests if fnmatch.fnmatch(test[0], pattern)]


COUNTS = {"input": ("input_tokens",), "output": ("output_tokens",), "cache_read": ("cache_read_tokens",),
          "cache_write": ("cache_write_5m_tokens", "cache_write_1h_tokens"), "reasoning": ("reasoning_tokens",)}


def counts_of(row):
    found = {}
    for name, columns in COUNTS.items():
        values = [row[column] for column in columns if row[column] is not None]
        found[name] = sum(values) if values else None
    return found


def differences(row, exchange):
    """What is not as the exchange's own expectation has it, as sentences."""
    wrong = []

    def compare(what, found, wanted):
        if found != wanted:
            wrong.append(f"{exchange.id}: {what} is {found!r}, not {wanted!r}")

    counts = counts_of(row)
    if exchange.usage is None:
        for name in ("input", "output"):
            compare(name, counts[name], None)
    else:
        for name, wanted in exchange.usage.items():
            # what is not stated is unknown, and may be 0 in an expectation
            compare(name, counts[name] if counts[name] is not None or wanted else 0, wanted)
    for name, column in (("provider", "provider"), ("request_model", "request_model"), ("response_model", "response_model"),
                         ("operation", "operation"), ("status", "status")):
        if name in exchange.expect:
            compare(name, row[column], exchange.expect[name])
    compare("HTTP status", row["http_status"], exchange.status)
    if exchange.streams and row["status"] == "ok" and not row["time_to_first_token_ns"]:
        wrong.append(f"{exchange.id}: a stream without a time to its first token")
    return wrong


def main():
    """For scripts."""
    try:
        enter()
    except Skip as why:
        print(f"world.py: {why}", file=sys.stderr)
        return 75  # EX_TEMPFAIL
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = tempfile.mkdtemp(prefix="tally-capture.")
    standin = Standin(folder, OWN)
    name_hosts(folder, standin)
    try:
        os.environ.pop(INSIDE)
        settings = {**os.environ, **trusting(standin.trust), "TALLY_TEST_STANDIN": standin.path}
        status = subprocess.run(sys.argv[1:], env=settings, check=False).returncode
    finally:
        standin.close()
        shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
