"""Draws for tilts (:mod:`pyro_mnar.imputer.draws.wide_draws`) that obey rules.

Where all of a row's draws obey they stay, with their weights. Otherwise they are replaced by draws that do
(:mod:`pyro_mnar.imputer.rules.ruled_draws`), all of one weight: those reach as far as the fitted model does, and no farther.
"""

from __future__ import annotations

import math

import numpy as np

from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.draw_settings import settings_of
from pyro_mnar.imputer.rules.ruled_draws import as_written, draws_in_row, obeying, open_rows, steps_of
from pyro_mnar.imputer.tables.given import Given


def obedient_candidates(
    imputer: Imputer, given: Given, rows: np.ndarray, cells: np.ndarray, log_weights: np.ndarray, members: int
) -> None:
    """Have draws of some rows obey, in place.

    Args:
        imputer: fitted.
        given: read by its codec.
        rows: (n,) places of the rows.
        cells: (C, n, D) draws in the table's units, those of the first ``members`` one after the other.
        log_weights: (C, n) logarithms of their weights.
        members: how many.
    """
    steps, each = steps_of(given), len(cells) // members
    ruled = sorted({j for rule in given.known.rules for j in rule.part.columns})
    written, missing = as_written(given, cells.copy(), steps), given.missing[rows]
    at = np.zeros_like(missing)
    at[:, ruled] = missing[:, ruled]
    cells[:] = np.where(at, written, cells)
    places = {int(i): k for k, i in enumerate(rows)}
    left = []
    for i in np.intersect1d(open_rows(given), rows):
        _, obeys, moved = draws_in_row(given, int(i), cells[:, places[int(i)]], steps)
        if moved or not obeys.all():
            left.append(int(i))
    if not left:
        return
    done = obeying(imputer, given, np.array(left), each, settings_of(imputer, given))
    own = [places[i] for i in left]
    cells[:, own] = np.where(missing[own], done.draws[: len(cells)], cells[:, own])
    log_weights[:, own] = -math.log(each)
