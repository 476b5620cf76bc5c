"""``MNARImputer``: the library for someone with a table, in the manner of scikit-learn."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_feature_names_in

from pyro_mnar.data.schema import Schema
from pyro_mnar.imputation.ensemble import draws_of
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.imputer.imputing import drawn, filled, imputed, mean_bound
from pyro_mnar.imputer.learning import fit_table
from pyro_mnar.imputer.points import check_point
from pyro_mnar.imputer.reasons import missingness_of
from pyro_mnar.imputer.serialization import load, save
from pyro_mnar.imputer.tables import check_fitted, given
from pyro_mnar.infer.history import Evaluation
from pyro_mnar.infer.progress import whole

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame

    from pyro_mnar.analysis.completions import Completions
    from pyro_mnar.diagnostics.diagnosis import Diagnosis


@dataclass(eq=False, repr=False)
class MNARImputer(TransformerMixin, BaseEstimator):
    """Impute a table whose values are missing because of what they are.

    An ensemble of models, each a Gaussian decoder with a linear and a network mean, skewed margins, a conjugate encoder and the
    mechanism asked for (not-MIWAE, arXiv 2006.12871, with self-masked values integrated out), fitted to bootstrapped rows. Intervals
    hold what the members disagree on: what the data do not say. The constructor only stores.

    Args:
        mechanism: why values are missing. ``auto``: for each column whatever reason the data support, chosen by
            :mod:`pyro_mnar.imputer.reason_selection`; ``self-masking``: a value goes missing because of itself, as ``direction`` says;
            ``linear`` or ``neural``: because of the whole row; ``none``: missingness is ignorable.
        direction: of a column's own value: ``high`` (large values go missing), ``low``, ``free`` (one of the two), ``middle`` and
            ``tails`` (values near the middle, or far from it), or ``none``; one word, or a mapping from column names (positions, for
            arrays) to words. It is taken as known. Of columns that it leaves out, or of all where it is None, nothing is known.
        order: columns in the order in which their holes came about, such as visits; masks then depend on the columns before, as far as
            these are seen. Columns that it leaves out come first. None: the data choose whether they do, and in which order.
        ignorable: columns whose missingness is taken as ignorable whatever the mechanism.
        shadow: columns known to be related to those with holes and to have no other part in their going missing
            (:mod:`pyro_mnar.imputer.shadow`); no mask reads them.
        latent_dim, hidden: L, by default one less than the number of columns, at most 10; hidden layers of decoder and encoder.
        members, particles: of the ensemble (with one there are no intervals worth the name); K of the training bound.
        steps, batch_size: training updates of each member, and rows an update.
        held_out: share of each member's rows that are kept out of its training, to choose its best weights by.
        patience: looks, one every 100 steps, without a better held-out bound after which a member stops; None to use all steps.
        random_state: seed of training and draws; with a ``RandomState`` or None, one is drawn from it at each ``fit``.
        add_indicator: whether ``transform`` adds a column ``missingindicator_NAME`` for each with holes in training, 1 where missing.
        keep_empty_features: whether columns without an observed value in training stay, their holes filled with 0, or are left out.
        kinds: what columns are, by name (position, for arrays), where dtypes do not say it (:mod:`pyro_mnar.data.kinds`).
        missing: values that stand for a missing one, such as ``[-99, "?"]``, or a mapping from columns to such; no declared level is.
        limits: where holes are known to lie, by column, such as ``("<", 0.5)``: see :mod:`pyro_mnar.data.limits`.
        rules: what every row obeys, such as ``["systolic >= diastolic"]``: see :mod:`pyro_mnar.data.rules`.
        not_applicable: cells that do not exist, by column, such as ``"sex == 'male'"``: see :mod:`pyro_mnar.data.not_applicable`.
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
        candidates_: the :class:`~pyro_mnar.imputer.pilots.Candidate` reasons that were compared, the best first.
        margins_: a data frame, a row for each known margin: as fitted, as met, and what that takes of the missing values.
        shadows_: a data frame: how strongly each declared shadow variable is related to each column with holes.
        members_, histories_: the fitted :class:`~pyro_mnar.model.MNAR` models, on scaled columns, and what training saw of each.
        codec_: the :class:`~pyro_mnar.data.TableCodec` from tables to the models' columns and back; ``schema_`` are these columns.
        specification_: the :class:`~pyro_mnar.imputer.specification.Specification` of the members.

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
    latent_dim: int | None = None
    hidden: Sequence[int] = (128,)
    members: int = 8
    particles: int = 5
    steps: int = 1000
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
    ) -> Self:
        """Learn the model from a table (N, D) with NaN in the holes.

        Args:
            X: array or DataFrame of numbers.
            y: ignored, as in scikit-learn.
            sample_weight: (N,) above 0, how many rows each one counts for; see :mod:`pyro_mnar.data.row_weights`.
            callback: called with each :class:`~pyro_mnar.infer.training.Evaluation`.
            checkpoint: folder, from which the same call goes on after a kill to the same result (:mod:`pyro_mnar.imputer.checkpoints`).

        Raises:
            ValueError: for a table that cannot be used (the message names the column) or an unknown word among the settings.
            KeyboardInterrupt: when interrupted, unless ``keep_partial``. After it, or an error, the imputer is as it was before.
        """
        del y
        check_point(self.point)
        fit_table(self, X, sample_weight, callback, checkpoint)
        return self

    def impute(self, X: ArrayLike | DataFrame, draws: int = 0, particles: int | None = None, method: str = "importance") -> Imputation:
        """Return the :class:`~pyro_mnar.imputation.impute.Imputation` of a table, in the table's units and float64.

        Args:
            X: (N, D), columns as in training; a column may be missing altogether. A frame's index names its rows' random numbers;
                rows of one label differ by their order.
            draws: imputations of each missing cell.
            particles, method: as in :func:`~pyro_mnar.imputation.ensemble.impute`; 200, and with a ``tolerance`` at most 3200.

        Raises:
            ValueError: before ``fit``, for columns that differ from training, or where a hole has no finite value.

        Observed values more than 30 standard deviations from training's mean are named in a warning, and taken as 30 away.
        """
        return imputed(self, given(self, X), draws, particles, method).result

    def transform(self, X: ArrayLike | DataFrame) -> DataFrame | np.ndarray:
        """Return the table with its holes filled as ``point`` says, of the same type; observed cells bit for bit."""
        return filled(self, given(self, X))

    def fit_transform(self, X: ArrayLike | DataFrame, y: None = None, sample_weight: ArrayLike | None = None) -> DataFrame | np.ndarray:
        """Fit, then transform the same table."""
        del y
        check_point(self.point)
        with whole("fitting", self.progress):
            return filled(self, fit_table(self, X, sample_weight))

    def sample(self, X: ArrayLike | DataFrame, n_draws: int = 20) -> list[DataFrame | np.ndarray]:
        """Return ``n_draws`` completed tables of the type of ``X``, their holes drawn from the posterior (multiple imputation)."""
        if n_draws < 1:
            raise ValueError(f"n_draws: got {n_draws}, expected at least 1")
        table = given(self, X)
        return table.complete(imputed(self, table, n_draws).result.draws.numpy())

    def members_of(self, n_draws: int) -> list[int]:
        """Return which member each of ``n_draws`` draws comes from, for ``pool(..., groups=...)``: draws of one are nested in it."""
        check_fitted(self)
        return [i for i, share in enumerate(draws_of(n_draws, len(self.members_))) for _ in range(share)]

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Return the names of the columns that ``transform`` returns, ``x0`` and so on where training had none."""
        check_fitted(self)
        named = replace(self.codec_.layout, names=tuple(_check_feature_names_in(self, input_features)))
        return np.array(named.names_out(), dtype=object)

    def completions(self, X: ArrayLike | DataFrame, n_draws: int = 200) -> Completions:
        """Return completed tables to be moved and analyzed, drawn from the members in turn.

        Args:
            X: (N, D) with its holes.
            n_draws: M; tilts resample from some hundred draws of each member (:mod:`pyro_mnar.imputer.wide_draws`).

        Example:
            >>> x = np.random.default_rng(0).normal(size=(30, 2))
            >>> x[x[:, 0] > 1, 0] = np.nan
            >>> MNARImputer(steps=2, members=2, progress=False).fit(x).completions(x, 5).groups
            [0, 0, 0, 1, 1]
        """
        from pyro_mnar.imputer.sensitivity import completions

        return completions(self, given(self, X), n_draws)

    def strengthened(self, done: Completions, factor: float, columns: Sequence[Hashable] | None = None) -> Completions:
        """Return completed tables re-weighted as if the mechanism were ``factor`` times as strong as the fitted one.

        What is observed stays as it was fitted.

        Args:
            done: from :meth:`completions`.
            factor: finite; 0 is missing at random, 1 the model as fitted (:mod:`pyro_mnar.imputer.sensitivity`).
            columns: those whose mechanism is moved; all that have one by default.

        Raises:
            ValueError: for a mechanism that is not ``auto`` or ``self-masking`` or reads the row's latent, or other tables or columns.
        """
        from pyro_mnar.imputer.sensitivity import strengthened

        check_fitted(self)
        return strengthened(self, done, factor, columns)

    def diagnose(self, X: ArrayLike | DataFrame) -> Diagnosis:
        """Return what is wrong with the imputation of a table and with the mechanism, in words; ``print`` it."""
        from pyro_mnar.imputer.diagnosis import diagnosis

        table = given(self, X)
        return diagnosis(self, table, drawn(self, table, 25 * len(self.members_)))

    def score(self, X: ArrayLike | DataFrame, y: None = None, particles: int = 200) -> float:
        """Return the mean bound per row in nats at K = ``particles`` a member, as a density in the table's units.

        Of log p(x_obs, s) with a mechanism and of log p(x_obs) without: the two do not compare. An ensemble's is its members' mean.
        """
        del y
        return mean_bound(self, given(self, X), particles)

    @property
    def schema_(self) -> Schema:
        """The columns that the models know."""
        return self.codec_.schema

    @property
    def seed(self) -> int:
        """The seed of training and draws."""
        return int(self.random_state) if isinstance(self.random_state, Integral) else self.seed_

    def missingness(self, points: int = 100) -> list[tuple[str | int, np.ndarray, np.ndarray]]:
        """Return, for each self-masked column, its name, values (P,) in the table's units and P(missing | value), (members, P).

        For a row whose other columns are seen at their means. Of columns of levels the values are the levels' places.
        """
        check_fitted(self)
        return missingness_of(self, points)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the fitted model to ``folder``: weights as safetensors, everything else as JSON; nothing in it is ever executed."""
        save(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Return the imputer that :meth:`save` wrote; a ValueError for one that is damaged, foreign or of another version."""
        return load(cls, folder)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan, tags.transformer_tags.preserves_dtype = True, ["float64", "float32"]
        return tags
