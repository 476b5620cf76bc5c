"""The benchmark of memory runs, and memory does not grow with the rows."""

import json
import sys

import pytest

from benchmarks import large_tables

pytestmark = pytest.mark.script


def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["large_tables", "--rows", "5000", "20000", "--output", str(tmp_path)])
    large_tables.main()
    few, many = json.loads((tmp_path / "large_tables.json").read_text())
    assert many["peak gigabytes"] < 1.1 * few["peak gigabytes"] and many["peak gigabytes"] < 1.5
