"""Models that would make the bound no bound are refused by the name of their site; good ones work with plain Pyro
too.
"""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from pyro.infer.mcmc.util import initialize_model
from torch import nn

from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.ensembles import fit
from pyro_mnar.mechanisms import LinearMasking, SelfMasking
from pyro_mnar.model import MNAR
from pyro_mnar.networks import GaussianDecoder, GaussianEncoder

ROWS = torch.tensor([0.3, -0.5, 1.2, 0.0])


class Pair(nn.Module):
    """One latent a row, seen with noise; subclasses break one convention each."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(0.1))

    def rows(self, x, size=None):
        return pyro.plate("rows", len(x), dim=-1, subsample_size=size)

    def model(self, x):
        with self.rows(x):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(self, x):
        with self.rows(x):
            pyro.sample("z", dist.Normal(self.shift, 1.0))


class SampleOutside(Pair):
    def model(self, x):
        super().model(x)
        pyro.sample("global", dist.Normal(0.0, 1.0))


class FactorOutside(Pair):
    def model(self, x):
        super().model(x)
        pyro.factor("penalty", torch.tensor(-1.0))


class ObservedOutside(Pair):
    def model(self, x):
        super().model(x)
        pyro.sample("total", dist.Normal(0.0, 1.0), obs=x.sum())


class OutsideInGuide(Pair):
    def guide(self, x):
        super().guide(x)
        pyro.sample("extra", dist.Normal(0.0, 1.0))


class ScaledInModel(Pair):
    def model(self, x):
        with poutine.scale(scale=0.5):
            super().model(x)


class ScaledInGuide(Pair):
    def guide(self, x):
        with poutine.scale(scale=2.0):
            super().guide(x)


class ScaledByTensor(Pair):
    def model(self, x):
        with self.rows(x):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            with poutine.scale(scale=torch.tensor([1.0, 1.0, 1.0, 2.0])):
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)


class Subsampled(Pair):
    def rows(self, x):
        return super().rows(x, size=2)

    def model(self, x):
        with self.rows(x) as index:
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x[index])


class DiscreteInGuide(Pair):
    def model(self, x):
        with self.rows(x):
            z = pyro.sample("kind", dist.Bernoulli(0.5))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(self, x):
        with self.rows(x):
            pyro.sample("kind", dist.Bernoulli(torch.sigmoid(self.shift)))


class DiscreteInModelOnly(Pair):
    def model(self, x):
        with self.rows(x):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            kind = pyro.sample("kind", dist.Bernoulli(0.5))
            pyro.sample("x", dist.Normal(z + kind, 1.0), obs=x)


class UnknownToModel(Pair):
    def guide(self, x):
        with self.rows(x):
            pyro.sample("z", dist.Normal(self.shift, 1.0))
            pyro.sample("spare", dist.Normal(0.0, 1.0))


class SecondPlate(Pair):
    def model(self, x):
        with self.rows(x):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            with pyro.plate("copies", 3, dim=-3):
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)


class SequentialPlate(Pair):
    def model(self, x):
        super().model(x)
        for i in pyro.plate("one by one", len(x)):
            pyro.sample(f"y{i}", dist.Normal(0.0, 1.0), obs=x[i])


class TwoSizes(Pair):
    def model(self, x):
        super().model(x)
        with pyro.plate("others", 1, dim=-1):
            pyro.sample("y", dist.Normal(0.0, 1.0), obs=x[:1])


class Empty(Pair):
    def model(self, x):
        pass

    def guide(self, x):
        pass


BAD = {
    SampleOutside: "site 'global' of the model: got no plate",
    FactorOutside: "site 'penalty' of the model: got no plate",
    ObservedOutside: "site 'total' of the model: got no plate",
    OutsideInGuide: "site 'extra' of the guide: got no plate",
    ScaledInModel: "site '[zx]' of the model: got a scale",
    ScaledInGuide: "site 'z' of the guide: got a scale",
    ScaledByTensor: "site 'x' of the model: got a scale",
    Subsampled: "site 'z' of the guide: got a scale",
    DiscreteInGuide: "site 'kind' of the guide: Bernoulli is not reparameterised",
    DiscreteInModelOnly: "site 'kind' of the model: Bernoulli is not reparameterised",
    UnknownToModel: "site 'spare' of the guide: expected a site of that name in the model",
    SecondPlate: "site 'x' of the model: got .*'copies' at dim=-3",
    SequentialPlate: "site 'y0' of the model: got",
    TwoSizes: "plates: got sizes .*'others of the model': 1",
    Empty: "model: got no sample site",
}


@pytest.mark.parametrize(("bad", "message"), BAD.items(), ids=[cls.__name__ for cls in BAD])
def test_model_that_breaks_the_conventions_is_refused_by_name(bad, message):
    for call in (IWELBO(bad(), 3), IWELBO(bad(), 3).log_weights, IWELBO(bad(), 3).loss):
        with pytest.raises(ValueError, match=message):
            call(ROWS)


def test_model_that_keeps_the_conventions_is_accepted():
    assert IWELBO(Pair(), 3)(ROWS).shape == (4,)


def test_prior_without_rsample_is_accepted_where_the_guide_draws_the_site():
    class MixturePrior(Pair):
        def model(self, x):
            with self.rows(x):
                halves = dist.MixtureSameFamily(dist.Categorical(torch.ones(2)), dist.Normal(torch.tensor([-1.0, 1.0]), 0.5))
                z = pyro.sample("z", halves)
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    module = MixturePrior()
    IWELBO(module, 3).loss(ROWS).backward()
    assert bool(module.shift.grad.isfinite()) and module.shift.grad != 0


def test_deterministic_values_are_accepted_anywhere_and_count_nothing():
    class Named(Pair):
        def model(self, x):
            pyro.deterministic("largest", x.max())
            with self.rows(x):
                z = pyro.sample("z", dist.Normal(0.0, 1.0))
                pyro.deterministic("twice", 2 * z)
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    values = []
    for module in (Named(), Pair()):
        torch.manual_seed(7)
        values.append(IWELBO(module, 3).log_weights(ROWS).detach())
    torch.testing.assert_close(*values, rtol=0, atol=0)


def test_an_error_inside_the_model_lists_the_shapes_seen():
    class Misshapen(Pair):
        def model(self, x):
            with self.rows(x):
                z = pyro.sample("z", dist.Normal(0.0, 1.0))
                pyro.sample("x", dist.Normal(z[..., :2], 1.0), obs=x)

    with pytest.raises(ValueError, match="Shape mismatch inside plate") as error:
        IWELBO(Misshapen(), 3).loss(ROWS)
    assert "Trace Shapes:" in error.value.__notes__[0] and "z dist" in error.value.__notes__[0]


def test_masked_sites_count_only_where_the_mask_says():
    class Masked(Pair):
        def model(self, x):
            with self.rows(x):
                z = pyro.sample("z", dist.Normal(0.0, 1.0))
                with poutine.mask(mask=x > 0):
                    pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    values = []
    for module in (Masked(), Pair()):
        torch.manual_seed(7)
        values.append(IWELBO(module, 3).log_weights(ROWS).detach())
    seen = ROWS > 0
    torch.testing.assert_close(values[0][:, seen], values[1][:, seen])
    torch.manual_seed(7)
    z = IWELBO(Pair(), 3).traces(ROWS)[1].nodes["z"]["value"].detach()
    prior = dist.Normal(0.0, 1.0).log_prob(z) - dist.Normal(0.1, 1.0).log_prob(z)
    torch.testing.assert_close(values[0][:, ~seen], prior[:, ~seen])


# The pair with plain Pyro -------------------------------------------------------------------------


def mnar(mechanism):
    made = {
        "self": lambda: SelfMasking(3, direction="high"),
        "linear": lambda: LinearMasking(3, [0, 1]),
        "none": lambda: None,
    }
    return MNAR(GaussianDecoder(2, 3, [8]), GaussianEncoder(2, 3, [8]), made[mechanism]())


@pytest.fixture
def table():
    x, mask = torch.randn(12, 3), torch.rand(12, 3) < 0.7
    return torch.where(mask, x, 0.0), mask


@pytest.fixture
def clean_store():
    yield
    pyro.clear_param_store()


@pytest.mark.parametrize("mechanism", ["none", "self", "linear"])
def test_plain_svi_trains_the_pair_through_a_two_line_wrapper(mechanism, table, clean_store):
    made = mnar(mechanism)

    def model(x, mask):
        pyro.module("mnar", made)
        made.model(x, mask)

    def guide(x, mask):
        pyro.module("mnar", made)
        made.guide(x, mask)

    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
    losses = [svi.step(*table) for _ in range(60)]
    assert sum(losses[-10:]) < sum(losses[:10])
    assert all(not torch.equal(before[name], p) for name, p in made.named_parameters())


@pytest.mark.parametrize("mechanism", ["none", "self", "linear"])
def test_one_particle_bound_is_pyro_s_own_elbo(mechanism, table):
    made = mnar(mechanism)
    values = []
    for value in (
        lambda: float(IWELBO(made, 1)(*table).sum().detach()),
        lambda: -Trace_ELBO().loss(made.model, made.guide, *table),
    ):
        torch.manual_seed(8)
        values.append(value())
    assert values[0] == pytest.approx(values[1], rel=1e-5)


@pytest.mark.parametrize("mechanism", ["none", "self", "linear"])
def test_predictive_and_trace_give_every_latent_site(mechanism, table):
    made = mnar(mechanism)
    draws = Predictive(made.model, guide=made.guide, num_samples=5)(*table)
    names = {"z"} | ({"noise", "complete"} if mechanism == "linear" else set())
    assert names <= set(draws)
    assert draws["z"].shape == (5, 12, 2)
    if mechanism == "linear":
        x, mask = table
        assert torch.equal(draws["complete"][:, mask], x[mask].expand(5, -1))
    trace = poutine.trace(made.model).get_trace(*table)
    trace.compute_log_prob()
    assert trace.nodes["x"]["log_prob"].shape == (12,)


@pytest.mark.parametrize("mechanism", ["none", "self", "linear"])
def test_potential_for_hmc_is_deterministic_and_proper(mechanism, table):
    made = mnar(mechanism).requires_grad_(False)
    initial, potential, _, _ = initialize_model(made.model, model_args=table)
    first = potential(initial)
    torch.rand(5)
    assert torch.equal(first, potential(initial)) and bool(first.isfinite())
    # The joint log density itself, at the same point.
    trace = poutine.trace(poutine.condition(made.model, initial)).get_trace(*table)
    torch.testing.assert_close(first, -trace.log_prob_sum())
    if mechanism == "linear":
        # Noise in cells that nobody reads is its own standard normal: proper, and independent of everything.
        x, mask = table
        point = initial["noise"].clone().requires_grad_()
        (grad,) = torch.autograd.grad(potential(initial | {"noise": point}), point)
        torch.testing.assert_close(grad[mask], point[mask])


def test_nuts_runs_on_the_pair(table):
    made = mnar("self").requires_grad_(False)
    mcmc = MCMC(NUTS(made.model, jit_compile=False), num_samples=5, warmup_steps=5, disable_progbar=True)
    mcmc.run(*table)
    assert bool(mcmc.get_samples()["z"].isfinite().all())


class RowsBesideParticles(Pair):
    def rows(self, x, size=None):
        return pyro.plate("people", len(x), dim=-2)


class SharedScale(Pair):
    def model(self, x):
        scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
        with self.rows(x):
            z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z.expand(*z.shape[:-1], 3), scale).to_event(1), obs=x.unsqueeze(-1).expand(-1, 3))

    def guide(self, x):
        with self.rows(x):
            pyro.sample("z", dist.Normal(self.shift.expand(1), 1.0).to_event(1))


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (RowsBesideParticles, "^plate 'people': got dim=-2, which is the particles', expected one plate over rows at dim=-1"),
        (SharedScale, "^site 'scale': stands outside of a plate over rows, .*SharedLatents"),
    ],
)
def test_what_does_not_fit_beside_the_particles_is_refused_by_name(cls, message):
    with pytest.raises(ValueError, match=message):
        IWELBO(cls(), particles=5)(ROWS)
    with torch.no_grad():  # nothing of it is left behind
        assert IWELBO(Pair(), particles=5)(ROWS).shape == ROWS.shape


def test_a_module_without_model_or_guide_is_refused():
    with pytest.raises(TypeError, match="^module: got Linear, which has no method 'model', expected model and guide"):
        IWELBO(nn.Linear(1, 1))


class InStore(Pair):
    def model(self, x, mask):
        scale = pyro.param("scale", torch.ones(()), constraint=dist.constraints.positive)
        with self.rows(x):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z.unsqueeze(-1).expand(*z.shape, x.shape[-1]), scale).mask(mask).to_event(1), obs=x)

    def guide(self, x, mask):
        super().guide(x)


class InStoreOfGuide(InStore):
    def model(self, x, mask):
        Pair.model(self, x[..., 0])

    def guide(self, x, mask):
        scale = pyro.param("scale", torch.ones(()), constraint=dist.constraints.positive)
        with self.rows(x):
            pyro.sample("z", dist.Normal(self.shift, scale))


class Registered(InStoreOfGuide):
    """Its parameters are in Pyro's store too, and no others are."""

    def guide(self, x, mask):
        pyro.module("own", self)
        Pair.guide(self, x)


def test_parameters_that_no_fit_trains_are_refused_by_name_and_draws_are_as_without_the_look(clean_store):
    x, mask = torch.randn(9, 2), torch.ones(9, 2, dtype=torch.bool)
    for bad in (InStore, InStoreOfGuide):
        with pytest.raises(ValueError, match="^param 'scale': stands in Pyro's store alone, .*expected a parameter of the module"):
            fit(IWELBO(bad(), particles=3), x, mask, steps=2)
        pyro.clear_param_store()
    for _ in range(2):  # the second time the store has another module's of the same names
        module = Registered()
        fit(IWELBO(module, particles=3), x, mask, steps=2)
        assert float(module.shift.detach()) != pytest.approx(0.1)
