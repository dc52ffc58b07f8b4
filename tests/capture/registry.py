"""Clients from PyPI and npm, in folders that are made once and kept in the build folder. Have to be asked for before world.enter():
there is no network afterwards."""
import fcntl
import hashlib
import os
import shutil
import subprocess

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
        shutil.rmtree(folder, ignore_errors=True)
        for words in commands(folder):
            try:
                done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400, check=False)
            except (OSError, subprocess.TimeoutExpired) as why:
                return None, f"no environment for {kind}'s clients: {why}"
            if done.returncode != 0:
                last = (done.stderr.strip() or "no word").splitlines()[-1]
                return None, f"no environment for {kind}'s clients: {last[:160]}"
        with open(f"{folder}/complete", "wb"):
            pass
        return folder, None


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
