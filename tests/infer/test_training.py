"""Training: repeatable, leaves the global generator alone, keeps the best weights, and says what went wrong."""

import warnings

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_mnar.energy.objectives import SelfNormalized
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.ensembles import fit
from pyro_mnar.infer.streams import seeded
from pyro_mnar.infer.training import parameter_groups
from pyro_mnar.mechanisms import SelfMasking
from pyro_mnar.model import MNAR, EnergyTilt, energy_net
from pyro_mnar.networks import GaussianDecoder, GaussianEncoder


@pytest.fixture
def table():
    z = torch.randn(60, 1)
    x = z * torch.tensor([1.0, -0.8, 0.5]) + 0.3 * torch.randn(60, 3)
    mask = torch.rand(60, 3) < 0.8
    return torch.where(mask, x, 0.0), mask


def fresh():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        return IWELBO(MNAR(GaussianDecoder(1, 3, [8]), GaussianEncoder(1, 3, [8]), SelfMasking(3, direction="high")), 5)


def state(bound):
    return {name: value.clone() for name, value in bound.module.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


OPTIONS = {"steps": 20, "every": 5, "batch_size": 16, "progress": False}


def test_same_seed_gives_the_same_weights_and_another_seed_others(table):
    bounds = [fresh() for _ in range(3)]
    histories = [fit(bound, *table, seed=seed, held_out=0.2, **OPTIONS) for bound, seed in zip(bounds, (1, 1, 2), strict=True)]
    assert same(state(bounds[0]), state(bounds[1])) and histories[0] == histories[1]
    assert not same(state(bounds[0]), state(bounds[2]))


def test_global_generator_is_where_it_was_and_does_not_matter(table):
    bounds = [fresh() for _ in range(2)]
    for i, bound in enumerate(bounds):
        torch.manual_seed(100 + i)
        before = torch.get_rng_state()
        fit(bound, *table, held_out=0.2, **OPTIONS)
        assert torch.equal(torch.get_rng_state(), before)
    assert same(state(bounds[0]), state(bounds[1]))


def test_no_accelerator_is_reseeded_by_training_on_the_processor(table, monkeypatch):
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("torch.manual_seed reseeds every device"))
    bound = IWELBO(MNAR(GaussianDecoder(1, 3, [8]), GaussianEncoder(1, 3, [8])), 5)
    fit(bound, *table, held_out=0.2, **OPTIONS)
    impute(bound.module, *table, particles=100)


def test_filler_of_the_holes_does_not_matter(table):
    x, mask = table
    bounds = [fresh() for _ in range(2)]
    for bound, filler in zip(bounds, (0.0, 1e6), strict=True):
        fit(bound, torch.where(mask, x, filler), mask, **OPTIONS)
    assert same(state(bounds[0]), state(bounds[1]))


def test_bound_rises(table):
    bound = fresh()
    history = fit(bound, *table, steps=300, every=50, progress=False)
    assert history.evaluations[-1].train > history.evaluations[0].train + 0.1
    assert history.stopped == "steps"


def test_evaluations_come_every_so_many_steps_and_at_the_end(table):
    seen = []
    history = fit(fresh(), *table, **(OPTIONS | {"steps": 12}), callback=seen.append)
    assert [e.step for e in history.evaluations] == [5, 10, 12] and seen == history.evaluations
    assert all(e.held_out is None for e in seen)
    assert history.best_step == 12


def scripted(bound, monkeypatch, values):
    """Make the held-out bound the given sequence, whatever the weights."""
    from pyro_mnar.infer import training

    left = list(values)
    monkeypatch.setattr(training._Loop, "_held_out", lambda self, particles: left.pop(0))


def test_best_held_out_weights_are_kept(table, monkeypatch):
    bound, looks = fresh(), []
    scripted(bound, monkeypatch, [1.0, 3.0, 2.0, 2.5])
    history = fit(bound, *table, held_out=0.2, callback=lambda e: looks.append(state(bound)), **OPTIONS)
    assert history.best_step == 10
    assert same(state(bound), looks[1]) and not same(looks[1], looks[3])


SCHEDULES = {
    "beta": ({"beta": 0.0}, lambda bound, look: setattr(bound, "beta", look.step / 20)),
    "particles": ({"particles": 1}, lambda bound, look: setattr(bound, "particles", look.step)),
}


