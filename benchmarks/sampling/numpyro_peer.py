"""NumPyro's NUTS in an environment of its own, installed for the benchmark only."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pyro_mnar import MNAR
from pyro_mnar.infer.streams import RowStreams
from pyro_mnar.mcmc.targets import RowTarget

HOME = Path(__file__).parents[1] / "results" / "numpyro-venv"
#: JAX as of this NumPyro's release: it does not run with later ones.
REQUIREMENTS = ("numpyro==0.19.0", "jax==0.7.2", "jaxlib==0.7.2")
SCRIPT = Path(__file__).with_name("numpyro_script.py")


def install() -> Path:
    """Return the environment's Python, made when it is absent (some 400 MB)."""
    python = HOME / "bin" / "python"
    if not (HOME / "installed").exists():
        print(f"installing {', '.join(REQUIREMENTS)} into {HOME}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        (HOME / "installed").touch()
    return python


@torch.no_grad()
def nuts(
    python: Path, mnar: MNAR, x: Tensor, mask: Tensor, chains: int, draws: int, warmup: int, dense: bool
) -> tuple[Tensor, float, float]:
    """Return draws of z, (C, M, N, L), on the density of ``mnar``, and the second run's seconds: processor's and on the wall."""
    decoder, mechanism = mnar.decoder, mnar.mechanism
    assert mechanism is not None and decoder.linear is not None and decoder.net is not None
    columns = mechanism.columns
    slope, intercept, modeled = torch.zeros(x.shape[-1]), torch.zeros(x.shape[-1]), torch.zeros(x.shape[-1], dtype=torch.bool)
    slope[columns], intercept[columns] = mechanism.line()
    modeled[columns] = True
    layers = [layer for layer in decoder.net if isinstance(layer, nn.Linear)]
    net = {f"weight{i}": layer.weight for i, layer in enumerate(layers)} | {f"bias{i}": layer.bias for i, layer in enumerate(layers)}
    net |= {"linear": decoder.linear.weight, "shift": decoder.linear.bias, "scale": decoder.scale(x.new_zeros(1))}
    net |= {
        "slope": slope,
        "intercept": intercept,
        "modeled": modeled,
        "y": torch.where(mask, mnar._warped(x, mask), 0.0),
        "mask": mask,
    }
    net["starts"] = RowTarget(mnar, (x, mask)).guide_draws(RowStreams(0, range(len(x))), chains)
    single = {"OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | single
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder, "question.npz"), Path(folder, "answer.npz")
        arrays = {name: np.asarray(value) for name, value in net.items()}
        np.savez(question, layers=len(layers), settings=[warmup, draws, int(dense), 0], **arrays)
        # XLA's own threads stay on one core.
        subprocess.run(["taskset", "-c", "0", str(python), str(SCRIPT), str(question), str(answer)], env=environment, check=True)
        with np.load(answer) as found:
            return torch.from_numpy(found["z"]).permute(0, 2, 1, 3), *(float(value) for value in found["seconds"][1])
