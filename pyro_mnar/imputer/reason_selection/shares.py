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
has all effects of the best and more is no other explanation: it is behind by the price of what it does not need, and has no share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pyro_mnar.imputer.reason_selection.pilots import Candidate

#: Nats a mask, in which differences of scores are counted; and how many reasons are supposed at most: a third was hardly ever true.
TEMPERATURE, MOST = 0.03, 2


def shared_out(candidates: Sequence[Candidate], masks: float, members: int) -> tuple[list[Candidate], list[int]]:
    """Return the candidates that members suppose, the best first, and for each member the place of its own among these.

    Args:
        candidates: the best first.
        masks: how many are explained: rows, or the sum of their weights, times columns with holes.
        members: of the ensemble.

    Example:
        >>> likely = Candidate(("free",), "", False, bound=-100.0)
        >>> shared_out([likely, Candidate(("none",), "all", False, bound=-103.0)], 100, 4)[1]
        [0, 1, 0, 0]
    """
    best: dict[tuple[bool, bool], Candidate] = {}
    for one in candidates:
        if one is candidates[0] or not one.includes(candidates[0]):
            best.setdefault((one.by_value, one.latent), one)
    differ = list(best.values())[:MOST]
    follows = apportioned([math.exp((one.score - differ[0].score) / (masks * TEMPERATURE)) for one in differ], members)
    return differ[: 1 + max(follows)], follows


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
