"""The documentation: its code runs, its names are in the reference, its links lead somewhere, its tables are those of the results."""

import ast
import doctest
import importlib.util
import json
import math
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from exact import LAW, MASKS, ROWS, Z_MAX, PosteriorEncoder, z_score
from pyro import poutine
from scipy import special
from torch import nn

import pyro_mnar
from benchmarks.imputation.committed import TIMES, publish
from benchmarks.tables import MARKED, PUBLISHED, filled, pages
from examples import survey
from pyro_mnar import IWELBO, LOGIT, MNAR, GaussianDecoder, MNARImputer, SelfMasking
from pyro_mnar.cli.main import COMMANDS
from pyro_mnar.cli.options import parser
from pyro_mnar.imputer.tables.given import given

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def page():
    """The names that the page's code leaves behind."""
    text = (DOCS / "one_page.md").read_text()
    names = {"__name__": "page"}
    with torch.random.fork_rng(devices=[]):
        for block in re.findall(r"```python\n(.*?)```", text, re.S):
            exec(compile(block, "one_page.md", "exec"), names)
    return names


def test_the_page_s_claims_hold(page):
    text = (DOCS / "one_page.md").read_text()
    (shown,) = re.findall(r"```pycon\n(.*?)```", text, re.S)
    test = doctest.DocTestParser().get_doctest(shown, dict(page), "one_page", None, None)
    assert doctest.DocTestRunner().run(test) == doctest.TestResults(failed=0, attempted=1)


def test_the_page_is_as_long_as_it_says():
    first = re.findall(r"```python\n(.*?)```", (DOCS / "one_page.md").read_text(), re.S)[0]
    assert len(first[first.index("class") :].strip().splitlines()) <= 45


@torch.no_grad()
def test_its_weights_average_to_the_library_s_evidence(page):
    net = page["NotMIWAE"](2, 1)
    for parameter in net.parameters():
        parameter.copy_(0.5 * torch.randn_like(parameter))
    # Both guides wider than any posterior, so that weights are bounded and z scores honest.
    net.encoder.weight.zero_()
    net.encoder.bias.copy_(torch.tensor([0.0, 0.98]))
    encoder = nn.Module()
    encoder.forward = lambda x, mask: dist.Normal(x.new_zeros(*x.shape[:-1], 1), 1.3).to_event(1)
    x = torch.randn(3, 2)
    mask = torch.tensor([[True, False], [True, True], [False, False]])
    decoder, mechanism = GaussianDecoder(1, 2, hidden=()), SelfMasking(2, None, "free", LOGIT)
    decoder.linear.load_state_dict(net.decoder.state_dict())
    scale = torch.nn.functional.softplus(net.raw_scale) - 0.05
    decoder.raw_scale.copy_(torch.log(torch.expm1(scale)))
    mechanism.slope = net.slope.detach()
    mechanism.offset.copy_(net.offset)
    ours = IWELBO(MNAR(decoder, encoder, mechanism), 20_000)
    found = [net.weigh(x, mask, 20_000)[0], ours.log_weights(x, mask)]
    means = [log_w.double().logsumexp(0) - math.log(20_000) for log_w in found]
    errors = [(log_w.double() - mean).exp().var(0) / 20_000 for log_w, mean in zip(found, means, strict=True)]
    z = (means[0] - means[1]) / (errors[0] + errors[1]).sqrt()
    assert float(z.abs().max()) < Z_MAX
    # And site by site where nothing is missing: the same numbers.
    z_draw = torch.randn(4, 1, 1)
    full, all_seen = x[1:2], mask[1:2]
    with poutine.trace() as seen, poutine.condition(data={"z": z_draw}):
        net.model(full, all_seen)
    seen.trace.compute_log_prob()
    joint = sum(seen.trace.nodes[name]["log_prob"] for name in ("x_obs", "s"))
    trace = ours.model_trace({"z": z_draw}, 4, full, all_seen)
    trace.compute_log_prob()
    torch.testing.assert_close(trace.nodes["x"]["log_prob"], joint)


