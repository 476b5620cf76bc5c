r"""Do pooled 95 % intervals cover? A regression whose outcome masks itself, with and without the parameters' uncertainty.

    x_1, x_2 normal, correlated;  y = b_0 + b_1 x_1 + b_2 x_2 + e;  P(y missing) = Phi(a (y - E y) / sd y + c)

    python -m benchmarks.coverage [--repetitions 500] [--rows 500] [--slope 1] [--rate .3] [--draws 20]

Every repetition is imputed M times, analyzed by least squares and pooled by Rubin's rules. The imputation model is that of the
library with a linear decoder of L = D - 1 latents and probit self-masking. Such a decoder reaches every normal law of the three
columns, and its evidence is closed, so that its maximum is found in the parameters of y given x,

    seen  log N(y; m, s^2) + log Phi(-(a y + c))        missing  log Phi((a m + c) / sqrt(1 + a^2 s^2)),        m = b_0 + b' x

(the law of the complete x is a factor apart; a test holds this against the library's exact answers). All repetitions and their M
bootstrap refits are trained as one batched model, by Newton's method: derivatives of a sum over models are each model's own.

- without: every draw from the one fit, as if its parameters were the truth;
- with: draw m from a fit to the m-th bootstrap sample of the rows;
- 8 refits: as many draws, from 8 such fits in turn, as an ensemble of 8 members gives them, pooled as what they are, nested;
- not nested: the same, pooled as if each draw had parameters of its own;
- ignorable: bootstrap refits that take missingness for ignorable; and the complete rows alone.

Prints a table and writes ``benchmarks/results/coverage.json``. About a minute and a half on one thread for 500 repetitions.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pyro_mnar.analysis.rubin import pool

TRUTH = (1.0, 1.0, -0.5)
_CHUNK = 25  # repetitions at a time
_MEMBERS = 8


def simulate(repetitions: int, rows: int, slope: float, rate: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return x (R, N, 2), y (R, N) and which y are seen, (R, N)."""
    x = torch.randn(repetitions, rows, 2, generator=generator, dtype=torch.float64)
    x[..., 1] = 0.5 * x[..., 0] + 0.75**0.5 * x[..., 1]
    noise = torch.randn(repetitions, rows, generator=generator, dtype=torch.float64)
    y = TRUTH[0] + TRUTH[1] * x[..., 0] + TRUTH[2] * x[..., 1] + noise
    sd = (TRUTH[1] ** 2 + TRUTH[2] ** 2 + TRUTH[1] * TRUTH[2] + 1) ** 0.5
    c = torch.special.ndtri(torch.tensor(rate, dtype=torch.float64)) * (1 + slope**2) ** 0.5
    missing = torch.special.ndtr(slope * (y - TRUTH[0]) / sd + c)
    return x, y, torch.rand(repetitions, rows, generator=generator, dtype=torch.float64) >= missing


