"""What ``MNARImputer`` is given, as a frame or an array: checked as scikit-learn checks its own, with the declared holes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from pyro_mnar.data.layout import as_pandas
from pyro_mnar.data.limits import limits_of
from pyro_mnar.data.rules.not_applicable import apart_from, codes_and_conditions
from pyro_mnar.data.schema import as_array, is_frame
from pyro_mnar.data.stated_holes import stated_holes, with_holes
from pyro_mnar.data.written_limits import Ends, split_written
from pyro_mnar.imputer.contract import Imputer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame


def check_kinds(kinds: object) -> None:
    """Raise a TypeError unless ``kinds`` is a mapping from columns to words, or None.

    Example:
        >>> check_kinds({"share": "bounded:0:1"})
    """
    if kinds is not None and not isinstance(kinds, Mapping):
        raise TypeError(f"kinds: got {kinds!r:.60}, expected a mapping from columns to words, such as {{'share': 'bounded:0:1'}}")


def checked_table(
    imputer: Imputer, X: ArrayLike | DataFrame, *, fitting: bool = False
) -> tuple[DataFrame | np.ndarray, dict[Hashable, Ends]]:
    """Return ``X`` as a pandas DataFrame or an array, with the columns of training unless ``fitting``, and what its cells say of limits
    by column, where that is declared: such columns are then numbers."""
    check_kinds(imputer.kinds)
    table = as_pandas(X)
    if not is_frame(table):
        array = table if issparse(table) or type(table) is np.ndarray else as_array(table)
        if np.iscomplexobj(array):
            raise ValueError("X: got complex numbers, expected real ones (Complex data not supported)")
        table = check_array(array, dtype=None, ensure_all_finite=False, estimator=imputer)
    if is_frame(table) and not table.columns.is_unique:  # before scikit-learn says it without the name
        twice = table.columns[table.columns.duplicated()][0]
        raise ValueError(f"table: column {twice!r} stands more than once, expected distinct names")
    validate_data(imputer, table, reset=fitting, skip_check_array=True)
    if not fitting and is_frame(table) and set(table.columns) != set(imputer.codec_.layout.names):
        # Training had no names, or the line above had refused these.
        table = table.set_axis(list(imputer.codec_.layout.names), axis=1)
    names = list(table.columns) if is_frame(table) else list(range(table.shape[1]))
    if imputer.missing is not None:
        codes, _ = codes_and_conditions(imputer.not_applicable, names)
        table = with_holes(table, apart_from(stated_holes(imputer.missing, names, imputer.kinds), codes))
    written: dict[Hashable, Ends] = {}
    for name in (limit.column for limit in (limits_of(imputer.limits, names) if fitting else imputer.codec_.limits) if limit.cells):
        if not is_frame(table):
            raise ValueError(
                f"limits: got 'cells' for column {name!r} of an array, expected it for a data frame, whose cells can be texts"
            )
        numbers, written[name] = split_written(table[name])
        table = table.copy()
        table[name] = numbers
    return table, written
