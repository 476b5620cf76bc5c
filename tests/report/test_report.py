"""The report: one file that asks no server for anything, opens in a browser, and says what the library computed."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pyro_mnar import MNARImputer
from pyro_mnar.analysis import regression
from pyro_mnar.analysis.completions import Completions
from pyro_mnar.cli.main import main
from pyro_mnar.imputer.sensitivity import completions, gains
from pyro_mnar.imputer.tables.given import given
from pyro_mnar.report import levers, report, sensitivity
from pyro_mnar.report.html import Section, render, write_page
from pyro_mnar.report.sections import sections

#: A browser of the Chromium family; name one that is elsewhere in PYRO_MNAR_BROWSER.
BROWSER = os.environ.get("PYRO_MNAR_BROWSER") or next(
    (found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))), None
)


def holed(n=80, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 3)) @ rng.normal(size=(3, 3)), columns=["a", "b<script>", "c"])
    frame.loc[frame.a > frame.a.quantile(0.7), "a"] = np.nan
    frame.loc[rng.random(n) < 0.2, "c"] = np.nan
    return frame


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of the command line on a small table, with a conclusion to tip."""
    home = tmp_path_factory.mktemp("report")
    holed().to_csv(home / "t.csv", index=False)
    arguments = ["--direction", "a=high", "--steps", "60", "--regress", "c=a,b<script>"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(report, "DRAWS", 16)
        patch.setattr(levers, "TABLES", 8)
        assert main(["report", "t.csv", "--output", "r.html", *arguments]) == 0
    return home / "r.html"


class Reader(HTMLParser):
    """Collects references, text and whether tags close in order."""

    void = {"meta", "img", "br", "link", "input", "hr"}

    def __init__(self, text):
        super().__init__()
        self.open, self.references, self.tags, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.references += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data", "poster")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data.strip())


def test_the_page_refers_to_nothing_outside_itself_and_is_well_formed(page):
    text = page.read_text(encoding="utf-8")
    reader = Reader(text)
    assert reader.open == [] and not {"script", "link", "iframe", "object"} & {tag for tag, _ in reader.tags}
    assert reader.references and all(r.startswith(("data:image/", "#")) for r in reader.references)
    assert "@import" not in text and "url(" not in text and "b<script>" not in text and "b&lt;script&gt;" in text
    targets = {attrs["id"] for _, attrs in reader.tags if "id" in attrs}
    assert all(r[1:] in targets for r in reader.references if r.startswith("#"))
    figures = [attrs for tag, attrs in reader.tags if tag == "img"]
    assert len(figures) >= 9 and all(f["alt"] for f in figures)
    for figure in figures:
        drawing = base64.b64decode(figure["src"].partition(",")[2])
        links = re.findall(rb'(?:xlink:)?href="([^"]*)"', drawing)
        assert all(link.startswith((b"#", b"data:")) for link in links)
    assert "width=device-width" in text and "@media print" in text and len(text) < 3_000_000


def test_the_page_is_valid_html5(page):
    html5lib = pytest.importorskip("html5lib")
    parser = html5lib.HTMLParser(strict=False)
    parser.parse(page.read_text(encoding="utf-8"))
    assert parser.errors == []


def test_the_page_says_what_reproduces_it_and_how_the_conclusion_tips(page):
    words = Reader(page.read_text(encoding="utf-8")).words
    assert "pyro-mnar report t.csv --output r.html --direction a=high --steps 60 --regress 'c=a,b<script>'" in words
    assert hashlib.sha256((page.parent / "t.csv").read_bytes()).hexdigest() in words
    said = " ".join(words)
    for part in (
        "whatever reason the data support",
        "a: goes missing by its own value (large values go missing)",
        "(stated)",
        "Pareto k",
        "Rubin's rules",
        "torch 2",
    ):
        assert part in said
    assert "What the diagnosis found" in words
    assert "Where the conclusion on the coefficient of a on c tips" in words and "mean of a" in words and "ignorable" in words


def opened(page, home):
    """Return what the browser made of a page, what it said of it, and the addresses that the page had it ask for."""
    log = home / "net.json"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={home / 'profile'}"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--log-net-log={log}", "--dump-dom", page.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    events = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    # The browser asks for things of its own, which no page initiated.
    return (
        shown.stdout,
        shown.stderr,
        {e["url"] for e in events if "url" in e and e.get("initiator", "not an origin") != "not an origin"},
    )


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: install one, or name one in PYRO_MNAR_BROWSER")
def test_a_browser_opens_the_page_and_asks_no_server_for_anything(page, tmp_path):
    (tmp_path / "planted.html").write_text('<!DOCTYPE html><img src="http://example.invalid/x.png">')
    assert opened(tmp_path / "planted.html", tmp_path)[2] == {"http://example.invalid/x.png"}
    shown, said, asked = opened(page, tmp_path)
    assert asked == set() and "CONSOLE" not in said  # where breaches of the page's own policy would be reported
    assert "To reproduce this" in shown and shown.rstrip().endswith("</html>")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    subprocess.run([*command, f"--print-to-pdf={tmp_path / 'r.pdf'}", page.as_uri()], capture_output=True, timeout=120, check=True)
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")


def test_impute_writes_a_report_as_well(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(report, "DRAWS", 8)
    holed().to_csv(tmp_path / "t.csv", index=False)
    command = ["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "c.csv"), "--report", str(tmp_path / "r.html")]
    assert main([*command, "--steps", "5"]) == 0
    assert pd.read_csv(tmp_path / "c.csv").notna().all().all() and "Observed and imputed" in (tmp_path / "r.html").read_text()
    assert "cells imputed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "t.csv", "--output", "r.pdf"], "got ending '.pdf', expected .html"),
        (["report", "t.csv", "--output", "absent/r.html"], "no such folder absent"),
        (["report", "t.csv", "--output", "r.html", "--regress", "z=a", "--steps", "1"], "--regress: got 'z=a'"),
        (["report", "t.csv", "--output", "r.html", "--regress", "a", "--steps", "1"], "--regress: got 'a'"),
        (["impute", "t.csv", "--output", "c.csv", "--regress", "a=c"], "--regress: got no --report"),
        (["impute", "t.csv", "--output", "c.csv", "--report", "r.csv"], "got ending '.csv', expected .html"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    holed().to_csv("t.csv", index=False)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert said in err and err.count("\n") == 1 and out == "" and [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_a_report_of_other_models_and_tables_leaves_out_what_they_lack(tmp_path):
    quick = {"steps": 3, "members": 2, "progress": False}
    frame = holed()
    plain = MNARImputer("none", **quick).fit(frame)
    titles = [s.title for s in sections(plain, given(plain, frame), plain.impute(frame, draws=4), progress=False)]
    assert "Why values are missing, as learned" not in titles and "How far results move with what cannot be tested" in titles
    with pytest.raises(ValueError, match="got 1 draws, expected at least 2"):
        sections(plain, given(plain, frame), plain.impute(frame, draws=1), progress=False)
    with pytest.raises(ValueError, match="failed on completed table 0"):
        sections(plain, given(plain, frame), plain.impute(frame, draws=4), analysis=lambda table: table["absent"], progress=False)
    whole = frame.dropna()
    found = sections(plain, given(plain, whole), plain.impute(whole, draws=4), progress=False, further=[Section("Own").text("x")])
    assert [s.title for s in found] == ["What was assumed", "The table", "Training", "To reproduce this"]
    write_page(tmp_path / "r.html", "None <missing>", found)
    assert "None &lt;missing&gt;" in (tmp_path / "r.html").read_text()


def test_ignorable_is_the_same_model_of_the_same_columns_without_a_mechanism():
    """Also of a table in which a level is absent and kinds would be taken for others."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=80), "place": rng.choice(["a", "b", "c"], 80), "y": rng.lognormal(size=80)})
    frame.loc[frame.x > 0.8, "x"] = np.nan
    own = {"members": 2, "hidden": (6,), "latent_dim": 1, "particles": 3, "batch_size": 32, "steps": 3, "kinds": {"y": "positive"}}
    fitted = MNARImputer("self-masking", direction={"x": "high"}, random_state=None, progress=False, **own).fit(frame)
    part = frame[frame.place != "a"]
    plain = report.ignorable_of(fitted, given(fitted, part))
    stated = ("mechanism", "direction", "order", "random_state")
    settings = [{k: v for k, v in imputer.get_params().items() if k not in stated} for imputer in (fitted, plain)]
    assert settings[0] == settings[1] and plain.mechanism == "none" and plain.seed == fitted.seed
    assert plain.schema_ == fitted.schema_ and plain.codec_.columns[1].levels == ("a", "b", "c")
    assert plain.specification_ == replace(
        fitted.specification_, mechanism="none", orders=None, latent=False, cells=plain.specification_.cells, directions=("none",)
    )
    assert all(member.mechanism is None for member in plain.members_)
    assert plain.impute(part, draws=2).draws.shape == (2, len(part), 3)


def test_regression_is_least_squares(seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(30, 3)), columns=["y", "x", "w"])
    x = np.column_stack([frame.x, frame.w, np.ones(30)])
    beta, rss, *_ = np.linalg.lstsq(x, frame.y, rcond=None)
    estimate, variance, dof = regression("y", ["x", "w"])(frame)
    assert estimate == pytest.approx(beta[0]) and dof == 27
    assert variance == pytest.approx(rss[0] / 27 * np.linalg.inv(x.T @ x)[0, 0])
    with pytest.raises(ValueError, match="2 rows are too few for 3"):
        regression("y", ["x", "w"])(frame[:2])


def test_large_drawings_become_pixels_and_the_same_figure_the_same_bytes():
    def figure(points):
        drawn = Figure()
        drawn.subplots().plot(np.arange(points), np.arange(points) % 7, "|")
        return drawn

    kinds = [Section("s").figure(figure(n), "c").parts[0]["source"].partition(";")[0] for n in (10, 5000)]
    assert kinds == ["data:image/svg+xml", "data:image/png"]
    assert render("t", [Section("s").figure(figure(10), "c")]) == render("t", [Section("s").figure(figure(10), "c")])


def test_a_mixed_table_is_reported_with_odds_of_levels_names_and_tipping_points(tmp_path, monkeypatch):
    """Every kind of column has holes; the command line makes the report from a saved model, and reads no script into it."""
    rng = np.random.default_rng(0)
    n = 60
    z = rng.normal(size=n)
    frame = pd.DataFrame({"x": z, "pay": np.exp(1 + z), "visits": rng.poisson(2, n).astype(float), "share": 100 / (1 + np.exp(-z))})
    frame["grade"] = np.array(["low", "mid", "<high>"])[np.digitize(z, [-0.5, 0.5])]
    frame["town"], frame["flag"] = np.where(rng.random(n) < 0.5, "ulm", "bonn"), (z > 0).astype(float)
    frame["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.rint(30 * z), unit="D")
    frame["wind"], frame["dose"] = np.degrees(z) % 360, np.clip(0.5 + 0.4 * z, 0, 1)
    for name in frame:
        frame.loc[rng.random(n) < 0.2, name] = np.nan
    frame.to_parquet(tmp_path / "t.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "DRAWS", 16)
    monkeypatch.setattr(levers, "TABLES", 8)
    kinds = [f"--kind={word}" for word in ("pay=positive", "visits=count", "share=bounded:0:100", "grade=ordinal:low:mid:<high>")]
    kinds += ["--kind=wind=angle:360", "--kind=dose=proportion"]
    arguments = [
        "report",
        "t.parquet",
        "--output",
        "r.html",
        *kinds,
        "--steps",
        "3",
        "--regress",
        "pay=x,visits",
    ]
    assert main(arguments) == 0
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    reader = Reader(text)
    assert reader.open == [] and len(text) < 3_000_000 and "<high>" not in text
    captions = [attrs["alt"] for tag, attrs in reader.tags if tag == "img"]
    assert "Shares of levels against their odds among the imputed values" in captions and all(captions)
    assert "Column means against a shift of the imputed values" in captions
    said = " ".join(reader.words)
    named = ("share of town = ", "mean of visits", "mean of dose", "wind")
    for part in ("share of grade = ", "share of flag = 1", "mean of day (days since 1970)", *named):
        assert part in said
    flat = said.partition("The conclusion hardly depends on ")[2].partition(". ")[0]
    assert "Moving imputed town = ulm" in captions or "town = ulm" in flat
    assert ("odds of" in said) or ("no tipping point on this grid" in said)
    assert main([*arguments[:-2], "--regress", "pay=town"]) == 2 and main([*arguments[:-2], "--regress", "day=x"]) == 2


def test_a_wide_report_copies_the_columns_that_it_moves_alone_and_draws_those_that_rest_most_on_assumption(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 30)) + rng.normal(size=(40, 30))
    x[rng.random(x.shape) < 0.2] = np.nan
    frame = pd.DataFrame(x, columns=[f"c{j}" for j in range(30)])
    frame["c5"] = np.where(frame.c5.isna(), None, np.where(frame.c5 > 0, "yes", "no"))
    fitted = MNARImputer("self-masking", steps=2, members=2, hidden=(4,), progress=False).fit(frame)
    widths, tip = [], sensitivity.tipping_point

    def seen(start, *given, **options):
        widths.append(start.table.shape[1])
        return tip(start, *given, **options)

    monkeypatch.setattr(sensitivity, "tipping_point", seen)
    parts = sections(fitted, given(fitted, frame), fitted.impute(frame, draws=4), progress=False)
    assert set(widths) == {1} and len(widths) == 24  # shifts or odds, and strengths
    texts = [part["text"] for section in parts for part in section.parts if part["kind"] == "text"]
    assert texts.count("Drawn are the 12 of 30 columns whose estimates rest most on assumption.") == 2


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("factor", [None, 0.0, 1.5])
def test_some_columns_of_completed_tables_are_moved_as_in_whole_ones(factor):
    frame = holed().assign(grade=np.resize(["x", "y", None, "y"], 80))
    fitted = MNARImputer("self-masking", steps=2, members=2, hidden=(4,), progress=False).fit(frame)
    table = given(fitted, frame)
    whole, some = (completions(fitted, table, 6, columns) for columns in (None, ["a", "grade"]))
    if factor is not None:
        own = fitted.strengthened(whole, factor)
        alike = some.reweight(gains(fitted, table, some.drawn, [1.0, factor])[1])
    else:
        own, alike = (done.tilt("grade", 0.7, category="y").shift("a", 0.5) for done in (whole, some))
    assert len(alike.tables) == 6 and (own.effective == alike.effective).all()
    for one, other in zip(own.tables, alike.tables, strict=True):
        pd.testing.assert_frame_equal(one[["a", "grade"]], other)
    pd.testing.assert_frame_equal(own.only(["grade"]).tables[3], own.tables[3][["grade"]])


def test_long_tables_are_folded():
    page = render("t", [Section("s").rows(["a", "b"], [[1, 2]] * 41, "Rows")])
    assert page.count("<details><summary>Rows (41 rows)</summary>") == page.count("</details>") == 1
    assert "<details>" not in render("t", [Section("s").rows(["a", "b"], [[1, 2]] * 40, "Rows")])


def test_some_columns_are_those_of_a_data_frame():
    done = Completions(pd.DataFrame({"a": [1.0, None], "b": [1.0, 2.0]}), [pd.DataFrame({"a": [1.0, 3.0], "b": [1.0, 2.0]})])
    assert list(done.only(["a"]).tables[0].columns) == ["a"] and done.only(["a"]).shift("a", 1.0).tables[0].a.tolist() == [1.0, 4.0]
    with pytest.raises(ValueError, match="unknown 'c'"):
        done.only(["c"])
    with pytest.raises(ValueError, match="expected some of a DataFrame"):
        Completions(np.array([[1.0], [np.nan]]), [np.ones((2, 1))]).only([0])


def test_logarithms_that_a_regression_reads_are_moved_by_a_factor(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    z = np.random.default_rng(0).normal(size=(40, 2))
    frame = pd.DataFrame({"x": z[:, 0], "pay": np.exp(z[:, 0] + 0.5 * z[:, 1])}).round(3)
    frame.loc[::3, "pay"] = np.nan
    frame.to_csv("t.csv", index=False)
    quick = ["--kind", "pay=positive", "--mechanism", "none", "--steps", "2", "--jobs", "1"]
    assert main(["report", "t.csv", "--output", "r.html", "--regress", "log(pay)=x", *quick]) == 0  # a shift would leave none for log
    assert "tips" in (tmp_path / "r.html").read_text()
    tables = [frame.fillna({"pay": value}) for value in (0.5, 2.0)]
    done = Completions(frame, tables)
    first = levers._lever(given(MNARImputer("none", members=1, steps=2, progress=False).fit(frame), frame).codec.columns[1], 1.0, done)
    own = levers.of_logarithm(first, done)
    spread = float(np.log(frame.pay.dropna()).std())
    np.testing.assert_allclose(own.adjust(done, -2.0).tables[1].pay[0], 2.0 * np.exp(-2 * spread), rtol=1e-12)
    assert own.said(-1.0).startswith(f"a factor of {np.exp(-spread):.3g} (a shift of its logarithm by -1 standard")
    assert regression("log(pay)", ["x"]).logs == {"pay"}