def log_likelihood(theta: Tensor, x: Tensor, y: Tensor, seen: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted log likelihood of y and its mask given x (..., N, P), up to a constant, (...).

    ``theta`` (..., P + 4) is b, log s, a, c; beyond these it has effects of the first columns of x on the mask.
    """
    mean, log_scale, a, c = _mean(theta, x), *_scale_and_slope(theta, x), _intercept(theta, x)
    density = torch.where(seen, -0.5 * ((y - mean) * (-log_scale).exp()).square() - log_scale, 0.0)
    score = torch.where(seen, -(a * y + c), (a * mean + c) * (1 + (a * log_scale.exp()).square()).rsqrt())
    return (weight * (density + torch.special.log_ndtr(score))).sum(-1)


def fit(theta: Tensor, *data: Tensor, steps: int = 60, likelihood: Callable[..., Tensor] = log_likelihood) -> tuple[Tensor, Tensor]:
    """Return the maximum over theta (R, P), and the largest component of the gradient there, (R,), by damped Newton steps."""
    damping = theta.new_full(theta.shape[:-1], 1e-3)
    value, gradient, hessian = _derivatives(likelihood, theta, *data)
    for _ in range(steps):
        curvature, axes = torch.linalg.eigh(-hessian)
        curvature = curvature.abs().clamp_min(1e-6) * (1 + damping.unsqueeze(-1)) + damping.unsqueeze(-1)
        step = axes @ ((axes.mT @ gradient.unsqueeze(-1)) / curvature.unsqueeze(-1))
        new = _derivatives(likelihood, theta + step.squeeze(-1), *data)
        better = new[0] >= value
        theta = torch.where(better.unsqueeze(-1), theta + step.squeeze(-1), theta)
        value, gradient, hessian = (
            torch.where(better.reshape(*better.shape, *[1] * (b.dim() - better.dim())), b, old)
            for b, old in zip(new, (value, gradient, hessian), strict=True)
        )
        damping = torch.where(better, damping / 10, damping * 20).clamp(1e-8, 1e8)
        if float(gradient.abs().amax()) < 1e-4:
            break
    return theta, gradient.abs().amax(-1)


def start(x: Tensor, y: Tensor, seen: Tensor, weight: Tensor, slope: float) -> Tensor:
    """Return least squares of the seen rows as parameters (..., P + 4), with a given slope and the missing rate at the mean."""
    beta, _ = least_squares(x, y, weight * seen)
    residual = y - _mean(beta, x)
    seen_weight = (weight * seen).sum(-1)
    scale = ((weight * seen * residual.square()).sum(-1) / seen_weight).sqrt()
    rate = torch.special.ndtri(1 - seen_weight / weight.sum(-1))
    a = torch.full_like(scale, slope)
    return torch.cat([beta, torch.stack([scale.log(), a, rate - a * (weight * seen * y).sum(-1) / seen_weight], -1)], -1)


def impute(theta: Tensor, x: Tensor, y: Tensor, seen: Tensor, generator: torch.Generator) -> Tensor:
    """Return y with its holes drawn from their exact law given x and being missing (an extended skew-normal)."""
    mean, c = _mean(theta, x), _intercept(theta, x)
    log_scale, a = _scale_and_slope(theta, x)
    scale = log_scale.exp()
    width = (1 + (a * scale).square()).sqrt()
    uniform = torch.rand(mean.shape, generator=generator, dtype=mean.dtype)
    t = -torch.special.ndtri((uniform * torch.special.ndtr((a * mean + c) / width)).clamp_min(1e-300))
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
    return torch.where(seen, y, mean + (a * scale.square() * t + scale * noise) / width)


def least_squares(x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return coefficients (..., P + 1) and their variances, for rows of weight 0 or 1 (others count as repeated rows)."""
    design = torch.cat([torch.ones_like(x[..., :1]), x], -1).expand(*torch.broadcast_shapes(x.shape[:-1], weight.shape), -1)
    inverse = torch.linalg.inv(design.mT @ (weight.unsqueeze(-1) * design))
    beta = (inverse @ (design.mT @ (weight * y).unsqueeze(-1))).squeeze(-1)
    error = (weight * (y - _mean(beta, x)).square()).sum(-1) / (weight.sum(-1) - design.shape[-1])
    return beta, torch.diagonal(inverse, dim1=-2, dim2=-1) * error.unsqueeze(-1)


def study(repetitions: int, rows: int, slope: float, rate: float, draws: int, seed: int, progress: bool = True) -> dict[str, Any]:
    """Return, by method, each coefficient's coverage, bias, spread, mean width of its interval and mean missing information."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[np.ndarray]] = {}
    gradients = []
    for done in tqdm(range(0, repetitions, _CHUNK), "repetitions", disable=None if progress else True, leave=False):
        size = min(_CHUNK, repetitions - done)
        x, y, seen = simulate(size, rows, slope, rate, generator)
        one = torch.ones_like(y)
        theta, left = fit(start(x, y, seen, one, 0.5), x, y, seen, one)
        xb, yb, sb = x.unsqueeze(1), y.unsqueeze(1), seen.unsqueeze(1)
        drawn = torch.randint(rows, (size, draws, rows), generator=generator)
        counts = torch.zeros(size, draws, rows, dtype=y.dtype).scatter_add(-1, drawn, torch.ones(1, dtype=y.dtype).expand(drawn.shape))
        refits, left_too = fit(theta.unsqueeze(1).expand(-1, draws, -1), xb, yb, sb, counts)
        gradients += [float(left.amax()), float(left_too.amax())]
        plain = start(xb, yb, sb, counts, 0.0)
        ways = {
            "without": theta.unsqueeze(1).expand(-1, draws, -1),
            "with": refits,
            "8 refits": refits[:, torch.arange(draws) % _MEMBERS],
            "ignorable, with": plain,
        }
        for name, parameters in ways.items():
            q, u = least_squares(xb, impute(parameters, xb, yb, sb, generator), one.unsqueeze(1))
            flat = [part.movedim(1, 0).reshape(draws, -1).numpy() for part in (q, u)]
            rules = {name: None}
            if name == "8 refits":
                rules = {name: torch.arange(draws) % _MEMBERS, "8 refits, not nested": None}
            for which, groups in rules.items():
                pooled = pool(*flat, complete_dof=rows - 3, groups=None if groups is None else groups.tolist())
                found.setdefault(which, []).append(
                    np.stack([pooled.estimate, *pooled.interval(), pooled.fraction_missing]).reshape(4, -1, 3)
                )
        q, u = (part.numpy() for part in least_squares(x, y, seen.double()))
        found.setdefault("complete rows", []).append(np.stack([q, q - 1.96 * u**0.5, q + 1.96 * u**0.5, np.zeros_like(q)]))
    summary = {}
    for name, parts in found.items():
        estimate, low, high, fmi = np.concatenate(parts, 1)
        summary[name] = {
            "coverage": ((low < TRUTH) & (high > TRUTH)).mean(0).tolist(),
            "bias": (estimate - TRUTH).mean(0).tolist(),
            "spread": estimate.std(0).tolist(),
            "width": (high - low).mean(0).tolist(),
            "missing information": fmi.mean(0).tolist(),
        }
    return {"methods": summary, "largest gradient": max(gradients)}


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the study, print its table, write JSON."""
    began = time.perf_counter()
    options = {name: getattr(arguments, name) for name in ("repetitions", "rows", "slope", "rate", "draws", "seed")}
    result = study(**options)
    error = 100 * (0.95 * 0.05 / arguments.repetitions) ** 0.5
    print(f"coverage of nominal 95 % intervals in %, {options} (Monte Carlo error {error:.1f})")
    print(f"{'':>16}  {'intercept':>22}  {'coefficient of x1':>22}  {'coefficient of x2':>22}")
    for name, scores in result["methods"].items():
        cells = [f"{100 * c:5.1f} (width {w:.3f})" for c, w in zip(scores["coverage"], scores["width"], strict=True)]
        print(f"{name:>16}  " + "  ".join(f"{cell:>22}" for cell in cells))
    result |= {"options": options, "seconds": time.perf_counter() - began}
    print(f"{result['seconds']:.0f} s; largest gradient at a maximum {result['largest gradient']:.1e}")
    path = Path(arguments.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1))
    return result


