"""Run one imputer of another package: ``python peer_script.py QUESTION.npz ANSWER.npz`` in an environment that peers.py makes."""

from __future__ import annotations

import sys

import numpy as np


def notmiwae_pytorch(values, train, seed, draws, direction, epochs):
    """The README's quick start with the paper's latent dimension, and signs where known; no holdout, so no early stopping."""
    # hyperimpute brings TensorFlow, which TensorBoard would load beside torch: the two LLVMs end the process.
    sys.modules["tensorflow"] = None
    import torch
    from notmiwae_pytorch import NotMIWAE, Trainer
    from notmiwae_pytorch.utils import impute, set_seed
    from torch.utils.data import DataLoader, TensorDataset

    set_seed(seed)
    d = values.shape[1]
    rows, fitted = (
        TensorDataset(torch.from_numpy(np.nan_to_num(part)).float(), torch.from_numpy(~np.isnan(part)).float())
        for part in (values, train)
    )
    sign = torch.full((d,), -1.0 if direction == "low" else 1.0)
    process = {"missing_process": "selfmasking_known_signs", "signs": sign} if direction else {"missing_process": "selfmasking"}
    model = NotMIWAE(
        input_dim=d,
        latent_dim=d - 1,
        hidden_dim=128,
        n_samples=20,
        out_dist="gauss",
        **process,
    )
    Trainer(model, lr=1e-3).train(DataLoader(fitted, batch_size=64, shuffle=True), n_epochs=epochs)
    completed = impute(model, rows, n_samples=1000)
    with torch.no_grad():
        drawn = torch.cat([_draws(model, x, seen, draws) for x, seen in DataLoader(rows, batch_size=64)], 1)
    return np.asarray(completed, float), drawn.double().numpy()


def _draws(model, x, seen, draws, samples=1000):
    """Resample rows by their importance weights; the package itself gives point imputations only."""
    import torch

    location, log_variance = model.encoder(x)
    z = model.reparameterize(location, log_variance, samples)
    parts = model._compute_importance_weights(x, seen, z, location, log_variance, samples, return_reconstructions=True)
    chosen = torch.multinomial(parts["log_w"].softmax(1), draws, replacement=True)
    sampled = parts["x_sample"].gather(1, chosen.unsqueeze(-1).expand(-1, -1, x.shape[1]))
    return torch.where(seen.unsqueeze(1) > 0, x.unsqueeze(1), sampled).transpose(0, 1)


def hyperimpute(name, values, train, seed):
    """A plugin of hyperimpute with its defaults; it gives one completed table and no draws."""
    import pandas as pd
    from hyperimpute.plugins.imputers import Imputers

    imputer = Imputers().get(name, random_state=seed)
    return np.asarray(imputer.fit(pd.DataFrame(train)).transform(pd.DataFrame(values)), float), None


def unmasking_trees(values, train, seed, draws, copies):
    """The README's imputation; the completed table is the mean of its draws."""
    from utrees import UnmaskingTrees

    model = UnmaskingTrees(duplicate_K=copies, random_state=seed, xgboost_kwargs={"n_jobs": 1}).fit(train)
    drawn = np.asarray(model.impute(n_impute=draws, X=values.copy()), float)
    return drawn.mean(0), drawn


def main(question, answer):
    """Read the table, impute, write."""
    with np.load(question) as asked:
        name, values, train, seed = str(asked["name"]), asked["values"], asked["train"], int(asked["seed"])
        draws, epochs = int(asked["draws"]), int(asked["epochs"])
        if name == "notmiwae-pytorch":
            completed, drawn = notmiwae_pytorch(values, train, seed, draws, str(asked["direction"]), epochs)
        elif name == "unmasking-trees":
            completed, drawn = unmasking_trees(values, train, seed, draws, epochs)
        else:
            completed, drawn = hyperimpute("miwae" if name == "hyperimpute-miwae" else name, values, train, seed)
    arrays = {"completed": completed} if drawn is None else {"completed": completed, "draws": drawn}
    np.savez(answer, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
