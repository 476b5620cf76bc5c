"""Predict from rows with holes: an outcome inside the model, against impute-then-regress and a regressor that takes NaN.

python examples/supervised.py
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from shared import BLUE, GREY, ORANGE, arguments, fit_and_impute, usual_methods, written

from pyro_mnar import MNAR, PROBIT, ConjugateEncoder, GaussianDecoder, GaussianOutcome, SelfMasking, amputate, predict


def simulate(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return x (N, 6), its mask, and y, smooth in x with an interaction of two columns that hide their large values."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(2, 6, generator=generator)
    x = torch.randn(rows, 2, generator=generator) @ weight + 0.7 * torch.randn(rows, 6, generator=generator)
    x = (x - x.mean(0)) / x.std(0)
    y = x[:, 0] + 0.7 * x[:, 0] * x[:, 1] + 0.5 * x[:, 3] + 0.3 * torch.randn(rows, generator=generator)
    mask = torch.from_numpy(amputate(x.numpy(), "self", rate=0.4, slope=4.0, columns=[0, 1, 2], seed=seed))
    return x, mask, (y - y.mean()) / y.std()


def model(outcome: GaussianOutcome | None) -> MNAR:
    decoder = GaussianDecoder(3, 6, hidden=())
    return MNAR(decoder, ConjugateEncoder(decoder), SelfMasking(6, [0, 1, 2], "high", PROBIT), outcome=outcome)


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Run the comparison over ``args.seeds`` tables; return mean test RMSE and its standard deviation over tables."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.neural_network import MLPRegressor

    runs: list[dict[str, float]] = []
    for seed in range(args.seeds):
        own = argparse.Namespace(**vars(args) | {"seed": seed})
        x, mask, y = simulate(args.rows, seed)
        n = args.rows // 2
        torch.manual_seed(seed)
        errors, predicted = {}, {}

        def regress(filled: np.ndarray, y: torch.Tensor = y, n: int = n, seed: int = seed) -> np.ndarray:
            net = MLPRegressor(hidden_layer_sizes=(64,), max_iter=args.epochs, early_stopping=True, random_state=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it did not converge in so many epochs
                return net.fit(filled[:n], y[:n]).predict(filled[n:])

        holed = torch.where(mask, x, torch.nan).numpy()
        boosting = HistGradientBoostingRegressor(random_state=seed)
        predicted["gradient boosting, takes NaN"] = boosting.fit(holed[:n], y[:n]).predict(holed[n:])
        for name, filled in usual_methods(x, mask, seed, trees=0).items():
            predicted[f"{name}, then network"] = regress(filled)
        apart = model(None)
        predicted["not-MIWAE, then network"] = regress(fit_and_impute(apart, x, mask, own, draws=0).completed.numpy())
        joint = model(GaussianOutcome(6, [64]))
        table, seen = torch.cat([x, y.unsqueeze(-1)], -1), torch.cat([mask, torch.ones(args.rows, 1, dtype=torch.bool)], -1)
        fit_and_impute(joint, table[:n], seen[:n], own, draws=0, estimator="iwae")
        predicted["not-MIWAE with outcome"] = predict(joint, x[n:], mask[n:], particles=args.particles_imputing).numpy()
        predicted["network that sees the hidden values"] = regress(x.numpy())
        errors = {name: float(np.sqrt(np.mean((p - y[n:].numpy()) ** 2))) for name, p in predicted.items()}
        runs.append(errors)
    frame = pd.DataFrame(runs)
    result = pd.DataFrame({"test RMSE of y": frame.mean(), "sd over tables": frame.std()})

    figure = Figure(figsize=(6.5, 3.0), layout="constrained")
    axis = figure.subplots()
    colours = [ORANGE if "outcome" in name else BLUE if "sees" in name else GREY for name in frame.columns]
    axis.barh(list(frame.columns), frame.mean(), xerr=None if len(frame) < 2 else frame.std(), color=colours)
    axis.invert_yaxis()
    axis.set_xlabel("test RMSE of y (standard deviations)")
    return written(figure, result, args.output, "supervised")


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return arguments(__doc__, "supervised", argv, rows=2000, seeds=3, steps=2000, particles=10, particles_imputing=300, epochs=300)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
