#!/usr/bin/env python3
"""The examples in agent/sidecar/, tried as far as no container engine is needed.

Each file is read, and what it says is done in namespaces by tests/programs/jail: mounts, users, groups, read-only root,
environment, command lines, the order of starting and stopping. Every key is either applied here or stands, with a
reason, in ENGINE below: a key that is neither makes the test fail.
"""
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile

BUILD = os.environ.get("TALLY_TEST_BUILD", "build")
SOURCE = os.environ.get("TALLY_TEST_SOURCE", ".")
JAIL = f"{BUILD}/tests/programs/jail-static"
CLIENT = f"{BUILD}/tests/programs/client-static"
sys.path.insert(0, f"{SOURCE}/tests/capture")
from tap import DEADLINE, Failure, Skip, expect, note, run, tries, wait_for  # noqa: E402

GRACE = 60  # what the examples may give the agent to leave: as long as is waited for here

# Keys that nothing here can try, and why: they are for the engine alone.
ENGINE = {
    "compose": {
        "name": "what containers are called",
        "services.*.image": "there are no images here: the build stands for them",
        "services.tally.build.context": "the image: tests/build/test_install.sh installs what it holds",
        "services.tally.build.dockerfile": "the same",
        "services.*.restart": "the engine's; that an agent may be started again at any time is test_agent's",
        "services.tally.healthcheck.interval": "the engine's clock",
        "services.tally.healthcheck.timeout": "the engine's clock",
        "services.tally.healthcheck.start_period": "the engine's clock",
        "volumes.shared.driver": "the engine's name for a mount",
        "volumes.state": "a folder that stays; where is the engine's choice",
    },
    "kubernetes": {
        "apiVersion": "read by the server",
        "kind": "read by the server",
        "metadata.name": "what things are called",
        "spec.accessModes.*": "the storage's; that a second agent is refused is test_agent's",
        "spec.resources.requests.storage": "the storage's",
        "spec.replicas": "the server's",
        "spec.strategy.type": "the server's order; that a second agent is refused is test_agent's",
        "spec.selector.matchLabels.app": "the server's book-keeping",
        "spec.template.metadata.labels.app": "the server's book-keeping",
        "spec.template.spec.automountServiceAccountToken": "there is no server to be kept from",
        "spec.template.spec.securityContext.seccompProfile.type":
            "the engine's filter; refused calls are test_refused_calls'",
        "spec.template.spec.initContainers.*.image": "there are no images here: the build stands for them",
        "spec.template.spec.containers.*.image": "the same",
        "spec.template.spec.initContainers.*.resources.requests.cpu": "the scheduler's",
        "spec.template.spec.initContainers.*.resources.requests.memory": "the scheduler's",
        "spec.template.spec.initContainers.*.startupProbe.periodSeconds": "the engine's clock",
        "spec.template.spec.initContainers.*.startupProbe.failureThreshold": "the engine's clock",
    },
}


# ---- what has been applied ------------------------------------------------------------------


class Node:
    """A part of the file that notes which of its keys were asked for."""

    def __init__(self, value, path=(), used=None):
        self.value, self.path, self.used = value, path, set() if used is None else used

    def get(self, *keys, default=None):
        node = self
        for key in keys:
            if not isinstance(node.value, (dict, list)) or (isinstance(node.value, dict) and key not in node.value):
                return Node(default, node.path + (key,), self.used)
            node = Node(node.value[key], node.path + (key,), self.used)
        return node

    def take(self, *keys, default=None):
        """The value under these keys, which is thereby applied, with all that stands in it."""
        node = self.get(*keys, default=default)
        self.used.add(node.path)
        return node.value

    def items(self, *keys):
        node = self.get(*keys)
        return [node.get(i) for i in range(len(node.value or []))]


def leaves(value, path=()):
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, path + (key,))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from leaves(inner, path + (index,))
    else:
        yield path


def named(path, pattern):
    parts = pattern.split(".")
    return len(parts) == len(path) and all(p in ("*", str(key)) for p, key in zip(parts, path))


def expect_all_applied(kind, node):
    """Returns how many keys were applied and how many need an engine."""
    applied = engine = 0
    for path in leaves(node.value):
        if any(path[: len(used)] == used for used in node.used):
            applied += 1
        elif any(named(path, pattern) for pattern in ENGINE[kind]):
            engine += 1
        else:
            raise Failure("neither tried nor said to need an engine: " + ".".join(map(str, path)))
    return applied, engine


# ---- containers -------------------------------------------------------------------------------