def test_the_mechanism_that_shows_how_to_add_one_keeps_the_contract():
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "extending.md").read_text(), re.S)
    names = {"__name__": "page"}
    exec(compile(block, "extending.md", "exec"), names)
    mechanism = names["WindowMasking"](4).double()
    with torch.no_grad():
        for parameter in mechanism.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    x = torch.randn(6, 4).double()
    law, shifted = mechanism(x), mechanism(x, torch.full((6, 4), 0.7).double())
    torch.testing.assert_close(law.log_missing.exp() + law.log_observed.exp(), torch.ones(6, 4).double())
    logits = [each.log_missing - each.log_observed for each in (law, shifted)]
    torch.testing.assert_close(logits[1] - logits[0], torch.full((6, 4), 0.7).double())
    middle, width, slope = (
        value.detach().numpy() for value in (mechanism.middle, mechanism.log_width.exp(), mechanism.log_slope.exp())
    )

    def log_mask(rows):
        score = slope * ((rows - middle) ** 2 - width**2)
        return special.log_expit(np.where(MASKS[1], -score, score)).sum(-1)

    # In a model its missing values are drawn, and the weights are unbiased.
    exact = LAW.grid(ROWS[1], MASKS[1], log_mask).log_prob
    bound = IWELBO(MNAR(LAW.decoder(), PosteriorEncoder(LAW, 2.0), mechanism).double(), 100_000)
    row, mask = torch.tensor(ROWS[1:2]), torch.tensor(MASKS[1:2])
    with torch.no_grad():
        assert abs(float(z_score((bound.log_weights(row, mask) - exact).exp(), 1.0))) < Z_MAX
    bound.particles = 5
    bound.loss(row, mask).backward()
    assert all(bool((p.grad != 0).any()) for p in mechanism.parameters())


def test_the_page_of_bayesian_weights_runs_and_finds_what_was_simulated():
    names = {"__name__": "page"}
    try:
        for block in re.findall(r"```python\n(.*?)```", (DOCS / "bayesian_weights.md").read_text(), re.S):
            fewer = block.replace("num_samples=200, warmup_steps=100", "num_samples=80, warmup_steps=60")
            exec(compile(fewer, "bayesian_weights.md", "exec"), names)
        draws = names["mcmc"].get_samples()["beta"]
        assert len(draws) == 80
        # Posterior deviations are the scale of the error; a chain of 80 draws adds little to it.
        assert float(((draws.mean(0) - torch.tensor([1.0, 2.0])) / draws.std(0)).abs().max()) < Z_MAX
        assert len(names["members"]) == 4
    finally:
        pyro.clear_param_store()


PAGES = list(pages())
#: Pages with a test of their own, above.
ALONE = ("bayesian_weights", "extending", "one_page")


def blocks(path):
    return re.findall(r"```python\n(.*?)```", path.read_text(), re.S)


def trial():
    """A table of two arms, with scores that are missing."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"drug": rng.permutation([0, 1] * 30), "base": rng.normal(20, 4, 60)})
    frame["score"] = frame.base - 3 * frame.drug + rng.normal(size=60)
    return frame.mask(rng.random(frame.shape) < [0, 0, 0.3])


def diagnosed():
    """What the page on diagnostics takes for given: a fitted imputer with its frame, and a model of parts with its rows."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=["a", "b"])
    frame.loc[:8, "a"] = np.nan
    imputer = MNARImputer().fit(frame)
    table = given(imputer, frame)
    model = {"model": imputer.members_[0], "x": table.x, "mask": table.seen}
    return model | {"frame": frame, "imputer": imputer, "names": list(frame), "labels": list(frame.index)}


