"""Ensembles: each member has its own rows and randomness, and nothing else is touched."""

import copy
from dataclasses import dataclass, field

import pytest
import torch

from pyro_mnar.infer import ensembles
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.ensembles import fit, member_seed
from pyro_mnar.model import MNAR
from pyro_mnar.networks import GaussianDecoder, GaussianEncoder

N = 200
X = torch.arange(float(N)).unsqueeze(-1).expand(N, 2)
MASK = torch.arange(2 * N).reshape(N, 2) % 3 > 0


def members(size):
    return [MNAR(GaussianDecoder(1, 2, [4]), GaussianEncoder(1, 2, [4])) for _ in range(size)]


def bounds(members):
    return [IWELBO(member, 5) for member in members]


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@dataclass
class Calls:
    seeds: list = field(default_factory=list)
    rows: list = field(default_factory=list)
    options: list = field(default_factory=list)


@pytest.fixture
def calls(monkeypatch):
    seen, train = Calls(), ensembles.train

    def recorded(bound, x, mask, *, seed, **options):
        rows = x[:, 0].long()
        assert torch.equal(mask, MASK[rows]) and torch.equal(x, X[rows])
        seen.seeds.append(seed)
        seen.rows.append(rows)
        seen.options.append(options)
        return train(bound, x / N, mask, seed=seed, **options)

    monkeypatch.setattr(ensembles, "train", recorded)
    return seen


OPTIONS = {"steps": 3, "batch_size": 16, "progress": False}


def test_members_have_seeds_and_rows_drawn_with_replacement_of_their_own(calls):
    fit(bounds(members(4)), X, MASK, seed=7, **OPTIONS)
    assert calls.seeds == [member_seed(7, i) for i in range(4)] and len(set(calls.seeds)) == 4
    counts = torch.stack([rows.bincount(minlength=N) for rows in calls.rows]).double()
    assert bool((counts.sum(1) == N).all())
    # Of a sample with replacement a share of 1 - (1 - 1/N)^N is distinct, with a variance of about N (1/e - 2/e^2).
    distinct = (counts > 0).double().sum(1)
    assert float((distinct - N * (1 - (1 - 1 / N) ** N)).abs().max()) < 4.5 * (N * 0.0972) ** 0.5
    # Independently of one another: the counts of two members are uncorrelated.
    correlations = torch.corrcoef(counts)[torch.triu_indices(4, 4, 1).unbind()]
    assert float(correlations.abs().max()) < 4.5 / N**0.5


def test_seeds_of_members_differ_between_ensembles_too():
    assert len({member_seed(seed, i) for seed in range(50) for i in range(20)}) == 1000


def test_a_single_member_is_fitted_to_the_table_itself(calls):
    (history,) = fit(bounds(members(1)), X, MASK, **OPTIONS)
    assert torch.equal(calls.rows[0], torch.arange(N)) and history.stopped == "steps"


def test_a_bound_alone_is_fitted_to_the_table_itself_with_the_seed_that_is_given(calls):
    history = fit(bounds(members(1))[0], X, MASK, seed=7, n_jobs=2, **OPTIONS)
    assert torch.equal(calls.rows[0], torch.arange(N)) and calls.seeds == [7] and history.stopped == "steps"


def test_an_unknown_option_is_named():
    for given in (bounds(members(2)), bounds(members(1))[0]):
        with pytest.raises(TypeError, match="stepz"):
            fit(given, X / N, MASK, stepz=3, progress=False)


def test_global_randomness_is_left_alone_and_the_seed_decides():
    start, results = members(2), []
    for seed, global_seed in ((1, 5), (1, 6), (2, 5)):
        own = copy.deepcopy(start)
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        histories = fit(bounds(own), X / N, MASK, seed=seed, **OPTIONS)
        assert torch.equal(torch.get_rng_state(), before)
        results.append((histories, [weights(member) for member in own]))
    assert results[0][0] == results[1][0] and all(same(a, b) for a, b in zip(results[0][1], results[1][1], strict=True))
    assert results[0][0] != results[2][0] and not any(same(a, b) for a, b in zip(results[0][1], results[2][1], strict=True))


def test_equal_members_part_and_none_depends_on_those_after_it():
    start = members(1)[0]
    three, two = ([copy.deepcopy(start) for _ in range(size)] for size in (3, 2))
    for own in (three, two):
        fit(bounds(own), X / N, MASK, **OPTIONS)
    assert all(same(weights(a), weights(b)) for a, b in zip(three[:2], two, strict=True))
    assert not same(weights(three[0]), weights(three[1]))


def test_an_interruption_ends_the_member_being_fitted_and_leaves_those_after_it():
    own, looks = members(3), []
    before = [weights(member) for member in own]

    def callback(evaluation):
        looks.append(evaluation)
        if len(looks) == 2:
            raise KeyboardInterrupt

    state = torch.get_rng_state()
    histories = fit(bounds(own), X / N, MASK, callback=callback, **OPTIONS)
    assert [history.stopped for history in histories] == ["steps", "interrupted"] and len(looks) == 2
    assert torch.equal(torch.get_rng_state(), state)
    assert [same(weights(member), old) for member, old in zip(own, before, strict=True)] == [False, False, True]


def test_no_copy_of_a_held_out_row_is_trained_on(monkeypatch):
    from pyro_mnar.infer import training

    found = []

    class Seen(training._Loop):
        def run(self, *given):
            found.append((self.table[0][self.train, 0], self.table[0][self.test, 0]))
            return super().run(*given)

    monkeypatch.setattr(training, "_Loop", Seen)
    x = torch.arange(80.0).unsqueeze(-1).repeat(1, 2) / 80
    bounds = [IWELBO(MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2)), 2) for _ in range(3)]
    fit(bounds, x, torch.ones_like(x, dtype=torch.bool), held_out=0.25, steps=1, progress=False)
    assert len(found) == 3
    for trained, held_out in found:
        assert len(held_out) == 20 and not set(trained.tolist()) & set(held_out.tolist())
        assert len(set(trained.tolist())) < len(trained)  # rows drawn twice are, of those that are trained on


def test_a_share_that_leaves_no_row_is_refused():
    x = torch.zeros(8, 2)
    bounds = [IWELBO(MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2)), 2) for _ in range(2)]
    with pytest.raises(ValueError, match="held_out: got 0.95, which leaves no row to train on"):
        fit(bounds, x, x == 0, held_out=0.95, steps=1, progress=False)
