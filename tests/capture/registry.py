"""Clients from PyPI and npm, in folders that are made once and kept in the build folder. Have to be asked for before world.enter():
there is no network afterwards."""
import fcntl
import hashlib
import os
import shutil
import subprocess
import time

from world import BUILD

PYTHON = ["requests", "httpx[http2]", "aiohttp", "openai", "anthropic", "litellm"]
NODE = ["undici@6", "undici-newest@npm:undici", "axios", "openai", "@anthropic-ai/sdk"]


def made(kind, packages, commands):
    """(a folder in which the commands have run once, None) or (None, why not)."""
    name = hashlib.sha256("\n".join(packages).encode()).hexdigest()[:12]
    folder = f"{BUILD}/clients/{kind}-{name}"
    try:
        os.makedirs(f"{BUILD}/clients", exist_ok=True)
        lock = open(f"{BUILD}/clients/lock", "wb")
    except OSError as why:
        return None, f"no folder for {kind}'s clients: {why}"
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(f"{folder}/complete"):
            return folder, None
        why = failed_of_late(folder) or why_not(folder, commands(folder))
        if why:
            with open(f"{folder}.failed", "w", encoding="utf-8") as file:
                file.write(why)
            return None, f"no environment for {kind}'s clients: {why}"
        with open(f"{folder}/complete", "wb"):
            pass
        return folder, None


def failed_of_late(folder):
    """Why another program could not do it just now: each would wait as long."""
    try:
        if time.time() - os.stat(f"{folder}.failed").st_mtime > 1200:
            return None
        with open(f"{folder}.failed", encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


def why_not(folder, commands):
    """Runs them, with a folder of their own for what they leave when they are ended. None if all is well."""
    scratch = f"{folder}.scratch"
    for path in (folder, scratch):
        shutil.rmtree(path, ignore_errors=True)
    os.makedirs(scratch)
    try:
        for words in commands:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400, check=False,
                                  env={**os.environ, "TMPDIR": scratch})
            if done.returncode != 0:
                return (done.stderr.strip() or "no word").splitlines()[-1][:160]
    except (OSError, subprocess.TimeoutExpired) as why:
        return str(why)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return None


def environment():
    """(Python's interpreter, None) or (None, why not)."""
    folder, why = made("python", PYTHON, lambda folder: (
        ["/usr/bin/python3", "-m", "venv", folder], [f"{folder}/bin/python3", "-m", "pip", "install", "-q", "--no-input", *PYTHON]))
    return folder and f"{folder}/bin/python3", why


def modules():
    """(NODE_PATH, None) or (None, why not)."""
    folder, why = made("node", NODE, lambda folder: (
        ["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", *NODE],))
    return folder and f"{folder}/node_modules", why
