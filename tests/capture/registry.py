"""A Python environment with clients from PyPI, made once and kept in the build folder. Has to be asked for before world.enter():
there is no network afterwards."""
import fcntl
import hashlib
import os
import shutil
import subprocess

from world import BUILD

PACKAGES = ["requests", "httpx", "aiohttp", "openai", "anthropic", "litellm"]


def environment():
    """(the interpreter, None) or (None, why not)."""
    base = "/usr/bin/python3"
    name = hashlib.sha256("\n".join(PACKAGES).encode()).hexdigest()[:12]
    folder = f"{BUILD}/clients/{name}"
    python = f"{folder}/bin/python3"
    os.makedirs(f"{BUILD}/clients", exist_ok=True)
    with open(f"{BUILD}/clients/lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(f"{folder}/complete"):
            return python, None
        shutil.rmtree(folder, ignore_errors=True)
        for words in ([base, "-m", "venv", folder], [python, "-m", "pip", "install", "-q", "--no-input", *PACKAGES]):
            try:
                done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400, check=False)
            except (OSError, subprocess.TimeoutExpired) as why:
                return None, f"no environment for Python's clients: {why}"
            if done.returncode != 0:
                last = (done.stderr.strip() or "no word").splitlines()[-1]
                return None, f"no environment for Python's clients: {last[:160]}"
        with open(f"{folder}/complete", "wb"):
            pass
        return python, None
