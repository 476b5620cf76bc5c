r"""What can go wrong with a tilt, looked for and named.

- *Weights*: exp(-E) over base draws rests on few of them (effective sample size), or has a tail too heavy for its mean (Pareto k): then
  log Z, b and every likelihood reported with them are in doubt.
- *Drift*: b is not log Z. The bound stays valid but is loose by exp(log Z - b) - 1 - (log Z - b).
  Or an energy that is learned makes the rows themselves less likely than the base does, which no maximum of a likelihood does (chains
  that no longer follow it, say), though weights and b may look sound.
- *No mass*: rows of the data have log ratios that no draw of the base reaches. There the tilt grows without resistance.
- *Particles*: the bound of a row with holes lies below its likelihood by about the variance of the mean of K weights, half of
  1 / effective sample size less 1 / K. What the tilt adds to that, it can win back by flattening the weights instead of fitting the
  rows: it then leans to where the base proposes. On a ring with self-masked holes .03 nats a row displaced its mean by .06.
- *Unbounded*: along rays from the base's mean the log weight outgrows the fall of the base's density (a square for normal noise, a
  logarithm for Student-t). Z is then infinite, which no finite number of draws shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pyro_mnar.energy.normalizer import Normalizer, log_normalizer
from pyro_mnar.infer.streams import seeded
from pyro_mnar.infer.weights import effective_sample_size

# Looseness of the bound that is worth a word, in nats.
_LOOSE = 0.05
# Share of the rows that may lie beyond every draw of the base.
_BEYOND = 0.05
# What the tilt may cost the bound for want of particles, in nats a row.
_LOST = 0.01
# Ends of rays, in distances from the base's mean to its draws.
_FAR = (100.0, 1000.0)


@dataclass(frozen=True)
class TiltReport:
    """The state of a tilt.

    Attributes:
        lowest, highest: -E over draws of the base, nats.
        normalizer: log Z by importance sampling, with effective sample size and Pareto k.
        log_z: b, what the model takes log Z for.
        lost: nats a row that the bound loses because the tilt spreads the weights of a row's particles; 0 where these are not given.
        problems: sentences, each with what to do; none where there is nothing to say.
    """

    lowest: float
    highest: float
    normalizer: Normalizer
    log_z: float
    lost: float
    problems: tuple[str, ...]

    def __str__(self) -> str:
        share = self.normalizer.ess / self.normalizer.draws
        return f"-E {self.lowest:.1f} to {self.highest:.1f}, ESS {share:.0%}, k {self.normalizer.pareto_k:.2f}"


@torch.no_grad()
def report_tilt(
    module: Any, at_rows: Tensor | None = None, weights: Tensor | None = None, *, draws: int = 2000, seed: int = 0
) -> TiltReport:
    """Look at the tilt of ``module``.

    Args:
        module: a model with a tilt, as ``MNAR``.
        at_rows: -E at rows of the data, any shape; None to leave the data out.
        weights: (K, N) normalized, of the particles at which ``at_rows`` is; None to leave these out.
        draws: the number of draws of the base.
        seed: the seed of these; global random state is neither read nor changed.

    Raises:
        FloatingPointError: for an energy that is not finite at a draw of the base.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.model.tilts import EnergyTilt
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> mnar = MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2), tilt=EnergyTilt(lambda x: -x.square().square().sum(-1)))
        >>> report_tilt(mnar, draws=500).problems[-1][:42]
        'tilt: the energy falls without end faster '
    """
    found = log_normalizer(module, draws=draws, method="importance", seed=seed)
    with seeded(seed, next(module.parameters()).device):
        z, x = module.draw(draws)
        weight = module.tilt.log_weight(z, x)
    b, problems = float(module.log_z.detach()), []
    if found.importance_fails:
        problems.append(
            f"tilt: exp(-E) over draws of the base has Pareto k {found.pareto_k:.2f} and effective sample size {found.ess:.0f} in "
            f"{draws}; take log Z from log_normalizer(..., method='sequential'), and fit the base longer, penalize the gradient of "
            "E, or set EnergyTilt's ceiling"
        )
    else:
        gap = found.value - b
        if math.exp(min(gap, 50.0)) - 1 - gap > _LOOSE and abs(gap) > 4 * found.standard_error:
            problems.append(
                f"tilt: log_z is {b:.2f} but log Z about {found.value:.2f}; train longer, or set log_z to log_normalizer(...).value"
            )
    if at_rows is not None and float((at_rows > weight.max()).float().mean()) > _BEYOND:
        share = float((at_rows > weight.max()).float().mean())
        problems.append(
            f"tilt: {share:.0%} of the rows have a log weight above that of every one of {draws} draws of the base, which has next to "
            "no mass there; fit the base to these rows first, or give it wider noise"
        )
    if at_rows is not None and any(p.requires_grad for p in module.tilt.parameters()):
        gain = (at_rows if weights is None else (weights * at_rows).sum(0)).double().flatten()
        gain = gain - (b if found.importance_fails else found.value)
        mean = float(gain.mean())
        if mean < -_LOOSE and mean < -4 * float(gain.std(correction=0)) / len(gain) ** 0.5:
            problems.append(
                f"tilt: the rows are {-mean:.3g} nats less likely than under the base: the energy has drifted; lower lr, keep the best "
                "weights (held_out), penalize the gradient of E, or train by SelfNormalized"
            )
    lost = _lost(at_rows, weights) if at_rows is not None and weights is not None else 0.0
    if lost > _LOST:
        problems.append(
            f"tilt: for want of particles the bound is about {lost:.2g} nats a row too low, and the tilt leans to where "
            f"particles are proposed; take several times the present {len(weights)}"  # type: ignore[arg-type]
        )
    if _unbounded(module, z, x):
        problems.append(
            "tilt: the energy falls without end faster than the base's density does, so that Z may be infinite; bound it "
            "(EnergyTilt's ceiling)"
        )
    return TiltReport(float(weight.min()), float(weight.max()), found, b, lost, tuple(problems))


def _lost(at_rows: Tensor, weights: Tensor) -> float:
    """Return half the difference of 1 / effective sample size with the tilt and without it, a row."""
    log_w = weights.log()
    return 0.5 * float((1 / effective_sample_size(log_w) - 1 / effective_sample_size(log_w - at_rows)).mean())


def _unbounded(module: nn.Module, z: Tensor, x: Tensor) -> bool:
    """Return whether the log weight outgrows the base along more than one in a hundred rays."""
    near, far = (
        module.tilt.log_weight(z.mean(0) + r * (z - z.mean(0)), x.mean(0) + r * (x - x.mean(0)))  # type: ignore[operator, union-attr]
        for r in _FAR
    )
    power = module.decoder.tail()  # type: ignore[operator, union-attr]
    if power is not None:
        # The density falls by that many log r in each column that moves.
        allowed = power * x.shape[-1] * math.log(_FAR[1] / _FAR[0])
    else:
        # A normal's falls by half a squared distance: nothing that grows more slowly than a square is in doubt.
        allowed = near.clamp(min=1.0) * (_FAR[1] / _FAR[0]) ** 1.5
    return float((far - near > allowed).float().mean()) > 0.01 or not bool(far.isfinite().all() | (far == -torch.inf).all())
