"""Draws of a fitted model in ArviZ
================================

Draws of a fitted model in ArviZ: chains, ranks, imputed cells, the check of the mask, and in words what is wrong.

Values of the diabetes table that ships with scikit-learn (442 x 10) are hidden by their size, a model is fitted, and the missing cells
of some rows are sampled. Writes figures, the draws as netCDF and the diagnosis.

::

    python examples/arviz_tour.py --output arviz-tour
"""

# sphinx_gallery_thumbnail_path = "figures/arviz_tour.png"

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import arviz
import matplotlib
import numpy as np
import torch

from pyro_mnar import MNARImputer, amputate, diagnose, sample_importance, sample_posterior, to_arviz
from pyro_mnar.data import load
from pyro_mnar.imputation.importance import weight_table
from pyro_mnar.plots.model import plot_mask_check


def save(plot: Any, path: Path) -> None:
    """Write what a plot of ArviZ returned: axes of Matplotlib before ArviZ 1.0, a collection since."""
    if hasattr(plot, "savefig"):
        plot.savefig(path)
    else:
        np.ravel(plot)[0].figure.savefig(path, dpi=150, bbox_inches="tight")


def main(args: argparse.Namespace) -> Any:
    """Fit, sample, convert, plot; return what ArviZ reads."""
    matplotlib.use("Agg")
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    frame = load("diabetes").drop(columns="sex") * 100
    seen = amputate(frame, "self", rate=0.3, slope=3.0, columns=[1, 2], seed=args.seed)
    holed, truth = frame.where(seen), frame.to_numpy()

    imputer = MNARImputer(direction="high", members=1, steps=args.steps, random_state=args.seed).fit(holed)
    model, scaling, columns = imputer.members_[0], imputer.codec_, list(frame.columns)
    x, mask = torch.from_numpy(scaling.apply(np.nan_to_num(holed.to_numpy()), seen)).float(), torch.from_numpy(seen)

    # All rows by importance sampling, for the mask; a few with holes by MCMC, to look at.
    importance = sample_importance(model, x, mask, draws=args.draws // 4, chains=2, seed=args.seed)
    chosen = np.flatnonzero(~seen.all(1))[: args.rows]
    rows = [f"patient {i}" for i in chosen]
    chains = sample_posterior(model, x[chosen], mask[chosen], draws=args.draws, warmup=args.draws, seed=args.seed)
    data = to_arviz(chains, model, x[chosen], mask[chosen], rows=rows, columns=columns, codec=scaling)

    cells = data.posterior.cell.values
    table = arviz.summary(data, var_names=["x_mis"])
    table["true"] = truth[chosen][~seen[chosen]].round(2)
    print(table.to_string())
    print(weight_table(importance, list(frame.index)).head(3).round(2).to_string())

    first = {"cell": cells[:3]}
    save(arviz.plot_trace(data, var_names=["x_mis"], coords={"cell": cells[:1]}), output / "trace.png")
    save(arviz.plot_rank(data, var_names=["x_mis"], coords=first), output / "rank.png")
    save(arviz.plot_forest(data, var_names=["x_mis"], combined=True), output / "forest.png")
    found = diagnose(importance, model, x, mask, columns=columns, codec=scaling)
    assert found.mask_check is not None
    plot_mask_check(found.mask_check).savefig(output / "mask-check.png", dpi=150)
    few = diagnose(chains, model, x[chosen], mask[chosen], rows=rows, columns=columns, codec=scaling)
    page = f"{len(chosen)} rows, MCMC: {'; '.join(few.problems.values()) or 'no problem found.'}\nAll rows: {found}"
    print(page)
    (output / "diagnosis.txt").write_text(page + "\n")
    data.to_netcdf(str(output / "draws.nc"), engine="h5netcdf")
    print(f"written to {output}: trace.png, rank.png, forest.png, mask-check.png, diagnosis.txt, draws.nc")
    return data


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="arviz-tour", help="folder for what is written")
    parser.add_argument("--steps", type=int, default=1000, help="training updates")
    parser.add_argument("--draws", type=int, default=500, help="draws of each of four chains")
    parser.add_argument("--rows", type=int, default=8, help="rows with holes that are sampled by MCMC")
    parser.add_argument("--seed", type=int, default=0)
    torch.set_num_threads(1)
    main(parser.parse_args())
