r"""What the data of a simulated trial with dropout can say at all: exact maximum likelihood of Diggle and Kenward's model.

    python -m benchmarks.dropout_exact [--leaving current last] [--trials 25]

Of the trials of :mod:`benchmarks.dropout_trial`. Visit t given arm and the visits before is normal, leaving at t a probit of what is
named, each visit with coefficients of its own; a value that nobody saw is integrated out in closed form. Fitted are

    ``seen``: leaving by arm and all values seen before, so missing at random; ``last``: by the last one seen alone;
    ``own``: by the value that is then not seen alone; ``both``: by arm, all values seen and the own value, one effect of it in all.

Each is fitted to normal scores and, since nobody knows that they are, to scores with a skewness for each visit and the prior that the
library gives it. Printed are means over trials of the effect at the last visit (normal scores), of its standard error, and of the log
likelihood less that of ``seen``, with its standard deviation, for both.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.special import log_ndtr

from benchmarks.dropout_trial import LEAVING, VISITS, simulate
from pyro_mnar.model.priors import SKEW_SPREAD, TRUSTED, TYPICAL_SKEW

STORIES = {"seen": ("all", 0), "last": ("last", 0), "own": ("", 4), "both": ("all", 1)}
_TIMES = range(1, len(VISITS))


class Trial(NamedTuple):
    """A trial in units of 5 points: ``arm`` (N,), scores ``x`` (N, 5), 0 where nobody saw them, and ``mask`` (N, 5)."""

    arm: Tensor
    x: Tensor
    mask: Tensor


class Model:
    """Diggle and Kenward's model of a ``trial``: what is ``seen`` that leaving reads, ``own`` effects, whether skewed."""

    def __init__(self, trial: Trial, seen: str, own: int, skewed: bool) -> None:
        self.trial, self.seen, self.own = trial, seen, own
        reads = [{"all": 1 + t, "last": 1, "": 0}[seen] for t in _TIMES]
        self.sizes = [6 * skewed, *(3 + t for t in range(len(VISITS))), *(1 + read for read in reads), own]

    def start(self) -> Tensor:
        """Return regressions of those seen, and rates of leaving."""
        arm, x, mask = self.trial
        parts = [torch.zeros(self.sizes[0])]
        for t in range(len(VISITS)):
            seen = mask[:, t]
            design = torch.cat([torch.ones(len(x), 1), arm[:, None], x[:, :t]], 1)[seen]
            beta = torch.linalg.lstsq(design, x[seen, t]).solution
            parts.append(torch.cat([beta, (x[seen, t] - design @ beta).std().log()[None]]))
        for t in _TIMES:
            part = torch.zeros(self.sizes[5 + t])
            part[0] = torch.special.ndtri((~mask[mask[:, t - 1], t]).double().mean())
            parts.append(part)
        return torch.cat([*parts, torch.full((self.own,), 0.4)])

    def log_likelihood(self, theta: Tensor) -> Tensor:
        """Return log p(scores seen, who left)."""
        arm, x, mask = self.trial
        skew, *parts = theta.split(self.sizes)
        total = torch.zeros(())
        if len(skew):
            bent = torch.asinh(x) - skew[:5]
            total = torch.where(mask, bent.cosh().log() - 0.5 * torch.log1p(x.square()), 0.0).sum()
            x = torch.where(mask, bent.sinh(), 0.0)
        own = parts[-1].expand(4) if self.own else torch.zeros(4)
        for t in range(len(VISITS)):
            beta, there = parts[t], mask[:, t]
            mean, scale = beta[0] + beta[1] * arm + x[:, :t] @ beta[2:-1], beta[-1].exp()
            total = total + torch.distributions.Normal(mean, scale).log_prob(x[:, t])[there].sum()
            if t == 0:
                continue
            read = parts[4 + t]
            features = {"all": torch.cat([arm[:, None], x[:, :t]], 1), "last": x[:, [t - 1]], "": x[:, :0]}[self.seen]
            score = read[0] + features @ read[1:]
            left = mask[:, t - 1] & ~there
            total = total + log_ndtr(-score - own[t - 1] * x[:, t])[there].sum()
            total = total + log_ndtr((score + own[t - 1] * mean) / (1 + (own[t - 1] * scale).square()).sqrt())[left].sum()
        return total

    def objective(self, theta: Tensor) -> Tensor:
        """Return less the log likelihood, with the skewness' prior."""
        value = -self.log_likelihood(theta)
        if self.sizes[0]:
            skew, typical = theta[:5], theta[5]
            off = ((typical - TYPICAL_SKEW[0]) / TYPICAL_SKEW[1]).square() + ((skew - typical) / SKEW_SPREAD).square().sum()
            value = value + (1 + len(self.trial.x) / TRUSTED) * 0.5 * off
        return value

    def fitted(self) -> tuple[Tensor, float]:
        """Return the parameters and the log likelihood."""

        def both(theta: np.ndarray) -> tuple[float, np.ndarray]:
            at = torch.tensor(theta, requires_grad=True)
            value = self.objective(at)
            value.backward()
            return float(value.detach()), at.grad.numpy()

        theta = torch.tensor(minimize(both, self.start().numpy(), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x)
        return theta, float(self.log_likelihood(theta))

    def effect(self, theta: Tensor) -> Tensor:
        """Return the arm's coefficient in the regression of the last visit on arm and first, in points."""
        parts, by_visit = theta.split(self.sizes)[1:], [torch.zeros(())]
        for t in _TIMES:
            by_visit.append(parts[t][1] + sum((parts[t][2 + k] * by_visit[k] for k in range(t)), torch.zeros(())))
        return 5 * by_visit[-1]

    def error(self, theta: Tensor) -> float:
        """Return the effect's standard error."""
        gradient = torch.autograd.functional.jacobian(self.effect, theta)
        hessian = torch.autograd.functional.hessian(self.objective, theta)
        return float((gradient @ torch.linalg.solve(hessian, gradient)).sqrt())


def run(leaving: str, seed: int) -> list[dict[str, Any]]:
    """Return what each story says of one trial."""
    holed, _ = simulate(600, leaving, seed)
    x = torch.tensor((holed[VISITS] - [20, 18.6, 17.2, 15.8, 14.5]).to_numpy() / 5)
    trial = Trial(torch.tensor(holed["arm"].to_numpy(float)), x.nan_to_num(0.0), ~x.isnan())
    rows: list[dict[str, Any]] = []
    for story, (seen, own) in STORIES.items():
        model = Model(trial, seen, own, skewed=False)
        theta, likelihood = model.fitted()
        _, skewed = Model(trial, seen, own, skewed=True).fitted()
        row = {"leaving": leaving, "story": story, "estimate": float(model.effect(theta)), "error": model.error(theta)}
        rows.append(row | {"normal": likelihood, "skewed": skewed})
        for name in ("normal", "skewed"):
            rows[-1][f"gain, {name}"] = rows[-1][name] - rows[0][name]
    return rows


def main(options: argparse.Namespace) -> pd.DataFrame:
    """Print and return the means over trials."""
    torch.set_default_dtype(torch.float64)
    frame = pd.DataFrame([row for leaving in options.leaving for seed in range(options.trials) for row in run(leaving, seed)])
    groups = frame.groupby(["leaving", "story"], sort=False)
    table = groups[["estimate", "error", "gain, normal", "gain, skewed"]].mean()
    for name in ("normal", "skewed"):
        table[f"sd of gain, {name}"] = groups[f"gain, {name}"].std()
    print(table.round(2).to_string())
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leaving", nargs="+", choices=list(LEAVING), default=list(LEAVING))
    parser.add_argument("--trials", type=int, default=25)
    main(parser.parse_args())