def graded():
    """A table with a column of each kind that the page on mixed tables declares."""
    rng = np.random.default_rng(0)
    columns = {
        "visits": rng.poisson(3, 60).astype(float),
        "score": rng.uniform(0, 100, 60),
        "grade": rng.choice(["low", "mid", "high"], 60),
    }
    return pd.DataFrame(columns).mask(rng.random((60, 3)) < 0.2)


#: What the code of a page takes for given; that of the others stands alone, or reads the survey of examples/survey.py.
GIVEN = {"diagnostics": diagnosed, "mixed_tables": lambda: {"frame": graded()}, "sensitivity": lambda: {"frame": trial()}}


@pytest.mark.parametrize("path", [path for path in PAGES if blocks(path) and path.stem not in ALONE], ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_code_of_a_page_runs(path, tmp_path, monkeypatch):
    """With fits of a few steps, in a folder that holds the tutorial's survey."""
    survey.simulated(90, 0)[0].to_csv(tmp_path / "survey.csv", index=False)
    monkeypatch.chdir(tmp_path)
    whole = MNARImputer.fit
    brief = {"members": 4 if path.stem == "weights" else 2, "steps": 5, "hidden": (), "n_jobs": None, "progress": False}
    monkeypatch.setattr(MNARImputer, "fit", lambda self, *args, **named: whole(self.set_params(**brief), *args, **named))
    names = {"__name__": "page"} | GIVEN.get(path.stem, dict)()
    for block in blocks(path):
        if "statsmodels" in block and importlib.util.find_spec("statsmodels") is None:
            continue  # the extra "test" has it
        exec(compile(re.sub(r"\b(steps|warmup)=\d+", r"\1=5", block), path.name, "exec"), names)
    if path.stem == "detection_limit":
        assert names["above"] == 0
        assert bool((names["result"].draws[:, ~names["mask"]] <= names["limits"][..., 1][~names["mask"]]).all())
    if path.stem == "own_model":
        mask = names["mask"]
        assert bool((names["result"].completed == names["x"])[mask].all()) and float(names["result"].completed[~mask].abs().min()) > 0


def test_what_pages_import_and_every_public_name_are_in_the_reference():
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text, found = module.reference()
    for path in PAGES:
        for node in (node for block in blocks(path) for node in ast.walk(ast.parse(block))):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "pyro_mnar":
                for name in (alias.name for alias in node.names):
                    there = found.get(id(getattr(importlib.import_module(node.module), name)))
                    assert there is not None and there in text, f"{path.name}: {node.module}.{name}"
    homes = [pyro_mnar, *(importlib.import_module(f"pyro_mnar.{space}") for space in module.NAMESPACES)]
    for home in homes:
        assert {id(getattr(home, name)) for name in home.__all__} <= set(found)
    told = re.findall(r"``pyro_mnar\.(\w+)``", pyro_mnar.__doc__ or "") + re.findall(r"``\.(\w+)``", pyro_mnar.__doc__ or "")
    assert set(told) == set(module.NAMESPACES)


def test_links_between_pages_and_to_figures_lead_somewhere():
    for path in [*PAGES, *DOCS.parent.glob("*.md")]:
        text = path.read_text()
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) + re.findall(r"```\{include\} (\S+)", text)
        for link in links:
            example = re.fullmatch(r"(?:\.\./)?gallery/(\w+)", link)  # made when the site is built
            target = DOCS.parent / f"examples/{example[1]}.py" if example and example[1] != "index" else path.parent / link
            assert target.exists() or (example and example[1] == "index"), f"{path.name}: {link}"


def test_every_example_has_a_title_and_its_thumbnail_is_there():
    for path in (DOCS.parent / "examples").glob("*.py"):
        if path.stem != "shared":
            title, line = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[:2]
            assert line == "=" * len(title), path.name
            for figure in re.findall(r"^# sphinx_gallery_thumbnail_path = \"(.*)\"$", path.read_text(), re.M):
                assert (DOCS / figure).is_file(), f"{path.name}: {figure}"


