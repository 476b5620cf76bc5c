"""MNARImputer: arrays and frames, saved models, score, repeatability."""

import numpy as np
import pandas as pd
import pytest
import torch
from exact import Z_MAX
from scipy import special

from pyro_mnar import MNARImputer
from pyro_mnar.imputer.training import fitting
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.history import History
from pyro_mnar.mechanisms import SequentialMasking


def pieces(mechanism):
    """The mechanisms of the columns' own values."""
    own = getattr(mechanism, "own", mechanism)
    return list(own.parts) if hasattr(own, "parts") else [own]


def holed(n=120, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) @ rng.normal(size=(2, 4)) + 0.3 * rng.normal(size=(n, 4))
    full = x.copy()
    x[x[:, 0] > 0.5, 0] = np.nan
    return x, full


@pytest.fixture(scope="module")
def fitted():
    return MNARImputer(direction="high", steps=150, members=2, hidden=(16,), progress=False).fit(holed()[0])


def test_imputes_above_what_was_seen_as_the_truth_does(fitted):
    x, full = holed()
    holes = np.isnan(x)
    completed = fitted.transform(x)
    assert completed[~holes].tobytes() == x[~holes].tobytes()
    error = np.sqrt(np.mean((completed - full)[holes] ** 2))
    assert error < 0.5 * np.sqrt(np.mean((np.nanmean(x[:, 0]) - full[holes]) ** 2))


def test_draws_differ_and_average_to_the_mean(fitted):
    x, _ = holed()
    holes = np.isnan(x)
    result = fitted.impute(x, draws=400, particles=1000)
    draws, mean = result.draws.numpy()[:, holes], result.completed.numpy()[holes]
    good = (~result.unreliable).numpy()[np.nonzero(holes)[0]]
    assert good.mean() > 0.5
    # The mean's own weights have an error too, of as many draws as they are worth.
    ess = result.ess.numpy()[np.nonzero(holes)[0]]
    z = ((draws.mean(0) - mean) / (draws.std(0) * np.sqrt(1 / 400 + 1 / ess)))[good]
    assert np.abs(z).max() < Z_MAX and abs(z.mean()) < Z_MAX / np.sqrt(len(z))
    tables = fitted.sample(x, 2)
    assert len(tables) == 2 and (tables[0][~holes] == x[~holes]).all() and (tables[0][holes] != tables[1][holes]).all()


def test_a_rows_draws_do_not_depend_on_the_table_it_comes_in(fitted):
    x, _ = holed()
    named = MNARImputer(direction="high", steps=10, members=2, hidden=(8,), progress=False)
    frame = pd.DataFrame(x, columns=list("abcd"), index=[f"r{i}" for i in range(len(x))])
    named.fit(frame)
    whole = named.impute(frame, draws=3)
    shuffled = frame.sample(frac=0.4, random_state=1)
    part = named.impute(shuffled, draws=3)
    at = frame.index.get_indexer(shuffled.index)
    assert torch.equal(whole.draws[:, at], part.draws) and torch.equal(whole.completed[at], part.completed)
    twins = pd.concat([frame.iloc[:1], frame.iloc[:1]]).set_axis(["one", "two"])
    twins.iloc[:, 0] = np.nan
    pair = named.impute(twins, draws=3).draws[:, :, 0]
    assert (pair[:, 0] != pair[:, 1]).all()


def test_a_saved_model_is_the_same_model(fitted, tmp_path):
    x, _ = holed()
    fitted.save(tmp_path / "m")
    loaded = MNARImputer.load(tmp_path / "m")
    assert loaded.transform(x).tobytes() == fitted.transform(x).tobytes() and loaded.score(x) == fitted.score(x)
    assert loaded.direction == "high" and loaded.histories_ == fitted.histories_ and loaded.candidates_ == fitted.candidates_
    pd.testing.assert_frame_equal(loaded.reasons_, fitted.reasons_)
    fitted.save(tmp_path / "m")  # replaces its own


def test_the_score_is_a_density_in_the_tables_units(fitted):
    x, _ = holed()
    values = np.nan_to_num(x)
    mask = torch.from_numpy(~np.isnan(x))
    scaled = torch.from_numpy((values - fitted.codec_.scaling.center) / fitted.codec_.scaling.scale).float()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        rows = torch.stack([IWELBO(member, 500)(scaled, mask) for member in fitted.members_])
        other = rows.logsumexp(0).mean().item() - np.log(len(rows))
    jacobian = (mask.numpy() * -np.log(fitted.codec_.scaling.scale)).sum(1).mean()
    assert fitted.score(x) == pytest.approx(other + jacobian, abs=0.05)


