"""A short run on another Python: the command line on a small table, then its saved model on new rows."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from pyro_mnar.faces.command_line import main
from pyro_mnar.tables import read_table

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        frame = pd.DataFrame(rng.normal(size=(80, 3)) @ rng.normal(size=(3, 3)), columns=list("abc"))
        frame.loc[frame.a > 1, "a"] = np.nan
        frame.to_csv(Path(folder, "t.csv"), index=False)
        table, output, model, draws = (str(Path(folder, name)) for name in ("t.csv", "c.parquet", "model", "d.nc"))
        assert main(["impute", table, "--output", output, "--direction", "high", "--steps", "50", "--save", model]) == 0
        assert main(["impute", table, "--output", output, "--model", model, "--draws", "3", "--draws-output", draws]) == 0
        completed = pd.read_parquet(output)
        assert completed.notna().all().all() and (completed.b == read_table(table).b).all()
    print("1 passed, 0 failed")
