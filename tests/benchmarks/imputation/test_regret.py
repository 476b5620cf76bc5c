"""The regret of stating nothing, from files of a made-up grid."""

import json

import numpy as np
import pytest

from benchmarks.imputation.__main__ import main
from benchmarks.imputation.grid import Cell
from benchmarks.imputation.regret import regret, regrets, summary
from benchmarks.imputation.report import read

#: CRPS, RMSE, coverage by table, mask, method.
CELLS = {
    ("red", "hard", "mean"): (2.0, 1.5, 0.5),
    ("red", "hard", "ours"): (0.6, 1.0, 0.9),
    ("red", "hard", "ours-none"): (1.0, 1.2, 0.6),
    ("red", "hard", "ours-told"): (0.5, 0.9, 0.8),
    ("red", "mar", "mean"): (0.9, 1.0, 0.9),
    ("red", "mar", "ours"): (0.8, 1.1, 0.7),  # above the column mean, and the least covered
    ("red", "mar", "ours-none"): (0.4, 0.8, 0.9),
    ("white", "hard", "ours"): (0.3, 0.5, 0.8),  # the column mean was not run
    ("white", "hard", "ours-none"): (0.3, 0.5, 0.8),
    ("white", "mar", "ours"): (9.0, 9.0, 0.1),  # no regret follows
}


def write(output, cells, **cell):
    for (table, mask, method), (crps, rmse, coverage) in cells.items():
        where = Cell(table, mask, method, 0, **cell)
        content = where._asdict() | {"settings": {}, "versions": {}}
        content["scores"] = {"missing": 0.3, "crps": crps, "rmse": rmse, "coverage_90": coverage, "seconds": 1.0}
        where.path(output).parent.mkdir(parents=True, exist_ok=True)
        where.path(output).write_text(json.dumps(content))


def test_regret_is_over_the_better_of_the_two_that_state_something(tmp_path):
    write(tmp_path, CELLS)
    cells = regrets(read(tmp_path)[0].astype({"method": str}))
    found = {(row["table"], row["mask"]): row["regret"] for row in cells.to_dict("records")}
    assert found == pytest.approx({("red", "hard"): 1.2, ("red", "mar"): 2.0, ("white", "hard"): 1.0})
    bar = summary(cells)
    assert bar["median regret"] == pytest.approx(1.2) and bar["95th percentile of regret"] == pytest.approx(1.92)
    assert bar["worst regret"] == pytest.approx(2.0) and bar["worst cell"] == "red / mar / seed 0"
    assert bar["cells above the column mean's RMSE"] == ["red / mar / seed 0"] and bar["cells without the column mean"] == 1
    assert bar["mean coverage of 90 % intervals"] == pytest.approx(0.8) and bar["least coverage"] == 0.7


def test_the_command_writes_both_files_and_tells_short_from_long_and_one_length_from_another(tmp_path, capsys):
    pytest.importorskip("tabulate")
    write(tmp_path, CELLS)
    write(
        tmp_path, {key: tuple(np.multiply(7, value)) for key, value in CELLS.items() if key[1] == "hard" and key[2] != "mean"}, steps=9
    )
    write(tmp_path, {key: value for key, value in CELLS.items() if key[:2] == ("red", "mar")}, rows=50)
    main(["regret", "--output", str(tmp_path)])
    said = capsys.readouterr().out
    assert "- median regret: 1.600" in said and "- number of cells: 4" in said and str(tmp_path / "regret.md") in said
    content = json.loads((tmp_path / "regret.json").read_text())
    assert {cell["table"] for cell in content["cells"]} == {"red", "white", "red, 50 rows"} and content["median regret"] == 1.6
    lines = (tmp_path / "regret.md").read_text().splitlines()
    by_mask = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
    # White has no column mean, so that what red's is does not compare.
    assert "(" in by_mask["mean"] and "steps" not in "".join(lines)
    regret(tmp_path, our_steps=9)
    content = json.loads((tmp_path / "regret.json").read_text())
    assert [cell["crps"] for cell in content["cells"]] == pytest.approx([0.6 * 7, 0.3 * 7])


def test_a_folder_without_a_regret_is_refused(tmp_path, capsys):
    pytest.importorskip("tabulate")
    write(tmp_path, {key: value for key, value in CELLS.items() if key[2] == "mean"})
    for arguments in (["regret"], ["regret", "--our-steps", "9"]):
        with pytest.raises(SystemExit, match="2"):
            main([*arguments, "--output", str(tmp_path)])
        assert "expected a folder that holds a cell with both ours and ours-none" in capsys.readouterr().err
