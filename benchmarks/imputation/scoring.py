"""All scores of one completed table, as defined once for the project: from draws pooled over the table's missing cells."""

from __future__ import annotations

import numpy as np
from scipy.stats import wasserstein_distance

from pyro_mnar.analysis.scores import coverage, crps, energy_score, interval_score, interval_width, rmse

LEVELS = (50, 80, 90, 95)


def score(completed: np.ndarray, draws: np.ndarray | None, truth: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Return the scores of a completed table (N, D) and its draws (M, N, D), in the units of ``truth`` (N, D).

    ``mean_bias`` is the mean over amputated columns of how far the completed column's mean lies from the true one. ``r2``,
    ``column_rmse`` and ``wasserstein`` are means over columns of what CACTI (arXiv 2506.02306) scores of a column's missing cells:
    squared correlation of completed with true values (0 where either does not vary), RMSE, and the distance of their laws (Wasserstein,
    of order 1). A method without draws gets the CRPS and energy score of a point, and no coverage, width or interval score.
    """
    for name, values in (("completed", completed), ("draws", draws)):
        if values is not None and (values.shape[-2:] != truth.shape or not np.isfinite(values).all()):
            raise ValueError(f"{name}: got shape {values.shape}, expected finite numbers of shape {truth.shape}")
    if not np.allclose(completed[mask], truth[mask], atol=1e-4):
        raise ValueError("completed: got other values in observed cells, expected those of the table")
    hidden, holes = truth[~mask], ~mask.all(0)
    sample = completed[None] if draws is None else draws
    cells = sample[:, ~mask]
    scores = {
        "missing": float((~mask).mean()),
        "rmse": rmse(completed[~mask], hidden),
        "crps": crps(cells, hidden),
        "energy": energy_score(sample, truth, mask),
        "mean_bias": float(np.abs((completed - truth).mean(0)[holes]).mean()),
    }
    scores |= _by_column(completed, truth, mask)
    if draws is not None:
        scores |= {f"coverage_{level}": coverage(cells, hidden, level / 100) for level in LEVELS}
        scores |= {"width_90": interval_width(cells, 0.9), "interval_90": interval_score(cells, hidden, 0.9)}
    return scores


def _by_column(completed: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    found = []
    for j in np.flatnonzero(~mask.all(0)):
        got, true = completed[~mask[:, j], j], truth[~mask[:, j], j]
        varies = min(got.std(), true.std()) > 1e-8
        r2 = np.corrcoef(got, true)[0, 1] ** 2 if varies else 0.0
        found.append((r2, rmse(got, true), wasserstein_distance(got, true)))
    return dict(zip(("r2", "column_rmse", "wasserstein"), np.mean(found, 0).tolist(), strict=True))