class Stage:
    """A pod's, or a project's, volumes and processes."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="tally-sidecar.")
        os.chmod(self.folder, 0o755)
        self.counters = f"{self.folder}/counters"
        with open(self.counters, "wb") as file:
            file.truncate(1 << 20)
        os.chmod(self.counters, 0o666)
        self.mounted, self.running = [], []

    def volume(self, name, owner=(0, 0), mode=0o755, options=None):
        path = f"{self.folder}/{name}"
        os.mkdir(path)
        if options is not None:
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=False,
                                  stderr=subprocess.DEVNULL)
            if done.returncode:
                raise Skip("no right to mount")
            self.mounted.append(path)
        else:
            os.chown(path, *owner)
            os.chmod(path, mode)
        return path

    def words(self, container):
        """The jail of a container: dict of user, groups, mounts, read_only, powerless, environment."""
        words = ["pids", "ipc", "uts"] + (["net"] if container.get("no_network") else [])
        # What an engine mounts exists in its root; here the root is the machine's, and this its only spare folders.
        words += ["tmpfs=/mnt:64k:755", "tmpfs=/run:64k:755", "tmpfs=/var/lib:64k:755"]
        made = [f"mkdir -p {target}" for _, target in container["mounts"]]
        script = " && ".join(made + ["touch /mnt/counters"])
        words += ["run=" + script]
        words += [f"bind={self.counters}:/mnt/counters"]
        words += [f"bind={source}:{target}" for source, target in container["mounts"]]
        if container["read_only"]:
            words += ["readonly", "writable=/mnt/counters"]
            words += [f"writable={target}" for _, target in container["mounts"]]
        words += ["clear", "set=TALLY_TEST_COUNTERS=/mnt/counters"]
        words += [f"set={name}={value}" for name, value in container["environment"].items()]
        groups = ",".join(str(group) for group in container["groups"])
        words += [f"as={container['uid']}:{container['gid']}:{groups}"]
        if container["powerless"]:
            words += ["powerless"]
        return words

    def start(self, container, command):
        log = open(f"{self.folder}/log-{len(self.running)}", "w+b")
        process = subprocess.Popen([JAIL] + self.words(container) + ["--"] + command, stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log)
        process.log = log
        self.running.append(process)
        return process

    @staticmethod
    def text(process):
        process.log.flush()
        process.log.seek(0)
        return process.log.read().decode(errors="replace")

    def end(self, process, signal_number=None):
        if signal_number is not None:
            process.send_signal(signal_number)
        try:
            status = process.wait(DEADLINE)
        except subprocess.TimeoutExpired as late:
            raise Failure("a container did not end: " + self.text(process)) from late
        if status == 77:
            raise Skip("no right to namespaces: " + self.text(process).strip())
        return status

    def kill(self, process):
        """By SIGKILL to the program itself: its jail dies of it only then."""
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
            os.kill(int(file.read().split()[0]), signal.SIGKILL)
        self.end(process)

    def run(self, container, command):
        return self.end(self.start(container, command))

    def close(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.log.close()
        for path in self.mounted:
            subprocess.run(["umount", "-l", path], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def program(command):
    """An image's program is the build's."""
    return [f"{BUILD}/{command[0]}"] + command[1:]


def number(database, query):
    if not os.path.exists(database):
        return 0
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=DEADLINE) as connection:
        try:
            return connection.execute(query).fetchone()[0]
        except sqlite3.OperationalError:
            return 0


def play(stage, agent, agent_command, app, probe, state):
    """The life of a pod: the agent, its probe, the application (which stands for any program), its end, the agent's."""
    database = f"{state}/usage.db"
    client = lambda *steps: [CLIENT, *steps]
    keeper = stage.start(agent, agent_command)

    def served():
        expect(keeper.poll() is None, "the agent left: " + stage.text(keeper))
        return " serves " in stage.text(keeper)

    wait_for(lambda: keeper.poll() == 77 or served(), "the agent to serve")
    if keeper.poll() == 77:
        raise Skip("no right to namespaces")
    expect(stage.run(agent, probe) == 0, "the probe says that something is wrong: " + stage.text(stage.running[-1]))
    # The application records, is killed, records again, finds the agent gone and records all the same.
    expect(stage.run(app, client("record=20", "shutdown=-1", "exit=0")) == 0,
           "the application fails: " + stage.text(stage.running[-1]))
    wait_for(lambda: number(database, "SELECT count(*) FROM usage") == 20, "20 records")
    wait_for(lambda: number(database, "SELECT count(*) FROM clients WHERE service = 'checkout' AND ended = 'clean'") == 1,
             "a clean end, under the application's name")
    expect(stage.run(app, ["/bin/sh", "-c", "test -w /run/tally/arena && test ! -e /var/lib/tally/usage.db && ! /usr/bin/touch /x"]) == 0,
           "the application has its arena, and not the database")
    dying = stage.start(app, client("record=20", "await=9", "exit=0"))
    wait_for(lambda: number(database, "SELECT count(*) FROM usage") == 40, "40 records")
    stage.kill(dying)
    wait_for(lambda: number(database, "SELECT count(*) FROM clients WHERE ended = 'died'") == 1, "a death to be seen")
    stage.kill(keeper)
    # Nobody drains: a lane and more, so that it spills into the agent's folder, which it sees under the same path.
    expect(stage.run(app, client("record=3000", "exit=0")) == 0, "the application fails without an agent")
    spilled = [name for name in os.listdir(f"{state}/spill") if name.endswith(".spill")]
    expect(spilled, "nothing was spilled into the agent's folder")
    keeper = stage.start(agent, agent_command)
    wait_for(served, "the agent to serve again")
    wait_for(lambda: number(database, "SELECT count(*) FROM usage") == 3040, "what was spilled")
    expect(stage.run(agent, probe) == 0, "the probe, later: " + stage.text(stage.running[-1]))
    # Applications end first, then the agent by its signal, in order and within its grace.
    last = stage.start(app, client("record=5", "await=9", "exit=0"))
    wait_for(lambda: number(database, "SELECT count(*) FROM usage") == 3045, "the last records")
    stage.kill(last)
    expect(stage.end(keeper, signal.SIGTERM) == 0, "the agent's status after SIGTERM: " + stage.text(keeper))
    expect(number(database, "SELECT count(*) FROM usage") == 3045, "every record once")
    expect(number(database, "SELECT count(DISTINCT user || output_tokens) FROM usage") == 3045, "none twice")
    expect(number(database, "SELECT coalesce(sum(records), 0) FROM losses") == 0, "nothing lost")


