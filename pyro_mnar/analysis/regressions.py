"""Regressions of completed tables: least squares and logit models of terms, with or without a design.

Without a design the variance is the model's: of least squares the residuals' times (X' X)^-1, of a logit model the inverse information.
With one it is that of :mod:`pyro_mnar.analysis.design`, whose weights are in the sums too, and the degrees of freedom are those of the
design less the further coefficients, as in R's survey.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.analysis.design import Design
from pyro_mnar.analysis.terms import FORMS, Term, term_in, terms_in
from pyro_mnar.data.kinds.column import Column

if TYPE_CHECKING:
    from pandas import DataFrame

_ROUNDS, _SMALL = 50, 1e-10
# Standard deviation of a combination of terms of variance 1, below which it is none that data tell of.
_ALIKE = 1e-9


@dataclass(frozen=True)
class Regression:
    """The coefficient of the first of ``terms`` in the regression of ``outcome`` on all of them and a constant.

    Args:
        outcome: on the left, of a logit model what is 1 or 0.
        terms: on the right; the first is one number.
        logit: whether it is a logit model.
        levels: of columns of levels, in their order.
    """

    outcome: Term
    terms: tuple[Term, ...]
    logit: bool = False
    levels: Mapping[str, Sequence[object]] = field(default_factory=dict)

    @property
    def about(self) -> str:
        """What is estimated."""
        return f"coefficient of {self.terms[0]} on {f'logit({self.outcome})' if self.logit else self.outcome}"

    @property
    def logs(self) -> frozenset[Hashable]:
        """Columns whose logarithms are read."""
        return frozenset(term.name for term in (self.outcome, *self.terms) if term.how == "log")

    def __call__(self, frame: DataFrame, design: Design | None = None) -> tuple[float, float, float]:
        """Return the coefficient in a complete table, its variance and the degrees of freedom.

        Raises:
            ValueError: for an unknown column, too few rows, a first term of several numbers, coefficients that no data tell apart, or
                levels that the terms tell apart without doubt.
        """
        for term in (self.outcome, *self.terms):
            if term.name not in frame.columns:
                raise ValueError(f"{term}: got unknown column {term.name!r}, expected one of {', '.join(map(str, frame.columns))}")
        parts = [term.numbers(frame, self.levels) for term in self.terms]
        if parts[0].shape[1] != 1:
            raise ValueError(f"{self.terms[0]}: has {parts[0].shape[1]} coefficients, expected one (NAME:LEVEL) as the first term")
        x, y = np.column_stack([*parts, np.ones(len(frame))]), _outcome(self.outcome, frame, self.levels, self.logit)
        # Cells that do not exist: their rows are outside of the domain, with scores of 0.
        whole = ~np.isnan(np.column_stack([x, y])).any(1)
        x, y, rank = x[whole], y[whole], x.shape[1]
        dof = float(len(x) - rank) if design is None else design.dof + 1 - rank
        if dof < 1:
            raise ValueError(f"{len(x) if design is None else int(design.dof) + 1} rows are too few for {rank} coefficients")
        weights = np.ones(len(x)) if design is None else design.weights[whole] / design.weights[whole].mean()
        x, scale = self._standardized(x, weights)
        beta, inverse, residuals, noise = (_logit if self.logit else _least_squares)(x, y, weights)
        if design is not None:
            scores = np.zeros((len(whole), rank))
            scores[whole] = (x * (weights * residuals)[:, None]) @ inverse
            return float(beta[0] / scale), float(design.covariance(scores)[0, 0] / scale**2), dof
        variance = inverse[0, 0] * (1.0 if self.logit else noise / dof)
        return float(beta[0] / scale), float(variance / scale**2), dof

    def _standardized(self, x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
        """Return columns (N, P), the last a constant, with mean 0 and variance 1, and the scale that the first of them had.

        Products of columns as they stand would lose the digits of those that vary little beside their size, such as times in seconds.
        """
        share = weights / weights.sum()
        x = x - np.append(share @ x[:, :-1], 0.0)
        scale = np.append(np.sqrt(share @ x[:, :-1] ** 2), 1.0)
        x = x / np.where(scale > 0, scale, 1.0)
        # A last pass: the mean above is rounded in units of the column's size.
        x = x - np.append(share @ x[:, :-1], 0.0)
        spreads = np.linalg.svd(np.sqrt(share)[:, None] * x, compute_uv=False)
        if len(spreads) < x.shape[1] or spreads[-1] < _ALIKE:
            raise ValueError(f"terms {', '.join(map(str, self.terms))}: one is constant or a sum of others, expected none to be")
        return x, float(scale[0])


def regression(outcome: Hashable, predictors: Sequence[Hashable], levels: Mapping[str, Sequence[object]] | None = None) -> Regression:
    """Return an analysis: the first predictor's coefficient in the regression of ``outcome`` on ``predictors``.

    Args:
        outcome: a column's name, as a term of :mod:`pyro_mnar.analysis.terms`, or ``logit(...)`` around one, for a logit model: of a
            column with two values the second.
        predictors: terms.
        levels: the levels of columns that have them, in their order; ordered ones count by their places, 1 for the lowest.

    Raises:
        ValueError: without predictors.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"y": [1.0, 3, 5, 8], "x": [0.0, 1, 2, 3], "town": ["a", "b", "a", "b"]})
        >>> round(regression("y", ["x"])(frame)[0], 3), round(regression("y", ["town:b", "x"])(frame)[0], 3)
        (2.3, 0.25)
    """
    if isinstance(predictors, str) or not isinstance(predictors, Iterable) or not list(predictors):
        raise ValueError(f"predictors: got {predictors!r:.40}, expected a list of terms, at least one")
    names = [_inner(outcome), *(_inner(term) for term in predictors)]
    left = _term(_bare(outcome) if isinstance(outcome, str) else outcome, names)
    return Regression(left, tuple(_term(term, names) for term in predictors), _is_logit(outcome), levels or {})


def regression_in(word: str, columns: Iterable[Column]) -> Regression:
    """Return the regression OUTCOME=TERM,... of a command line; where the columns are known.

    Raises:
        ValueError: naming the column, where a term is not to be had of it.

    Example:
        >>> from pyro_mnar.data.kinds import Continuous, Count
        >>> regression_in("log(y)=x", [Continuous("y", "float64"), Count("x", "int64")]).about
        'coefficient of x on log(y)'
    """
    known = {str(column.name): column for column in columns}
    places = [i for i in reversed(range(1, len(word))) if word[i] == "="]
    left = next((word[:i] for i in places if term_in(_bare(word[:i]), list(known)) is not None), None)
    if left is None:
        raise ValueError(f"--regress: got {word!r}, expected OUTCOME=TERM,... of {', '.join(known)}, terms as {FORMS}")
    try:
        terms = terms_in(word[len(left) + 1 :], list(known))
    except ValueError as error:
        raise ValueError(f"--regress: got {word!r}: {error}") from None
    outcome, logit = term_in(_bare(left), list(known)), _is_logit(left)
    assert outcome is not None
    twice = [str(term) for i, term in enumerate(terms) if term in [outcome, *terms[:i]]]
    if twice:
        raise ValueError(f"--regress: got {word!r}, in which {twice[0]} stands twice, expected each once")
    for term in [outcome, *terms]:
        _check(term, known[str(term.name)], logit and term is outcome)
    first = known[str(terms[0].name)]
    if terms[0].how == "C" and len(first.levels) != 2:
        raise ValueError(f"--regress: got {terms[0]} as the first term, expected one coefficient ({first.name}:LEVEL)")
    levels = {name: column.levels for name, column in known.items() if column.levels}
    return Regression(outcome, tuple(terms), logit, levels)


def _check(term: Term, column: Column, logit: bool) -> None:
    """Raise a ValueError where ``term`` is not to be had of ``column``, as the outcome of a logit model or otherwise."""
    if column.circular:
        raise ValueError(f"--regress: got {column.kind} column {column.name!r}, expected one whose values do not wrap around")
    if term.level is not None:
        if term.level not in [str(level) for level in column.levels] + [f"{v:g}" for v in column.levels if isinstance(v, float)]:
            expected = ", ".join(map(str, column.levels)) or "none: it holds numbers"
            raise ValueError(f"--regress: got level {term.level!r} of column {column.name!r}, expected one of its levels ({expected})")
    elif logit:
        if len(column.levels) != 2:
            raise ValueError(f"--regress: got logit of {column.kind} column {column.name!r}, expected two levels, or logit(NAME:LEVEL)")
    elif term.how != "C" and not column.is_number and not (column.levels and column.ordered and not term.how):
        raise ValueError(
            f"--regress: got {column.kind} column {column.name!r}, expected columns of numbers or ordered levels (or C({column.name}), "
            f"or {column.name}:LEVEL)"
        )


def _is_logit(word: Hashable) -> bool:
    return isinstance(word, str) and word.startswith("logit(") and word.endswith(")")


def _bare(word: str) -> str:
    return word[6:-1] if _is_logit(word) else word


def _inner(word: Hashable) -> Hashable:
    """Return the column of a term whose table is not known yet."""
    if not isinstance(word, str):
        return word
    bare = _bare(word)
    for how in ("log(", "C("):
        if bare.startswith(how) and bare.endswith(")"):
            return bare[len(how) : -1]
    return bare.rpartition(":")[0] or bare


def _term(word: Hashable, names: Sequence[Hashable]) -> Term:
    return (term_in(word, names) if isinstance(word, str) else None) or Term(word)


def _outcome(outcome: Term, frame: DataFrame, levels: Mapping[str, Sequence[object]], logit: bool) -> np.ndarray:
    if not logit or outcome.level is not None:
        return outcome.numbers(frame, levels)[:, 0]
    values = Term(outcome.name, "C").numbers(frame, levels)
    if values.shape[1] != 1:
        raise ValueError(f"logit({outcome}): got {values.shape[1] + 1} different values, expected 2 (or NAME:LEVEL)")
    return values[:, 0]


def _least_squares(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return coefficients, (X' W X)^-1, residuals and their weighted sum of squares."""
    inverse = np.linalg.inv(x.T @ (weights[:, None] * x))
    beta = inverse @ (x.T @ (weights * y))
    residuals = y - x @ beta
    return beta, inverse, residuals, float(np.sum(weights * residuals**2))


def _logit(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return coefficients, the inverse information, y less its probability, and 1, by Newton's method."""
    from scipy.special import expit

    beta = np.zeros(x.shape[1])
    for _ in range(_ROUNDS):
        chance = expit(x @ beta)
        try:
            inverse = np.linalg.inv(x.T @ ((weights * chance * (1 - chance))[:, None] * x))
        except np.linalg.LinAlgError:
            break
        step = inverse @ (x.T @ (weights * (y - chance)))
        beta = beta + step
        if np.abs(step).max() < _SMALL * max(1.0, float(np.abs(beta).max())):
            return beta, inverse, y - expit(x @ beta), 1.0
    raise ValueError("the terms tell the outcome's two values apart without doubt, and a logit model has no estimate")
