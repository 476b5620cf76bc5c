"""Every planted fault has its sentence, with its numbers; a clean result has none."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from exact import LinearGaussian, self_masking
from scipy import stats

from pyro_mnar import MNARImputer
from pyro_mnar.cli.main import main
from pyro_mnar.data import Scaling
from pyro_mnar.diagnostics import findings
from pyro_mnar.diagnostics.diagnosis import diagnose
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.imputation.importance import sample_importance
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.mcmc import convergence
from pyro_mnar.mcmc.posterior import sample_posterior
from pyro_mnar.model import MNAR
from pyro_mnar.networks import ConjugateEncoder

LAW = LinearGaussian(np.array([[1.0, 0.3], [0.5, -0.8], [0.7, 0.6]]), np.array([0.2, -0.1, 0.0]), np.array([0.5, 0.6, 0.7]))
COLUMNS = ["income", "age", "size"]
N = 150
ROWS = [f"r{i}" for i in range(N)]


def simulated(seed, reads=0, n=N):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) @ LAW.weight.T + LAW.bias + LAW.noise * rng.normal(size=(n, 3))
    mask = np.ones((n, 3), bool)
    mask[:, 0] = 1.5 * x[:, reads] - 0.5 + rng.normal(size=n) < 0
    return torch.from_numpy(x), torch.from_numpy(mask)


def mnar(slope=1.5, intercept=-0.5):
    decoder = LAW.decoder()
    return MNAR(decoder, ConjugateEncoder(decoder), self_masking([slope, np.nan, np.nan], [intercept, 0, 0])).double()


X, MASK = simulated(0)
MODEL = mnar()
PLAIN = MNAR(LAW.decoder(), MODEL.encoder).double()


def said(draws, model=MODEL, x=X, mask=MASK, **settings):
    return diagnose(draws, model, x, mask, **({"rows": ROWS, "columns": COLUMNS} | settings))


@pytest.fixture(scope="module")
def chains():
    return sample_posterior(MODEL, X, MASK, chains=4, draws=200, ess=400, progress=False)


@pytest.fixture(scope="module")
def importance():
    return sample_importance(MODEL, X, MASK, draws=50, chains=2, progress=False)


@pytest.fixture(scope="module")
def imputation():
    return impute(MODEL, X, MASK, draws=100, progress=False, particles=500)


def test_clean_results_have_no_problem_and_their_caveats(chains, importance, imputation):
    for draws in (chains, importance, imputation):
        found = said(draws)
        assert found.problems == {} and found.mask_check is not None and str(found).startswith("No problem found.\nIn any case:\n- Why")
        assert sorted(found.caveats) == (["assumption"] if draws is imputation else ["assumption", "loo"])
    beyond = imputation.draws[:, ~MASK[:, 0], 0] > X[MASK[:, 0], 0].max()
    assert f"{float(beyond.double().mean()):.0%} of the imputed values lie beyond" in said(imputation).caveats["assumption"]


def poor_weights(draws):
    k = draws.pareto_k.clone()
    k[..., [3, 5]] = torch.tensor([0.9, 1.7], dtype=k.dtype)
    return replace(draws, pareto_k=k)


def test_rows_whose_weights_fail_and_rows_of_few_particles(importance, imputation):
    found = said(poor_weights(importance))
    assert set(found.problems) == {"weights"}
    assert "in 2 of 150 rows (Pareto k above 0.63; the worst 1.70, row r5)" in found.problems["weights"]
    holes = (~MASK).any(1)
    few = imputation.ess.clone()
    few[holes.nonzero()[4]], few[(~holes).nonzero()[0]] = 3.25, 1.0
    found = said(replace(imputation, ess=few))
    # Of an imputation a row without holes does not matter.
    assert set(found.problems) == {"particles"}
    row = ROWS[int(holes.nonzero()[4])]
    assert (
        f"Fewer than 50 effective particles of 500 in 1 of {int(holes.sum())} rows (the least 3.2, row {row})"
        in found.problems["particles"]
    )


def test_rows_imputed_by_chains_are_judged_by_their_chains(imputation):
    row = int((~MASK).any(1).nonzero()[2])
    k, rhat, ess = imputation.pareto_k.clone(), imputation.rhat.clone(), imputation.ess.clone()
    k[row], rhat[row], ess[row] = 3.0, 1.01, 400.0
    assert said(replace(imputation, pareto_k=k, rhat=rhat, ess=ess)).problems == {}
    rhat[row] = 1.3
    found = said(replace(imputation, pareto_k=k, rhat=rhat, ess=ess)).problems
    assert set(found) == {"rhat"} and f"in 1 of 1 rows imputed by MCMC (R-hat up to 1.30, row r{row})" in found["rhat"]


def test_particles_of_members_and_chains_count_together(imputation, importance):
    few = replace(imputation, ess=torch.full_like(imputation.ess, 30.0))
    assert set(said(few).problems) == {"particles"} and said(few, [MODEL, MODEL]).problems == {}
    low = importance.ess.clone()
    low[:, 4] = torch.tensor([30.0, 15.0])
    assert "particles of 1000 in 1 of 150 rows (the least 45.0, row r4)" in said(replace(importance, ess=low)).problems["particles"]


def test_chains_that_disagree_move_little_diverge_or_are_alone(chains):
    apart = chains.latents["z"].clone()
    apart[0, :, 7] += 3
    found = said(replace(chains, latents={"z": apart}))
    worst = replace(chains, latents={"z": apart}).rhat().max()
    assert {"rhat"} <= set(found.problems) <= {"rhat", "ess"}
    assert f"larger than by chance in 1 of 150 rows (the worst {float(worst):.2f}, row r7)" in found.problems["rhat"]
    slow = chains.latents["z"].clone()
    # Each draw repeated ten times: a tenth of the effective draws.
    slow[:, :, 9] = slow[:, ::10, 9].repeat_interleave(10, 1)
    found = said(replace(chains, latents={"z": slow}))
    assert {"ess"} <= set(found.problems) <= {"rhat", "ess"}
    assert "Fewer than 400 effective draws of 800 in 1 of 150 rows" in found.problems["ess"] and "row r9" in found.problems["ess"]
    lost = chains.diverging.clone()
    lost[2, 5:8, 11], lost[0, 0, 12] = True, True
    found = said(replace(chains, diverging=lost))
    assert set(found.problems) == {"divergences"}
    assert "4 of 120000 draws diverged, in 2 of 150 rows (most, 3, in row r11)" in found.problems["divergences"]
    fields = ("acceptance", "diverging", "energy", "x", "step_size")
    alone = replace(chains, latents={"z": chains.latents["z"][:1]}, **{name: getattr(chains, name)[:1] for name in fields})
    assert "chains" in said(alone).problems and "A single chain" in said(alone).problems["chains"]


@pytest.mark.parametrize(
    ("rhat", "ess", "bad"), [(1.04, 500, False), (1.045, 500, True), (1.015, 1e4, True), (1.009, 1e6, False), (1.06, 400, True)]
)
def test_rhat_is_judged_by_the_effective_draws(chains, monkeypatch, rhat, ess, bad):
    monkeypatch.setattr(type(chains), "rhat", lambda self: torch.ones(N).index_fill(0, torch.tensor([5]), rhat))
    monkeypatch.setattr(type(chains), "ess", lambda self: torch.full((N,), float(ess)))
    assert set(said(chains).problems) == ({"rhat"} if bad else set())


def test_independent_draws_have_rhats_within_what_chance_is_allowed(seed):
    draws = torch.randn(4, 125, 1000, generator=torch.Generator().manual_seed(seed))
    judged = convergence.rhat(draws) > (1 + findings.RHAT_EXCESS / convergence.ess(draws)).clamp(1.01, 1.05)
    assert float(judged.double().mean()) < 3e-3


def test_an_rhat_that_is_no_number_is_said(chains):
    lost = chains.latents["z"].clone()
    lost[0, 3, 5] = torch.nan
    assert "in 1 of 150 rows (the worst inf, row r5)" in said(replace(chains, latents={"z": lost})).problems["rhat"]


def test_a_mask_that_the_mechanism_does_not_explain():
    x, mask = simulated(0, reads=1)
    found = said(impute(MODEL, x, mask, draws=50, progress=False, particles=500), x=x, mask=mask)
    assert set(found.problems) == {"mask"}
    check = found.mask_check
    k = check.worst(0)
    assert f"the holes of income ({check.by[k]} " in found.problems["mask"] and "p = 0.001" in found.problems["mask"]
    # In the table's units: the edges are those of the table's column.
    scaling = Scaling(np.array([0.0, 100.0, 1000.0]), np.array([1.0, 10.0, 1.0]))
    told = said(impute(MODEL, x, mask, draws=50, progress=False, particles=500), x=x, mask=mask, codec=scaling).mask_check
    np.testing.assert_allclose(told.edges[2], check.edges[2] * 10 + 100, rtol=1e-6)
    np.testing.assert_allclose(told.edges[3], check.edges[3] + 1000, rtol=1e-6)


def test_members_that_disagree_on_the_direction():
    rate = stats.norm.ppf(float((~MASK[:, 0]).double().mean()))
    members = [mnar(), mnar(1.0, -0.3), mnar(-1.0, rate)]
    found = said(impute(members, X, MASK, draws=60, progress=False), members)
    assert "income (2 of 3 with large values, 1 with small ones)" in found.problems["direction"]
    # Each member's rates at its own 20 draws: 60 looks, 17 replicates of each make up the thousand.
    assert found.mask_check.replicates == 1020
    agreeing = said(impute(members[:2], X, MASK, draws=60, progress=False), members[:2])
    assert "direction" not in agreeing.problems


def test_imputed_values_far_out(imputation):
    seen = X[MASK[:, 0], 0]
    draws = torch.where(MASK, imputation.draws, imputation.draws + 5 * seen.std())
    distance = float((draws[:, ~MASK[:, 0], 0].mean() - seen.mean()) / seen.std())
    found = said(replace(imputation, draws=draws), PLAIN)
    assert set(found.problems) == {"far"} and f"income ({distance:+.1f}), in observed standard" in found.problems["far"]


def test_a_column_seen_alike_everywhere_is_not_far_from_anything(imputation):
    alike = torch.where(MASK, X, X.new_zeros(())).index_fill(1, torch.tensor([0]), 2.0)
    draws = torch.where(MASK, alike, imputation.draws)
    assert "far" not in said(replace(imputation, draws=draws), PLAIN, x=alike).problems


def test_without_a_mechanism_there_is_no_mask_to_check_and_the_assumption_is_another():
    found = said(impute(PLAIN, X, MASK, draws=20, progress=False, particles=500), PLAIN)
    assert found.mask_check is None and found.problems == {} and "(ignorable missingness)" in found.caveats["assumption"]


def test_nothing_missing_one_row():
    mask = torch.ones_like(MASK)
    found = said(impute(PLAIN, X, mask, draws=5, progress=False, particles=500), PLAIN, mask=mask)
    assert found.problems == {} and found.caveats == {} and str(found) == "No problem found."
    one = sample_importance(MODEL, X[:1], MASK[:1], draws=20, chains=1, progress=False)
    assert diagnose(one, MODEL, X[:1], MASK[:1]).problems == {}


def test_the_page_numbers_its_problems(chains):
    lost = chains.diverging.clone()
    lost[0, 0, 0] = True
    page = str(said(replace(chains, diverging=lost)))
    assert page.startswith("1 problem found.\n1. 1 of 120000 draws diverged") and max(map(len, page.splitlines())) <= 110


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"x": X[:3], "mask": MASK[:3]}, "x: got shape"),
        ({"rows": ["a"]}, "rows: got 1 labels, expected 150"),
        ({"columns": ["a"]}, "columns: got 1 labels, expected 3"),
        ({"model": []}, "result: got 100"),
    ],
)
def test_what_cannot_be_diagnosed_is_refused(imputation, wrong, what):
    with pytest.raises(ValueError, match=what):
        said(imputation, **wrong)
    with pytest.raises(ValueError, match="result: got 0 completed tables"):
        said(Imputation(X, X.new_zeros(0, *X.shape), torch.ones(N), torch.zeros(N), torch.full((N,), torch.nan), 200))


def test_a_statistician_reaches_it(tmp_path, capsys):
    pandas = pytest.importorskip("pandas")
    x, mask = simulated(1, reads=1, n=300)
    frame = pandas.DataFrame(torch.where(mask, 1000 + 100 * x, torch.nan).numpy(), range(1, 301), COLUMNS)  # as the command line counts
    imputer = MNARImputer(direction="high", members=2, steps=40, hidden=(8,), progress=False).fit(frame)
    found = imputer.diagnose(frame)
    # What is stated is not the whole truth here, and one of them says so.
    assert {"mask", "far", "reasons"} & set(found.problems) and 700 < found.mask_check.edges[2].min() < found.mask_check.edges[
        2
    ].max() < 1300
    imputer.save(tmp_path / "model")
    frame.to_csv(tmp_path / "t.csv", index=False)
    figure = tmp_path / "check.png"
    assert main(["diagnose", str(tmp_path / "t.csv"), "--model", str(tmp_path / "model"), "--figure", str(figure)]) == 0
    assert capsys.readouterr().out == f"{found}\n" and figure.stat().st_size
    assert main(["diagnose", "no-such.csv", "--model", str(tmp_path / "model")]) == 2
    plain = MNARImputer("none", members=1, steps=5, hidden=(8,), progress=False).fit(frame)
    plain.save(tmp_path / "plain")
    assert main(["diagnose", str(tmp_path / "t.csv"), "--model", str(tmp_path / "plain"), "--figure", str(figure)]) == 2
    assert "there is no mask to check" in capsys.readouterr().err
