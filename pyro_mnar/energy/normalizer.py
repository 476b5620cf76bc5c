r"""The normalizer of a tilted model, log Z = log E_base[exp(-E)], with a standard error; and draws of the tilted model.

Importance sampling first: draws of the base, weighted by exp(-E). Its error is that of a mean, se(log Z) = sd(w) / (mean(w) sqrt(S)),
as long as the weights have a variance; the Pareto k of their tail says whether they do (:mod:`pyro_mnar.infer.weights`). Where it or
the effective sample size is bad, sequential Monte Carlo from the base to the tilted model (:mod:`pyro_mnar.energy.annealing`). Weights
look good where the few large ones that carry the mean happen not to be drawn: so draws that have been judged good are not estimated
from, and others are drawn, whose mean has no bias from the judgement.

Draws come the same way: base draws resampled by weight, or the particles of sequential Monte Carlo, which both put mass on modes in
proportion; Langevin steps then only polish, since they do not carry mass between separated modes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pyro_mnar.data.warn import warn
from pyro_mnar.energy.annealing import Path, anneal, systematic
from pyro_mnar.infer.checks import check_counts
from pyro_mnar.infer.streams import seeded
from pyro_mnar.infer.weights import LEAST_DRAWS, effective_sample_size, pareto_threshold, smooth

METHODS = ("importance", "annealed", "sequential")
# Below this share of the draws, importance sampling rests on too few of them.
_LEAST_SHARE = 0.01
# Base draws for each draw of the tilted model that is asked for.
_PROPOSALS = 20


@dataclass(frozen=True)
class Normalizer:
    """An estimate of log Z.

    Attributes:
        value: nats.
        standard_error: of ``value``, nats.
        ess: effective sample size of exp(-E) over the base draws; where the method was chosen, of those that it was chosen by, which
            ``value`` is independent of.
        pareto_k: of the same weights.
        draws: how many those were.
        method: ``importance``, ``annealed`` or ``sequential``, that ``value`` comes from.
    """

    value: float
    standard_error: float
    ess: float
    pareto_k: float
    draws: int
    method: str

    @property
    def importance_fails(self) -> bool:
        """Whether the weights of base draws are not to be trusted."""
        return self.pareto_k > pareto_threshold(self.draws) or self.ess < _LEAST_SHARE * self.draws


@torch.no_grad()
def log_normalizer(module: nn.Module, *, draws: int = 10_000, method: str | None = None, seed: int = 0) -> Normalizer:
    """Estimate log Z of a module with a tilt.

    Args:
        module: a model with a tilt, as :class:`~pyro_mnar.energy.annealing.Path` wants it.
        draws: the number of draws of the base, at least 100, and as many again where the method is chosen; with annealing, particles in
            all.
        method: ``importance``; ``annealed`` (importance sampling along a path of temperatures); ``sequential`` (Monte Carlo, along the
            same); None for the first unless its weights fail, then the last.
        seed: the seed of all draws; global random state is neither read nor changed.

    Raises:
        ValueError: for too few draws, an unknown method, or a module without a tilt.
        FloatingPointError: for an energy that is not finite at a draw of the base.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.model.tilts import Constraint
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> mnar = MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2), tilt=Constraint(lambda x: 0 * x[..., 0], 1.0))
        >>> log_normalizer(mnar).value
        0.0
    """
    if getattr(module, "tilt", None) is None:
        raise ValueError("module: has no tilt, expected one (its normalizer is 1)")
    check_counts(LEAST_DRAWS, draws=draws)
    if method is not None and method not in METHODS:
        raise ValueError(f"method: got {method!r}, expected one of {', '.join(METHODS)}, or None")
    path = Path(module)
    with seeded(seed, next(module.parameters()).device):
        first = _importance(path.log_weight(path.draw(draws)).double())
        if method == "importance":
            return first
        if method is None and not first.importance_fails:
            second = _importance(path.log_weight(path.draw(draws)).double())
            return replace(first, value=second.value, standard_error=second.standard_error)
        with torch.enable_grad():
            populations = 8
            found = anneal(path, populations, max(1, draws // populations), resample=method != "annealed")
    ratios = (found.log_z - found.log_z.logsumexp(0) + math.log(populations)).exp()
    value = float(found.log_z.logsumexp(0)) - math.log(populations)
    error = float(ratios.std()) / populations**0.5
    return Normalizer(value, error, first.ess, first.pareto_k, draws, "annealed" if method == "annealed" else "sequential")


def _importance(log_w: Tensor) -> Normalizer:
    if not bool(log_w.isfinite().all()):
        raise FloatingPointError(f"energy: not finite at {int((~log_w.isfinite()).sum())} of {len(log_w)} draws of the base")
    n = len(log_w)
    log_mean = log_w.logsumexp(0) - math.log(n)
    _, k = smooth(log_w.unsqueeze(-1))
    error = (log_w - log_mean).exp().std() / n**0.5
    return Normalizer(float(log_mean), float(error), float(effective_sample_size(log_w.unsqueeze(-1))), float(k), n, "importance")


@dataclass(frozen=True)
class TiltedDraws:
    """Independent draws of a tilted model, up to the error of resampling.

    Attributes:
        z: (n, L).
        x: (n, D) complete rows.
        acceptance: mean acceptance probability of the Langevin steps.
        method: ``importance`` or ``sequential``.
        distinct: share of the proposals drawn that were different ones, before the Langevin steps.
    """

    z: Tensor
    x: Tensor
    acceptance: float
    method: str
    distinct: float


def sample_tilted(module: nn.Module, n: int, *, polish: int = 20, seed: int = 0) -> TiltedDraws:
    """Draw rows of a tilted model.

    Args:
        module: a model with a tilt, as :class:`~pyro_mnar.energy.annealing.Path` wants it.
        n: rows, at least 100.
        polish: Langevin steps after resampling.
        seed: the seed of all draws; global random state is neither read nor changed.

    Raises:
        ValueError, FloatingPointError: as :func:`log_normalizer` does.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.model.tilts import Constraint
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> mnar = MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2), tilt=Constraint(lambda x: x[..., 0].clamp(max=0), 50.0))
        >>> bool((sample_tilted(mnar, 200).x[:, 0] > -0.5).all())
        True
    """
    check_counts(LEAST_DRAWS, n=n)
    check_counts(0, polish=polish)
    path, weights = Path(module), log_normalizer(module, draws=_PROPOSALS * n, method="importance", seed=seed)
    with seeded(seed + 1, next(module.parameters()).device):
        if weights.importance_fails:
            found = anneal(path, 1, n)
            u, method, distinct = found.positions[0], "sequential", 1.0
        else:
            with torch.no_grad():
                u = path.draw(_PROPOSALS * n)
                index = systematic(path.log_weight(u).double().softmax(0), n)
            u, method, distinct = u[index], "importance", len(index.unique()) / n
        u, _, acceptance = path.move(u[torch.randperm(n, device=u.device)], polish, 0.5)
        with torch.no_grad():
            z, x = path.complete(u)
    if acceptance < 0.1:
        warn(f"tilt: Langevin steps accept {acceptance:.0%}; the energy may be too steep to polish draws")
    return TiltedDraws(z, x, acceptance, method, distinct)
