"""The example of a tilt runs, small, and its numbers go the way that it is there to show."""

import argparse
import importlib.util
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "tilt.py"


@pytest.mark.filterwarnings("ignore:tilt:UserWarning")
def test_tilted_imputations_lie_nearer_to_the_ring(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("tilt_example", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    ratio = example.main(argparse.Namespace(output=str(tmp_path / "tilt.png"), rows=300, steps=40, seed=0))
    assert ratio < 1
    assert (tmp_path / "tilt.png").stat().st_size > 10_000
    assert "log Z" in capsys.readouterr().out
