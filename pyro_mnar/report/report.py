"""The report: what was assumed, what follows from it, how far it can be trusted and how far it can be moved."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.base import clone

from pyro_mnar.analysis.design import Design
from pyro_mnar.analysis.regressions import regression_in
from pyro_mnar.imputer.diagnosis import diagnosis
from pyro_mnar.imputer.imputer import MNARImputer
from pyro_mnar.imputer.imputing import Imputed, imputed
from pyro_mnar.imputer.learning import fit_given
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.report.html import write_page
from pyro_mnar.report.sections import checks, sections

#: Draws that the command line's reports are made from.
DRAWS = 160

#: Cells of all draws together that are kept in memory.
MOST_CELLS = 20_000_000


def ignorable_of(imputer: MNARImputer, table: Given, checkpoint: str | None = None) -> MNARImputer | None:
    """Return the same model without a mechanism, fitted to a table whose columns are taken for the same; None where there was none.

    Example:
        >>> import numpy as np
        >>> from pyro_mnar.imputer.tables.given import given
        >>> x = np.random.default_rng(0).normal(size=(40, 2))
        >>> x[x[:, 0] > 0.5, 0] = np.nan
        >>> fitted = MNARImputer(steps=2, members=2, progress=False).fit(x)
        >>> plain = ignorable_of(fitted, given(fitted, x))
        >>> plain.mechanism, plain.members, plain.impute(x).completed.shape
        ('none', 2, torch.Size([40, 2]))
    """
    if imputer.specification_.mechanism == "none":
        return None
    plain = clone(imputer).set_params(
        mechanism="none",
        direction=None,
        order=None,
        margins=None,
        shadow=(),
        instrument=(),
        random_state=imputer.seed,
        keep_partial=False,
    )
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(imputer, name):
            setattr(plain, name, getattr(imputer, name))
    # The moments of this table, which need not be that of training, and not those that the mechanism supposes.
    kept = None if checkpoint is None else Path(checkpoint, "ignorable")
    fit_given(plain, replace(table, codec=table.codec.scaled_by(table.values, table.mask, table.weights)), checkpoint=kept)
    return plain


def draws_of(cells: int) -> int:
    """Return how many draws a report on a table of so many cells is made from; fewer where they would fill the memory."""
    return max(min(DRAWS, MOST_CELLS // cells), min(DRAWS, 40))


def write_report(
    path: str,
    table_path: str,
    imputer: MNARImputer,
    table: Given,
    found: Imputed,
    regress: str | None,
    arguments: Sequence[str],
    checkpoint: str | None = None,
    design: Design | None = None,
    replicates: np.ndarray | None = None,
) -> None:
    """Write the command line's report.

    Args:
        path: ends in .html.
        table_path: the file from which the table was read.
        imputer: fitted.
        table: as its codec reads it.
        found: its imputation, with :func:`draws_of` draws.
        regress: OUTCOME=TERM,... as on the command line, or None.
        arguments: of the command line.
        checkpoint: folder in which the fit is kept, and in it that without a mechanism.
        design: of the rows, for estimates.
        replicates: (G, N), how often each row was in each member's table; None where the model was fitted to another table.

    Raises:
        ValueError: for a regression that the table has not the columns for, or a file that cannot be written.
    """
    analysis, label, reads = None, "", None
    if regress is not None:
        own = regression_in(regress, table.codec.columns)
        analysis, label, reads = own, f"the {own.about}", [term.name for term in (own.outcome, *own.terms)]
    origin = {
        "command": shlex.join(["pyro-mnar", *arguments]),
        f"SHA-256 of {table_path}": hashlib.sha256(Path(table_path).read_bytes()).hexdigest(),
    }
    plain = ignorable_of(imputer, table, checkpoint)
    compared = None if plain is None else imputed(plain, replace(table, codec=plain.codec_), len(found.result.draws)).result
    further = [checks(diagnosis(imputer, table, found.raw))]
    # Within the command's one bar.
    parts = sections(
        imputer,
        table,
        found.result,
        compared,
        analysis=analysis,
        analysis_name=label,
        reads=reads,
        origin=origin,
        further=further,
        design=design,
        replicates=replicates,
        progress=False,
    )
    write_page(path, f"Missing values of {Path(table_path).name}", parts)
