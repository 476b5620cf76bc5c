r"""What limits of missing values say of z: normal messages by expectation propagation.

Of a normal cell x = w'z + e, e ~ N(0, d^2), of which only l < x < u is known, and of z ~ N(m, V) as all other cells have it, the value
w'z has mean m_w = w'm and variance v_w = w'Vw, and x the variance S = v_w + d^2. With h the standard normal cut to the limits less m_w,
over sqrt(S), the value has given these the moments

    mean = m_w + v_w E[h] / sqrt(S),      variance = v_w - v_w^2 (1 - Var[h]) / S,

and the message is the normal factor that takes the one normal law to the other; its precision is never negative. Each cell's message is
made with those of the others, some times over (Minka 2001, "Expectation propagation for approximate Bayesian inference", UAI).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_mnar.distributions import cut_normal

# After so many rounds the messages of a row's cells have met.
_ROUNDS = 2


@torch.no_grad()
def limit_messages(
    weight: Tensor, precision: Tensor, moment: Tensor, chosen: Tensor, low: Tensor, high: Tensor, variance: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the messages' precisions, and precisions times values, both (..., P) and 0 where nothing is ``chosen``.

    Args:
        weight: w, (P, L).
        precision, moment: of z as what was seen has it, (..., L, L) and precision times mean (..., L).
        chosen: (..., P) bool, the outputs whose cells are limited.
        low, high: (..., P), limits of w'z + e.
        variance: d^2, (..., P) or broadcast to it.
    """
    tau, nu = torch.zeros_like(low), torch.zeros_like(low)
    rows = chosen.any(-1)
    if not bool(rows.any()):
        return tau, nu
    chosen, variance = chosen[rows], variance.expand_as(low)[rows][chosen[rows]]
    low, high, own_tau, own_nu = low[rows][chosen], high[rows][chosen], tau[rows], nu[rows]
    for _ in range(_ROUNDS):
        factor = torch.linalg.cholesky(precision[rows] + (own_tau.unsqueeze(-1) * weight).transpose(-1, -2) @ weight)
        spread = torch.cholesky_solve(weight.T.expand(len(factor), -1, -1), factor)  # V w, (R, L, P)
        means = ((moment[rows] + own_nu @ weight).unsqueeze(-2) @ spread).squeeze(-2)[chosen]
        variances = (weight.T * spread).sum(-2)[chosen]
        # Without the cell's own message.
        left = (1 - own_tau[chosen] * variances).clamp_min(1e-4)
        v, m = variances / left, (means - own_nu[chosen] * variances) / left
        whole = v + variance
        root = whole.sqrt()
        shift, spread_left = (part.to(v) for part in cut_normal.moments((low - m) / root, (high - m) / root))
        rest = v - v.square() / whole * (1 - spread_left).clamp(0.0, 1.0)
        told = m + v * shift / root
        own_tau[chosen] = (1 / rest - 1 / v).clamp_min(0.0)
        own_nu[chosen] = told / rest - m / v
    tau[rows], nu[rows] = own_tau, own_nu
    return tau, nu