def _mean(theta: Tensor, x: Tensor) -> Tensor:
    return theta[..., :1] + (x @ theta[..., 1 : 1 + x.shape[-1]].unsqueeze(-1)).squeeze(-1)


def _scale_and_slope(theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    at = x.shape[-1] + 1
    return theta[..., at : at + 1], theta[..., at + 1 : at + 2]


def _intercept(theta: Tensor, x: Tensor) -> Tensor:
    at = x.shape[-1] + 3
    intercept, effects = theta[..., at : at + 1], theta[..., at + 1 :]
    if not effects.shape[-1]:
        return intercept
    return intercept + (x[..., : effects.shape[-1]] @ effects.unsqueeze(-1)).squeeze(-1)


def _derivatives(likelihood: Callable[..., Tensor], theta: Tensor, *data: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    theta = theta.detach().requires_grad_(True)
    value = likelihood(theta, *data)
    (gradient,) = torch.autograd.grad(value.sum(), theta, create_graph=True)
    second: Callable[[int], Tensor] = lambda k: torch.autograd.grad(gradient[..., k].sum(), theta, retain_graph=True)[0]  # noqa: E731
    return value.detach(), gradient.detach(), torch.stack([second(k) for k in range(theta.shape[-1])], -2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--slope", type=float, default=1.0, help="of the probit of missing, per standard deviation of y")
    parser.add_argument("--rate", type=float, default=0.3, help="of missing values")
    parser.add_argument("--draws", type=int, default=20, help="imputations, and bootstrap refits, of each repetition")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="benchmarks/results/coverage.json")
    torch.set_num_threads(1)
    main(parser.parse_args())
