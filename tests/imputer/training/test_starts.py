"""Pilots start as a short model of the values, members as the chosen pilot: as their linear parts, and noise where it is smaller."""

import numpy as np
import pytest
import torch

from pyro_mnar import GaussianDecoder, MNARImputer
from pyro_mnar.imputer.reason_selection import selection
from pyro_mnar.imputer.reasons import reasons_of
from pyro_mnar.imputer.tables.given import given
from pyro_mnar.imputer.training.fitting import fit_specified
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.networks.heads import CategoryHead, NormalHead
from pyro_mnar.networks.mixed_decoder import MixedDecoder


def table(n=60, columns=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(n, columns))
    x[rng.random(x.shape) < 0.2] = np.nan
    return x


def decoders(mixed):
    if mixed:
        heads = [[NormalHead([0, 2]), CategoryHead([1], [[0.5, 0.3, 0.2]])] for _ in range(2)]
        return [MixedDecoder(2, own, [8]) for own in heads]
    return [GaussianDecoder(2, 3, [8], scale_net=True) for _ in range(2)]


@pytest.mark.parametrize("mixed", [False, True])
def test_a_decoder_starts_as_another_s_linear_part_and_smaller_noise(mixed):
    one, other = decoders(mixed)
    with torch.no_grad():
        for p in other.parameters():
            p.normal_()
    before = {name: p.clone() for name, p in one.named_parameters()}
    one.start_as(other)
    theirs = dict(other.named_parameters())
    for name, p in one.named_parameters():
        expected = {"weight": theirs[name]} if name == "linear.weight" else {"raw_scale": before[name].minimum(theirs[name])}
        assert torch.equal(p, expected.get(name.rpartition(".")[-1], before[name])), name


def test_members_start_as_the_model_given():
    spec = Specification("none", (), (), ("continuous",) * 3, 2, (8,), members=3)
    x, mask = torch.randn(40, 3), torch.rand(40, 3) < 0.8
    start = spec.first(1).models()[0]
    with torch.no_grad():
        start.decoder.linear.weight.fill_(7.0)
    fitted = fit_specified(spec, x, mask, starts=[start] * 3, seed=0, steps=1, lr=1e-6, progress=False)
    for member in fitted.members:
        torch.testing.assert_close(member.decoder.linear.weight, torch.full((3, 2), 7.0), rtol=1e-4, atol=0)
    firsts = [member.decoder.net[0].weight for member in fitted.members]
    assert not torch.equal(firsts[0], firsts[1])


def followed(specification):
    """Return for each member the specification that it follows."""
    return [one for i in range(specification.members) for one, members in specification.supposed if i in members]


def test_pilots_and_members_start_as_they_should(monkeypatch):
    started, made = [], []

    def two_reasons(candidates, masks, members, _):
        return [candidates[0], next(one for one in candidates if one.by_value != candidates[0].by_value)], [0, 1]

    monkeypatch.setattr(selection, "shared_out", two_reasons)

    def watched(specification, *args, starts=(), **settings):
        found = fit_specified(specification, *args, starts=starts, **settings)
        started.append(list(starts))
        made.append(found)
        return found

    for module in ("training.fitting", "reason_selection.selection", "learning"):
        monkeypatch.setattr(f"pyro_mnar.imputer.{module}.fit_specified", watched)
    imputer = MNARImputer(steps=2, members=2, progress=False).fit(table())
    (shared,) = made[0].members
    assert started[0] == [] and shared.mechanism is not None and not shared.mechanism.reads_own().any()
    # Close ones, two or three, are fitted for longer; an ensemble starts as none of these.
    again = len(started) - sum(one.earlier != "some" for one in imputer.candidates_) - 1  # which have no pilot
    assert all(start is shared for (start,) in started[1:-1]) and again in (0, 2, 3)
    del made[-1 - again : -1]
    assert len(started[-1]) == 2 and started[-1][0] is not started[-1][1] and imputer.specification_.follows == (0, 1)
    for member, (start, supposed) in enumerate(zip(started[-1], followed(imputer.specification_), strict=True)):
        told = next(fit for fit in made[1:-1] if fit.members[0] is start).specification
        assert told.directions == supposed.directions and told.latent == supposed.latent, member
    assert imputer.specification_.directions == imputer.candidates_[0].directions
    # Of what is tried no noise grows with the mean: the values' own model and each pilot; the ensemble's does.
    assert [fit.specification.growing for fit in made] == [False] * (len(made) - 1) + [True]


def test_pilots_have_half_the_steps_they_had():
    assert selection.pilot_worth("auto", 96, 96) == selection.pilot_worth(1000, 96, 96) == 200.0
    assert selection.pilot_worth(20, 96, 96) == 20.0


def test_auto_is_the_default_and_is_said_where_it_does_not_suffice(monkeypatch, recwarn):
    monkeypatch.setattr("pyro_mnar.infer.schedule.MOST", 60)
    monkeypatch.setattr("pyro_mnar.infer.schedule._FALL", 20)
    monkeypatch.setattr("pyro_mnar.imputer.learning.EVERY", 10)
    monkeypatch.setattr("pyro_mnar.infer.schedule.FLAT", -np.inf)
    imputer = MNARImputer("none", members=1, progress=False).fit(table())
    assert imputer.steps == "auto" and imputer.histories_[0].stopped == "steps"
    assert any("training has not converged" in str(one.message) for one in recwarn)
    recwarn.clear()
    monkeypatch.setattr("pyro_mnar.infer.schedule.FLAT", np.inf)
    imputer.fit(table())
    assert imputer.histories_[0].stopped == "converged" and imputer.histories_[0].evaluations[-1].step == 40
    assert not any("training has not converged" in str(one.message) for one in recwarn)


@pytest.mark.parametrize("wrong", ["soon", 0, 2.5])
def test_what_is_no_number_of_steps_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match="steps: got .*, expected a number of updates, at least 1, or 'auto'"):
        MNARImputer(steps=wrong, progress=False).fit(table())


def test_auto_comes_back_with_a_saved_model(tmp_path):
    fitted = MNARImputer("none", members=1, progress=False)
    fitted.steps = 2
    fitted.fit(table())
    fitted.steps = "auto"
    fitted.save(tmp_path / "m")
    assert MNARImputer.load(tmp_path / "m").steps == "auto"
    fitted.steps = "soon"
    fitted.save(tmp_path / "n")
    with pytest.raises(ValueError, match="steps: got 'soon'"):
        MNARImputer.load(tmp_path / "n")


def test_what_masks_read_is_asked_once_of_each_member(monkeypatch):
    imputer = MNARImputer(steps=2, members=2, progress=False).fit(table(columns=6))
    asked = []
    for member in imputer.members_:
        for name in ("own_effects", "effects_of_columns"):
            kept = getattr(member.mechanism, name)
            monkeypatch.setattr(member.mechanism, name, lambda kept=kept, name=name: (asked.append(name), kept())[1], raising=False)
    read, stated = given(imputer, table(columns=6)), [None] * len(imputer.specification_.columns)
    reasons_of(imputer, stated, imputer.members_[0], imputer.codec_, read)
    assert asked.count("own_effects") <= 2 and asked.count("effects_of_columns") <= 2
