"""Speed: a training step against plain torch, growth over two decades of rows, columns and particles, single rows, and an import.

    python benchmarks/speed.py step [--batch 16 128 1024]
    python benchmarks/speed.py scaling [--decades 2]
    python benchmarks/speed.py serve
    python benchmarks/speed.py import

Each prints a table and writes JSON (and ``scaling`` a figure) to ``benchmarks/results``. One thread. Everything that is compared is run
in turn in one process (``import``: one after the other), so that a busy machine slows both; the ratio is the median of the paired ones.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import softplus

from pyro_mnar import IWELBO, MNAR, PROBIT, GaussianDecoder, GaussianEncoder, MNARImputer, SelfMasking, impute
from pyro_mnar.networks.layers import MIN_SCALE

COLUMNS, LATENT, PARTICLES = 11, 10, 20
#: Two decades of each, and where the other two stand meanwhile.
AXES = {"rows": (1_000, 1_000), "columns": (10, 10), "particles": (10, 20)}


def declared(columns: int = COLUMNS) -> MNAR:
    """Return a model whose first half of the columns masks itself through a probit."""
    torch.manual_seed(0)
    mechanism = SelfMasking(columns, range(columns // 2), "high", PROBIT)
    return MNAR(GaussianDecoder(LATENT, columns), GaussianEncoder(LATENT, columns), mechanism)


def table(rows: int, columns: int = COLUMNS) -> tuple[Tensor, Tensor]:
    """Return random values and mask, (rows, columns)."""
    return torch.randn(rows, columns), torch.rand(rows, columns) > 0.3


def hand_written(mnar: MNAR, particles: int = PARTICLES) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the plain IWAE loss of the same networks, the missing values integrated out, without Pyro or any class of ours."""
    decoder, encoder, mechanism = mnar.decoder, mnar.encoder.net, mnar.mechanism
    masked, latent = len(mechanism.columns), decoder.latent_dim
    half_log_2pi = 0.5 * math.log(2 * math.pi)

    def log_normal(x: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
        return -0.5 * ((x - loc) / scale).square() - (scale.log() + half_log_2pi)

    def loss(x: Tensor, mask: Tensor) -> Tensor:
        values = torch.where(mask, x, 0.0)
        loc, raw = encoder(torch.cat([values, mask.to(values)], -1)).chunk(2, -1)
        scale = softplus(raw) + 1e-3
        z = loc + scale * torch.randn(particles, len(x), latent, dtype=x.dtype)
        mean, d = decoder.linear(z) + decoder.net(z), softplus(decoder.raw_scale) + MIN_SCALE
        log_w = torch.where(mask, log_normal(values, mean, d), 0.0).sum(-1)
        slope = mechanism.raw_slope.exp()
        intercept = mechanism.offset - slope * mechanism.anchor
        rate = (1 + (slope * d[:masked]).square()).rsqrt()
        observed = -(slope * values[:, :masked] + intercept)
        missing = slope * rate * mean[..., :masked] + intercept * rate
        log_w = log_w + torch.special.log_ndtr(torch.where(mask[:, :masked], observed, missing)).sum(-1)
        log_w = log_w - (0.5 * z.square() + half_log_2pi).sum(-1) - log_normal(z, loc, scale).sum(-1)
        return -(log_w.logsumexp(0) - math.log(particles)).mean()

    return loss


def paired(arms: dict[str, Callable[[], None]], repeats: int, warm: int = 5) -> dict[str, dict[str, float]]:
    """Return each arm's median seconds and median ratio to the first, over ``repeats`` rounds, each begun by another arm."""
    names = list(arms)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for i in range(repeats + warm):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            start = time.perf_counter()
            arms[name]()
            seconds[name].append(time.perf_counter() - start)
    kept = {name: times[warm:] for name, times in seconds.items()}
    return {
        name: {
            "seconds": statistics.median(times),
            "ratio": statistics.median(a / b for a, b in zip(times, kept[names[0]], strict=True)),
        }
        for name, times in kept.items()
    }


def step(options: argparse.Namespace) -> list[dict]:
    """Time loss, backward pass and update, with torch's default AdamW in all arms and with the fused one that ``fit`` takes."""
    results = []
    for fused in (None, True):
        for batch in options.batch:
            mnar, (x, mask) = declared(), table(batch)
            losses = {"plain": hand_written(mnar)} | {name: IWELBO(mnar, PARTICLES, name).loss for name in ("iwae", "dreg")}
            optimizer = torch.optim.AdamW(mnar.parameters(), 1e-4, fused=fused)

            def update(loss: Callable, optimizer: torch.optim.Optimizer = optimizer, x: Tensor = x, mask: Tensor = mask) -> None:
                optimizer.zero_grad()
                loss(x, mask).backward()
                optimizer.step()

            arms = {name: lambda loss=loss, update=update: update(loss) for name, loss in losses.items()}
            repeats = options.repeats or max(30, 16 * 400 // batch)
            results.append({"adamw": "fused" if fused else "default", "batch": batch} | paired(arms, repeats))
            line = ", ".join(f"{n} {1e3 * results[-1][n]['seconds']:.2f} ms ({results[-1][n]['ratio']:.2f})" for n in arms)
            print(f"AdamW {results[-1]['adamw']:7} batch {batch:5}: {line}", flush=True)
    return results


def measure(rows: int, columns: int, particles: int) -> dict[str, float]:
    """Return seconds of a training step of 128 rows with K ``particles`` and of an imputation of all with 10 K, and the process's
    peak memory, torch itself included.
    """
    mnar, (x, mask) = declared(columns), table(rows, columns)
    loss, batch = IWELBO(mnar, particles).loss, slice(0, 128)
    result = paired({"step": lambda: loss(x[batch], mask[batch]).backward()}, 10, warm=2)
    start = time.perf_counter()
    impute(mnar, x, mask, particles=10 * particles)
    seconds = time.perf_counter() - start
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"step seconds": result["step"]["seconds"], "impute seconds": seconds, "peak gigabytes": gigabytes}


def scaling(options: argparse.Namespace) -> list[dict]:
    """Measure along each axis, every point in a process of its own, and draw it."""
    results = []
    for axis, (first, _) in AXES.items():
        for i in range(2 * options.decades + 1):
            point = {name: base for name, (_, base) in AXES.items()} | {axis: round(first * 10 ** (i / 2))}
            code = f"import json; from benchmarks.speed import measure; print(json.dumps(measure(**{point})))"
            env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])}
            output = subprocess.run([sys.executable, "-c", code], env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
            results.append({"axis": axis} | point | json.loads(output.splitlines()[-1]))
            print(", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in results[-1].items()), flush=True)
    draw(results, Path(options.output, "scaling.png"))
    return results


def draw(results: list[dict], path: Path) -> None:
    """Write one figure: a row of panels of seconds, a row of memory, a column for each axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.5), layout="constrained")
    panels = figure.subplots(2, len(AXES), sharey="row", sharex="col")
    for column, axis in zip(panels.T, AXES, strict=True):
        points = [r for r in results if r["axis"] == axis]
        for panel, keys in zip(column, (("step seconds", "impute seconds"), ("peak gigabytes",)), strict=True):
            for key in keys:
                panel.loglog([r[axis] for r in points], [r[key] for r in points], "o-", label=key)
        column[1].set_yscale("linear")
        column[1].set_xlabel(axis)
    for panel, label in zip(panels[:, 0], ("seconds", "GB"), strict=True):
        panel.set_ylabel(label)
        panel.legend()
    # Most of the memory is the libraries': from 0, so that their share is seen.
    panels[1, 0].set_ylim(0, 1.1 * max(r["peak gigabytes"] for r in results))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def real(columns: int) -> tuple[Any, dict[str, Any]]:
    """Return a frame of real columns, large values of half of them missing, and what is stated of it."""
    x, mask = table(1000, columns)
    x[:, 1:] += x[:, :1]
    x[~mask | ((x > 0.8) & (torch.arange(columns) < columns // 2))] = torch.nan
    return pd.DataFrame(x.double().numpy()), {"mechanism": "self-masking", "direction": {j: "high" for j in range(columns // 2)}}


def mixed() -> tuple[Any, dict[str, Any]]:
    """Return a frame of eleven columns of six kinds, and what is stated of it."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 1000))
    noise = iter(rng.normal(size=(10, 1000)))
    frame = pd.DataFrame({f"real {i}": score + next(noise) for i, score in enumerate((one, other, one + other))})
    frame = frame.assign(**{f"positive {i}": np.exp(0.5 * (score + next(noise))) for i, score in enumerate((one, other, other))})
    frame = frame.assign(**{f"binary {i}": np.where(score + next(noise) > 0, "yes", "no") for i, score in enumerate((one, other))})
    frame["category"] = np.array(list("abcd"))[np.digitize(other + next(noise), [-1, 0, 1])]
    grades = np.array(["low", "middle", "high"])[np.digitize(one + next(noise), [-0.5, 0.5])]
    frame["grade"] = pd.Categorical(grades, ["low", "middle", "high"], ordered=True)
    frame["count"] = pd.Series(rng.poisson(np.exp(0.8 + 0.4 * one)), dtype="Int64")
    mask = rng.random(frame.shape) < 0.3
    mask[0] = np.arange(11) % 2 == 0
    return frame.mask(mask), {"kinds": {"count": "count"} | {f"positive {i}": "positive" for i in range(3)}}


def serve(options: argparse.Namespace) -> dict:
    """Time ``transform`` of one row and of more by fitted imputers of eight members, each of a row beside all of them.

    Of the processor's time beside the clock's: on a busy machine that is the one to compare. Frames go in and come out.
    """
    own = {"real 0": "high", "positive 0": "high", "binary 0": "free", "category": "free", "grade": "high", "count": "high"}
    cases: dict[str, tuple[tuple[Any, dict[str, Any]], dict[str, Any], tuple[int, ...]]] = {
        "11 columns": (real(COLUMNS), {}, (1, 2, 4, 8, 64, 1000)),
        "11 columns, tolerance .02": (real(COLUMNS), {"tolerance": 0.02}, (1, 1000)),
        "11 columns, medians": (real(COLUMNS), {"point": "median"}, (1,)),
        "30 columns": (real(30), {}, (1, 2, 4, 8, 64, 1000)),
        "six kinds, ignorable": (mixed(), {"mechanism": "none"}, (1, 2, 4, 8, 64)),
        "six kinds, own values": (mixed(), {"mechanism": "self-masking", "direction": own}, (1, 2, 4, 8, 64)),
    }
    results = {}
    for name, ((frame, stated), changes, sizes) in cases.items():
        imputer = MNARImputer(steps=50, progress=False, **(stated | changes)).fit(frame)
        for rows in sizes:
            seconds = []
            for i in range((options.repeats or (20 if rows == 1 else 3)) + 1):
                start = time.perf_counter(), time.process_time()
                imputer.transform(frame[:rows])
                seconds += [(time.perf_counter() - start[0], time.process_time() - start[1])] if i else []
            clock, processor = (1e3 * statistics.median(times) for times in zip(*seconds, strict=True))
            results[f"{name}, {rows} rows"] = {"milliseconds": clock, "of the processor": processor}
            each = "" if rows == 1 else f", {processor / rows:.2f} a row, {processor / rows / imputer.members:.3f} a row and member"
            print(f"{name + ',':27} {rows:4} rows: {clock:.1f} ms ({processor:.1f} of the processor{each})", flush=True)
    return results


def import_time(options: argparse.Namespace) -> dict:
    """Time processes that import Pyro, this package, and this package with every public name in use."""
    lines = {"import pyro": "import pyro", "import pyro_mnar": "import pyro_mnar", "every name": "from pyro_mnar import *"}
    arms = {name: lambda code=code: subprocess.run([sys.executable, "-c", code], check=True) for name, code in lines.items()}
    result = paired(arms, options.repeats or 7, warm=1)
    for name, value in result.items():
        print(f"{name:16} {value['seconds']:.2f} s ({value['ratio']:.2f})")
    return result


def main() -> None:
    """Run one of the four."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["step", "scaling", "serve", "import"])
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 128, 1024], help="rows a training step")
    parser.add_argument("--repeats", type=int, help="rounds of step, serve and import")
    parser.add_argument("--decades", type=int, default=2, help="of scaling, on each axis")
    parser.add_argument("--output", default="benchmarks/results", help="folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = {"step": step, "scaling": scaling, "serve": serve, "import": import_time}[options.what](options)
    Path(options.output).mkdir(parents=True, exist_ok=True)
    Path(options.output, f"{options.what}.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
