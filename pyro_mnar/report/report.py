"""The report: what was assumed, what follows from it, how far it can be trusted and how far it can be moved."""

from __future__ import annotations

import hashlib
import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from pyro_mnar.analysis.completions import Completions
from pyro_mnar.data.columns import Column
from pyro_mnar.data.masking import join, split
from pyro_mnar.diagnostics.diagnosis import Diagnosis
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.imputer.imputer import MNARImputer
from pyro_mnar.imputer.reasons import doubts
from pyro_mnar.imputer.sensitivity import completions
from pyro_mnar.imputer.summary import assumptions, imputed_means
from pyro_mnar.infer.weights import pareto_threshold
from pyro_mnar.plots.model import plot_mask_check, plot_missingness, plot_training
from pyro_mnar.plots.sensitivity import plot_assumptions, plot_pattern, plot_reliability
from pyro_mnar.report.html import Section, write_page
from pyro_mnar.report.sensitivity import parsed, regression, sensitivity

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame

#: Draws that the command line's reports are made from.
DRAWS = 160

#: Cells of all draws together that are kept in memory.
MOST_CELLS = 20_000_000
_COLUMNS = 12  # panels of a figure


def sections(
    imputer: MNARImputer,
    X: ArrayLike | DataFrame,
    result: Imputation,
    ignorable: Imputation | None = None,
    *,
    analysis: Callable[[Any], Any] | None = None,
    analysis_name: str = "estimate",
    origin: Mapping[str, Any] | None = None,
    further: Sequence[Section] = (),
    progress: bool = True,
) -> list[Section]:
    """Return the parts of the report on a fitted ``imputer`` and the table ``X`` that it imputed.

    Args:
        imputer: fitted.
        X: (N, D) with its holes, as given to ``impute``.
        result: ``imputer.impute(X, draws=M)``, M of 2 or more.
        ignorable: the same of an imputer with mechanism ``none``, to compare with.
        analysis: an estimate of one parameter, as :func:`~pyro_mnar.analysis.analyses.analyze` takes it; where it tips is looked for.
        analysis_name: what it estimates, for labels.
        origin: what else to state under "To reproduce this", such as the command.
        further: other sections, which come before those on sensitivity.
        progress: bars on standard error, on a terminal only.

    Raises:
        ValueError: for too few draws, or an analysis that fails.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(40, 2))
        >>> x[x[:, 0] > 0.5, 0] = np.nan
        >>> fitted = MNARImputer(steps=2, members=2, progress=False).fit(x)
        >>> [part.title for part in sections(fitted, x, fitted.impute(x, draws=20))][:2]
        ['What was assumed', 'The table']
    """
    least = min(len(part.draws) for part in (result, ignorable) if part is not None)
    if least < 2:
        raise ValueError(f"result, ignorable: got {least} draws, expected at least 2")
    values, mask = split(X, imputer.schema_, allow_empty=True)
    names = [column.name for column in imputer.schema_.columns]
    found = [_assumed(imputer), _table(imputer, values, mask), _training(imputer), _missingness(imputer, values, mask)]
    if not mask.all():
        done = {"as assumed": completions(imputer, X, len(result.draws))}
        if ignorable is not None:
            # Not moved, so they need no candidates.
            tables = [join(X, draw.numpy(), mask, imputer.schema_) for draw in ignorable.draws]
            done["ignorable"] = Completions(X, tables, imputer.members_of(len(tables)))
        found += [
            _distributions(values, mask, imputer.schema_.columns, result, ignorable),
            _reliability(result, mask, X),
            *further,
            *sensitivity(imputer, done, values, mask, analysis, analysis_name, progress),
        ]
    found.append(_origin(imputer, values, mask, names, result, origin or {}))
    return [section for section in found if section.parts]


def ignorable_of(imputer: MNARImputer, part: DataFrame) -> MNARImputer | None:
    """Return the same model without a mechanism, fitted; None where there was none."""
    if imputer.declaration_["mechanism"] == "none":
        return None
    return clone(imputer).set_params(mechanism="none", direction=None, order=None).fit(part)


