"""Imputers of other packages, in an environment of their own: their requirements exclude ours (pandas 2.2, for one)."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HOME = Path(__file__).parents[1] / "results" / "peers-venv"
#: The first needs TensorBoard and matplotlib without saying so.
REQUIREMENTS = ("notmiwae-pytorch==0.1.3", "hyperimpute==0.1.17", "pandas==2.2.3", "tensorboard", "matplotlib")
#: The longest that an imputation, or the installation, may take.
HOURS = 1
SCRIPT = Path(__file__).with_name("peer_script.py")


def install() -> None:
    """Make the environment when it is absent (some 9 GB, minutes) and bring it up to REQUIREMENTS.

    Raises:
        RuntimeError: when a command fails; what it said is also kept for :func:`_run` to give as each method's failure.
        subprocess.TimeoutExpired: when one takes longer than HOURS, kept likewise.
    """
    done, why = HOME / "installed", HOME / "failure"
    wanted = "\n".join(REQUIREMENTS)
    if done.exists() and done.read_text() == wanted:
        return
    print(f"installing {', '.join(REQUIREMENTS)} into {HOME}: minutes, 9 GB", file=sys.stderr)
    HOME.mkdir(parents=True, exist_ok=True)
    try:
        _call([sys.executable, "-m", "venv", str(HOME)])
        _call([str(HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", *REQUIREMENTS])
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        done.unlink(missing_ok=True)
        why.write_text(str(error))
        raise
    done.write_text(wanted)
    why.unlink(missing_ok=True)


def versions() -> dict[str, str]:
    """Return the versions that the environment holds of the packages that decide a result; empty where there is none."""
    names = {"numpy", "scikit-learn", "torch", "pandas", "notmiwae-pytorch", "hyperimpute"}
    found = importlib.metadata.distributions(path=[str(path) for path in HOME.glob("lib/python*/site-packages")])
    return {package.name: package.version for package in found if package.name in names}


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
    if not (HOME / "installed").exists():
        why = HOME / "failure"
        raise RuntimeError(f"no environment in {HOME}: {why.read_text() if why.exists() else 'it was not made'}")
    python = HOME / "bin" / "python"
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder, "question.npz"), Path(folder, "answer.npz")
        np.savez(question, name=name, values=values, seed=seed, draws=draws, direction=direction, epochs=epochs)
        # Some of these packages write logs and caches where they run.
        _call([str(python), str(SCRIPT), str(question), str(answer)], folder)
        with np.load(answer) as arrays:
            return arrays["completed"], arrays.get("draws")


def _call(command: list[str], folder: str | None = None) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    # One imputer that never ends must not hold up the grid.
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=HOURS * 3600)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} ...: exit status {done.returncode}\n{done.stderr[-3000:]}")
