"""``pyro-mnar sensitivity``: what it computes is the library's, and each mistake is one line before any work."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar import MNARImputer
from pyro_mnar.analysis import regression
from pyro_mnar.analysis.analyses import analyze
from pyro_mnar.analysis.rubin import pool
from pyro_mnar.cli.main import main

KINDS = ["--kind", "grade=ordinal:low:mid:high", "--kind", "visits=count"]


def table(n=70, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    frame = pd.DataFrame({"y": 2 * z + rng.normal(size=n), "x": z, "arm": np.where(rng.random(n) < 0.5, "drug", "placebo")})
    frame["grade"] = np.array(["low", "mid", "high"])[np.digitize(z + rng.normal(size=n), [-0.7, 0.7])]
    frame["visits"] = rng.poisson(2, n).astype(float)
    for name in ("y", "grade", "visits"):
        frame.loc[rng.random(n) < 0.3, name] = np.nan
    return frame


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with a table and a model of it."""
    home = tmp_path_factory.mktemp("sensitivity")
    table().to_csv(home / "t.csv", index=False)
    arguments = ["impute", str(home / "t.csv"), "--output", str(home / "c.csv"), "--save", str(home / "m"), *KINDS, "--steps", "5"]
    assert main([*arguments, "--mechanism", "self-masking"]) == 0
    return home


def run(home, *arguments):
    command = ["sensitivity", str(home / "t.csv"), "--model", str(home / "m"), "--output", str(home / "p.csv"), "--draws", "24"]
    assert main([*command, *arguments]) == 0
    return pd.read_csv(home / "p.csv")


def done_of(home):
    imputer = MNARImputer.load(home / "m")
    # The command line counts rows from 1, and random numbers go by label.
    return imputer, imputer.completions(table().set_axis(range(1, 71)), 24)


def test_a_shift_of_some_rows_is_the_library_s(fitted, capsys):
    found = run(fitted, "--regress", "y=x", "--shift", "y=-2:2:3", "--rows", "arm=drug", "--null", "1")
    _, done = done_of(fitted)
    rows = (table().arm == "drug").to_numpy()
    for value, estimate, low in zip(found.iloc[:, 0], found.estimate, found.lower, strict=True):
        pooled = analyze(done.shift("y", value, rows).tables, regression("y", ["x"]), done.groups)
        assert estimate == pytest.approx(float(pooled.estimate)) and low == pytest.approx(float(pooled.interval()[0]))
    assert found.columns[0] == "shift of imputed y" and "coefficient of x on y" in capsys.readouterr().out


