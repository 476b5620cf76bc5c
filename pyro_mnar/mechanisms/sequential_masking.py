r"""Masks decided column after column: by a value itself, by earlier columns as far as they are seen, and by the row's own latent.

The score of column j's mask is

    u_j = a_j y_j + c_j + sum_{k before j} [ r_jk s_k y_k + g_jk (1 - s_k) ] + w_j' z,        P(s_j = 0 | y, s_<j, z) = F(u_j)

with s_k True where column k is observed, and "before" in a declared order of the columns. Three terms, each left out by leaving out
its argument:

- *own value* (a): missing not at random, as :class:`~pyro_mnar.mechanisms.self_masking.SelfMasking` has it;
- *earlier columns* (r, g): their values where they are seen, and that they are missing. P(s | y, z) is a product over j of laws of one
  mask, hence a proper law. A column that is missing is not read, so a missing value enters its own mask alone and its integral stays of
  one dimension. With a = w = 0 values are missing at random (Robins and Gill 1997, "Non-response models for the analysis of
  non-monotone ignorable missing data", Statistics in Medicine 16). In the order of visits it is the selection model of dropout of
  Diggle and Kenward (1994, "Informative drop-out in longitudinal data analysis", Applied Statistics 43). Complete columns, first in the
  order, are its covariates;
- *the row's latent* (w): given z the cells are independent, so that an effect of z moves the intercepts of a row's masks. What other
  columns are expected to be, seen or not, then decides: a shared-parameter model (Wu and Carroll 1988, "Estimation and comparison of
  changes in the presence of informative right censoring by modeling the censoring process", Biometrics 44).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from pyro_mnar.distributions.alignment import linear
from pyro_mnar.mechanisms.base import Anchors, LogPrior, Mechanism, OwnColumns
from pyro_mnar.mechanisms.earlier_columns import features_of, read_of
from pyro_mnar.mechanisms.latent_masking import GivenLatent
from pyro_mnar.mechanisms.prior_scales import ABSENCE, BESIDE_OWN, EFFECT, LOADING, student
from pyro_mnar.mechanisms.sequential_masks import SequentialMasks


class SequentialMasking(Mechanism):
    """The mechanism of the module's first line.

    Args:
        own: how values enter their own masks: ``SelfMasking``, ``CategoryMasking`` or a mixture of such; a column of direction ``none``
            has a rate and no such term. No threshold.
        order: columns as their masks are decided, each once; the others' masks are decided last, and no mask reads these columns. None,
            and no mask reads another column.
        latent_dim: L, of the decoder's z; or 0, and no mask reads z.
        levels: number of levels of each categorical column, by position; every level then has an effect of its own.
        circular: columns of angles in radians, by position; their cosine and sine each have one.
        instruments: columns that are known to decide: their effects are held back no more beside an own value than without one.
        values: whether masks read the values of earlier columns, beside that they are missing.

    Raises:
        ValueError: for a threshold, which has no score to shift, a mechanism of other than own values, columns out of range, or an
            order with a column twice.

    Example:
        >>> from pyro_mnar.distributions.links import PROBIT
        >>> from pyro_mnar.mechanisms.self_masking import SelfMasking
        >>> dropout = SequentialMasking(SelfMasking(3, [1, 2], "high", PROBIT), order=[0, 1, 2])
        >>> dropout(torch.zeros(5, 3)).sample().shape
        torch.Size([5, 3])
    """

    rowwise = True
    independent = False
    allowed: Tensor
    owner: Tensor
    at: Tensor
    held: Tensor

    def __init__(
        self,
        own: Mechanism,
        order: Sequence[int] | None = None,
        latent_dim: int = 0,
        levels: Mapping[int, int] | None = None,
        circular: Sequence[int] = (),
        instruments: Collection[int] = (),
        values: bool = True,
    ) -> None:
        if not own.smooth:
            raise ValueError("own: got a threshold, expected a mechanism whose score can be shifted")
        read = own.coupled().nonzero().flatten().tolist()
        if not own.independent or read:
            more = f", of which columns {read} are coupled" if read else ""
            raise ValueError(f"own: got {type(own).__name__}{more}, expected SelfMasking, CategoryMasking or a mixture of them")
        n_columns = own.n_columns
        if order is not None and (len(set(order)) < len(order) or not set(order) <= set(range(n_columns))):
            raise ValueError(f"order: got {list(order)}, expected some of the columns 0 to {n_columns - 1}, each once")
        for name, columns in (("levels", levels or ()), ("circular", circular), ("instruments", instruments)):
            if not set(columns) <= set(range(n_columns)):
                raise ValueError(f"{name}: got {list(columns)}, expected some of the columns 0 to {n_columns - 1}")
        super().__init__(n_columns, own.columns.tolist(), own.couplings.clone())
        self.own, self.order = own, None if order is None else tuple(order)
        if order is not None:
            owner, at = read_of(n_columns, levels or {}, circular)
            place = torch.full((n_columns,), len(order))
            place[list(order)] = torch.arange(len(order))
            modeled = torch.zeros(n_columns, dtype=torch.bool).index_fill(0, self.columns, True)
            allowed = (place[torch.cat([owner, torch.arange(n_columns)])] < place.unsqueeze(-1)) & modeled.unsqueeze(-1)
            allowed[:, : len(owner)] &= values
            self.register_buffer("owner", owner, persistent=False)
            self.register_buffer("at", at, persistent=False)
            self.register_buffer("allowed", allowed, persistent=False)
            held = torch.tensor([j not in instruments for j in owner.tolist()])
            self.register_buffer("held", held, persistent=False)
            self.effects = nn.Parameter(torch.zeros(n_columns, len(owner)))
            self.absences = nn.Parameter(torch.zeros(n_columns, n_columns))
        if latent_dim:
            self.loadings = nn.Parameter(torch.zeros(n_columns, latent_dim))

    @property
    def reads_latent(self) -> bool:
        """Whether masks read the row's latent."""
        return hasattr(self, "loadings")

    def own_scores(self) -> list[OwnColumns]:
        return self.own.own_scores()

    def row_effects(self, x: Tensor, mask: Tensor) -> Tensor | None:
        """Return what earlier columns add to the scores, (..., D), of rows ``x`` (..., D) seen at ``mask``; None without an order."""
        if self.order is None:
            return None
        seen = features_of(x, mask, self.owner, self.at)
        features = torch.cat([seen, (~mask).to(seen).expand(*seen.shape[:-1], -1)], -1)
        weights = torch.cat([self.effects, self.absences], -1) * self.allowed
        return linear(features, weights)

    def model(self, z: Tensor) -> Mechanism:
        effect = self.effects_of(z)
        return self if effect is None else GivenLatent(self, effect)

    def effects_of(self, z: Tensor) -> Tensor | None:
        if not self.reads_latent:
            return None
        if z.shape[-1] != self.loadings.shape[-1]:
            raise ValueError(f"mechanism: reads {self.loadings.shape[-1]} latents, expected the decoder's {z.shape[-1]}")
        return linear(z, self.loadings)

    def own_effects(self) -> Tensor:
        return self.own.own_effects()

    def reads_own(self) -> Tensor:
        return self.own.reads_own()

    @torch.no_grad()
    def effects_of_columns(self) -> Tensor | None:
        if self.order is None:
            return None
        effects = (torch.cat([self.effects, 0.5 * self.absences], -1) * self.allowed).abs()
        owner = torch.cat([self.owner, torch.arange(self.n_columns, device=self.owner.device)]).expand(len(effects), -1)
        return effects.new_zeros(self.n_columns, self.n_columns).scatter_reduce(1, owner, effects, "amax")

    @property
    def anchored(self) -> int:
        return self.own.anchored

    def start(self, anchors: Anchors) -> None:
        self.own.start(anchors)

    def log_prior(self, anchors: Anchors) -> LogPrior:
        own, known = self.own.log_prior(anchors), torch.zeros_like(anchors.slope).sum()
        if self.order is not None:
            beside = 0.5 * (self.effects / BESIDE_OWN).square()
            own_read = self.reads_own().unsqueeze(-1) & self.held
            known = -torch.where(own_read, beside, student(self.effects / EFFECT)).sum() - student(self.absences / ABSENCE).sum()
        if self.reads_latent:
            known = known - 0.5 * (self.loadings / LOADING).square().sum()
        return own.plus(LogPrior(known))

    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Start the own-value terms from the data (N, D); return how far the column means, (D,), are supposed from those seen."""
        return self.own.initialize(x, mask)

    def forward(self, x: Tensor, effect: Tensor | None = None) -> SequentialMasks:
        """Return the law of the masks of complete rows ``x`` (..., D), ``effect`` (..., D) added to the scores; z's is not in it."""
        return SequentialMasks(self.own, self.order, self.row_effects, x, effect)
