"""What a fitted ``MNARImputer`` answers: imputations, completed tables, what moves them, and what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_feature_names_in

from pyro_mnar.data.schema import Schema
from pyro_mnar.imputation.ensemble import draws_of
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.imputing import drawn, filled, imputed, mean_bound
from pyro_mnar.imputer.reasons import missingness_of
from pyro_mnar.imputer.saving.serialization import save
from pyro_mnar.imputer.tables.given import check_fitted, given
from pyro_mnar.infer.checks import check_counts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame

    from pyro_mnar.analysis.completions import Completions
    from pyro_mnar.diagnostics.diagnosis import Diagnosis


class FittedImputer(TransformerMixin, BaseEstimator):
    """The methods of :class:`~pyro_mnar.imputer.imputer.MNARImputer` that need a fit, apart from its settings and how it is fitted."""

    def impute(
        self: Imputer, X: ArrayLike | DataFrame, draws: int = 0, particles: int | None = None, method: str = "importance"
    ) -> Imputation:
        """Return the :class:`~pyro_mnar.imputation.impute.Imputation` of a table, in the table's units and float64.

        Args:
            X: (N, D), columns as in training; a column may be missing altogether. A frame's index names its rows' random numbers;
                rows of one label differ by their order.
            draws: imputations of each missing cell.
            particles, method: those of :func:`~pyro_mnar.imputation.ensemble.impute`; 200, and with a ``tolerance`` at most 3200.

        Raises:
            ValueError: before ``fit``, for columns that differ from training, or where a hole has no finite value.

        Observed values more than 30 standard deviations from training's mean are named in a warning, and taken as 30 away.
        """
        return imputed(self, given(self, X), draws, particles, method).result

    def transform(self: Imputer, X: ArrayLike | DataFrame) -> DataFrame | np.ndarray:
        """Return the table with its holes filled as ``point`` says, of the same type; observed cells bit for bit."""
        return filled(self, given(self, X))

    def sample(self: Imputer, X: ArrayLike | DataFrame, n_draws: int = 20) -> list[DataFrame | np.ndarray]:
        """Return ``n_draws`` completed tables of the type of ``X``, their holes drawn from the posterior (multiple imputation)."""
        check_counts(n_draws=n_draws)
        table = given(self, X)
        return table.complete(imputed(self, table, n_draws).result.draws.numpy())

    def members_of(self: Imputer, n_draws: int) -> list[int]:
        """Return which member each of ``n_draws`` draws comes from, for ``pool(..., groups=...)``: draws of one are nested in it."""
        check_fitted(self)
        check_counts(0, n_draws=n_draws)
        return [i for i, share in enumerate(draws_of(n_draws, len(self.members_))) for _ in range(share)]

    def replicates(
        self: Imputer,
        X: ArrayLike | DataFrame,
        sample_weight: ArrayLike | None = None,
        strata: ArrayLike | Hashable | None = None,
        clusters: ArrayLike | Hashable | None = None,
    ) -> np.ndarray:
        """Return how often each row of training was in each member's table, (members, N), for ``analyze(..., replicates=...)``.

        Args:
            X, sample_weight, strata, clusters: what ``fit`` was given.
        """
        from pyro_mnar.data.row_weights import row_weights
        from pyro_mnar.imputer.replicates import replicates_of
        from pyro_mnar.imputer.tables.given import units_of

        check_fitted(self)
        return replicates_of(self, row_weights(sample_weight, len(X)), units_of(X, strata, clusters))  # type: ignore[arg-type]

    def get_feature_names_out(self: Imputer, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Return the names of the columns that ``transform`` returns, ``x0`` and so on where training had none."""
        check_fitted(self)
        named = replace(self.codec_.layout, names=tuple(_check_feature_names_in(self, input_features)))
        return np.array(named.names_out(), dtype=object)

    def completions(self: Imputer, X: ArrayLike | DataFrame, n_draws: int = 200) -> Completions:
        """Return completed tables to be moved and analyzed, drawn from the members in turn; dates are points in time there.

        Args:
            X: (N, D) with its holes.
            n_draws: M; tilts resample from some hundred draws of each member (:mod:`pyro_mnar.imputer.draws.wide_draws`).

        Example:
            >>> from pyro_mnar import MNARImputer
            >>> x = np.random.default_rng(0).normal(size=(30, 2))
            >>> x[x[:, 0] > 1, 0] = np.nan
            >>> MNARImputer(steps=2, members=2, progress=False).fit(x).completions(x, 5).groups
            [0, 0, 0, 1, 1]
        """
        from pyro_mnar.imputer.sensitivity import completions

        return completions(self, given(self, X), n_draws)

    def strengthened(self: Imputer, done: Completions, factor: float, columns: Sequence[Hashable] | None = None) -> Completions:
        """Return completed tables re-weighted as if the mechanism were ``factor`` times as strong as the fitted one.

        What is observed stays as it was fitted.

        Args:
            done: what :meth:`completions` returned.
            factor: finite; 0 is missing at random, 1 the model as fitted (:mod:`pyro_mnar.imputer.sensitivity`).
            columns: the columns whose mechanism is moved; all that have one by default.

        Raises:
            ValueError: for a mechanism that is not ``auto`` or ``self-masking`` or reads the row's latent in every
                member, or other tables or columns.
        """
        from pyro_mnar.imputer.sensitivity import strengthened

        check_fitted(self)
        return strengthened(self, done, factor, columns)

    def diagnose(self: Imputer, X: ArrayLike | DataFrame) -> Diagnosis:
        """Return what is wrong with the imputation of a table and with the mechanism, in words; ``print`` it."""
        from pyro_mnar.imputer.diagnosis import diagnosis

        table = given(self, X)
        return diagnosis(self, table, drawn(self, table, 25 * len(self.members_)))

    def score(self: Imputer, X: ArrayLike | DataFrame, y: None = None, particles: int = 200) -> float:
        """Return the mean bound per row in nats at K = ``particles`` a member, as a density in the table's units.

        Of log p(x_obs, s) with a mechanism and of log p(x_obs) without: the two do not compare. An ensemble's is its members' mean.
        """
        del y
        return mean_bound(self, given(self, X), particles)

    @property
    def schema_(self: Imputer) -> Schema:
        """The columns that the models know."""
        return self.codec_.schema

    @property
    def seed(self: Imputer) -> int:
        """The seed of training and draws."""
        return int(self.random_state) if isinstance(self.random_state, Integral) else self.seed_

    def missingness(self: Imputer, points: int = 100) -> list[tuple[str | int, np.ndarray, np.ndarray]]:
        """Return, for each self-masked column, its name, values (P,) in the table's units and P(missing | value), (members, P).

        For a row whose other columns are seen at their means. Of columns of levels the values are the levels' places.
        """
        check_fitted(self)
        check_counts(points=points)
        return missingness_of(self, points)

    def save(self: Imputer, folder: str | os.PathLike[str]) -> None:
        """Write the fitted model to ``folder``: weights as safetensors, everything else as JSON; nothing in it is ever executed."""
        save(self, folder)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan, tags.transformer_tags.preserves_dtype = True, ["float64", "float32"]
        return tags
