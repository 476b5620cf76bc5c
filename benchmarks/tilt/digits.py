"""MNIST's digits 0 to 4 in the wrong shares: what ``examples/latent_tilt.py`` makes of them, seed by seed."""

from __future__ import annotations

import time
import warnings

import numpy as np

from examples import latent_tilt


def run(seed: int, steps: int | None = None, data_home: str | None = None) -> list[dict[str, object]]:
    """Return the share of each digit, and the largest error, among biased images and draws of both models."""
    given = ["--seed", str(seed), *([] if data_home is None else ["--data-home", data_home])]
    if steps is not None:
        given += ["--steps", str(steps), "--steps-tilt", str(steps), "--draws", "200"]
    begun = time.process_time()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = latent_tilt.run(latent_tilt.options(given))
    seconds = time.process_time() - begun
    return [
        {
            "images": name,
            "seed": seed,
            **{f"share of {k}": float(value) for k, value in enumerate(share)},
            "largest error": float(np.abs(share - 1 / len(share)).max()),
            "classifier's accuracy": found["accuracy"],
            "seconds": seconds,
            "said": [str(one.message) for one in said],
        }
        for name, share in found["shares"].items()
    ]