def test_odds_scale_and_strength_are_the_library_s(fitted, tmp_path):
    imputer, done = done_of(fitted)

    def share(table, level):
        seen = (table.grade == level).to_numpy(float)
        return seen.mean(), seen.var(ddof=1) / len(seen), len(seen) - 1

    found = run(fitted, "--mean", "grade=high", "--odds", "grade:high=.25:4:3")
    assert found.iloc[:, 0].tolist() == pytest.approx([0.25, 1, 4]) and (np.diff(found.estimate) > 0).all()
    moved = done.tilt("grade", np.log(4), category="high")
    assert found.estimate[2] == pytest.approx(float(analyze(moved.tables, lambda t: share(t, "high"), done.groups).estimate))
    both = run(fitted, "--mean", "visits", "--scale", "visits=.5:2:2", "--strength", "0:1:2", "--figure", str(tmp_path / "f.png"))
    assert len(both) == 4 and (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    means = [t.visits.mean() for t in imputer.strengthened(done, 0.0).scale("visits", 2.0).tables]
    assert both.estimate[2] == pytest.approx(np.mean(means))


def test_pooling_is_that_of_nested_draws(fitted):
    found = run(fitted, "--mean", "y", "--shift", "y=-1:1:3")
    imputer, done = done_of(fitted)
    q, u = ([f(t.y) for t in done.tables] for f in (np.mean, lambda y: y.var(ddof=1) / len(y)))
    nested = pool(q, u, complete_dof=69, groups=imputer.members_of(24))
    assert nested.sizes == (12, 12) and found.lower[1] == pytest.approx(float(nested.interval()[0]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mean", "y"], "got 0 of --shift, --scale, --odds and --strength"),
        (["--mean", "y", *["--shift", "y=0:1:2"] * 3], "got 3 of --shift"),
        (["--shift", "y=0:1:2"], "expected one of --regress and --mean"),
        (["--mean", "z", "--shift", "y=0:1:2"], "--mean: got unknown column 'z'"),
        (["--mean", "grade=odd", "--shift", "y=0:1:2"], "--mean: got level 'odd' of column 'grade'"),
        (["--mean", "y", "--shift", "z=0:1:2"], "--shift: got unknown column 'z', expected one of y, x, arm"),
        (["--mean", "y", "--shift", "x=0:1:2"], "--shift: got column 'x', expected one with missing values"),
        (["--mean", "y", "--shift", "grade=0:1:2"], "--shift: got ordinal column 'grade', expected numbers"),
        (["--mean", "y", "--shift", "y=1:0:2"], "--shift: got 'y=1:0:2', expected COLUMN=LOW:HIGH:COUNT, rising"),
        (["--mean", "y", "--scale", "y=0:1:2"], "--scale: got 'y=0:1:2'"),
        (["--mean", "y", "--shift", "y=0:1:1"], "--shift: got 'y=0:1:1'"),
        (["--mean", "y", "--shift", "y=0:nan:3"], "--shift: got 'y=0:nan:3'"),
        (["--mean", "y", "--odds", "grade=1:2:2"], "--odds: got level '' of column 'grade'"),
        (["--mean", "y", "--odds", "y:3=1:2:2"], "one of its levels (none: it holds numbers)"),
        (["--mean", "y", "--odds", "grade:mid=0:2:2"], "--odds: got 'grade:mid=0:2:2'"),
        (["--mean", "y", "--strength", "y=0:2:2"], "--strength: got 'y=0:2:2', expected LOW:HIGH:COUNT"),
        (["--mean", "y", "--shift", "y=0:1:2", "--rows", "arm=no"], "--rows: got 'arm=no', expected a value that column 'arm' has"),
        (["--mean", "y", "--shift", "y=0:1:2", "--rows", "z=1"], "--rows: got 'z=1', expected COLUMN=VALUE"),
        (["--mean", "y", "--shift", "y=0:1:2", "--draws", "0"], "--draws: got 0, expected at least 2"),
        (["--regress", "y=none", "--shift", "y=0:1:2"], "--regress: got 'y=none': got unknown column 'none', expected some of y, x"),
        (["--mean", "y", "--shift", "y=0:1:2", "--figure", "absent/f.png"], "absent"),
        (
            ["--mean", "y", "--odds", "grade:mid=-1:2:2"],
            "--odds: got 'grade:mid=-1:2:2', expected COLUMN=LOW:HIGH:COUNT, rising, from above 0",
        ),
        (["--mean", "y", "--shift", "y=0:1:2.5"], "of 2 to 10000 points"),
        (["--mean", "y", "--shift", "y=0:1:1e15"], "of 2 to 10000 points"),
        (["--mean", "y", "--strength", "0:2:3", "--rows", "arm=1"], "--rows: got one with --strength alone"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(fitted, monkeypatch, tmp_path, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    command = ["sensitivity", str(fitted / "t.csv"), "--model", str(fitted / "m"), "--output", "p.csv"]
    assert main([*command, *arguments]) == 2
    out, err = capsys.readouterr()
    assert said in err and err.count("\n") == 1 and out == "" and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sensitivity t.csv --mechanism none --mean y --strength 0:1:2 --output p.csv", "--strength: got one with --mechanism none"),
        ("sensitivity t.csv --mechanism linear --mean y --strength 0:1:2 --output p.csv", "expected auto or self-masking"),
        (
            "sensitivity t.csv --mean y --shift y=0:1:2 --output p.csv --figure f.txt",
            "f.txt: got ending '.txt', expected one of a figure",
        ),
        ("sensitivity t.csv --mean y --shift y=0:1:2 --output p.csv --figure f", "f: got ending '', expected one of a figure"),
    ],
)
def test_what_a_mechanism_cannot_have_is_refused_before_the_fit(fitted, monkeypatch, tmp_path, capsys, command, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(MNARImputer, "fit", lambda *_, **__: pytest.fail("fitted"))
    words = [str(fitted / "t.csv") if word == "t.csv" else word for word in command.split()]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert said in err and err.count("\n") == 1 and out == "" and list(tmp_path.iterdir()) == []


def test_ordered_levels_are_predictors_by_their_places_and_what_does_not_hold_is_said_first(fitted, tmp_path, capsys):
    command = ["sensitivity", str(fitted / "t.csv"), "--model", str(fitted / "m"), "--output", str(tmp_path / "p.csv")]
    assert main([*command, "--regress", "y=grade,x", "--shift", "y=-1:1:3", "--null", "-1000"]) == 0
    assert capsys.readouterr().out.startswith("The coefficient of grade on y")
    estimate = pd.read_csv(tmp_path / "p.csv").estimate[1]
    assert main([*command, "--regress", "y=grade,x", "--shift", "y=-1:1:3", "--null", str(estimate)]) == 0
    assert capsys.readouterr().out.startswith("The conclusion does not hold to begin with: unmoved, the interval has")


def test_what_was_read_as_missing_and_what_a_fit_doubts_are_said_beside_every_result(fitted, tmp_path, capsys):
    table, word = pd.read_csv(fitted / "t.csv"), ["--missing", "x=99"]
    table.assign(x=table.x.where(table.index != 3, 99.0)).to_csv(tmp_path / "t.csv", index=False)
    about, path = ["--model", str(fitted / "m"), *word], str(tmp_path / "t.csv")
    moved = ["--mean", "y", "--shift", "y=-1:1:2", "--draws", "8", "--output", str(tmp_path / "p.csv")]
    for command in (["sensitivity", path, *moved], ["diagnose", path], ["report", path, "--output", str(tmp_path / "r.html")]):
        assert main([*command, *about]) == 0
        assert "Read as missing, beside empty cells: '99.0' in x (1)" in capsys.readouterr().err
    rule = ["--rule", "y >= 1e6", "--steps", "2", "--mechanism", "none", "--jobs", "1"]
    assert main(["sensitivity", path, *moved, *word, *rule]) == 0
    assert "break the rule y >= 1e6" in capsys.readouterr().err
