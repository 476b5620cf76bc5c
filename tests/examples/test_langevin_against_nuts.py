"""The example that sets samplers against each other, on next to nothing."""

import argparse
import importlib.util
from pathlib import Path


def test_every_sampler_draws_and_the_figure_is_written(tmp_path):
    path = Path(__file__).parents[2] / "examples" / "langevin_against_nuts.py"
    spec = importlib.util.spec_from_file_location("langevin_against_nuts", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    args = argparse.Namespace(output=str(tmp_path), rows=40, sampled=3, steps=20, draws=20, warmup=20, chains=2, seed=0)
    table = example.main(args)
    assert list(table.index) == ["MALA, batched", "HMC, batched", "Langevin in MCMC", "NUTS of Pyro"]
    assert (table["effective draws a second"] > 0).all() and (tmp_path / "langevin_against_nuts.png").stat().st_size > 10_000
