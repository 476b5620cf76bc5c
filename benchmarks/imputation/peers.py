"""Imputers of other packages, in environments of their own: their requirements exclude ours (pandas 2.2, for one), or each other's."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parents[1] / "results"
#: What each environment, a folder of RESULTS, is made of. notmiwae-pytorch needs TensorBoard and matplotlib without saying so; utrees
#: calls what scikit-learn has no longer after 1.6, and a package that it needs what is new there.
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "peers-venv": ("notmiwae-pytorch==0.1.3", "hyperimpute==0.1.17", "pandas==2.2.3", "tensorboard", "matplotlib"),
    "unmasking-trees-venv": ("utrees==0.3.0", "scikit-learn==1.6.1"),
}
#: Where a method runs, if not in the first.
ELSEWHERE = {"unmasking-trees": "unmasking-trees-venv"}
#: The longest that an imputation, or the installation, may take.
HOURS = 1
SCRIPT = Path(__file__).with_name("peer_script.py")


def environment(name: str) -> str:
    """Return the environment in which a method runs."""
    return ELSEWHERE.get(name, "peers-venv")


def install(which: str) -> None:
    """Make an environment when it is absent (up to 9 GB, minutes) and bring it up to its REQUIREMENTS.

    Raises:
        RuntimeError: when a command fails; what it said is also kept for :func:`_run` to give as each method's failure.
        subprocess.TimeoutExpired: when one takes longer than HOURS, kept likewise.
    """
    home, wanted = RESULTS / which, "\n".join(REQUIREMENTS[which])
    done, why = home / "installed", home / "failure"
    if done.exists() and done.read_text() == wanted:
        return
    print(f"installing {', '.join(REQUIREMENTS[which])} into {home}: minutes, up to 9 GB", file=sys.stderr)
    home.mkdir(parents=True, exist_ok=True)
    try:
        _call([sys.executable, "-m", "venv", str(home)])
        _call([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", *REQUIREMENTS[which]])
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        done.unlink(missing_ok=True)
        why.write_text(str(error))
        raise
    done.write_text(wanted)
    why.unlink(missing_ok=True)


def versions(which: str) -> dict[str, str]:
    """Return the versions that an environment holds of the packages that decide a result; empty where there is none."""
    names = {"numpy", "scikit-learn", "torch", "pandas", "notmiwae-pytorch", "hyperimpute", "utrees", "xgboost"}
    found = importlib.metadata.distributions(path=[str(path) for path in (RESULTS / which).glob("lib/python*/site-packages")])
    return {package.name: package.version for package in found if package.name in names}


def notmiwae_pytorch(
    values: np.ndarray,
    seed: int,
    draws: int = 200,
    direction: str | None = None,
    epochs: int = 100,
    train: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """not-MIWAE by notmiwae-pytorch 0.1.3, its README's settings: self-masking, of known sign where the direction is known."""
    return _run("notmiwae-pytorch", values, seed, draws, train, direction=direction or "", epochs=epochs)


def hyperimpute(
    values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None, train: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """HyperImpute (arXiv 2206.07769) by hyperimpute 0.1.17, its default method.

    It fits when it imputes, so that other rows are imputed together with those it is fitted to.
    """
    if train is None:
        return _run("hyperimpute", values, seed, 0, None)
    completed, _ = _run("hyperimpute", np.concatenate([train, values]), seed, 0, None)
    return completed[len(train) :], None


def hyperimpute_miwae(
    values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None, train: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """MIWAE by hyperimpute 0.1.17, its defaults."""
    return _run("hyperimpute-miwae", values, seed, 0, train)


def unmasking_trees(
    values: np.ndarray,
    seed: int,
    draws: int = 200,
    direction: str | None = None,
    copies: int = 50,
    kept: int = 10,
    train: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """UnmaskingTrees (arXiv 2407.05593) by utrees 0.3.0, its defaults; the completed table is the mean of ``kept`` draws.

    It draws one cell of one row after the other, some milliseconds each: hence so few.
    """
    return _run("unmasking-trees", values, seed, kept, train, epochs=copies)


def _run(
    name: str, values: np.ndarray, seed: int, draws: int, train: np.ndarray | None, direction: str = "", epochs: int = 0
) -> tuple[np.ndarray, np.ndarray | None]:
    """Hand a table to the script in the other environment and read its answer; both travel as .npz."""
    home = RESULTS / environment(name)
    if not (home / "installed").exists():
        why = home / "failure"
        raise RuntimeError(f"no environment in {home}: {why.read_text() if why.exists() else 'it was not made'}")
    asked = {"name": name, "values": values, "seed": seed, "draws": draws, "direction": direction, "epochs": epochs}
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder, "question.npz"), Path(folder, "answer.npz")
        np.savez(question, **asked, train=values if train is None else train)
        # Some of these packages write logs and caches where they run.
        _call([str(home / "bin" / "python"), str(SCRIPT), str(question), str(answer)], folder)
        with np.load(answer) as arrays:
            return arrays["completed"], arrays.get("draws")


def _call(command: list[str], folder: str | None = None) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    # One imputer that never ends must not hold up the grid.
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=HOURS * 3600)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} ...: exit status {done.returncode}\n{done.stderr[-3000:]}")