def write_report(
    path: str,
    table_path: str,
    imputer: MNARImputer,
    part: DataFrame,
    ignorable: MNARImputer | None,
    regress: str | None,
    arguments: Sequence[str],
) -> None:
    """Write the command line's report.

    Args:
        path: ends in .html.
        table_path: the file from which ``part``, its modeled columns, was read.
        imputer: fitted.
        part: (N, D).
        ignorable: fitted with mechanism ``none``, or None.
        regress: OUTCOME=PREDICTOR,... as on the command line, or None.
        arguments: of the command line.

    Raises:
        ValueError: for a regression that ``part`` has not the columns for, or a file that cannot be written.
    """
    analysis, label = None, ""
    if regress is not None:
        outcome, predictors = parsed(regress, imputer.schema_)
        analysis, label = regression(outcome, predictors), f"the coefficient of {predictors[0]} on {outcome}"
    origin = {
        "command": shlex.join(["pyro-mnar", *arguments]),
        f"SHA-256 of {table_path}": hashlib.sha256(Path(table_path).read_bytes()).hexdigest(),
    }
    # Fewer where they would fill the memory.
    draws = max(min(DRAWS, MOST_CELLS // part.size), min(DRAWS, 40))
    result = imputer.impute(part, draws=draws)
    plain = None if ignorable is None else ignorable.impute(part, draws=draws)
    further = [_checks(imputer.diagnose(part))]
    found = sections(imputer, part, result, plain, analysis=analysis, analysis_name=label, origin=origin, further=further)
    write_page(path, f"Missing values of {Path(table_path).name}", found)


def _assumed(imputer: MNARImputer) -> Section:
    section = Section("What was assumed").text(*[sentence.strip() for sentence in assumptions(imputer)])
    for doubt in doubts(imputer):
        section.warning(doubt)
    return section


def _table(imputer: MNARImputer, values: np.ndarray, mask: np.ndarray) -> Section:
    rows = []
    for j, column in enumerate(imputer.schema_.columns):
        seen = values[mask[:, j], j]
        numbers = [seen.mean(), seen.std(), seen.min(), seen.max()] if len(seen) and not column.levels else [""] * 4
        rows.append([column.name, column.kind, column.dtype, len(seen), f"{100 * (1 - mask[:, j].mean()):.1f} %", *numbers])
    header = ["column", "kind", "type", "observed", "missing", "mean", "standard deviation", "least", "largest"]
    section = Section("The table").text(
        f"{len(mask)} rows, {mask.shape[1]} columns, {int((~mask).sum())} of {mask.size} cells missing."
    )
    section.rows(header, rows, "Of observed values")
    return section.figure(plot_pattern(mask, [row[0] for row in rows]), "The most frequent patterns of missing values")


def _training(imputer: MNARImputer) -> Section:
    section = Section("Training")
    histories = [history for history in imputer.histories_ if history.evaluations]
    if histories:
        section.figure(plot_training(histories), f"Bound on the log likelihood of each of {len(histories)} models of the ensemble")
        section.text("Curves that still rise at the end ask for more steps (--steps).")
    return section


def _missingness(imputer: MNARImputer, values: np.ndarray, mask: np.ndarray) -> Section:
    section = Section("Why values are missing, as learned")
    curves = imputer.missingness()[:_COLUMNS]
    if curves:
        names = [column.name for column in imputer.schema_.columns]
        observed = [values[mask[:, names.index(name)], names.index(name)] for name, _, _ in curves]
        section.figure(
            plot_missingness(curves, observed, max_columns=_COLUMNS, levels=_levels(imputer)),
            "Probability of being missing against the value; a line for each model of the ensemble. Marks below are observed values: "
            "beyond them a curve is assumption, not data.",
        )
    return section


def _distributions(
    values: np.ndarray, mask: np.ndarray, columns: Sequence[Column], result: Imputation, ignorable: Imputation | None
) -> Section:
    given = {"as assumed": result} | ({} if ignorable is None else {"ignorable": ignorable})
    draws = {which: part.draws.numpy() for which, part in given.items()}
    rows, names = [], [column.name for column in columns]
    for j in np.flatnonzero(~mask.all(0)):
        # Of levels, the share of each.
        levels, holes = columns[int(j)].levels, ~mask[:, j]
        found = {which: imputed_means(columns[int(j)], part, holes, int(j)) for which, part in given.items()}
        for k, name in enumerate([f"{names[j]} = {level}" for level in levels] or [names[j]]):
            seen = values[mask[:, j], j] == k if levels else values[mask[:, j], j]
            means = {which: part[k] for which, part in found.items()}
            row = [name, int(holes.sum()), seen.mean() if len(seen) else "", *means.values()]
            if ignorable is not None:
                spread = seen.std() if len(seen) else 0.0
                row.append((means["as assumed"] - means["ignorable"]) / (spread if spread > 0 else 1.0))
            rows.append(row)
    header = ["column", "imputed cells", "observed mean", *(f"posterior mean, {name}" for name in draws)]
    header += ["difference in standard deviations"] if ignorable is not None else []
    section = Section("Observed and imputed values").rows(header, rows)
    caption = "Observed and imputed values, each as a density; of levels, shares"
    drawn = plot_assumptions(values, mask, draws, names, _COLUMNS, [column.levels for column in columns])
    return section.figure(drawn, caption)


def _levels(imputer: MNARImputer) -> dict[Any, Sequence[Any]]:
    return {column.name: column.levels for column in imputer.schema_.columns if column.levels}


def _reliability(result: Imputation, mask: np.ndarray, X: Any) -> Section:
    holes, poor = ~mask.all(1), result.unreliable.numpy()
    section = Section("How reliable each row's imputation is")
    section.figure(
        plot_reliability(
            result.ess.numpy()[holes] / result.particles, result.pareto_k.numpy()[holes], pareto_threshold(result.particles)
        ),
        "Rows with holes: effective share of importance-weighted particles, and the shape k of the weights' tail (means over models)",
    )
    if not poor.any():
        return section.text("Every row is reliable: its Pareto k is below the threshold, or its Markov chains agree.")
    worst = sorted(np.flatnonzero(poor), key=lambda i: -float(result.pareto_k[i]))[:20]
    labels = list(X.index) if hasattr(X, "index") else list(range(len(mask)))
    section.warning(
        f"Trust the imputations of {int(poor.sum())} of {len(mask)} rows less: their importance weights fail, or their chains disagree."
    )
    rhat = ["" if np.isnan(r) else float(r) for r in result.rhat.tolist()]
    rows = [[labels[i], float(result.pareto_k[i]), float(result.ess[i]), rhat[i], int((~mask[i]).sum())] for i in worst]
    return section.rows(["row", "Pareto k", "effective particles", "R-hat of chains", "missing cells"], rows, "The least reliable rows")


def _checks(found: Diagnosis) -> Section:
    section = Section("What the diagnosis found")
    for problem in found.problems.values():
        section.warning(problem)
    if not found.problems:
        section.text("No problem.")
    section.text(*found.caveats.values())
    if found.mask_check is not None:
        section.figure(plot_mask_check(found.mask_check), "Mask predictive check: observed rates of missing values against the model's")
    return section


def _origin(
    imputer: MNARImputer, values: np.ndarray, mask: np.ndarray, names: list, result: Imputation, origin: Mapping[str, Any]
) -> Section:
    content = hashlib.sha256(repr(names).encode() + values.tobytes() + mask.tobytes()).hexdigest()
    packages = ("pyro-mnar", "pyro-ppl", "torch", "numpy", "pandas", "scipy")
    settings = imputer.get_params(deep=False)
    rows = [
        *origin.items(),
        ("SHA-256 of the modeled values", content),
        ("seed", imputer._seed()),
        ("settings", ", ".join(f"{name}={value!r}" for name, value in settings.items())),
        ("draws, particles", f"{len(result.draws)}, {result.particles}"),
        ("versions", ", ".join(f"{name} {version(name)}" for name in packages)),
        ("system", f"Python {platform.python_version()}, {platform.platform()}"),
    ]
    return Section("To reproduce this").rows(["what", "value"], [list(row) for row in rows])