def test_readme_can_be_read():
    text = (DOCS.parent / "README.md").read_text()
    assert len(text.split()) <= 600
    (code,) = blocks(DOCS.parent / "README.md")
    assert len([line for line in code.splitlines() if line.strip()]) == 6


def test_the_version_is_one_everywhere():
    root = DOCS.parent
    assert f"\nversion: {pyro_mnar.__version__}\n" in (root / "CITATION.cff").read_text()
    assert re.search(rf"^## .*{re.escape(pyro_mnar.__version__)}", (root / "CHANGELOG.md").read_text(), re.M)


def test_commands_that_pages_show_are_ones_that_the_command_line_takes():
    for path in PAGES:
        lines = path.read_text().replace(" \\\n", " ").splitlines()
        for line in lines:
            if not line.startswith("    pyro-mnar "):
                continue
            words = shlex.split(line.split("  # ")[0])
            if words[1] in COMMANDS and "--help" not in words:
                parser().parse_args(words[1:])


# Tables -------------------------------------------------------------------------------------------


def test_tables_of_pages_are_those_of_the_committed_results():
    held = set()
    for path in PAGES:
        text = path.read_text()
        assert filled(text)[0] == text, f"{path.name}: make tables"
        held |= {name for _, name, _, _ in MARKED.findall(text)}
        assert text.count("<!-- begin table") == text.count("<!-- end table -->") == len(MARKED.findall(text)), path.name
    assert {path.stem for path in (PUBLISHED / "examples").glob("*.json")} <= held, "results that no page shows"


def test_a_table_that_drifts_is_made_anew_and_one_without_results_is_named(tmp_path):
    (tmp_path / "examples").mkdir()
    content = {"command": "python x.py", "minutes": 0.5, "seeds": 2, "notes": ["Note."]}
    table = {"rows": ["a", "b"], "columns": ["RMSE", "CRPS"], "mean": [[1.0, None], [0.25, 2.0]], "sd": [[0.5, None], [None, 0.125]]}
    (tmp_path / "examples/x.json").write_text(json.dumps(content | {"tables": [table]}))
    page = (
        "Before.\n<!-- begin table x -->\nold\n<!-- end table -->\n<!-- begin table accuracy hard rmse -->\nkept\n<!-- end table -->\n"
    )
    text, absent = filled(page, tmp_path)
    assert absent == ["accuracy hard rmse"] and "\nkept\n" in text and "old" not in text and text.startswith("Before.\n")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert cells[0] == ["", "RMSE", "CRPS"] and cells[2:] == [["a", "1.000 ± 0.500", ""], ["b", "0.250", "2.000 ± 0.125"]]
    assert filled(text, tmp_path)[0] == text
    with pytest.raises(ValueError, match="table y: no file"):
        filled("<!-- begin table y -->\n<!-- end table -->", tmp_path)