# ---- Compose --------------------------------------------------------------------------------------


def compose_container(project, name, volumes):
    service = project.get("services", name)
    uid, gid = (int(part) for part in service.take("user").split(":"))
    mounts = []
    for volume in service.items("volumes"):
        if isinstance(volume.value, str):
            source, target = volume.take().split(":")
            mounts.append((volumes[source], target))
        else:
            expect(volume.take("type") == "volume", "a volume's long form")
            mounts.append((f"{volumes[volume.take('source')]}/{volume.take('volume', 'subpath')}", volume.take("target")))
    expect(service.take("cap_drop") == ["ALL"], "capabilities are dropped")
    expect(service.take("read_only") is True, "the root is read-only")
    expect(service.take("security_opt") == ["no-new-privileges:true"], "no new privileges")
    return {"uid": uid, "gid": gid, "groups": service.take("group_add", default=[]), "mounts": mounts,
            "read_only": service.take("read_only"), "powerless": True,
            "no_network": service.take("network_mode", default=None) == "none",
            "environment": service.take("environment")}


def image_folder():
    """A fresh named volume takes owner and mode of the folder that it hides: the Containerfile says which."""
    with open(f"{SOURCE}/agent/sidecar/Containerfile", encoding="utf-8") as file:
        found = re.search(r"install -d -o (\d+) -g (\d+) -m (\d+) /var/lib/tally$", file.read(), re.MULTILINE)
    expect(found, "the image has a folder for the database")
    return (int(found[1]), int(found[2])), int(found[3], 8)


def compose(stage, documents):
    project = Node(documents[0])
    memory = project.get("volumes", "shared", "driver_opts")
    expect(memory.take("type") == "tmpfs" and memory.take("device") == "tmpfs", "the shared volume is memory")
    volumes = {"shared": stage.volume("shared", options=memory.take("o")), "state": stage.volume("state", *image_folder())}
    agent = compose_container(project, "tally", volumes)
    app = compose_container(project, "app", volumes)
    tally = project.get("services", "tally")
    check = tally.take("healthcheck", "test")
    expect(check[0] == "CMD", "the health check is a command")
    expect(tally.take("stop_signal") == "SIGTERM", "the signal to end by")
    expect(int(tally.take("stop_grace_period").rstrip("s")) <= GRACE, "the grace that is waited for here")
    expect(project.take("services", "app", "depends_on") == {"tally": {"condition": "service_healthy"}},
           "the agent starts first")
    expect(project.take("services", "app", "command") == ["app"], "the application, for which a client stands")
    play(stage, agent, program(["tallyd"] + tally.take("command")), app, program(check[1:]), volumes["state"])
    return [project]


