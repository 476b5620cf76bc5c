r"""Known margins and shadow variables by exact maxima: do the ideas remove the bias, and do their intervals cover?

    python -m benchmarks.outside_exact [--samples 500] [--rows 500] [--members 8] [--draws 24]

The designs are those of :mod:`benchmarks.outside_knowledge`, and so is what is estimated; the model is at its exact maximum in the
place of the library's fit, as in :mod:`benchmarks.coverage`. Members are maxima of bootstraps, their draws exact, and pooled as nested.
So a sample takes a second, and what is left is the method's: its bias, and whether Rubin's rules cover.

- linear, curved: y given x1, x2 (of curved, and its curve) is normal, and its mask a probit. ``nothing``: the mask reads x1 and x2.
  ``shadow``: it reads y and x1. ``mean``: the mask reads x1 and x2, and y is tilted, which shifts its normal law, until the mean is
  met.
- unit: x1 and y given x2 are normal, and missing together. ``nothing``: the mask reads x2. ``shadow``: it is a probit of x1 and y,
  which is what a shadow variable x2 says. ``mean``: the mask reads x2, and x1 is tilted until its mean is met; y follows. ``both``: the
  probit, and the mean of x1, known to be 0, holds of the model, which is the likelihood of Qin, Leung and Shao's estimator.

A number that is known is told with its error, as the page on margins says. The masks are logits, and those of the model probits.
Samples, one line each, go to ``benchmarks/results/outside-exact.jsonl``, and the same command goes on after those that are there; the
table is printed, and written with ``--publish`` to ``benchmarks/published/outside_exact.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.coverage import fit, impute, start
from benchmarks.outside_knowledge import DESIGNS, TRUTH, estimates, known, simulate, summary
from pyro_mnar import analyze

WAYS = {"linear": ("nothing", "shadow", "mean"), "curved": ("nothing", "shadow", "mean"), "unit": ("nothing", "shadow", "mean", "both")}


def unit_likelihood(theta: Tensor, x2: Tensor, rows: Tensor, seen: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted log likelihood of x1, y, (N, 2) ``rows``, and their mask given x2, up to a constant, (...).

    ``theta`` (..., 10) is m0, m1, log s1 of x1 given x2; b0, b1, b2, log s of y given x1 and x2; a1, a2, c of the probit.
    """
    mean, one, two = _unit_means(theta, x2, rows)
    a1, a2, c = (theta[..., k : k + 1] for k in (7, 8, 9))
    density = -0.5 * (one**2 + two**2) - theta[..., 2:3] - theta[..., 6:7]
    slope, variance = _unit_slope(theta)
    hidden = (a1 * mean[0] + a2 * mean[1] + c) * (1 + variance).rsqrt()
    score = torch.where(seen, -(a1 * rows[:, 0] + a2 * rows[:, 1] + c), hidden)
    return (weight * (torch.where(seen, density, 0.0) + torch.special.log_ndtr(score))).sum(-1)


def tied_likelihood(theta: Tensor, x2: Tensor, rows: Tensor, seen: Tensor, weight: Tensor) -> Tensor:
    """Return :func:`unit_likelihood` with x1 of mean 0 over the rows: ``theta`` (..., 9) lacks m0."""
    return unit_likelihood(_untied(theta, x2, weight), x2, rows, seen, weight)


def impute_unit(theta: Tensor, x2: Tensor, rows: Tensor, seen: Tensor, generator: torch.Generator) -> Tensor:
    """Return tables (M, N, 2) of x1 and y with the holes drawn given x2 and being missing, for parameters (M, 10)."""
    (m1, m2), _, _ = _unit_means(theta, x2, rows)
    slope, variance = _unit_slope(theta)
    noise = torch.randn(2, *m1.shape, generator=generator, dtype=m1.dtype)
    one = theta[:, 2:3].exp() * noise[0]
    two = theta[:, 4:5] * one + theta[:, 6:7].exp() * noise[1]
    # The score of the mask, cut to be above 0; values follow it by their regression on it.
    center = theta[:, 7:8] * m1 + theta[:, 8:9] * m2 + theta[:, 9:10]
    width = (1 + variance).sqrt()
    uniform = torch.rand(m1.shape, generator=generator, dtype=m1.dtype)
    cut = center - width * torch.special.ndtri((uniform * torch.special.ndtr(center / width)).clamp_min(1e-300))
    free = theta[:, 7:8] * one + theta[:, 8:9] * two + torch.randn(m1.shape, generator=generator, dtype=m1.dtype)
    moved = (cut - center - free) / (1 + variance)
    drawn = torch.stack([m1 + one + slope[0] * moved, m2 + two + slope[1] * moved], -1)
    return torch.where(seen.unsqueeze(-1), rows, drawn)


