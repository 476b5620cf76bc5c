"""The benchmark of short tables: tables as they are said to be, and a line for each setting."""

import json

from benchmarks import short_tables


def test_tables_have_fewer_than_five_rows_a_column():
    found = short_tables.tables(0)
    assert all(len(x) < 5 * x.shape[1] for x in found.values()) and len(found) == 5


def test_every_setting_is_scored_on_every_table(monkeypatch, tmp_path, capsys):
    kept = {name: x for name, x in short_tables.tables(0).items() if name.startswith(("50", "wine"))}
    monkeypatch.setattr(short_tables, "tables", lambda seed: kept)
    short_tables.main(["--seeds", "0", "--steps", "5", "--output", str(tmp_path / "short.json")])
    rows = json.loads((tmp_path / "short.json").read_text())
    assert {(row["table"], row["settings"]) for row in rows} == {(t, s) for t in kept for s in short_tables.SETTINGS}
    assert all(0 <= row["coverage_90"] <= 1 and row["rmse"] > 0 for row in rows) and "wine, 40 x 13" in capsys.readouterr().out
