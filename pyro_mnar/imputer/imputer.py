"""``MNARImputer``: the library for someone with a table, in the manner of scikit-learn."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_feature_names_in
from torch import Tensor

from pyro_mnar.data.masking import split
from pyro_mnar.data.schema import is_frame
from pyro_mnar.imputation.ensemble import draws_of, impute_ensemble, score_ensemble
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.imputer.extremes import refuse_unfilled, within_reach
from pyro_mnar.imputer.fit_guard import all_or_nothing, check_interrupted
from pyro_mnar.imputer.learning import learn
from pyro_mnar.imputer.model_files import save_model
from pyro_mnar.imputer.points import check_point, curves, means_of, points_of
from pyro_mnar.imputer.reasons import Doubt, doubts, missingness_of, never_together, no_reasons, reasons_of
from pyro_mnar.imputer.serialization import describe, loaded
from pyro_mnar.imputer.specification import declaration_of, order_of
from pyro_mnar.imputer.validation import as_table, complete, learn_columns
from pyro_mnar.infer.torch_state import as_usual

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame

    from pyro_mnar.diagnostics.diagnosis import Diagnosis


class MNARImputer(TransformerMixin, BaseEstimator):
    """Impute a table whose values are missing because of what they are.

    An ensemble of models, each a Gaussian decoder with a linear and a network mean, skewed margins, a conjugate encoder and the
    mechanism asked for (not-MIWAE, arXiv 2006.12871, with self-masked values integrated out), fitted to bootstrapped rows. Intervals
    hold what the members disagree on: what the data do not say. The constructor only stores.

    Args:
        mechanism: why values are missing. ``auto``: for each column whatever reason the data support, chosen by
            :mod:`pyro_mnar.imputer.reason_selection`; ``self-masking``: a value goes missing because of itself, as ``direction`` says;
            ``linear`` or ``neural``: because of the whole row; ``none``: missingness says nothing beyond what is observed (ignorable).
        direction: of a column's own value: ``high`` (large values go missing), ``low``, ``free`` (one of the two), ``middle`` and
            ``tails`` (values near the middle, or far from it), or ``none``; one word, or a mapping from column names (positions, for
            arrays) to words. It is taken as known. Of columns that it leaves out, or of all where it is None, nothing is known.
        order: columns in the order in which their holes came about, such as visits; masks then depend on the columns before, as far as
            these are seen. Columns that it leaves out come first. None: the data choose whether they do, and in which order.
        ignorable: columns whose missingness is taken as ignorable whatever the mechanism.
        latent_dim: L; by default one less than the number of columns, at most 10.
        hidden: hidden layers of decoder and encoder.
        members: of the ensemble; with one there are no intervals worth the name.
        particles: K of the training bound.
        steps, batch_size: training updates of each member, and rows an update.
        random_state: seed of training and draws; with a ``RandomState`` or None, one is drawn from it at each ``fit``.
        add_indicator: whether ``transform`` adds a column ``missingindicator_NAME`` for each with holes in training, 1 where missing.
        keep_empty_features: whether columns without an observed value in training stay, their holes filled with 0, or are left out.
        kinds: what columns are, by name (position, for arrays), where dtypes do not say it: words of
            :mod:`pyro_mnar.data.columns`, such as ``positive``, ``bounded:LOW:HIGH``, ``ordinal:A:B:C``.
        point: what ``transform`` fills holes with: ``mean`` of the posterior (right for totals), ``median``, or ``draw`` (right for
            shares and spread); of a mean or median, categories get the most probable one.
        progress: bars on standard error, on a terminal only.
        n_jobs: processes; None is 1 and -1 all cores. Results are the same.
        keep_partial: whether an interrupted ``fit`` keeps, with a warning, the members fitted so far, instead of raising.

    Attributes:
        reasons_: a data frame, a row for each column with holes: what was decided (``reason``), how strong the ``evidence`` is, which
            share of its imputed values lies ``beyond`` the observed range, their ``mean``, and that under ignorable missingness.
        candidates_: the :class:`~pyro_mnar.imputer.reason_selection.Candidate` reasons that were compared, the best first.
        members_: the fitted :class:`~pyro_mnar.model.MNAR` models, on scaled columns.
        histories_: what training saw of each.
        scaling_: the :class:`~pyro_mnar.data.Units` of the models' columns.
        schema_: the columns; ``n_features_in_`` and, for data frames, ``feature_names_in_`` as in scikit-learn.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3))
        >>> x[x[:, 0] > 1, 0] = np.nan
        >>> completed = MNARImputer(direction="high", steps=20, progress=False).fit_transform(x)
        >>> bool(np.isfinite(completed).all())
        True
    """

    def __init__(
        self,
        mechanism: str = "auto",
        direction: str | Mapping[Any, str] | None = None,
        order: Sequence[Any] | None = None,
        ignorable: Sequence[Any] = (),
        latent_dim: int | None = None,
        hidden: Sequence[int] = (128,),
        members: int = 8,
        particles: int = 5,
        steps: int = 1000,
        batch_size: int = 96,
        random_state: int | np.random.RandomState | None = 0,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        kinds: Mapping[Any, str] | None = None,
        point: str = "mean",
        progress: bool = True,
        n_jobs: int | None = None,
        keep_partial: bool = False,
    ) -> None:
        self.mechanism = mechanism
        self.direction = direction
        self.order = order
        self.ignorable = ignorable
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.members = members
        self.particles = particles
        self.steps = steps
        self.batch_size = batch_size
        self.random_state = random_state
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.kinds = kinds
        self.point = point
        self.progress = progress
        self.n_jobs = n_jobs
        self.keep_partial = keep_partial

    @all_or_nothing
    @as_usual
    def fit(self, X: ArrayLike | DataFrame, y: None = None, callback: Any = None) -> Self:
        """Learn the model from a table (N, D) with NaN in the holes.

        Args:
            X: array or DataFrame of numbers.
            y: ignored, as in scikit-learn.
            callback: called with each :class:`~pyro_mnar.infer.training.Evaluation`.

        Raises:
            ValueError: for a table that cannot be used (the message names the column) or an unknown word among the settings.
            KeyboardInterrupt: when interrupted, unless ``keep_partial``. After it, or an error, the imputer is as it was before.
        """
        del y
        check_point(self.point)
        layout, schema, values, mask = learn_columns(self, X)
        left_out = [name for j, name in enumerate(layout.names) if j not in layout.known]
        declaration, stated = declaration_of(self, schema, mask, left_out)
        if mask.all() and self.mechanism != "none":
            warnings.warn("X: nothing is missing, so the model is trained without a mechanism", UserWarning, stacklevel=4)
        order = order_of(self.order, schema, self.mechanism, left_out)
        for apart in never_together(schema, mask):
            warnings.warn(apart, UserWarning, stacklevel=4)
        self.seed_ = check_random_state(self.random_state).randint(2**31 - 1)
        training: dict[str, Any] = {name: getattr(self, name) for name in ("particles", "steps", "batch_size", "progress", "n_jobs")}
        fitted, units, choice, first = learn(
            declaration, stated, order, schema, values, mask, seed=self._seed(), callback=callback, **training
        )
        check_interrupted(fitted.histories, self.members, self.keep_partial)
        self.layout_, self.schema_, self.scaling_ = layout, schema, units
        self.candidates_ = [] if choice is None else choice.candidates
        self.declaration_, members, self.histories_ = fitted
        self.members_ = [member.eval() for member in members]
        self.reasons_ = no_reasons(self) if choice is None else reasons_of(self, stated, choice.ignorable, first, values, mask)
        for doubt in doubts(self):
            warnings.warn(doubt, Doubt, stacklevel=4)
        return self

    @as_usual
    def impute(self, X: ArrayLike | DataFrame, draws: int = 0, particles: int = 200, method: str = "importance") -> Imputation:
        """Return the :class:`~pyro_mnar.imputation.impute.Imputation` of a table, in the table's units and float64.

        Args:
            X: (N, D), columns as in training; a column may be missing altogether. A frame's index names its rows' random numbers;
                rows of one label differ by their order.
            draws: imputations of each missing cell.
            particles: S for each row and member.
            method: as in :func:`~pyro_mnar.imputation.impute.impute`; ``auto`` where weights fail.

        Raises:
            ValueError: before ``fit``, for columns that differ from training, or where a hole has no finite value.

        Observed values more than 30 standard deviations from training's mean are named in a warning, and taken as 30 away.
        """
        table, values, mask = self._read(X)
        columns, scaling = self.schema_.columns, self.scaling_.scaling
        given: dict[str, Any] = {"particles": particles, "method": method, "n_jobs": self.n_jobs, "progress": self.progress}
        given |= {"labels": list(table.index) if is_frame(table) else None, "seed": self._seed()}
        seen, own = torch.from_numpy(mask), torch.from_numpy(values)
        x = within_reach(self._scaled(values, mask), seen, table, columns)
        result = impute_ensemble(self.members_, x, seen, draws=draws, functions=curves(columns, scaling), **given)
        means = means_of(columns, scaling, result.completed)
        points = points_of(self.point, columns, scaling, means, result.probabilities, self.members_, x, seen, **given)
        # Observed cells come from the table itself: scaling to float32 and back would not return their last bits.
        means, completed, sampled = (torch.where(seen, own, part) for part in (means, points, self._unscaled(result.draws)))
        refuse_unfilled((completed, sampled), seen, table, columns)
        return replace(result, completed=completed, draws=sampled, means=means)

    def transform(self, X: ArrayLike | DataFrame) -> Any:
        """Return the table with its holes filled as ``point`` says, of the same type; observed cells bit for bit."""
        return complete(self, X, [self.impute(X).completed])[0]

    def fit_transform(self, X: ArrayLike | DataFrame, y: None = None) -> Any:
        """Fit, then transform the same table."""
        return self.fit(X, y).transform(X)

    def sample(self, X: ArrayLike | DataFrame, n_draws: int = 20) -> list[Any]:
        """Return ``n_draws`` completed tables of the type of ``X``, their holes drawn from the posterior (multiple imputation)."""
        if n_draws < 1:
            raise ValueError(f"n_draws: got {n_draws}, expected at least 1")
        return complete(self, X, self.impute(X, draws=n_draws).draws)

    def members_of(self, n_draws: int) -> list[int]:
        """Return which member each of ``n_draws`` draws comes from, for ``pool(..., groups=...)``: draws of one are nested in it."""
        self._fitted()
        return [i for i, share in enumerate(draws_of(n_draws, len(self.members_))) for _ in range(share)]

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Return the names of the columns that ``transform`` returns, ``x0`` and so on where training had none."""
        self._fitted()
        names = tuple(_check_feature_names_in(self, input_features))
        return np.array(replace(self.layout_, names=names).names_out(), dtype=object)

    @as_usual
    def diagnose(self, X: ArrayLike | DataFrame) -> Diagnosis:
        """Return what is wrong with the imputation of a table and with the mechanism, in words; ``print`` it."""
        from pyro_mnar.imputer.diagnosis import diagnosis

        return diagnosis(self, X)

    @as_usual
    def score(self, X: ArrayLike | DataFrame, y: None = None, particles: int = 200) -> float:
        """Return the mean bound per row in nats at K = ``particles`` a member, as a density in the table's units.

        Of log p(x_obs, s) with a mechanism and of log p(x_obs) without: the two score different data and do not compare. The
        ensemble's density is the mean of its members'.
        """
        del y
        _, values, mask = self._read(X)
        x, seen = self._scaled(values, mask), torch.from_numpy(mask)
        rows = score_ensemble(self.members_, x, seen, particles=particles, seed=self._seed(), n_jobs=self.n_jobs)
        return float((rows + torch.from_numpy(self.scaling_.log_jacobian(values, mask))).mean())

    @as_usual
    def missingness(self, points: int = 100) -> list[tuple[Any, np.ndarray, np.ndarray]]:
        """Return, for each self-masked column, its name, values (P,) in the table's units and P(missing | value), (members, P).

        For a row whose other columns are seen at their means. Of columns of levels the values are the levels' places.
        """
        self._fitted()
        return missingness_of(self, points)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the fitted model to ``folder``: weights as safetensors, everything else as JSON; nothing in it is ever executed."""
        self._fitted()
        save_model(folder, *describe(self))

    @classmethod
    @as_usual
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Return the imputer that :meth:`save` wrote; a ValueError for one that is damaged, foreign or of another version."""
        return loaded(cls, folder)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _fitted(self) -> None:
        if not hasattr(self, "members_"):
            raise NotFittedError("MNARImputer: not fitted yet, expected a call of fit first")

    def _seed(self) -> int:
        return int(self.random_state) if isinstance(self.random_state, Integral) else self.seed_

    def _read(self, X: Any) -> tuple[Any, np.ndarray, np.ndarray]:
        """Return the columns that the model knows as a table, and as values and mask."""
        self._fitted()
        part = self.layout_.part(as_table(self, X))
        return part, *split(part, self.schema_, allow_empty=True)

    def _scaled(self, values: np.ndarray, mask: np.ndarray) -> Tensor:
        return torch.from_numpy(self.scaling_.apply(values, mask)).float()

    def _unscaled(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.scaling_.invert(x.double().numpy()))
