"""The generative model of a table with holes and its guide, as a Pyro pair.

    for each row n (the plate "rows"):
        z_n        ~ N(0, I)                              latent
        y_n        ~ decoder(z_n)                         the complete row
        s_n        ~ mechanism(y_n)                       which cells are observed
        x_n        = y_n, or warp^-1(y_n)                 in the table's margins
    seen:            x_n where s_n is True, and s_n

In Pyro the row and its holes are one observed site ``x``, the :class:`~pyro_mnar.model.selection.SelectionDistribution`, in which every
missing value that only its own mask reads has been integrated out. Where a mechanism couples columns, or a decoder's law has no
integral (a Laplace law, say), their missing values are sampled: ``noise`` is a complete replicate of standardized noise, of which only
the missing cells are read, so that it is proper for HMC too and cells that nobody reads stay independent of everything; ``mask`` scores
the coupled columns' masks. Where none is coupled, ``mask`` is shown and scores nothing (:mod:`pyro_mnar.model.shown_mask`). The guide
draws ``noise`` from the model's own law, so it adds nothing to an importance weight, and says so with ``infer={"prior": True}``.

A tilt multiplies p(z, y) by exp(-E) (:mod:`pyro_mnar.model.tilts`). Where it reads rows, the site ``missing`` in place of ``noise``
holds the missing values, drawn given z *and the mask* (:mod:`pyro_mnar.model.missing_rows`), which adds nothing to the weight either;
so it does where an outcome reads rows, and where a mask reads missing levels or counts, which are no mean plus noise: what these teach
the decoder comes by way of their score (:mod:`pyro_mnar.infer.bound`, ``estimator="iwae"``). ``tilt`` is the factor -E - b, with b,
``log_z``, what is known of the normalizer. It is a function of the latents alone, so HMC sees a potential without noise. How it is
learned: :mod:`pyro_mnar.energy.objectives`.

A mechanism with a latent of its own (:mod:`pyro_mnar.mechanisms.latent_masking`) adds the site ``z_m``; one that decides masks in an
order (:mod:`pyro_mnar.mechanisms.sequential_masking`) may read z. An outcome (:mod:`pyro_mnar.networks.outcomes`) is the table's last
column, D columns of x before it, and the site ``outcome`` scores p(y | x).
"""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_mnar.distributions import continuous
from pyro_mnar.infer.checks import check_limits, check_module, check_modules, check_rows
from pyro_mnar.mechanisms.base import Mechanism
from pyro_mnar.mechanisms.starts import observed_moments
from pyro_mnar.model.limited import filled_in, warped_limits
from pyro_mnar.model.missing_rows import MissingRows
from pyro_mnar.model.priors import Prior
from pyro_mnar.model.selection import SelectionDistribution, coupled_columns
from pyro_mnar.model.shown_mask import ShownMask, is_looked_at
from pyro_mnar.model.tilts import Tilt
from pyro_mnar.networks.decoders import Decoder
from pyro_mnar.networks.warps import SkewWarp


