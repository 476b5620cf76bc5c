"""All scores of one completed table, as defined once for the project: from draws pooled over the table's missing cells."""

from __future__ import annotations

import numpy as np

from pyro_mnar.results.scores import coverage, crps, energy_score, interval_score, interval_width, rmse

LEVELS = (50, 80, 90, 95)


def score(completed: np.ndarray, draws: np.ndarray | None, truth: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Return the scores of a completed table (N, D) and its draws (M, N, D), in the units of ``truth`` (N, D).

    ``mean_bias`` is the mean over amputated columns of how far the completed column's mean lies from the true one. A method without
    draws gets the CRPS and energy score of a point, and no coverage, width or interval score.
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
    if draws is not None:
        scores |= {f"coverage_{level}": coverage(cells, hidden, level / 100) for level in LEVELS}
        scores |= {"width_90": interval_width(cells, 0.9), "interval_90": interval_score(cells, hidden, 0.9)}
    return scores
