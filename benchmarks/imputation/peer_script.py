"""Run one imputer of another package: ``python peer_script.py QUESTION.npz ANSWER.npz`` in the environment that peers.py makes."""

from __future__ import annotations

import sys

import numpy as np


def notmiwae_pytorch(values, seed, draws, direction, epochs):
    """The README's quick start, self-masking with known signs; the latent dimension is the paper's."""
    raise NotImplementedError


def hyperimpute(name, values, seed):
    """A plugin of hyperimpute with its defaults; it gives one completed table and no draws."""
    import pandas as pd
    from hyperimpute.plugins.imputers import Imputers

    imputer = Imputers().get(name, random_state=seed)
    return np.asarray(imputer.fit_transform(pd.DataFrame(values)), float), None


def main(question, answer):
    """Read the table, impute, write."""
    with np.load(question) as asked:
        name, values, seed = str(asked["name"]), asked["values"], int(asked["seed"])
        if name == "notmiwae-pytorch":
            completed, drawn = notmiwae_pytorch(values, seed, int(asked["draws"]), str(asked["direction"]), int(asked["epochs"]))
        else:
            completed, drawn = hyperimpute("miwae" if name == "hyperimpute-miwae" else name, values, seed)
    arrays = {"completed": completed} if drawn is None else {"completed": completed, "draws": drawn}
    np.savez(answer, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
