"""Tables that nobody would want, through the imputer: refused by name, or completed with every observed cell as it stood."""

import warnings

import pytest
from fuzz import blocks, examined
from hostile_tables import tables
from promises import check_imputer


@pytest.mark.parametrize("block", blocks("TABLES", 200, 10_000))
def test_a_table_is_refused_by_name_or_completed(block):
    found = []

    def one(pair):
        with warnings.catch_warnings():
            found.append(check_imputer(*pair))

    examined(tables(), one, block)
    assert found.count("filled") > len(found) / 10
