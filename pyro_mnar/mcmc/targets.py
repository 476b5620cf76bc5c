r"""The posterior of each row's latents as a batch of unconstrained densities, for any Pyro model that keeps the bound's conventions.

Row n of chain c is a target of its own: log p(row n, t(u)) + log |det t'(u)|, where u, (d,), are all latents of the row one after the
other, and t is Pyro's bijection from the real line to each site's support. A missing value that the model has integrated out (a
:class:`~pyro_mnar.model.selection.SelectionDistribution`) is no latent: given the latents it is drawn exactly.
"""

from __future__ import annotations

import torch
from pyro import poutine
from torch import Tensor, nn
from torch.distributions import Transform, biject_to

from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.enumeration import draw_enumerated, is_enumerated, sum_out
from pyro_mnar.infer.streams import NoInverseError, RowStreams, seeded
from pyro_mnar.infer.structure import check_sites, is_latent, is_random, row_log_prob
from pyro_mnar.mechanisms.base import MaskDistribution
from pyro_mnar.model.missing_sites import names_cells


class RowTarget:
    """Log density of unconstrained positions (C N, d), chain by chain, of N rows: called, it returns (C N,).

    Args:
        module: has ``model(x, mask)`` and ``guide(x, mask)``.
        rows: what model and guide are called with: x (N, D), the mask, and perhaps limits.

    Raises:
        ValueError: naming a latent that is discrete, a site outside the plate over rows or with another break of the conventions of
            :class:`~pyro_mnar.infer.bound.IWELBO`; for a model without latents.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> x, mask = torch.zeros(7, 5), torch.ones(7, 5, dtype=torch.bool)
        >>> target = RowTarget(MNAR(GaussianDecoder(2, 5), GaussianEncoder(2, 5)), (x, mask))
        >>> target.dim, target(torch.zeros(3 * 7, 2)).shape
        (2, torch.Size([21]))
    """

    def __init__(self, module: nn.Module, rows: tuple[Tensor, ...]) -> None:
        self.bound, self.rows, (self.x, self.mask) = IWELBO(module, 1), rows, rows[:2]
        with torch.no_grad(), seeded(0, self.x.device):
            model, guide = self.bound.traces(*rows)
        unseen = {name: site for name, site in model.nodes.items() if is_latent(site)}
        self.summed_out = tuple(name for name, site in unseen.items() if is_enumerated(site))
        self.latents = {name: site for name, site in unseen.items() if name not in self.summed_out}
        for name, site in self.latents.items():
            if site["fn"].support.is_discrete:
                raise ValueError(
                    f"site {name!r}: {type(site['fn']).__name__} is discrete, expected continuous latents (leave it to the model and "
                    "mark it with infer={'enumerate': 'parallel'}, and it is summed out)"
                )
        check_sites(model, guide)
        if not self.latents:
            raise ValueError("model: got no latent site, expected at least one to sample")
        self.names_cells = names_cells(model)
        self.transforms = {name: biject_to(site["fn"].support) for name, site in self.latents.items()}
        shapes = {name: self.transforms[name].inverse_shape(site["value"].shape)[2:] for name, site in self.latents.items()}
        self.shapes = {name: torch.Size(shape) for name, shape in shapes.items()}
        self.sizes = [shape.numel() for shape in self.shapes.values()]
        self.dim = sum(self.sizes)

    def __call__(self, position: Tensor) -> Tensor:
        chains = len(position) // len(self.x)
        values, total = self._constrained(position.reshape(chains, len(self.x), self.dim))
        model = self.bound.model_trace(values, chains, *self.rows)
        return sum_out(_log_joint(model, total)).reshape(-1)

    def mechanism_slopes(self, position: Tensor) -> Tensor:
        """Return the largest slope of the masks' log probability, (K, N), at ``position`` (K, N, d), in its units."""
        with torch.enable_grad():
            given = position.detach().requires_grad_()
            sites = [site for site in self.model_trace(given).nodes.values() if isinstance(site.get("fn"), MaskDistribution)]
            total = given.sum() * 0 + sum(site["fn"].log_prob(site["value"]).sum() for site in sites)
            return torch.autograd.grad(total, given)[0].abs().amax(-1)

    def constrain(self, position: Tensor) -> dict[str, Tensor]:
        """Return the latents, each (K, N, ...), at ``position`` (K, N, d)."""
        return self._constrained(position)[0]

    def discrete(self, position: Tensor, uniforms: Tensor) -> dict[str, Tensor]:
        """Return draws (K, N, ...) of the latents summed out, given the others at ``position`` (K, N, d), by ``uniforms`` (K, N)."""
        model = self.model_trace(position)
        return draw_enumerated(model, _log_joint(model, position.new_zeros(uniforms.shape)), uniforms)

    def model_trace(self, position: Tensor) -> poutine.Trace:
        """Return the model's trace at ``position`` (K, N, d)."""
        return self.bound.model_trace(self.constrain(position), len(position), *self.rows)

    @torch.no_grad()
    def guide_draws(self, streams: RowStreams, draws: int) -> Tensor:
        """Return positions (draws, N, d) from the guide, every row's from its own stream."""
        bound, every = IWELBO(self.bound.module, draws), slice(None)
        seeds = [int(own.integers(2**63)) for own in streams.generators("guide")]
        try:
            with seeded(seeds[0], self.x.device), streams:
                return self._positions(bound, every)
        except NoInverseError:
            # A site that cannot be drawn from given noise: one row at a time, each with torch's own generator seeded for it.
            rows = []
            for i, seed in enumerate(seeds):
                with seeded(seed, self.x.device):
                    rows.append(self._positions(bound, [i, i])[:, :1])
            return torch.cat(rows, 1)

    def _positions(self, bound: IWELBO, rows: slice | list[int]) -> Tensor:
        model, _ = bound.traces(*(part[rows] for part in self.rows))
        parts = [self.transforms[name].inv(model.nodes[name]["value"]) for name in self.latents]
        n = len(self.x[rows])
        return torch.cat([part.expand(bound.particles, n, *part.shape[2:]).reshape(bound.particles, n, -1) for part in parts], -1)

    def _constrained(self, position: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        values: dict[str, Tensor] = {}
        total = position.new_zeros(position.shape[:2])
        for (name, shape), part in zip(self.shapes.items(), position.split(self.sizes, -1), strict=True):
            transform: Transform = self.transforms[name]
            free = part.reshape(*position.shape[:2], *shape)
            values[name] = transform(free)
            slope = transform.log_abs_det_jacobian(free, values[name])
            total = total + (slope.flatten(2).sum(-1) if slope.dim() > 2 else slope)
        return values, total


def _log_joint(model: poutine.Trace, total: Tensor) -> Tensor:
    """Return ``total`` (K, N) plus every site's log density, (K, N), or (..., K, N) of each value of enumerated ones."""
    for site in model.nodes.values():
        if is_random(site):
            total = total + row_log_prob(site, site["value"])
    return total