def one_unit(way: str, frame: pd.DataFrame, counts: Tensor, each: int, told: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Return completed x1 and y, (M, N, 2), of the design ``unit``."""
    x2, seen = torch.tensor(frame["x2"].to_numpy()), torch.tensor(frame["y"].notna().to_numpy())
    rows = torch.tensor(frame[["x1", "y"]].fillna(0.0).to_numpy())
    data, ones = (x2, rows, seen), torch.ones(1, len(x2), dtype=x2.dtype)
    if way in ("shadow", "both"):
        likelihood = tied_likelihood if way == "both" else unit_likelihood
        first = torch.cat([_unit_start(*data, ones), torch.tensor([[0.3, 0.3, -0.5]], dtype=x2.dtype)], -1)
        first = first[:, 1:] if way == "both" else first
        first, _ = fit(first, *data, ones, likelihood=likelihood)
        theta, _ = fit(first.expand(len(counts), -1), *data, counts, likelihood=likelihood)
        theta = _untied(theta, x2, counts) if way == "both" else theta
        return impute_unit(theta.repeat_interleave(each, 0), *data, generator)
    theta = torch.cat([_unit_start(*data, counts), torch.zeros(len(counts), 3, dtype=x2.dtype)], -1).repeat_interleave(each, 0)
    if way == "mean":
        (m1, _), _, _ = _unit_means(theta, *data[:2])
        wanted = told[0] + told[1] * torch.randn(len(theta), 1, generator=generator)
        shift = (len(x2) * wanted - torch.where(seen, rows[:, 0], m1).sum(-1, keepdim=True)) / (~seen).sum()
        theta[:, :1] += shift
    return impute_unit(theta, *data, generator)


def one_outcome(
    way: str, frame: pd.DataFrame, counts: Tensor, each: int, told: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Return completed y, (M, N), of the designs ``linear`` and ``curved``, whose x1 and x2, and a curve, are columns of ``frame``."""
    x, y = torch.tensor(frame.drop(columns="y").to_numpy()), torch.tensor(frame["y"].fillna(0.0).to_numpy())
    seen, ones = torch.tensor(frame["y"].notna().to_numpy()), torch.ones(1, len(frame), dtype=x.dtype)
    if way == "shadow":
        first = torch.cat([start(x, y, seen, ones, 0.5), torch.zeros(1, 1, dtype=x.dtype)], -1)
        first, _ = fit(first, x, y, seen, ones)
        theta, _ = fit(first.expand(len(counts), -1), x, y, seen, counts)
        return impute(theta.repeat_interleave(each, 0), x, y, seen, generator)
    theta, width = start(x, y, seen, counts, 0.0).repeat_interleave(each, 0), x.shape[1] + 1
    if way == "mean":
        mean = theta[:, :1] + theta[:, 1:width] @ x.T
        wanted = told[0] + told[1] * torch.randn(len(theta), 1, generator=generator)
        theta[:, :1] += (len(y) * wanted - torch.where(seen, y, mean).sum(-1, keepdim=True)) / (~seen).sum()
    return impute(theta, x, y, seen, generator)


def run(design: str, repetition: int, rows: int, draws: int, members: int) -> list[dict[str, Any]]:
    """Return the estimates of one sample by each way of its design, as :func:`benchmarks.outside_knowledge.run` does."""
    frame, rng = simulate(design, rows, repetition), np.random.default_rng((repetition, 7))
    counts = torch.tensor(rng.multinomial(rows, np.full(rows, 1 / rows), members)).double()
    each, told, lines = draws // members, known(design, repetition, rows), []
    whole = frame.assign(curve=frame["x2"] ** 2 - 1) if design == "curved" else frame
    for way in WAYS[design]:
        generator = torch.Generator().manual_seed(repetition)
        if design == "unit":
            drawn = one_unit(way, frame, counts, each, told, generator).numpy()
            tables = [frame.assign(x1=own[:, 0], y=own[:, 1]) for own in drawn]
        else:
            tables = [frame.assign(y=own) for own in one_outcome(way, whole, counts, each, told, generator).numpy()]
        pooled = analyze(tables, estimates, [i // each for i in range(members * each)])
        found, (low, high) = np.asarray(pooled.estimate), pooled.interval()
        answers = {name: [round(float(part[i]), 5) for part in (found, low, high)] for i, name in enumerate(TRUTH)}
        lines.append({"design": design, "way": way, "repetition": repetition, "found": answers})
    return lines


def main(options: argparse.Namespace) -> pd.DataFrame:
    """Run the samples that have no line; print and return the summary."""
    torch.set_num_threads(1)
    sizes = {"rows": options.rows, "draws": options.draws, "members": options.members}
    done = [json.loads(line) for line in options.output.read_text().splitlines()] if options.output.exists() else []
    if any(line["sizes"] != sizes for line in done):
        raise SystemExit(f"{options.output}: was made with {done[0]['sizes']}, expected {sizes} (or another --output)")
    there = {(line["design"], line["sample"]) for line in done}
    grid = [(design, i) for i in range(options.samples) for design in options.designs if (design, i) not in there]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("a") as file:
        for design, i in tqdm(grid, unit="sample", disable=None):
            done.append({"design": design, "sample": i, "sizes": sizes, "ways": run(design, i, **sizes)})
            file.write(json.dumps(done[-1]) + "\n")
            file.flush()
    asked = [line for line in done if line["design"] in options.designs and line["sample"] < options.samples]
    table = summary([way for line in asked for way in line["ways"]])
    print(f"truth {TRUTH}; {sizes}; covered: by 95 % intervals")
    print(table.round(3).to_string())
    if options.publish:
        found = {"command": f"python -m benchmarks.outside_exact --samples {options.samples}", "sizes": sizes}
        found["table"] = json.loads(table.round(4).reset_index().to_json(orient="records"))
        Path("benchmarks/published/outside_exact.json").write_text(json.dumps(found, indent=1) + "\n")
    return table


def _unit_means(theta: Tensor, x2: Tensor, rows: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
    """Return the means (..., N) of x1 and y given x2, and the standardized residuals of x1, and of y given x1."""
    m0, m1, log_s1, b0, b1, b2, log_s = (theta[..., k : k + 1] for k in range(7))
    first = m0 + m1 * x2
    one = (rows[:, 0] - first) * (-log_s1).exp()
    two = (rows[:, 1] - b0 - b1 * rows[:, 0] - b2 * x2) * (-log_s).exp()
    return (first, b0 + b1 * first + b2 * x2), one, two


def _unit_slope(theta: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Return the covariances of x1 and y with a1 x1 + a2 y, and the variance of that, each (..., 1)."""
    v1, b1, v = (2 * theta[..., 2:3]).exp(), theta[..., 4:5], (2 * theta[..., 6:7]).exp()
    a1, a2 = theta[..., 7:8], theta[..., 8:9]
    slope = v1 * (a1 + b1 * a2), b1 * v1 * (a1 + b1 * a2) + v * a2
    return slope, a1 * slope[0] + a2 * slope[1]


def _untied(theta: Tensor, x2: Tensor, weight: Tensor) -> Tensor:
    center = (weight * x2).sum(-1, keepdim=True) / weight.sum(-1, keepdim=True)
    return torch.cat([-theta[..., :1] * center, theta], -1)


def _unit_start(x2: Tensor, rows: Tensor, seen: Tensor, weight: Tensor) -> Tensor:
    """Return least squares of the seen rows, (..., 7)."""
    first = start(x2[:, None], rows[:, 0], seen, weight, 0.0)[..., :3]
    second = start(torch.stack([rows[:, 0], x2], -1), rows[:, 1], seen, weight, 0.0)[..., :4]
    return torch.cat([first, second], -1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", nargs="+", choices=list(DESIGNS), default=list(DESIGNS))
    for name, value in {"samples": 500, "rows": 500, "members": 8, "draws": 24}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/outside-exact.jsonl"))
    parser.add_argument("--publish", action="store_true")
    main(parser.parse_args())