@pytest.mark.parametrize("objective", [False, True], ids=["bound", "objective"])
@pytest.mark.parametrize(("start", "move"), SCHEDULES.values(), ids=SCHEDULES)
def test_looks_are_compared_by_one_held_out_bound_whatever_a_schedule_sets(table, start, move, objective):
    """Weights that do not move have one held-out bound: that of beta = 1, with the particles of the start."""
    bound = fresh()
    if objective:
        bound.module.tilt = EnergyTilt(energy_net(3, [4]))
        bound.module.log_z = nn.Parameter(torch.zeros(()))
    for name, value in start.items():
        setattr(bound, name, value)

    def callback(look):
        move(bound, look)

    trained = SelfNormalized(bound, 100) if objective else bound
    still = {"lr": 0.0, "mechanism_lr": 0.0, "weight_decay": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tilt, which is not trained
        history = fit(trained, *table, held_out=0.5, callback=callback, **OPTIONS, **still)
    looks = [e.held_out for e in history.evaluations]
    assert len(looks) == 4 and len(set(looks)) == 1 and history.best_step == 5
    assert (bound.beta, bound.particles) == ((1.0, 5) if "beta" in start else (1.0, 20))  # what the schedule set
    bound.beta, bound.particles = 1.0, start.get("particles", 5)
    with seeded(0):
        order = torch.randperm(60)
    with seeded(0), torch.no_grad():
        exact = trained(table[0][order[:30]], table[1][order[:30]]).mean()
    assert looks[0] == pytest.approx(float(exact), abs=1e-6)


def test_patience_stops_after_so_many_looks_without_a_better_one(table, monkeypatch):
    bound = fresh()
    scripted(bound, monkeypatch, [1.0, 3.0, 2.0, 2.5, 2.9, 4.0, 5.0])
    history = fit(bound, *table, held_out=0.2, patience=3, **(OPTIONS | {"steps": 100}))
    assert history.stopped == "patience" and history.best_step == 10
    assert [e.step for e in history.evaluations] == [5, 10, 15, 20, 25]


def test_held_out_rows_never_reach_a_gradient(table):
    x, mask = table

    class Seen(nn.Module):
        def __init__(self):
            super().__init__()
            self.loc, self.rows = nn.Parameter(torch.zeros(())), set()

        def model(self, x, mask):
            with pyro.plate("rows", len(x), dim=-1):
                z = pyro.sample("z", dist.Normal(0.0, 1.0))
                pyro.sample("x", dist.Normal(z, 1.0), obs=x[:, 0])

        def guide(self, x, mask):
            if torch.is_grad_enabled():
                self.rows |= set(x[:, 0].tolist())
            with pyro.plate("rows", len(x), dim=-1):
                pyro.sample("z", dist.Normal(self.loc.expand(len(x)), 1.0))

    module = Seen()
    numbered = torch.arange(60.0).unsqueeze(-1).expand(60, 3)
    fit(IWELBO(module, 2), numbered, torch.ones_like(mask), held_out=0.25, **(OPTIONS | {"steps": 60}))
    assert len(module.rows) == 45


def test_interrupt_keeps_the_best_weights(table, monkeypatch):
    bound, looks = fresh(), []
    scripted(bound, monkeypatch, [3.0, 1.0, 2.0])

    def callback(evaluation):
        looks.append(state(bound))
        if evaluation.step == 15:
            raise KeyboardInterrupt

    before = torch.get_rng_state()
    history = fit(bound, *table, held_out=0.2, callback=callback, **OPTIONS)
    assert history.stopped == "interrupted" and history.best_step == 5 and len(history.evaluations) == 3
    assert same(state(bound), looks[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_loss_that_is_not_finite_is_reported_with_its_step_and_keeps_the_best_weights(table):
    bound, looks = fresh(), []

    def callback(evaluation):
        looks.append(state(bound))
        if evaluation.step == 10:
            with torch.no_grad():
                bound.module.decoder.raw_scale.fill_(torch.nan)

    with pytest.raises(FloatingPointError, match="the loss is nan at step 11: lower lr or mechanism_lr"):
        fit(bound, *table, callback=callback, **OPTIONS)
    assert same(state(bound), looks[1])


def test_an_error_in_the_callback_is_passed_on_and_the_generator_restored(table):
    def callback(evaluation):
        raise RuntimeError("mine")

    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="mine"):
        fit(fresh(), *table, callback=callback, **OPTIONS)
    assert torch.equal(torch.get_rng_state(), before)


def test_groups_hold_each_parameter_once_with_the_mechanism_faster_and_only_matrices_decayed():
    bound = fresh()
    groups = parameter_groups(bound.module, 1e-3, 1e-1, 0.3)
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in bound.module.parameters())
    mechanism = {id(p) for p in bound.module.mechanism.parameters()}
    for group in groups:
        own = {id(p) for p in group["params"]}
        assert group["lr"] == (1e-1 if own & mechanism else 1e-3)
        assert group["weight_decay"] == (0.3 if all(p.dim() > 1 for p in group["params"]) else 0.0)


class OneMean(nn.Module):
    """x_n ~ N(mu, 1) with prior mu ~ N(0, 1 / (a + b N)): of equal rows, 1, the posterior's mode is N / (N + a + b N)."""

    def __init__(self, a, b):
        super().__init__()
        self.a, self.b, self.asked = a, b, set()
        self.mu = nn.Parameter(torch.zeros(()).double())

    def log_prior(self, n_rows):
        self.asked.add(n_rows)
        return -0.5 * (self.a + self.b * n_rows) * self.mu.square()

    def model(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            pyro.sample("x", dist.Normal(self.mu, 1.0), obs=x[:, 0])

    def guide(self, x, mask):
        pass


@pytest.mark.parametrize(("a", "b"), [(0.0, 0.0), (20.0, 0.0), (0.0, 0.5), (10.0, 1.0)])
@pytest.mark.parametrize(("held_out", "batch_size"), [(0.0, 60), (0.0, 7), (0.5, 10)])
def test_a_row_s_share_of_the_prior_is_added_to_its_bound_and_the_bound_alone_is_reported(a, b, held_out, batch_size):
    module, mask = OneMean(a, b), torch.ones(60, 1, dtype=torch.bool)
    x = torch.ones(60, 1).double()
    options = {"steps": 500, "every": 1, "lr": 3e-2, "weight_decay": 0.0, "progress": False}
    history = fit(IWELBO(module, 2), x, mask, held_out=held_out, batch_size=batch_size, **options)
    n = 60 * (1 - held_out)
    assert module.asked == {n}
    mode = n / (n + a + b * n)
    last = history.evaluations[-1]
    # With held-out rows the best weights are kept, which are those of the highest bound, not of the posterior.
    if not held_out:
        assert module.mu.item() == pytest.approx(mode, abs=1e-3)
    assert last.train == pytest.approx(float(dist.Normal(mode, 1.0).log_prob(torch.tensor(1.0))), abs=2e-3)
    if held_out:
        assert last.held_out == pytest.approx(last.train, abs=2e-3)


def test_batches_larger_than_the_table_use_all_of_it(table):
    history = fit(fresh(), *table, **(OPTIONS | {"batch_size": 10_000}))
    assert len(history.evaluations) == 4


X, MASK = torch.zeros(10, 3), torch.ones(10, 3, dtype=torch.bool)
BAD_ARGUMENTS = {
    "mask of another shape": ({"mask": MASK[:5]}, "mask: got"),
    "mask of numbers": ({"mask": X}, "mask: got torch.float32, expected torch.bool"),
    "x of one dimension": ({"x": X[:, 0], "mask": MASK[:, 0]}, "x: got shape"),
    "no steps": ({"steps": 0}, "steps: got 0"),
    "no rows an update": ({"batch_size": 0}, "batch_size: got 0"),
    "no evaluations": ({"every": 0}, "every: got 0"),
    "negative share": ({"held_out": -0.1}, "held_out: got -0.1"),
    "all rows held out": ({"held_out": 1.0}, "held_out: got 1.0"),
    "patience without held-out rows": ({"patience": 2}, "patience: needs held-out rows"),
    "patience with too few rows": ({"patience": 2, "held_out": 0.01}, "patience: needs held-out rows"),
}
NO_ROWS = {
    "no row left to train on": ({"held_out": 0.99}, "held_out"),
    "no row at all": ({"x": X[:0], "mask": MASK[:0]}, "x|rows"),
}


@pytest.mark.parametrize(("change", "message"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS.keys())
def test_arguments_out_of_range_are_refused_by_name(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fit(fresh(), **({"x": X, "mask": MASK, "progress": False, "steps": 2} | change))


@pytest.mark.parametrize(("change", "message"), NO_ROWS.values(), ids=NO_ROWS.keys())
def test_tables_without_a_row_to_train_on_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        fit(fresh(), **({"x": X, "mask": MASK, "progress": False, "steps": 2} | change))
