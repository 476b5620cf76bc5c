"""An outcome inside the model
===========================

Predict from rows with holes: an outcome inside the model, against impute-then-regress and a regressor that takes NaN.

::

    python examples/supervised.py
"""

# sphinx_gallery_thumbnail_path = "figures/supervised.png"

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from shared import BLUE, GREY, ORANGE, arguments, fit_and_impute, over_runs, runs_of, train_only, usual_methods, written
from torch import Tensor, nn

from pyro_mnar import MNAR, PROBIT, ConjugateEncoder, GaussianDecoder, SelfMasking, amputate, predict
from pyro_mnar.networks import CategoricalOutcome, GaussianOutcome

RMSE, WRONG = "test RMSE of y", "wrong of y > 0"


def simulate(rows: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return x (N, 6), its mask, and y, smooth in x with an interaction of two columns that hide their large values."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(2, 6, generator=generator)
    x = torch.randn(rows, 2, generator=generator) @ weight + 0.7 * torch.randn(rows, 6, generator=generator)
    x = (x - x.mean(0)) / x.std(0)
    y = x[:, 0] + 0.7 * x[:, 0] * x[:, 1] + 0.5 * x[:, 3] + 0.3 * torch.randn(rows, generator=generator)
    mask = torch.from_numpy(amputate(x.numpy(), "self", rate=0.4, slope=4.0, columns=[0, 1, 2], seed=seed))
    return x, mask, (y - y.mean()) / y.std()


def model(mechanism: bool, outcome: nn.Module | None = None) -> MNAR:
    decoder = GaussianDecoder(3, 6, hidden=())
    return MNAR(decoder, ConjugateEncoder(decoder), SelfMasking(6, [0, 1, 2], "high", PROBIT) if mechanism else None, outcome=outcome)


def run(args: argparse.Namespace) -> pd.DataFrame:
    """Return each method's test error of y and of the class y > 0 on one table, of which half the rows train."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    x, mask, y = simulate(args.rows, args.seed)
    n, known = args.rows // 2, torch.ones(args.rows, 1, dtype=torch.bool)
    label = (y > 0).float()
    torch.manual_seed(args.seed)

    def errors(predicted: Tensor | np.ndarray, chance: Tensor | np.ndarray) -> dict[str, float]:
        wrong = (np.asarray(chance) > 0.5) != label[n:].numpy().astype(bool)
        return {RMSE: float(np.sqrt(np.mean((np.asarray(predicted) - y[n:].numpy()) ** 2))), WRONG: float(wrong.mean())}

    def network(filled: np.ndarray) -> dict[str, float]:
        settings = {"hidden_layer_sizes": (64,), "max_iter": args.epochs, "early_stopping": True, "random_state": args.seed}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it did not converge in so many epochs
            regressor = MLPRegressor(**settings).fit(filled[:n], y[:n])
            classifier = MLPClassifier(**settings).fit(filled[:n], label[:n])
        return errors(regressor.predict(filled[n:]), classifier.predict_proba(filled[n:])[:, 1])

    holed = torch.where(mask, x, torch.nan).numpy()
    trees = HistGradientBoostingRegressor(random_state=args.seed), HistGradientBoostingClassifier(random_state=args.seed)
    regressor, classifier = (t.fit(holed[:n], target[:n]) for t, target in zip(trees, (y, label), strict=True))
    table = {"gradient boosting, takes NaN": errors(regressor.predict(holed[n:]), classifier.predict_proba(holed[n:])[:, 1])}
    for name, filled in usual_methods(x, mask, args.seed, args.trees).items():
        table[f"{name}, then network"] = network(filled)
    for name, mechanism in (("MIWAE", False), ("not-MIWAE", True)):
        table[f"{name}, then network"] = network(fit_and_impute(model(mechanism), x, mask, args, draws=0).completed.numpy())
    predicted = []
    for outcome, target in ((GaussianOutcome(6, [64]), y), (CategoricalOutcome(6, 2, [64]), label)):
        joint = model(True, outcome)
        whole, seen = torch.cat([x, target.unsqueeze(-1)], -1), torch.cat([mask, known], -1)
        train_only(joint, whole[:n], seen[:n], args, estimator="iwae")
        predicted.append(predict(joint, x[n:], mask[n:], particles=args.particles_imputing))
    table["not-MIWAE with outcome"] = errors(predicted[0], predicted[1][:, 1])
    table["network that sees the hidden values"] = network(x.numpy())
    return pd.DataFrame(table).T


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Run the comparison on a table for each seed."""
    table = over_runs([run(own) for own in runs_of(args)])
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axis, column in zip(figure.subplots(1, 2, sharey=True), (RMSE, WRONG), strict=True):
        colors = [ORANGE if "outcome" in name else BLUE if "sees" in name else GREY for name in table.index]
        axis.barh(list(table.index), table[column], xerr=table.get(f"{column} sd"), color=colors)
        axis.set_xlabel(column)
    axis.invert_yaxis()
    return written(figure, table, args, "supervised")


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return arguments(
        __doc__, "supervised", argv, rows=2000, seeds=5, steps=1000, particles=10, particles_imputing=300, epochs=300, trees=20
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