def test_training_is_repeatable_and_leaves_global_randomness_alone():
    x, _ = holed()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    few = {"steps": 15, "members": 2, "hidden": (8,), "progress": False}
    first = MNARImputer(**few).fit_transform(x)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(6)
    assert MNARImputer(**few).fit_transform(x).tobytes() == first.tobytes()
    assert MNARImputer(random_state=1, **few).fit_transform(x).tobytes() != first.tobytes()


def small(**settings):
    return MNARImputer(**({"steps": 15, "hidden": (8,), "members": 3, "progress": False} | settings))


def test_members_start_apart_and_one_alone_is_at_the_prior_s_centre():
    x, _ = holed()
    ensemble, one = (small(mechanism="none", **size).fit(x) for size in ({}, {"members": 1}))
    assert len(ensemble.members_) == len(ensemble.histories_) == 3 and len(one.members_) == len(one.histories_) == 1
    anchors = torch.stack([member.prior.skew for member in ensemble.members_])
    torch.testing.assert_close(anchors.mean(0), one.members_[0].prior.skew)
    assert bool((anchors.std(0) > 0.2).all())
    assert len({history.evaluations[-1].train for history in ensemble.histories_}) == 3
    holes = np.isnan(x)
    result, alone = ensemble.impute(x, draws=7), one.impute(x, draws=7)
    assert result.draws.shape == alone.draws.shape == (7, *x.shape)
    # Seven draws of three members are 3, 2 and 2 of theirs, in the table's units, with its own observed cells.
    for imputed in (result, alone):
        assert imputed.completed.numpy()[~holes].tobytes() == x[~holes].tobytes()
        assert all(draw.numpy()[~holes].tobytes() == x[~holes].tobytes() for draw in imputed.draws)
    assert len({draw.numpy()[holes].tobytes() for draw in result.draws}) == 7


@pytest.mark.parametrize(("kind", "direction"), [("frame", {"c": "low", "a": "high"}), ("array", {2: "low", 0: "high"})])
def test_a_saved_ensemble_with_directions_for_some_columns_is_the_same_ensemble(tmp_path, kind, direction):
    x, _ = holed()
    x[x[:, 2] < -0.5, 2] = np.nan
    x[::7, 1] = np.nan
    table = pd.DataFrame(x, columns=list("abcd")) if kind == "frame" else x
    imputer = small(mechanism="self-masking", direction=direction).fit(table)
    high, other, low = imputer.specification_.directions
    assert (high, low) == ("high", "low") and other in ("free", "none")
    assert [words for piece in pieces(imputer.members_[0].mechanism) for words in piece.directions] == [high, other, low]
    imputer.save(tmp_path / "m")
    loaded = MNARImputer.load(tmp_path / "m")
    assert loaded.direction == direction and loaded.members == len(loaded.members_) == 3
    assert loaded.histories_ == imputer.histories_ and loaded.candidates_ == imputer.candidates_
    pd.testing.assert_frame_equal(loaded.reasons_, imputer.reasons_)
    for ours, theirs in zip(imputer.members_, loaded.members_, strict=True):
        state = theirs.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in ours.state_dict().items())
        assert theirs.encoder._decoder[0] is theirs.decoder
    np.testing.assert_array_equal(loaded.impute(table, draws=4).draws, imputer.impute(table, draws=4).draws)
    assert [name for name, _, _ in loaded.missingness(5)] == [name for name, _, _ in imputer.missingness(5)]


def test_missingness_is_each_member_s_chance_at_values_in_the_table_s_units():
    x, _ = holed()
    x = 100 + 7 * x
    x[::5, 3] = np.nan
    imputer = small(direction={0: "high", 3: "free"}).fit(x)
    curves = imputer.missingness(50)
    assert [(name, values.shape, chances.shape) for name, values, chances in curves] == [(0, (50,), (3, 50)), (3, (50,), (3, 50))]
    for j, values, chances in curves:
        # Row by row through the table's own scaling, from each member's line and skewness.
        scaled = (values - imputer.codec_.scaling.center[j]) / imputer.codec_.scaling.scale[j]
        np.testing.assert_allclose(scaled, np.linspace(-4, 4, 50), atol=1e-5)
        for member, chance in zip(imputer.members_, chances, strict=True):
            (own,) = pieces(member.mechanism)
            slope, intercept = (part[own.columns.tolist().index(j)].item() for part in own.line())
            y = np.sinh(np.arcsinh(scaled) - member.warp.skew[j].item())
            if isinstance(member.mechanism, SequentialMasking) and member.mechanism.order is not None:
                # Those before it are seen, at x = 0.
                first = member.mechanism.order[: member.mechanism.order.index(j)]
                intercept += sum(member.mechanism.effects[j, k].item() * np.sinh(-member.warp.skew[k].item()) for k in first)
            np.testing.assert_allclose(chance, special.ndtr(slope * y + intercept), atol=1e-4)
    assert (np.diff(curves[0][2]) >= 0).all()  # large values go missing
    assert small(mechanism="linear", members=1).fit(x).missingness() == []


