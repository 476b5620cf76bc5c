"""``MNARImputer``: the library for someone with a table, in the manner of scikit-learn."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.faces.choosing import covariate_gain
from pyro_mnar.faces.declaration import covariates_of, declare, directions_of, supposed_moments
from pyro_mnar.faces.saving import describe, restore
from pyro_mnar.infer.ensembles import fit_ensemble
from pyro_mnar.infer.streams import seeded
from pyro_mnar.models import MNAR
from pyro_mnar.results.imputation import Imputation
from pyro_mnar.results.model_files import load_model, save_model
from pyro_mnar.results.pooling import impute_ensemble, score_ensemble
from pyro_mnar.tables import Scaling, Schema, is_frame, join, split

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame

    from pyro_mnar.results.diagnosis import Diagnosis

_SETTINGS: tuple[str, ...] = ("mechanism", "direction", "covariates", "ignorable", "latent_dim", "hidden", "members", "particles")
_SETTINGS += ("steps", "batch_size", "random_state")


class MNARImputer:
    """Impute a table of numbers whose values are missing because of what they are.

    An ensemble of models, each a Gaussian decoder with a linear and a network mean, skewed margins, a conjugate encoder and the
    mechanism asked for (not-MIWAE, arXiv 2006.12871, with self-masked values integrated out), fitted to bootstrapped rows. Intervals
    hold what the members disagree on: what the data do not say. The constructor only stores.

    Args:
        mechanism: ``self-masking`` (a value goes missing because of itself), ``linear`` or ``neural`` (because of the whole row), or
            ``none`` (ignorable: missingness says nothing beyond what is observed).
        direction: for self-masking, ``high`` (large values go missing), ``low`` or ``free``; one word, or a mapping from column
            names (positions, for arrays) to words, where columns left out are free.
        covariates: for self-masking, columns that masks depend on as well, each without holes or ``ignorable``; or ``complete``, all
            such columns; or ``auto``, these or none, as the data have it (see :mod:`pyro_mnar.faces.choosing`).
        ignorable: columns whose missingness is taken as ignorable whatever the mechanism.
        latent_dim: L; by default one less than the number of columns, at most 10.
        hidden: hidden layers of decoder and encoder.
        members: of the ensemble; with one there are no intervals worth the name.
        particles: K of the training bound.
        steps: training updates of each member.
        batch_size: rows an update.
        random_state: seed of training and draws.
        progress: bars on standard error, on a terminal only.

    Attributes:
        covariate_gain_: with ``auto``, what covariates gained, in nats beyond their price; they are in use if it is positive.
        members_: the fitted :class:`~pyro_mnar.models.MNAR` models, on scaled columns.
        histories_: what training saw of each.
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
        mechanism: str = "self-masking",
        direction: str | Mapping[Any, str] = "free",
        covariates: str | Sequence[Any] = "auto",
        ignorable: Sequence[Any] = (),
        latent_dim: int | None = None,
        hidden: Sequence[int] = (128,),
        members: int = 8,
        particles: int = 5,
        steps: int = 1000,
        batch_size: int = 96,
        random_state: int = 0,
        progress: bool = True,
    ) -> None:
        self.mechanism = mechanism
        self.direction = direction
        self.covariates = covariates
        self.ignorable = ignorable
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.members = members
        self.particles = particles
        self.steps = steps
        self.batch_size = batch_size
        self.random_state = random_state
        self.progress = progress

    def fit(self, X: ArrayLike | DataFrame, y: None = None, callback: Any = None) -> Self:
        """Learn the model from a table (N, D) with NaN in the holes.

        Args:
            X: array or DataFrame of numbers.
            y: ignored, as in scikit-learn.
            callback: called with each :class:`~pyro_mnar.infer.training.Evaluation`.

        Raises:
            ValueError: for a table that cannot be used (the message names the column) or an unknown word among the settings.
        """
        del y
        schema = Schema.of(X)
        values, mask = split(X, schema)
        if len(values) < 2:
            raise ValueError(f"X: got {len(values)} row, expected at least 2")
        names = [column.name for column in schema.columns]
        holes = [j for j in range(len(names)) if not mask[:, j].all()]
        if self.members < 1:
            raise ValueError(f"members: got {self.members}, expected at least 1")
        unknown = [name for name in self.ignorable if name not in names]
        if unknown:
            raise ValueError(f"ignorable: got unknown column {unknown[0]!r}, expected some of {', '.join(map(str, names))}")
        modelled = [j for j in holes if names[j] not in self.ignorable]
        directions = directions_of(self.direction, names, self.mechanism)
        if not holes and self.mechanism != "none":
            warnings.warn("X: nothing is missing, so the model is trained without a mechanism", UserWarning, stacklevel=2)
        self.scaling_ = Scaling.of(values, mask)
        self.declaration_: dict[str, Any] = {
            "mechanism": self.mechanism if modelled else "none",
            "columns": modelled,
            "directions": [directions[j] for j in modelled],
            "covariates": covariates_of(self.covariates, names, modelled, self.mechanism),
            "n_columns": len(names),
            "latent_dim": self.latent_dim or max(1, min(len(names) - 1, 10)),
            "hidden": list(self.hidden),
            "members": self.members,
        }
        self.scaling_ = self.scaling_.moved(*supposed_moments(modelled, self.declaration_["directions"], mask))
        x, seen = self._scaled(values, mask), torch.from_numpy(mask)
        training: dict[str, Any] = {name: getattr(self, name) for name in ("particles", "steps", "batch_size", "progress")}
        self.covariate_gain_ = None
        if self.covariates == "auto" and self.declaration_["covariates"]:
            self.covariate_gain_ = covariate_gain(self.declaration_, x, seen, seed=self.random_state, **training)
            if self.covariate_gain_ <= 0:
                self.declaration_["covariates"] = []
        with seeded(self.random_state):
            members = declare(**self.declaration_)
        for member in members:
            member.initialise(x, seen)
        self.histories_ = fit_ensemble(members, x, seen, seed=self.random_state, callback=callback, **training)
        # After an interruption there are fewer.
        members = members[: len(self.histories_)]
        self.declaration_["members"] = len(members)
        self._set_fitted(members, schema, named=is_frame(X))
        return self

    def impute(self, X: ArrayLike | DataFrame, draws: int = 0, particles: int = 200, method: str = "importance") -> Imputation:
        """Return the :class:`~pyro_mnar.results.imputation.Imputation` of a table, in the table's units and float64.

        Args:
            X: (N, D), columns as in training; a column may be missing altogether.
            draws: imputations of each missing cell.
            particles: S for each row and member.
            method: as in :func:`~pyro_mnar.results.imputation.impute`; ``auto`` where weights fail.

        Raises:
            ValueError: before ``fit``, or for columns that differ from training.
        """
        values, mask = self._read(X)
        frame: Any = X
        labels = list(frame.index) if is_frame(X) else None
        result = impute_ensemble(
            self.members_,
            self._scaled(values, mask),
            torch.from_numpy(mask),
            draws=draws,
            particles=particles,
            method=method,
            seed=self.random_state,
            labels=labels,
            progress=self.progress,
        )
        # Observed cells come from the table itself: scaling to float32 and back would not return their last bits.
        seen, table = torch.from_numpy(mask), torch.from_numpy(values)
        completed, sampled = (torch.where(seen, table, self._unscaled(part)) for part in (result.completed, result.draws))
        return replace(result, completed=completed, draws=sampled)

    def transform(self, X: ArrayLike | DataFrame) -> Any:
        """Return the table with its holes filled by posterior means, of the same type; observed cells bit for bit."""
        return join(X, self.impute(X).completed.numpy(), self._read(X)[1], self.schema_)

    def fit_transform(self, X: ArrayLike | DataFrame, y: None = None) -> Any:
        """Fit, then transform the same table."""
        return self.fit(X, y).transform(X)

    def sample(self, X: ArrayLike | DataFrame, n_draws: int = 20) -> list[Any]:
        """Return ``n_draws`` completed tables of the type of ``X``, their holes drawn from the posterior (multiple imputation)."""
        if n_draws < 1:
            raise ValueError(f"n_draws: got {n_draws}, expected at least 1")
        mask = self._read(X)[1]
        return [join(X, draw.numpy(), mask, self.schema_) for draw in self.impute(X, draws=n_draws).draws]

    def diagnose(self, X: ArrayLike | DataFrame) -> Diagnosis:
        """Return what is wrong with the imputation of a table and with the mechanism, in words; ``print`` it."""
        from pyro_mnar.faces.words import diagnosis

        return diagnosis(self, X)

    def score(self, X: ArrayLike | DataFrame, y: None = None, particles: int = 200) -> float:
        """Return the mean bound per row in nats at K = ``particles`` a member, as a density in the table's units.

        Of log p(x_obs, s) with a mechanism and of log p(x_obs) without: the two score different data and do not compare. The
        ensemble's density is the mean of its members'.
        """
        del y
        values, mask = self._read(X)
        x, seen = self._scaled(values, mask), torch.from_numpy(mask)
        rows = score_ensemble(self.members_, x, seen, particles=particles, seed=self.random_state)
        return float((rows + torch.from_numpy(self.scaling_.log_jacobian(mask))).mean())

    @torch.no_grad()
    def missingness(self, points: int = 100) -> list[tuple[Any, np.ndarray, np.ndarray]]:
        """Return, for each self-masked column, its name, values (P,) in the table's units and P(missing | value), (members, P).

        With covariates, for a row in which they have their observed means.
        """
        self._fitted()
        if self.declaration_["mechanism"] != "self-masking":
            return []
        # Four standard deviations to the side that goes missing shows the whole rise.
        grid = torch.linspace(-4, 4, points).unsqueeze(-1).repeat(1, self.n_features_in_)
        grid[:, self.declaration_["covariates"]] = 0.0  # their observed means
        chances = torch.stack([member.missing_rate(grid) for member in self.members_])
        values = self._unscaled(grid).numpy()
        return [(self.schema_.columns[j].name, values[:, j], chances[..., j].numpy()) for j in self.declaration_["columns"]]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the fitted model to ``folder``: weights as safetensors, everything else as JSON; nothing in it is ever executed."""
        self._fitted()
        save_model(folder, *describe(self, _SETTINGS))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Return the imputer that :meth:`save` wrote.

        Raises:
            ValueError: for a folder that is not a model's, is damaged, or comes from a newer version.
        """
        tensors, description = load_model(folder)
        try:
            given, fitted, members, schema = restore(tensors, description, _SETTINGS)
            imputer = cls(**given)
            vars(imputer).update(fitted)
            imputer._set_fitted(members, schema, named=description["named"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{os.fspath(folder)}: not a usable model, expected one that MNARImputer.save wrote ({reason})") from None
        return imputer

    def _set_fitted(self, members: list[MNAR], schema: Schema, *, named: bool) -> None:
        self.members_, self.schema_, self.n_features_in_ = [m.eval() for m in members], schema, len(schema.columns)
        if named:
            self.feature_names_in_ = np.array([column.name for column in schema.columns], dtype=object)

    def _fitted(self) -> Any:
        if not hasattr(self, "members_"):
            raise ValueError("MNARImputer: not fitted yet, expected a call of fit first")
        return self.members_

    def _read(self, X: ArrayLike | DataFrame) -> tuple[np.ndarray, np.ndarray]:
        self._fitted()
        self.schema_.check(X)
        return split(X, self.schema_, allow_empty=True)

    def _scaled(self, values: np.ndarray, mask: np.ndarray) -> Tensor:
        return torch.from_numpy(self.scaling_.apply(values, mask)).float()

    def _unscaled(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.scaling_.invert(x.double().numpy()))
