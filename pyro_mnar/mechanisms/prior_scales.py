"""Priors of the parameters of mechanisms: their numbers, chosen on development tables; see :mod:`pyro_mnar.model.priors`."""

import torch
from torch import Tensor

#: Logarithm of a self-masking slope of known direction, or of both tails, per scaled unit: mean and standard deviation.
LOG_SLOPE = (0.9, 0.8)
#: Standard deviation of a slope of free direction, or about a middle, about 0.
FREE_SLOPE = 2.0
#: Effects on a mask's score of an earlier column's value, per scaled unit, and of its absence: Student t about 0, their scales and
#: degrees of freedom. The tails are for masks that others decide for sure, as who has left stays away.
EFFECT, ABSENCE, EFFECT_DOF = 1.0, 2.0, 2.0
#: Standard deviation of an earlier value's effect, about 0, where the column's own value is read as well: a hard rule on the own value
#: could else be told as a hard rule on those related to it, which leaves nothing for the own value to say.
BESIDE_OWN = 0.5
#: Standard deviation of a latent's effect on a mask's score, about 0.
LOADING = 0.5
#: A column's effects of categories on their own mask's score: a multivariate Student t about 0, its scale and degrees of freedom.
#: That is a normal law whose spread is the column's own and unknown: where categories go missing alike, their effects are held near 0
#: together, and where they differ much they are hardly held at all. Unlike slopes these extrapolate no shape beyond what was seen, so
#: the data are trusted in full.
CATEGORY = (0.3, 4.0)


def student(scaled: Tensor) -> Tensor:
    """Return less the log density of a Student t of unit scale and ``EFFECT_DOF`` degrees of freedom, up to a constant."""
    return 0.5 * (EFFECT_DOF + 1) * torch.log1p(scaled.square() / EFFECT_DOF)
