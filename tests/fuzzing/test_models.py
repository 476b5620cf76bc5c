"""Mutants of saved models: refused in one line that names the folder, or models that complete a table."""

import random

import pytest
from fuzz import blocks
from hostile_models import bases
from promises import check_mutant


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return bases(tmp_path_factory.mktemp("bases"))


@pytest.mark.parametrize("block", blocks("MODELS", 300, 100_000))
def test_a_mutant_is_refused_or_completes_the_table(models, tmp_path, block):
    found = []
    for number in block:
        found.append(check_mutant(models, tmp_path / "mutant", random.Random(number)))
    assert found.count("refused") > len(found) / 2 and len(set(found)) > 1