# ---- Kubernetes -------------------------------------------------------------------------------------


def pod_container(pod, container, volumes):
    context = container.get("securityContext")
    group = pod.take("securityContext", "fsGroup")
    mounts = []
    for mount in container.items("volumeMounts"):
        part = mount.take("subPath", default="")
        mounts.append((f"{volumes[mount.take('name')]}/{part}".rstrip("/"), mount.take("mountPath")))
    environment = {variable.take("name"): variable.take("value") for variable in container.items("env")}
    uid = context.take("runAsUser", default=pod.take("securityContext", "runAsUser"))
    gid = context.take("runAsGroup", default=pod.take("securityContext", "runAsGroup"))
    expect(pod.take("securityContext", "runAsNonRoot") and uid != 0, "nobody is root")
    expect(context.take("capabilities", "drop") == ["ALL"], "capabilities are dropped")
    expect(context.take("readOnlyRootFilesystem") is True, "the root is read-only")
    expect(context.take("allowPrivilegeEscalation") is False, "no new privileges")
    return {"uid": uid, "gid": gid, "groups": [group], "mounts": mounts,
            "read_only": context.take("readOnlyRootFilesystem"), "powerless": True, "environment": environment}


def mebibytes(text):
    expect(text.endswith("Mi"), f"{text}: in MiB")
    return int(text[:-2])


def kubernetes(stage, documents):
    claim, deployment = Node(documents[0]), Node(documents[1])
    pod = deployment.get("spec", "template", "spec")
    group = pod.take("securityContext", "fsGroup")
    volumes = {}
    for volume in pod.items("volumes"):
        name = volume.take("name")
        if "emptyDir" in volume.value:
            expect(volume.take("emptyDir", "medium") == "Memory", "the shared volume is memory")
            size = mebibytes(volume.take("emptyDir", "sizeLimit"))
            # The kubelet: mode 0777, then fsGroup: group-owned, rwx for it, setgid.
            volumes[name] = stage.volume(name, options=f"size={size}m,mode=2777,gid={group}")
        else:
            expect(volume.take("persistentVolumeClaim", "claimName") == claim.get("metadata", "name").value,
                   "the claim is the one above")
            volumes[name] = stage.volume(name, owner=(0, group), mode=0o2775)
    keeper = pod.items("initContainers")[0]
    expect(keeper.take("name") == "tally" and keeper.take("restartPolicy") == "Always", "a native sidecar")
    application = pod.items("containers")[0]
    expect(application.take("name") == "app" and application.take("command") == ["app"],
           "the application, for which a client stands")
    expect(mebibytes(keeper.take("resources", "limits", "memory")) >= size + 64, "the volume counts for its writers")
    expect(pod.take("terminationGracePeriodSeconds") <= GRACE, "the grace that is waited for here")
    probe = keeper.take("startupProbe", "exec", "command")
    play(stage, pod_container(pod, keeper, volumes), program(keeper.take("command") + keeper.take("args")),
         pod_container(pod, application, volumes), program(probe), volumes["state"])
    return [claim, deployment]


# ---- the programme ------------------------------------------------------------------------------------


def a_key_nobody_knows_is_found(stage, documents):
    """The test of the test: a line more in the file, and it fails."""
    documents[0]["services"]["tally"]["cpu_shares"] = 7
    node = Node(documents[0])
    node.take("services", "tally", "command")
    try:
        expect_all_applied("compose", node)
    except Failure:
        return []
    raise Failure("a key that nobody tried went unseen")


def tried(name, kind, scene):
    import yaml  # python3-yaml: Debian's, see tools/bootstrap

    if os.geteuid() != 0:
        raise Skip("no right to mount")
    stage = Stage()
    try:
        with open(f"{SOURCE}/agent/sidecar/{kind}.yaml", encoding="utf-8") as file:
            documents = list(yaml.safe_load_all(file))
        counts = [expect_all_applied(kind, node) for node in scene(stage, documents)]
    finally:
        stage.close()
    if counts:
        tries(sum(count[0] for count in counts), "lines of sidecar examples tried in namespaces")
        note(f"{name}: {sum(count[1] for count in counts)} lines more need an engine")


def main():
    scenes = [("compose", "compose", compose), ("kubernetes", "kubernetes", kubernetes),
              ("a_key_nobody_knows_is_found", "compose", a_key_nobody_knows_is_found)]
    return run([(scene[0], lambda scene=scene: tried(*scene)) for scene in scenes])


if __name__ == "__main__":
    sys.exit(main())
