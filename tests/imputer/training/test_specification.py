"""What is fitted, as plain data."""

import time

from pyro_mnar.imputer.training.specification import Specification


def test_models_of_wide_tables_are_made_at_once():
    """Set-up grows with the columns: a question to all columns for each column, asked for each, took minutes at 400."""
    d = 1500
    wide = Specification("auto", tuple(range(d)), ("low",) * d, ("continuous",) * d, 2, (4,), members=1, cells=({},) * d)
    start = time.process_time()
    (model,) = wide.models()
    assert len(wide.effects()) == d and time.process_time() - start < 5
    assert model.decoder.n_columns == d
