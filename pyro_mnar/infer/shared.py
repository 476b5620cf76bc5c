r"""Latents that all rows share, Bayesian weights among them: the rows' bound given these is one factor of an outer model.

With w shared and the rows independent given w

    log p(w, table) = log p(w) + sum_n log p(row n | w)  >=  log p(w) + sum_n bound_n(w),

bound_n the importance-weighted bound of row n given w, with weights of its own. So w stands outside the plate over rows, where
:class:`~pyro_mnar.infer.bound.IWELBO` refuses it, and :class:`SharedLatents` is a Pyro model of w alone:

- **an outer ELBO** (``pyro.infer.SVI``, any AutoGuide of w): fresh particles at every step; E[bound] <= log p, so it stays a bound.
  Mini-batches scale the factor, outside every logarithm.
- **NUTS or HMC**: the same particles' noise at every call (``seed``), so that the potential is a function of w. What is sampled is
  p(w) exp(sum of the bounds): the posterior itself where rows have no other latents, or the guide is their exact posterior given w;
  else it tends to the posterior as the particles grow (simulated likelihood).

:class:`RandomParameters` makes shared latents of any module's parameters.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.func import functional_call

from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.checks import check_weights
from pyro_mnar.infer.streams import seeded
from pyro_mnar.infer.torch_state import ALONE


class SharedLatents(nn.Module):
    """A Pyro model of the latents that all rows share, to be called with the rows.

    Its sites are those of ``module.shared()`` and the factor ``rows``, the sum of the rows' bounds given them.

    Args:
        module: has ``shared()``, which samples the shared latents and returns them, and ``model(x, mask, shared)`` and
            ``guide(x, mask, shared)``, which keep the conventions of :class:`~pyro_mnar.infer.bound.IWELBO` given them.
        particles: K of the rows' bounds.
        seed: of the particles, the same at every call, as HMC and NUTS need; None for fresh ones, as an outer ELBO needs.

    Example:
        >>> import pyro.distributions as dist
        >>> class Mean(nn.Module):
        ...     def shared(self):
        ...         return pyro.sample("mean", dist.Normal(0.0, 10.0))
        ...     def model(self, x, mask, mean):
        ...         with pyro.plate("rows", len(x), dim=-1):
        ...             pyro.sample("x", dist.Normal(mean, 1.0).expand([2]).mask(mask).to_event(1), obs=x)
        ...     def guide(self, x, mask, mean):
        ...         pass
        >>> trace = poutine.trace(SharedLatents(Mean())).get_trace(torch.zeros(5, 2), torch.ones(5, 2, dtype=torch.bool))
        >>> list(trace.stochastic_nodes), list(trace.observation_nodes)
        (['mean'], ['rows'])
    """

    module: Any

    def __init__(self, module: nn.Module, particles: int = 20, seed: int | None = None) -> None:
        super().__init__()
        self.module, self.seed, self.bound = module, seed, IWELBO(module, particles)

    def forward(self, x: Tensor, mask: Tensor, n_rows: int | None = None, weights: Tensor | None = None) -> object:
        """Declare the shared latents and the rows' factor; return the latents.

        Args:
            x: (N, D) float, the table or a mini-batch of it.
            mask: (N, D) bool, True = observed.
            n_rows: rows of the whole table, where ``x`` is a mini-batch: the factor counts that many rows.
            weights: (N,) above 0, how many rows each of these counts for.
        """
        check_weights(weights, x)
        shared = self.module.shared()
        noise = nullcontext() if self.seed is None else seeded(self.seed, x.device)
        with ALONE, poutine.block(), noise:
            bounds = self.bound(x, mask, shared)
            total = bounds.sum() if weights is None else bounds @ weights
        pyro.factor("rows", total if n_rows is None else total * (n_rows / len(x)))
        return shared


class RandomParameters(nn.Module):
    """A module some of whose parameters are latents with a prior, for :class:`SharedLatents`.

    Args:
        module: has ``model(x, mask)`` and ``guide(x, mask)``; it is not changed.
        priors: of its parameters by name (``dict(module.named_parameters())`` has the names), each of its parameter's shape, as
            ``dist.Normal(0.0, 1.0).expand(shape).to_event(len(shape))``. A parameter is the number that is trained: of one that is
            transformed before use the prior is of the number before.

    Raises:
        ValueError: for names that are no parameter's, and priors of another shape.

    Example:
        >>> import pyro.distributions as dist
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> mnar = MNAR(GaussianDecoder(1, 3, hidden=()), GaussianEncoder(1, 3))
        >>> weights = RandomParameters(mnar, {"decoder.linear.weight": dist.Normal(0.0, 1.0).expand([3, 1]).to_event(2)})
        >>> {name: value.shape for name, value in weights.shared().items()}
        {'decoder.linear.weight': torch.Size([3, 1])}
    """

    def __init__(self, module: nn.Module, priors: Mapping[str, TorchDistribution]) -> None:
        super().__init__()
        known = dict(module.named_parameters())
        for name, law in priors.items():
            if name not in known:
                raise ValueError(f"priors: got {name!r}, expected names of parameters, which are {', '.join(known)}")
            if law.shape() != known[name].shape or law.batch_shape:
                raise ValueError(
                    f"priors: got one of batch shape {tuple(law.batch_shape)} and event shape {tuple(law.event_shape)} for {name!r}, "
                    f"expected event shape {tuple(known[name].shape)} (.expand(shape).to_event({known[name].dim()}))"
                )
        self.priors, self._calls = dict(priors), _Calls(module)

    def shared(self) -> dict[str, Tensor]:
        """Sample the parameters from their priors, by name."""
        return {name: pyro.sample(name, law) for name, law in self.priors.items()}

    def model(self, x: Tensor, mask: Tensor, shared: Mapping[str, Tensor]) -> None:
        """Declare the rows given the parameters."""
        self._call("model", x, mask, shared)

    def guide(self, x: Tensor, mask: Tensor, shared: Mapping[str, Tensor]) -> None:
        """Declare the rows' latents given the parameters."""
        self._call("guide", x, mask, shared)

    @torch.no_grad()
    def at(self, shared: Mapping[str, Tensor]) -> nn.Module:
        """Return a copy of the module with these parameters: draws of a posterior make the members of an ensemble."""
        made = copy.deepcopy(self._calls.module)
        held = dict(made.named_parameters())
        for name, value in shared.items():
            held[name].copy_(value)
        return made

    def _call(self, method: str, x: Tensor, mask: Tensor, shared: Mapping[str, Tensor]) -> None:
        functional_call(self._calls, {f"module.{name}": value for name, value in shared.items()}, (method, x, mask))


class _Calls(nn.Module):
    """Any method as a forward pass, which is what ``functional_call`` calls."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, method: str, x: Tensor, mask: Tensor) -> None:
        getattr(self.module, method)(x, mask)