def test_the_scores_of_a_grid_become_the_tables_of_pages(tmp_path):
    """Means over seeds by hand, from the grid's own files."""
    scores = {("ours", 0): 0.5, ("ours", 1): 0.75, ("mice", 0): 1.25, ("ours-none", 0): 1.0, ("ours-none", 1): 0.5, ("mean", 0): 2.0}
    for (method, seed), crps in scores.items():
        path = tmp_path / f"grid/red/hard/{method}/{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        found = {"rmse": 2 * crps, "crps": crps} | ({} if method == "mean" else {"coverage_90": 0.9})
        cell = {
            "table": "red",
            "mask": "hard",
            "method": method,
            "seed": seed,
            "scores": found,
            "settings": {},
            "versions": {"numpy": "2"},
        }
        path.write_text(json.dumps(cell))
    names = ("accuracy hard crps of ours,mice", "regret", "regret hard")
    page = "\n".join(f"<!-- begin table {name} -->\n<!-- end table -->" for name in names)
    assert filled(page, tmp_path)[1] == list(names)
    publish(tmp_path / "grid", tmp_path / "imputation.json")
    kept = json.loads((tmp_path / "imputation.json").read_text())
    assert kept["cells"]["red/hard/ours/1"] == [1.5, 0.75, 0.9] and kept["cells"]["red/hard/mean/0"] == [4.0, 2.0, None]
    text, absent = filled(page, tmp_path)
    assert not absent
    assert "| CRPS, `hard` | red | seeds |\n|---|---|---|\n| MICE | 1.250 | 1 |\n| **pyro_mnar, nothing stated** | .625 | 2 |" in text
    assert "| hard | 2 | 1.000 | 1.500 |" in text and "- worst regret: 1.500" in text  # .5 / 1 and .75 / .5: median 1
    assert "| red, hard | .625 | .750 |  | 1.000 | 1.250 |" in text
    # A piece that was run elsewhere: its cells take the place of their own, the others stay.
    piece = tmp_path / "piece/red/hard/ours/1.json"
    piece.parent.mkdir(parents=True)
    piece.write_text(json.dumps(cell | {"method": "ours", "seed": 1, "scores": {"rmse": 3.0, "crps": 2.0}, "versions": {"numpy": "3"}}))
    publish(tmp_path / "piece", tmp_path / "imputation.json")
    both = json.loads((tmp_path / "imputation.json").read_text())
    assert both["cells"] == kept["cells"] | {"red/hard/ours/1": [3.0, 2.0, None]}
    assert [both["methods"][name]["versions"] for name in ("mice", "ours")] == ["numpy 2", "numpy 3"]
    # Means of 1, .5, .9 and of 3, 2 and no coverage.
    row = filled("<!-- begin table scores ours hard -->\n<!-- end table -->", tmp_path)[0]
    assert "| **pyro_mnar, nothing stated** | red |\n|---|---|\n| hard | 2.000 / 1.250 / .900 |" in row
    # Seconds, of cells that have a file of their own.
    timed = tmp_path / "timed/red/hard/mice/0.json"
    timed.parent.mkdir(parents=True)
    timed.write_text(json.dumps(cell | {"method": "mice", "seed": 0, "scores": {"rmse": 1.0, "crps": 0.25, "seconds": 12.4}}))
    publish(tmp_path / "timed", tmp_path / "times.json", TIMES)
    row = filled("<!-- begin table times hard -->\n<!-- end table -->", tmp_path)[0]
    assert "| seconds / CRPS, `hard` | red |\n|---|---|\n| MICE | 12 / .250 |\n" in row
    # Scored by column on rows left out; a table that is not the paper's has no regret on the pages.
    for method, r2 in (("ours", 0.5), ("ours-none", 0.25)):
        other = tmp_path / f"other/obesity/logistic/{method}/0.json"
        other.parent.mkdir(parents=True)
        found = {"rmse": 9.0, "crps": 9.0, "coverage_90": 0.9, "r2": r2, "column_rmse": 0.75, "wasserstein": 0.125}
        other.write_text(json.dumps(cell | {"table": "obesity", "mask": "logistic", "method": method, "seed": 0, "scores": found}))
    publish(tmp_path / "other", tmp_path / "imputation.json")
    row = filled("<!-- begin table columns logistic -->\n<!-- end table -->", tmp_path)[0]
    assert "| `logistic` | obesity |\n|---|---|\n| pyro_mnar, at random | .250 / .750 / .125 / 9.000 |\n| **pyro_mnar, nothing" in row
    assert "- number of cells: 2" in filled(page, tmp_path)[0]
    for wrong in (
        "columns hard",
        "times mar",
        "columns",
        "scores ours",
        "scores ours mar",
        "scores nobody hard",
        "accuracy hard",
        "accuracy hard width",
        "accuracy nowhere crps",
        "accuracy hard crps by ours",
        "accuracy mar crps",
    ):
        with pytest.raises(ValueError, match=f"table {wrong}"):
            filled(f"<!-- begin table {wrong} -->\n<!-- end table -->", tmp_path)
