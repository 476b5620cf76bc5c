"""``MNARImputer``: the library for someone with a table, in the manner of scikit-learn."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pyro_mnar.imputer.fitted import FittedImputer
from pyro_mnar.imputer.imputing import filled
from pyro_mnar.imputer.learning import fit_table
from pyro_mnar.imputer.points import check_point
from pyro_mnar.imputer.saving.serialization import load
from pyro_mnar.imputer.tables.given import units_of
from pyro_mnar.infer.history import Evaluation
from pyro_mnar.infer.progress import whole

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame


@dataclass(eq=False, repr=False)
class MNARImputer(FittedImputer):
    """Impute a table whose values are missing because of what they are.

    An ensemble of models, each a Gaussian decoder with a linear and a network mean, skewed margins, a conjugate encoder and the
    mechanism asked for (not-MIWAE, arXiv 2006.12871, with self-masked values integrated out), fitted to bootstrapped rows. Intervals
    hold what the members disagree on: what the data do not say. The constructor only stores.

    Args:
        mechanism: why values are missing. ``auto``: for each column whatever reason the data support, chosen by
            :mod:`pyro_mnar.imputer.reason_selection.selection`; ``self-masking``: a value goes missing because of itself, as
            ``direction`` says; ``linear`` or ``neural``: because of the whole row; ``none``: missingness is ignorable.
        direction: the own value's effect: ``high`` (large values go missing), ``low``, ``free`` (one of the two), ``middle`` and
            ``tails`` (values near the middle, or far from it), or ``none``; one word, or a mapping from column names (positions, for
            arrays) to words. It is taken as known. Of columns that it leaves out, or of all where it is None, nothing is known.
        order: columns in the order in which their holes came about, such as visits; masks then depend on the columns before, as far as
            these are seen. Columns that it leaves out come first. None: the data choose whether they do, and in which order.
        ignorable: columns whose missingness is taken as ignorable whatever the mechanism.
        shadow: columns known to be related to those with holes and to have no other part in their going missing
            (:mod:`pyro_mnar.imputer.identification.shadow`); no mask reads them.
        instrument: complete columns known to move whether values are missing, and to have no part in the values
            (:mod:`pyro_mnar.imputer.identification.instrument`).
        latent_dim, hidden: L, by default one less than the number of columns, at most 10; hidden layers of decoder and encoder, one of
            128 units. Of fewer than five rows a column as many latents as it takes
            (:mod:`pyro_mnar.imputer.training.factors`), and no hidden layers, by which these would be learned by heart.
        members, particles: of the ensemble (with one there are no intervals worth the name); K of the training bound.
        steps, batch_size: training updates of each member, ``auto`` for as many as its bound rises, at most 1000; rows an update.
        held_out: share of each member's rows that are kept out of its training, to choose its best weights by.
        patience: looks, one every 100 steps (``auto``: 50), without a better held-out bound after which a member stops; or None.
        random_state: seed of training and draws; with a ``RandomState`` or None, one is drawn from it at each ``fit``.
        add_indicator: whether ``transform`` adds a column ``missingindicator_NAME`` for each with holes in training, 1 where missing.
        keep_empty_features: whether columns without an observed value in training stay, their holes filled with 0, or are left out.
        kinds: what columns are, by name (position, for arrays), where dtypes do not say it (:mod:`pyro_mnar.data.kinds`).
        missing: values that stand for a missing one, such as ``[-99, "?"]``, or a mapping from columns to such; no declared level is.
        limits: where holes are known to lie, by column, such as ``("<", 0.5)``: see :mod:`pyro_mnar.data.limits`.
        rules: what every row obeys, such as ``["systolic >= diastolic"]``: see :mod:`pyro_mnar.data.rules.rules`.
        not_applicable: cells that do not exist, by column, such as ``"sex == 'male'"``: see :mod:`pyro_mnar.data.rules.not_applicable`.
        margins: what is known of whole columns, such as ``{"income": {"mean": (26_499, 300)}}``: see :mod:`pyro_mnar.data.margins`.
        point: what ``transform`` fills holes with: ``mean`` of the posterior (right for totals), ``median``, or ``draw`` (right for
            shares and spread); of a mean or median, categories get the most probable one.
        tolerance: Monte Carlo error of means, as a share of standard deviations, at which rows have enough particles; None: none.
        progress, n_jobs: bars on standard error, on a terminal only; processes, None being 1 and -1 all cores, with the same results.
        device: where to fit the ensemble and to impute: ``cpu``, ``cuda`` or ``auto``, a GPU where there is one and the table is large.
        keep_partial: whether an interrupted ``fit`` keeps, with a warning, the members fitted so far, instead of raising.

    Attributes:
        reasons_: a data frame, a row for each column with holes: what was decided (``reason``), how strong the ``evidence`` is, which
            share of its imputed values lies ``beyond`` the observed range, their ``mean``, and that under ignorable missingness.
        candidates_: the :class:`~pyro_mnar.imputer.reason_selection.pilots.Candidate` reasons that were compared, the best first.
        margins_: a data frame, a row for each known margin: as fitted, as met, and what that takes of the missing values.
        shadows_: a data frame: how strongly each declared shadow variable is related to each column with holes.
        instruments_: a data frame: how strongly each declared instrument moves the mask of each column with holes.
        members_, histories_: the fitted :class:`~pyro_mnar.model.MNAR` models, on scaled columns, and what training saw of each.
        codec_: the :class:`~pyro_mnar.data.TableCodec` from tables to the models' columns and back; ``schema_`` are these columns.
        specification_: the :class:`~pyro_mnar.imputer.training.specification.Specification` of the members.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3))
        >>> x[x[:, 0] > 1, 0] = np.nan
        >>> bool(np.isfinite(MNARImputer(direction="high", steps=20, progress=False).fit_transform(x)).all())
        True
    """

    mechanism: str = "auto"
    direction: str | Mapping[Any, str] | None = None
    order: Sequence[Hashable] | None = None
    ignorable: Sequence[Hashable] = ()
    shadow: Sequence[Hashable] = ()
    instrument: Sequence[Hashable] = ()
    latent_dim: int | None = None
    hidden: Sequence[int] | None = None
    members: int = 8
    particles: int = 5
    steps: int | str = "auto"
    batch_size: int = 96
    held_out: float = 0.0
    patience: int | None = None
    random_state: int | np.random.RandomState | None = 0
    add_indicator: bool = False
    keep_empty_features: bool = False
    kinds: Mapping[Any, str] | None = None
    missing: object = None
    limits: Mapping[Any, Any] | None = None
    rules: Sequence[str] | None = None
    not_applicable: Mapping[Any, Any] | None = None
    margins: Mapping[Any, Any] | None = None
    point: str = "mean"
    tolerance: float | None = None
    progress: bool = True
    n_jobs: int | None = None
    device: str = "cpu"
    keep_partial: bool = False

    def fit(
        self,
        X: ArrayLike | DataFrame,
        y: None = None,
        sample_weight: ArrayLike | None = None,
        callback: Callable[[Evaluation], None] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        strata: ArrayLike | Hashable | None = None,
        clusters: ArrayLike | Hashable | None = None,
    ) -> Self:
        """Learn the model from a table (N, D) with NaN in the holes.

        Args:
            X: array or DataFrame of numbers.
            y: ignored, as in scikit-learn.
            sample_weight: (N,) above 0, how many rows each one counts for; see :mod:`pyro_mnar.data.row_weights`.
            callback: a function that is called with each :class:`~pyro_mnar.infer.training.Evaluation`.
            checkpoint: folder, from which the same call goes on after a kill to the same result
                (:mod:`pyro_mnar.imputer.saving.checkpoints`).

            strata, clusters: those of the rows, arrays (N,) or names of columns without holes, by which members' tables are drawn
                (:mod:`pyro_mnar.infer.clusters`).

        Raises:
            ValueError: for a table that cannot be used (the message names the column) or an unknown word among the settings.
            KeyboardInterrupt: when interrupted, unless ``keep_partial``. After it, or an error, the imputer is as it was before.
        """
        del y
        check_point(self.point)
        fit_table(self, X, sample_weight, callback, checkpoint, units_of(X, strata, clusters))
        return self

    def fit_transform(self, X: ArrayLike | DataFrame, y: None = None, sample_weight: ArrayLike | None = None) -> DataFrame | np.ndarray:
        """Fit, then transform the same table."""
        del y
        check_point(self.point)
        with whole("fitting", self.progress):
            return filled(self, fit_table(self, X, sample_weight))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Return the imputer that :meth:`save` wrote; a ValueError for one that is damaged, foreign or of another version."""
        return load(cls, folder)