class MNAR(nn.Module):
    """A decoder, an encoder and, optionally, a mechanism, declared together.

    Args:
        decoder: p(x given z); see :mod:`pyro_mnar.networks.decoders`. Says ``latent_dim`` and ``n_columns``.
        encoder: q(z given x_obs, s); see :mod:`pyro_mnar.networks.encoders`.
        mechanism: p(s given x), or None for ignorable missingness. With a warp it reads the warped values.
        warp: transformation of the columns' margins, or None.
        prior: log density of the parameters, or None for a flat one; training adds :meth:`log_prior` to the bound.
        tilt: energy tilt, or None. The parameter ``log_z``, 0 at first, then estimates log Z.
        outcome: p(y given x), or None. Tables then have D + 1 columns, y the last.
        latent_prior: p(z), or None for standard normals; see :mod:`pyro_mnar.networks.flows`.

    Raises:
        ValueError: when a part's width is not the decoder's, when a threshold, which stays where it is, meets a warp, or a tilt
            another prior of z than the standard normal; for a ``prior`` of parameters that the decoder lacks.

    Example:
        >>> from pyro_mnar import GaussianDecoder, GaussianEncoder, SelfMasking
        >>> mnar = MNAR(GaussianDecoder(2, 5), GaussianEncoder(2, 5), SelfMasking(5, direction="high"))
        >>> trace = pyro.poutine.trace(mnar.model).get_trace(torch.zeros(7, 5), torch.ones(7, 5, dtype=torch.bool))
        >>> sorted(trace.stochastic_nodes)
        ['rows', 'z']
    """

    rowwise = True
    zeros: Tensor
    coupled: Tensor | None

    def __init__(
        self,
        decoder: Decoder,
        encoder: nn.Module,
        mechanism: Mechanism | None = None,
        warp: SkewWarp | None = None,
        prior: Prior | None = None,
        tilt: Tilt | None = None,
        outcome: nn.Module | None = None,
        latent_prior: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_module("decoder", decoder)
        check_module("encoder", encoder, latent_dim=decoder.latent_dim, n_columns=decoder.n_columns)
        check_module("warp", decoder if warp is None else warp, n_columns=decoder.n_columns)
        check_modules(mechanism=mechanism, prior=prior, tilt=tilt, outcome=outcome, latent_prior=latent_prior)
        if mechanism is not None and len(mechanism.couplings) != decoder.n_columns:
            raise ValueError(f"mechanism: made for {len(mechanism.couplings)} columns, expected {decoder.n_columns}")
        if warp is not None and mechanism is not None and not mechanism.smooth:
            raise ValueError("mechanism: got a threshold together with a warp, expected another link or no warp")
        if prior is not None and decoder.log_prior() is None:
            raise ValueError(f"prior: got one for a {type(decoder).__name__}, expected a GaussianDecoder or a MixedDecoder")
        if tilt is not None and latent_prior is not None:
            raise ValueError("latent_prior: got one together with a tilt, expected one of them")
        self.decoder, self.encoder, self.outcome, self.latent_prior = decoder, encoder, outcome, latent_prior
        self.mechanism, self.warp, self.prior, self.tilt = mechanism, warp, prior, tilt
        if tilt is not None:
            self.log_z = nn.Parameter(torch.zeros(()))
        coupled = None if mechanism is None else coupled_columns(decoder, mechanism)
        #: Whether complete rows are needed that no noise can be put into: the missing values are then a site, drawn given the mask.
        self.reads_rows = outcome is not None or bool(tilt is not None and tilt.reads_rows)
        self.reads_rows |= coupled is not None and decoder.noise() is None
        self.register_buffer("coupled", coupled, persistent=False)
        self.register_buffer("zeros", torch.zeros(int(decoder.latent_dim)), persistent=False)

    @torch.no_grad()
    def initialize(self, x: Tensor, mask: Tensor, limits: Tensor | None = None) -> None:
        """Set starting values of warp and mechanism, and the means they suppose, from rows (N, D) on scaled columns."""
        x, mask = filled_in(*self._predictors(x, mask), limits)
        if self.prior is not None:
            self.prior.start(self.warp, self.mechanism)
        y = self.decoder.apart(self._warped(x, mask), mask)
        shift = 0.0 if self.mechanism is None else self.mechanism.initialize(y, mask)
        self.decoder.center(observed_moments(y, mask)[0] + shift)

    def log_prior(self, n_rows: float) -> Tensor:
        """Return log p of the parameters, up to a constant, for a table of ``n_rows``."""
        prior = self.prior
        return self.zeros.sum() if prior is None else prior.log_prob(n_rows, self.decoder, self.warp, self.mechanism)

    def model(self, x: Tensor, mask: Tensor, limits: Tensor | None = None) -> None:
        """Declare p(z, x, s) of rows ``x`` (N, D), float, with their ``mask`` (N, D), True = observed; with an outcome (N, D + 1).

        ``limits`` (N, D, 2) are where missing values are known to lie: :mod:`pyro_mnar.model.limited`.
        """
        table, seen = x, mask
        x, mask = self._predictors(x, mask)
        check_limits(limits, x, self.coupled is not None or self.reads_rows)
        with pyro.plate("rows", x.shape[-2], dim=-1):
            z = pyro.sample("z", self.latent_law())
            rows = self.decoder(z)
            mechanism = None if self.mechanism is None else self.mechanism.model(z)
            selection, holed = SelectionDistribution(rows, mechanism, self.warp, limits), torch.where(mask, x, torch.nan)
            # What reads x from here on depends on the site, in graphs too, and finds numbers in its holes.
            x = torch.where(mask, pyro.sample("x", selection, obs=holed), x)
            if mechanism is not None and self.coupled is None and is_looked_at():
                pyro.sample("mask", ShownMask(x, mask, z), obs=mask)
            complete = x
            if self.reads_rows:
                x_mis = pyro.sample("missing", MissingRows(selection, holed), infer={"score": True})
                complete = torch.where(mask, x, x_mis)
                if self.outcome is None:
                    pyro.deterministic("complete", complete, event_dim=1)
                else:
                    self._outcome(complete, table[..., -1], seen[..., -1])
                y_mis = self._warped(x_mis, torch.ones_like(mask))
            elif self.coupled is not None:
                noise = pyro.sample("noise", self.noise())
                y_mis = rows.base_dist.loc + rows.base_dist.scale * noise
                x_mis = y_mis if self.warp is None else self.warp.inverse(y_mis)
                complete = pyro.deterministic("complete", torch.where(mask, x, x_mis), event_dim=1)
            if mechanism is not None and self.coupled is not None:
                y = torch.where(mask, self._warped(x, mask), y_mis)
                pyro.sample("mask", mechanism(y).restrict(self.coupled), obs=mask)
            if self.tilt is not None:
                # Rows without holes are all alike for every particle: one pass through the energy.
                pyro.factor("tilt", self.tilt.log_weight(z, x if bool(mask.all()) else complete) - self.log_z)

    def _outcome(self, x: Tensor, y: Tensor, seen: Tensor) -> None:
        """Score the outcomes ``y`` (N,) that are ``seen``, and name the completed table, in which the others stand at their means."""
        assert self.outcome is not None
        law = self.outcome(x)
        pyro.sample("outcome", law.mask(seen), obs=torch.where(seen, y, 0.0))
        completed = torch.where(seen, y, law.mean).unsqueeze(-1).expand(*x.shape[:-1], 1)
        pyro.deterministic("complete", torch.cat([x, completed], -1), event_dim=1)

    def latent_law(self) -> dist.Distribution:
        """Return p(z), event shape (L,)."""
        return continuous.StandardNormal(self.zeros).to_event(1) if self.latent_prior is None else self.latent_prior()

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """Return latents (n, L) and complete rows (n, D) of the model without its tilt, reparameterised."""
        z = self.latent_law().rsample((n,))
        return z, self.rows(z, self.noise().rsample((n,)))

    def rows(self, z: Tensor, noise: Tensor) -> Tensor:
        """Return the complete rows (..., D) that ``z`` (..., L) and standardized ``noise`` (..., D) stand for."""
        cells = self.decoder(z).base_dist
        y = cells.loc + cells.scale * noise
        return y if self.warp is None else self.warp.inverse(y)

    def freeze_base(self) -> None:
        """Let gradients reach the tilt and ``log_z`` alone."""
        self.requires_grad_(False)
        if self.tilt is not None:
            self.tilt.requires_grad_()
            self.log_z.requires_grad_()

    def guide(self, x: Tensor, mask: Tensor, limits: Tensor | None = None) -> None:
        """Declare q(z | x_obs, s), over the same rows."""
        x, mask = self._predictors(x, mask)
        with pyro.plate("rows", x.shape[-2], dim=-1):
            with torch.no_grad():  # the guide does not train the warp
                y = self._warped(x, mask)
                known = () if limits is None else (torch.stack(warped_limits(self.warp, limits), -1),)
            pyro.sample("z", self.encoder(y, mask, *known))
            if self.mechanism is not None:
                self.mechanism.guide(y, mask)
            if self.coupled is not None and not self.reads_rows:
                pyro.sample("noise", self.noise(), infer={"prior": True})

    def missing_rate(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return P(s_j = 0 | x), (..., D), of complete rows ``x`` (..., D).

        Args:
            x: complete rows.
            mask: (..., D) bool, True = observed. Masks in an order are each given all the others, and where they read z, a draw of it
                from the guide, by torch's generator. None for each given that those before it are seen, at z = 0.

        Raises:
            ValueError: without a mechanism.
        """
        if self.mechanism is None:
            raise ValueError("mechanism: got none, expected one (ignorable missingness has no rate)")
        y = self._warped(x, torch.ones_like(x, dtype=torch.bool))
        if mask is None:
            return torch.exp(self.mechanism(y).log_missing)
        effect = self.mechanism.effects_of(self.encoder(y, mask.expand(x.shape)).sample()) if self.mechanism.reads_latent else None
        return torch.as_tensor(self.mechanism(y, effect).missing_rate(mask.expand(x.shape)))

    @torch.no_grad()
    def log_mask(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return log P(s_j | x_obs), (N, D), under a mechanism that reads no missing value and no latent; ValueError without one."""
        if self.mechanism is None:
            raise ValueError("mechanism: got none, expected one (ignorable missingness has no law)")
        return torch.as_tensor(self.mechanism(self._warped(x, mask)).cell_log_prob(mask))

    def _predictors(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the columns that the decoder models: all, or all but the outcome."""
        decoder: Decoder = self.decoder
        check_rows(x, mask, decoder.n_columns + (self.outcome is not None), next(decoder.parameters(), self.zeros).dtype)
        return (x, mask) if self.outcome is None else (x[..., :-1], mask[..., :-1])

    def noise(self) -> dist.Distribution:
        """Return the law of the standardized residual, which decoders of continuous cells have; TypeError for a decoder of others."""
        noise = self.decoder.noise()
        if noise is None:
            raise TypeError(f"decoder: got {type(self.decoder).__name__}, expected one whose cells are a mean plus noise")
        return noise

    def _warped(self, x: Tensor, mask: Tensor) -> Tensor:
        return x if self.warp is None else self.warp(torch.where(mask, x, 0.0))[0]
