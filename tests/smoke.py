"""A short run on another Python: the command line on a small table, its saved model on new rows, and ArviZ 1.x on draws."""

import importlib.util
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch

from pyro_mnar import MNAR, ConjugateEncoder, GaussianDecoder, SelfMasking, sample_importance, sample_posterior, to_arviz
from pyro_mnar.cli.main import main
from pyro_mnar.data import read_table
from pyro_mnar.mcmc import nested_rhat


def command_line(folder: str) -> None:
    """Impute, save, impute again with draws, diagnose."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(80, 3)) @ rng.normal(size=(3, 3)), columns=list("abc"))
    frame.loc[frame.a > 1, "a"] = np.nan
    frame.to_csv(Path(folder, "t.csv"), index=False)
    ending = "parquet" if importlib.util.find_spec("pyarrow") else "csv"  # the extra "parquet" need not be there
    table, output, model, draws = (str(Path(folder, name)) for name in ("t.csv", f"c.{ending}", "model", "d.nc"))
    assert main(["impute", table, "--output", output, "--direction", "high", "--steps", "50", "--save", model]) == 0
    assert main(["impute", table, "--output", output, "--model", model, "--draws", "3", "--draws-output", draws]) == 0
    completed = read_table(output)
    assert completed.notna().all().all() and (completed.b == read_table(table).b).all()
    assert main(["diagnose", table, "--model", model, "--figure", str(Path(folder, "check.png"))]) == 0


def draws_in_arviz(folder: str) -> None:
    """Summaries, figures and the round trip to disk, of both kinds of draws."""
    import arviz

    # This is run where ArviZ is 1.x: the suite has 0.23.
    assert int(arviz.__version__.split(".")[0]) >= 1, arviz.__version__
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(6, 3))).float()
    mask = torch.from_numpy(rng.random((6, 3)) > 0.3)
    decoder = GaussianDecoder(2, 3, ())
    mnar = MNAR(decoder, ConjugateEncoder(decoder), SelfMasking(3, direction="high"))
    mnar.initialize(x, mask)
    rows, columns = [f"row {i}" for i in range(6)], ["age", "income", "size"]
    chains = sample_posterior(mnar, x, mask, chains=4, draws=60, warmup=60, progress=False)
    importance = sample_importance(mnar, x, mask, chains=4, draws=60, progress=False)
    for draws in (chains, importance):
        tree = to_arviz(draws, mnar, x, mask, rows=rows, columns=columns)
        table = arviz.summary(tree)
        i, j = (~mask).nonzero()[0].tolist()
        label = f"x_mis[{rows[i]}, {columns[j]}]"
        assert len(table) == 12 + int((~mask).sum()) and abs(float(table.loc[label, "mean"]) - float(draws.x[:, :, i, j].mean())) < 0.01
        assert float(arviz.ess(tree)["x_mis"].min()) > 10 and float(arviz.rhat(tree)["z"].max()) < 1.5
        for plot in (arviz.plot_trace, arviz.plot_rank, arviz.plot_forest):
            plot(tree, var_names=["x_mis"])
            matplotlib.pyplot.close("all")
        arviz.plot_trace(tree.sel(row="row 0"))
        if "energy" in tree["sample_stats"]:
            arviz.plot_energy(tree)
        arviz.loo(tree)
        path = str(Path(folder, "draws.nc"))
        tree.to_netcdf(path, engine="h5netcdf")
        back = arviz.from_netcdf(path, engine="h5netcdf")
        assert set(back.children) == set(tree.children)
        for name, group in tree.children.items():
            assert all(
                np.array_equal(group[v].values, back[name][v].values, equal_nan=group[v].dtype.kind == "f") for v in group.data_vars
            )
        back.close()
        z = draws.latents["z"]
        theirs = arviz.rhat_nested(z[:, :, 0, 0].numpy(), superchain_ids=[0, 0, 1, 1], method="identity", chain_axis=0, draw_axis=1)
        assert abs(float(nested_rhat(z, 2)[0, 0]) - float(theirs)) < 1e-6, (nested_rhat(z, 2)[0, 0], theirs)


if __name__ == "__main__":
    matplotlib.use("Agg")
    with tempfile.TemporaryDirectory() as folder:
        command_line(folder)
        draws_in_arviz(folder)
    print("2 passed, 0 failed")