def test_an_interrupted_ensemble_is_that_of_the_members_fitted_and_can_be_saved(tmp_path):
    x, _ = holed()
    looks = []

    def callback(evaluation):
        looks.append(evaluation)
        if len(looks) == 2:
            raise KeyboardInterrupt

    imputer = small(keep_partial=True)
    with pytest.warns(UserWarning, match="interrupted: 2 of 3 models"):
        imputer.fit(x, callback=callback)
    assert len(imputer.members_) == 2 and [h.stopped for h in imputer.histories_] == ["steps", "interrupted"]
    imputer.save(tmp_path / "m")
    loaded = MNARImputer.load(tmp_path / "m")
    assert len(loaded.members_) == 2 and loaded.transform(x).tobytes() == imputer.transform(x).tobytes()


@pytest.mark.parametrize("where", ["fit", "reasons_of"])
def test_an_interruption_or_an_error_at_any_place_leaves_what_was_fitted_before(monkeypatch, where):
    x, imputer = holed()[0], small(members=2).fit(holed()[0])
    before, looks = dict(vars(imputer)), []

    def callback(evaluation):
        looks.append(evaluation)
        if where == "fit":
            raise KeyboardInterrupt

    def fails(*_):
        raise FloatingPointError

    if where == "reasons_of":
        monkeypatch.setattr("pyro_mnar.imputer.learning.reasons_of", fails)
    with pytest.raises((KeyboardInterrupt, FloatingPointError)):
        imputer.fit(3 * x[:, :3], callback=callback)
    assert looks and vars(imputer).keys() == before.keys() and all(vars(imputer)[name] is before[name] for name in before)


def test_nothing_missing_trains_without_a_mechanism_and_says_so():
    with pytest.warns(UserWarning, match="nothing is missing"):
        imputer = MNARImputer(steps=5, hidden=(8,), progress=False).fit(holed()[1])
    assert imputer.members_[0].mechanism is None


def test_a_column_missing_altogether_in_new_rows_is_imputed(fitted):
    x = holed()[0][:5].copy()
    x[:, 2] = np.nan
    assert np.isfinite(fitted.transform(x)).all()


def test_ignorable_columns_have_no_mechanism():
    x, _ = holed()
    x[:9, 1] = np.nan
    imputer = MNARImputer(steps=5, hidden=(8,), ignorable=[1], progress=False).fit(x)
    assert imputer.members_[0].mechanism.columns.tolist() == [0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mechanism": "odd"}, "mechanism: got 'odd'"),
        ({"direction": "up"}, "direction: got 'up'"),
        ({"direction": {9: "high"}}, "unknown column 9"),
        ({"ignorable": ["z"]}, "ignorable: got unknown column 'z'"),
        ({"order": [0, 9]}, "order: got unknown column 9, expected some of 0, 1, 2, 3"),
        ({"order": [1, 0, 1]}, "order: got column 1 twice, expected each once"),
        (
            {"order": [0, 1], "mechanism": "linear"},
            "order: got one with mechanism 'linear', expected one only with auto or self-masking",
        ),
        ({"direction": "free", "mechanism": "neural"}, "direction: got 'free' with mechanism 'neural'"),
        ({"direction": {1: "none"}, "mechanism": "linear"}, "direction: got 'none' with mechanism 'linear'"),
        ({"members": 0}, "members: got 0, expected at least 1"),
    ],
)
def test_fit_refuses(settings, said):
    with pytest.raises(ValueError, match=said):
        MNARImputer(progress=False, **settings).fit(holed()[0])


def test_an_interruption_before_the_ensemble_leaves_nothing_fitted(monkeypatch):
    x, (again, other) = holed()[0], (small(members=1).fit(holed()[0]) for _ in range(2))
    imputer = small()
    monkeypatch.setattr(fitting, "fit", lambda *_, **__: [History([], 0, "interrupted")])
    with pytest.raises(KeyboardInterrupt):
        imputer.fit(x)
    with pytest.raises(ValueError, match="not fitted"):
        imputer.transform(x)
    # Of one that was fitted before, all stays: units and model belong together.
    with pytest.raises(KeyboardInterrupt):
        again.fit(100 * x[:, :3])
    assert again.transform(x).tobytes() == other.transform(x).tobytes()


def test_an_unfitted_imputer_says_so():
    with pytest.raises(ValueError, match="not fitted"):
        MNARImputer().transform(holed()[0])
