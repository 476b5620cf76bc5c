r"""How many members of an ensemble suppose which reason, where the data do not tell reasons apart.

Were one of the candidates true and the models right, the posterior probability of each would be in proportion to exp(score), and of two
that differ by ten nats one would be all but certain. But each model is a little wrong, and what a wrong one gains by that grows with
the number n of masks: on six development tables the true reason was behind by up to .04 n, two hundred nats, and ahead by as little as
.001 n. So scores are tempered,

    share  is proportional to  exp(score / (n t)),        t = ``TEMPERATURE``,

as the likelihood of a model that is known to be wrong is (Grunwald and van Ommen 2017, "Inconsistency of Bayesian inference for
misspecified linear models, and a proposal for repairing it", Bayesian Analysis 12; Miller and Dunson 2019, "Robust Bayesian inference
via coarsening", Journal of the American Statistical Association 114). The members of an ensemble suppose the reasons in these shares,
and its draws are those of the mixture: a score that is proper, such as the CRPS, is convex, so that a mixture's is at most the mean of
its parts', and a reason that is wrong by half costs less than half of what it costs alone. Intervals hold that the reason is not known.

Candidates of one kind have one share between them, that of the best: at random, by the own value, by the latent, or by both. One that
has all effects of the best and more is no other explanation: it is behind by the price of what it does not need, and has no share. Nor
has one by which the missing values of a column would lie far beyond what was seen (:func:`lie_far`): a mixture costs half of what a
wrong reason costs, which then is more than a right one gains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pyro_mnar.data.kinds.table import KINDS
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.imputer.reason_selection.pilots import Candidate
from pyro_mnar.imputer.training.fitting import InUnits, as_tried
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.model.mnar import MNAR

#: Nats a mask, in which differences of scores are counted; and how many reasons are supposed at most: a third was hardly ever true.
TEMPERATURE, MOST = 0.03, 2
#: Observed standard deviations by which missing values lie far on average: where large ones alone are missing it is 3 to 7 on benchmark
#: tables. And how many rows, and particles of each, tell.
FAR, _ROWS, _PARTICLES = 8.0, 200, 100


def shared_out(
    candidates: Sequence[Candidate], masks: float, members: int, far: Callable[[Candidate], bool]
) -> tuple[list[Candidate], list[int]]:
    """Return the candidates that members suppose, the best first, and for each member the place of its own among these.

    Args:
        candidates: the best first.
        masks: how many are explained: rows, or the sum of their weights, times columns with holes.
        members: of the ensemble.
        far: whether missing values would lie far beyond what was seen; asked of those other than the best that would have a share.

    Example:
        >>> likely, other = Candidate(("free",), "", False, bound=-100.0), Candidate(("none",), "all", False, bound=-103.0)
        >>> shared_out([likely, other], 100, 4, lambda one: False)[1]
        [0, 1, 0, 0]
    """
    best: dict[tuple[bool, bool], Candidate] = {}
    for one in candidates:
        if one is candidates[0] or not one.includes(candidates[0]):
            best.setdefault((one.by_value, one.latent), one)
    differ, follows = [candidates[0]], [0] * members
    for one in list(best.values())[1:]:
        tried = [*differ, one]
        found = apportioned([math.exp((each.score - differ[0].score) / (masks * TEMPERATURE)) for each in tried], members)
        if len(differ) == MOST or len(differ) not in found:
            break
        if not far(one):
            differ, follows = tried, found
    return differ, follows


@torch.no_grad()
def lie_far(specification: Specification, model: MNAR, in_units: Callable[[Specification], InUnits], mask: Tensor, seed: int) -> bool:
    """Return whether the missing values of any column of real numbers lie far from the mean of those seen, on average.

    Args:
        specification: what the ``model``, which has been fitted, supposes; where masks read no own value and no latent, nothing is far.
        model: a single one.
        in_units: takes a specification to the table in the units that it supposes.
        mask: (N, D) bool, True = observed.
        seed: of the particles.

    Example:
        >>> at_random = Specification("auto", (0,), ("none",), ("continuous",), 1, (), 1)
        >>> x = torch.arange(5.0).unsqueeze(-1)
        >>> lie_far(at_random, at_random.models()[0], lambda one: InUnits(one, x, torch.zeros(len(x))), x < 4, seed=0)
        False
    """
    if not specification.own and not specification.latent:
        return False
    _, x, _, limits = as_tried(in_units, specification)
    holed = (~mask).any(-1).nonzero().flatten()
    rows = holed[torch.linspace(0, len(holed) - 1, min(_ROWS, len(holed))).long()]
    own = None if limits is None else limits[rows]
    completed = impute(model, x[rows], mask[rows], limits=own, particles=_PARTICLES, seed=seed, progress=False).completed
    for j in specification.columns:
        missing, seen = completed[~mask[rows, j], j], x[mask[:, j], j]
        if KINDS[specification.kinds[j]].real and len(missing) and bool((missing.mean() - seen.mean()).abs() > FAR * seen.std()):
            return True
    return False


def apportioned(shares: Sequence[float], members: int) -> list[int]:
    """Return to which share each of so many members falls, by the method of Sainte-Lague (1910): the first few are shared out alike.

    Example:
        >>> apportioned([0.7, 0.3], 8)
        [0, 1, 0, 0, 0, 1, 0, 0]
    """
    found: list[int] = []
    for _ in range(members):
        found.append(max(range(len(shares)), key=lambda k: shares[k] / (2 * found.count(k) + 1)))
    return found
