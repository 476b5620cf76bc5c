"""Imputers of other packages, in an environment of their own: their requirements exclude ours (pandas 2.2, for one)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HOME = Path(__file__).parents[1] / "results" / "peers-venv"
#: The first needs TensorBoard and matplotlib without saying so.
REQUIREMENTS = ("notmiwae-pytorch==0.1.3", "hyperimpute==0.1.17", "pandas==2.2.3", "tensorboard", "matplotlib")
SCRIPT = Path(__file__).with_name("peer_script.py")


def install(home: Path = HOME) -> Path:
    """Return the interpreter of the environment, made when it is absent (some 9 GB, minutes) and brought up to REQUIREMENTS."""
    import fcntl

    python, done = home / "bin" / "python", home / "installed"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        # Two processes of the pool may come at the same time.
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = "\n".join(REQUIREMENTS)
        if not done.exists() or done.read_text() != wanted:
            _call([sys.executable, "-m", "venv", str(home)])
            _call([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS])
            done.write_text(wanted)
    return python


def notmiwae_pytorch(
    values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None, epochs: int = 100
) -> tuple[np.ndarray, np.ndarray | None]:
    """not-MIWAE by notmiwae-pytorch 0.1.3, self-masking of known sign, its README's settings."""
    return _run("notmiwae-pytorch", values, seed, draws, direction or "", epochs)


def hyperimpute(values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """HyperImpute (arXiv 2206.07769) by hyperimpute 0.1.17, its default method."""
    return _run("hyperimpute", values, seed, 0, "", 0)


def hyperimpute_miwae(
    values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """MIWAE by hyperimpute 0.1.17, its defaults."""
    return _run("hyperimpute-miwae", values, seed, 0, "", 0)


def _run(name: str, values: np.ndarray, seed: int, draws: int, direction: str, epochs: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Hand a table to the script in the other environment and read its answer; both travel as .npz."""
    python = install()
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder, "question.npz"), Path(folder, "answer.npz")
        np.savez(question, name=name, values=values, seed=seed, draws=draws, direction=direction, epochs=epochs)
        # Some of these packages write logs and caches where they run.
        _call([str(python), str(SCRIPT), str(question), str(answer)], folder)
        with np.load(answer) as arrays:
            return arrays["completed"], arrays.get("draws")


def _call(command: list[str], folder: str | None = None) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} ...: exit status {done.returncode}\n{done.stderr[-3000:]}")
