r"""The importance-weighted bound of any Pyro model and guide, one weight for each row and particle.

For a row n and its K draws z_k from the guide

    log w_nk = log p(row n, z_k) - log q(z_k | row n)         bound_n = logsumexp_k(log w_nk) - log K <= log p(row n)

(Burda, Grosse and Salakhutdinov, arXiv 1509.00519). The logsumexp is over one row's own particles, never over a batch's: so every
site must stand inside *one* plate over rows, unscaled. Pyro's own ``RenyiELBO`` accepts models that break this and then returns a
number that is no bound; here they are refused, and the site is named.

Three estimators of the gradient, all of the same bound:

- ``iwae``: plain reparameterisation. The guide's signal-to-noise falls as 1 / sqrt(K) (Rainforth et al., arXiv 1802.04537).
- ``stl``: sticking the landing (Roeder, Wu and Duvenaud, arXiv 1703.09194): the guide's score term is dropped; biased for K > 1.
- ``dreg``: doubly reparameterised (Tucker et al., arXiv 1810.04152): on the path through the guide's draws the normalized weight is
  squared, the score term is dropped; unbiased, and the signal-to-noise does not fall with K.

Both change only what reaches the guide; the model's parameters, the path through values drawn from the model itself included, keep
the plain normalized weights. They are made of one backward pass: a hook rescales the gradient that arrives at each draw, and the
score does not arise, since log q is taken of the guide's law with its parameters stopped. Of a law that cannot be copied so, adding
w_k log q(stop(z_k)) to the loss cancels it.

``beta`` weighs what the guide's sites cost, log w = log p(row | z) + beta (log p(z) - log q(z)): with one particle the beta-VAE
(Higgins et al. 2017, ICLR; Alemi et al. 2018, arXiv 1711.00464), and as an attribute that a callback of ``fit`` raises, warm-up
(Bowman et al. 2016, arXiv 1511.06349); ``fit`` compares weights by the held-out bound at beta = 1. It is a bound for beta = 1, and for
one particle for any above. On the path through the guide's draws the double reparameterisation then multiplies by 1 - beta + beta w,
w the normalized weight, in place of w.

A site that the model proposes and marks with ``infer={"score": True}`` need not be reparameterised. Its gradient then is that of
its log probability, times how much the particle's draw raised the row's bound: the bound less that of the other particles, which does
not know the draw (Mnih and Rezende 2016, "Variational inference for Monte Carlo objectives", arXiv 1602.06725).
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_mnar.infer.checks import check_counts, check_module, check_rates
from pyro_mnar.infer.enumeration import is_enumerated, sum_out
from pyro_mnar.infer.particles import Particles
from pyro_mnar.infer.row_weights import weighted_mean
from pyro_mnar.infer.structure import (
    check_independent,
    check_sites,
    is_auxiliary,
    is_latent,
    is_point,
    is_random,
    is_scored,
    latent_sites,
    row_bound_guide,
    row_log_prob,
    stopped,
)
from pyro_mnar.infer.torch_state import ALONE

ESTIMATORS = ("iwae", "stl", "dreg")


class IWELBO(nn.Module):
    """The importance-weighted bound of a module that has ``model`` and ``guide`` methods of the same arguments.

    Conventions: one plate over rows at ``dim=-1`` holds every sample site and factor, unscaled and not subsampled (mini-batches are
    made outside); other dimensions belong to events. An unobserved site is reparameterised. A site that the guide leaves out, or
    draws with ``infer={"prior": True}``, is proposed from the model's own law and adds nothing to the weight; a discrete one that is
    marked with ``infer={"enumerate": "parallel"}`` is summed out instead (:mod:`pyro_mnar.infer.enumeration`). The guide may have
    auxiliary sites, of which others are functions with a log density (``Delta``), as Pyro's ``AutoNormal`` has. With point guides
    alone (``AutoDelta``) the number is the joint log density at the point, and no bound. A latent that all rows share stands outside:
    :mod:`pyro_mnar.infer.shared`.

    Args:
        module: holds the model and the guide, so that their parameters are this module's too.
        particles: K.
        estimator: the estimator of the gradient, ``iwae``, ``stl`` or ``dreg``.
        beta: weight of log p(z) - log q(z), 1 for the bound; an attribute too.

    Raises:
        ValueError: for K < 1, an unknown estimator or a negative beta, and when called on a model that breaks the conventions.
        TypeError: for a module without model and guide.

    Example:
        >>> import torch
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> bound = IWELBO(MNAR(GaussianDecoder(2, 5), GaussianEncoder(2, 5)), particles=10)
        >>> x, mask = torch.zeros(7, 5), torch.ones(7, 5, dtype=torch.bool)
        >>> bound(x, mask).shape, bound.log_weights(x, mask).shape, bound.loss(x, mask).shape
        (torch.Size([7]), torch.Size([10, 7]), torch.Size([]))
    """

    module: Any  # an nn.Module; its model and guide are called

    def __init__(self, module: nn.Module, particles: int = 20, estimator: str = "dreg", beta: float = 1.0) -> None:
        super().__init__()
        check_module("module", module)
        for method in ("model", "guide"):
            if not callable(getattr(module, method, None)):
                raise TypeError(f"module: got {type(module).__name__}, which has no method {method!r}, expected model and guide")
        check_counts(particles=particles)
        if estimator not in ESTIMATORS:
            raise ValueError(f"estimator: got {estimator!r}, expected one of {', '.join(ESTIMATORS)}")
        check_rates(beta=beta)
        self.module, self.particles, self.estimator, self.beta = module, particles, estimator, beta
        # In Pyro's global store a second AutoGuide would silently take the first one's parameters, which have the same names.
        self._auto = row_bound_guide(module) is not None

    @property
    def weighted(self) -> IWELBO:
        """The bound itself, by which held-out rows are judged."""
        return self

    def report(self, *args: object, **kwargs: object) -> None:
        """Return None: without an objective around it there is no tilt to report on."""

    def traces(self, *args: object, **kwargs: object) -> tuple[poutine.Trace, poutine.Trace]:
        """Return the traces of the model and the guide with K particles at ``dim=-2``."""
        # The store is all threads', as Pyro's handlers are.
        with ALONE, pyro.get_param_store().scope() if self._auto else nullcontext(), Particles(self.particles) as seen:
            self.module.guide(*args, **kwargs)
        guide = seen.trace
        # The model reads its draws through views, so that a hook on a view scales what the model sends back and nothing else.
        views = {name: site["value"].view_as(site["value"]) for name, site in latent_sites(guide).items()}
        given = {name: site["value"] for name, site in guide.nodes.items() if is_random(site)}
        return self.model_trace(given | views, self.particles, *args, **kwargs), guide

    def log_weights(self, *args: object, **kwargs: object) -> Tensor:
        """Return log w, (K, N), of the rows in the arguments of model and guide."""
        model, guide = self.traces(*args, **kwargs)
        return self.weights_of(model, guide)

    def weights_of(self, model: poutine.Trace, guide: poutine.Trace) -> Tensor:
        """Return log w, (K, N), of traces made by :meth:`traces`."""
        return sum_out(self.log_joint(model, guide))

    def log_joint(self, model: poutine.Trace, guide: poutine.Trace) -> Tensor:
        """Return log w of every value of the model's enumerated latents, (..., K, N), before they are summed out."""
        return self._terms(model, guide)[0]

    def model_trace(self, values: dict[str, Tensor], particles: int, *args: object, **kwargs: object) -> poutine.Trace:
        """Return the model's trace at given ``values`` of its latent sites, each (particles, N, ...)."""
        with Particles(particles, values) as seen:
            self.module.model(*args, **kwargs)
        return seen.trace

    def forward(self, *args: object, **kwargs: object) -> Tensor:
        """Return the bound of each row, (N,), in nats."""
        return self.log_weights(*args, **kwargs).logsumexp(0) - math.log(self.particles)

    def loss(self, *args: object, weights: Tensor | None = None, **kwargs: object) -> Tensor:
        """Return the negative mean bound, a scalar whose backward pass is the chosen estimator's; with ``weights`` (N,) of the rows."""
        model, guide = self.traces(*args, **kwargs)
        log_joint, score = self._terms(model, guide, without_score=self.estimator != "iwae")
        log_w = sum_out(log_joint)
        bound = log_w.logsumexp(0) - math.log(self.particles) + self._by_score(model, log_w.detach())
        if self.estimator == "iwae":
            return -weighted_mean(bound, weights)
        normalized = log_w.detach().softmax(0)
        drawn = {name: site for name, site in latent_sites(guide).items() if not is_point(site)}
        latent = {name: site["value"] for name, site in guide.nodes.items() if is_latent(site) and not is_point(site)}
        check_independent(list(latent.values()), list(latent))
        for name, site in drawn.items():
            # An auxiliary draw reaches the model by way of another site: its gradient is met at the draw itself.
            view = site["value"] if is_auxiliary(site) else model.nodes[name]["value"]
            if view.requires_grad and self.estimator == "dreg":
                kept = normalized if self.beta == 1 else 1 - self.beta + self.beta * normalized
                view.register_hook(lambda grad, kept=kept: grad * kept.reshape(*kept.shape, *[1] * (grad.dim() - 2)))
        if score is not None:
            # Its value is zero; its gradient takes the guide's score out of the bound's.
            bound = bound + self.beta * (normalized * (score - score.detach())).sum(0)
        return -weighted_mean(bound, weights)

    def _by_score(self, model: poutine.Trace, log_w: Tensor) -> Tensor | float:
        """Return zero, (N,) or a number, with the gradient by way of the scores of what the model drew."""
        total: Tensor | float = 0.0
        for name, site in model.nodes.items():
            if not is_scored(site) or not (score := row_log_prob(site, site["value"])).requires_grad:
                continue
            if self.estimator != "iwae" or self.particles < 2:
                raise ValueError(
                    f"site {name!r} of the model: its law is learned by its score, expected estimator='iwae' and 2 particles or more "
                    f"(got {self.estimator!r} and {self.particles})"
                )
            own = torch.eye(self.particles, dtype=torch.bool, device=log_w.device).unsqueeze(-1)
            others = log_w.masked_fill(own, -torch.inf).logsumexp(1) - math.log(self.particles - 1)
            gain = log_w.logsumexp(0) - math.log(self.particles) - others
            total = total + (gain * (score - score.detach())).sum(0)
        return total

    def _terms(self, model: poutine.Trace, guide: poutine.Trace, without_score: bool = False) -> tuple[Tensor, Tensor | None]:
        """Return log w (K, N) and, of laws whose score is asked out but cannot be, log q at stopped draws (K, N)."""
        n_rows = check_sites(model, guide)
        own = latent_sites(guide)
        terms = [
            self._weighed(row_log_prob(site, site["value"]), name in own)
            for name, site in model.nodes.items()
            if is_random(site) and (site["is_observed"] or name in own or is_enumerated(site))
        ]
        log_w = sum(terms[1:], terms[0])
        scores = []
        for name, site in own.items():
            # A point's density is a function of other draws, and keeps its path to them.
            law = stopped(site["fn"]) if without_score and not is_point(site) else site["fn"]
            value = (guide if is_auxiliary(site) else model).nodes[name]["value"]
            log_w = log_w - self._weighed(row_log_prob(site if law is None else site | {"fn": law}, value), True)
            if law is None:
                scores.append(row_log_prob(site, site["value"].detach()))
        return log_w.expand(*log_w.shape[:-2], self.particles, n_rows), sum(scores[1:], scores[0]) if scores else None

    def _weighed(self, log_prob: Tensor, latent: bool) -> Tensor:
        return self.beta * log_prob if latent and self.beta != 1 else log_prob
