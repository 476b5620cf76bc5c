"""log Z and draws of tilted models, against closed forms and grids; what is detected and said when they cannot be had."""

import contextlib
import itertools
import math

import numpy as np
import pytest
import torch
from exact import ENERGY, INTERCEPT, LAW, SLOPE, Z_MAX, PosteriorEncoder, Quadratic, self_masking, z_score
from scipy import stats

from pyro_mnar.energy.annealing import Path, anneal, systematic
from pyro_mnar.energy.normalizer import METHODS, log_normalizer, sample_tilted
from pyro_mnar.energy.report import report_tilt
from pyro_mnar.model import MNAR, Constraint, EnergyTilt, energy_net
from pyro_mnar.networks import GaussianDecoder, GaussianEncoder, MixedDecoder, OrdinalHead, SkewWarp, StudentTDecoder

TILTED, LOG_Z = ENERGY.tilted(LAW), ENERGY.log_z(LAW)


def model(tilt, law=LAW):
    return MNAR(law.decoder(), PosteriorEncoder(law), tilt=tilt).double()


#: So far from the base that its draws say nothing of Z.
FAR = Quadratic(6 * np.eye(4), np.array([5.0, -5.0, 4.0, 5.0]))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_the_closed_form_within_its_standard_error(method, seed):
    module = model(ENERGY.tilt())
    found = [log_normalizer(module, draws=4000, method=method, seed=1000 * seed + i) for i in range(12)]
    values = torch.tensor([f.value for f in found]).double()
    assert float(z_score(values, LOG_Z).abs()) < Z_MAX
    # The stated errors are of the size of the actual ones.
    stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    ratio = float((values - LOG_Z).square().mean()) / stated**2
    assert stats.chi2(12).ppf(1e-4) / 12 / 1.3 < ratio < stats.chi2(12).ppf(1 - 1e-4) / 12 * 1.5
    assert {f.method for f in found} == {method}


def test_where_importance_sampling_fails_sequential_monte_carlo_is_taken_and_is_right(seed):
    module = model(FAR.tilt())
    found = log_normalizer(module, draws=4000, seed=seed)
    assert found.method == "sequential" and found.importance_fails
    assert abs(found.value - FAR.log_z(LAW)) < max(6 * found.standard_error, 0.05) and found.standard_error < 0.1
    importance = log_normalizer(module, draws=4000, method="importance", seed=seed)
    assert abs(importance.value - FAR.log_z(LAW)) > 1


def test_choosing_importance_sampling_does_not_bias_it(seed, monkeypatch):
    """Log weights N(0, 1.3^2), whose mean is exp(1.3^2 / 2): Z estimated where 100 draws happen to look good has that mean."""

    class NotChosenError(Exception):
        pass

    def annealed(*_, **__):
        raise NotChosenError

    monkeypatch.setattr("pyro_mnar.energy.normalizer.anneal", annealed)
    spread, variance = 1.3, float(LAW.weight[0] @ LAW.weight[0] + LAW.noise[0] ** 2)
    module = model(Constraint(lambda x: -(x[..., 0] - LAW.bias[0]) * spread / math.sqrt(variance), 1.0))
    values = []
    for i in range(600):
        with contextlib.suppress(NotChosenError):
            values.append(log_normalizer(module, draws=100, seed=1000 * seed + i).value - spread**2 / 2)
    assert 200 < len(values) < 500
    assert float(z_score(torch.tensor(values).double().exp(), 1.0).abs()) < Z_MAX


def test_importance_sampling_is_taken_where_it_does_not_fail():
    found = log_normalizer(model(ENERGY.tilt()))
    assert found.method == "importance" and not found.importance_fails and found.ess > 100


@pytest.mark.parametrize("energy", [ENERGY, FAR], ids=["near", "far"])
def test_draws_have_the_tilted_law_s_moments(energy, seed):
    exact = energy.tilted(LAW)
    found = sample_tilted(model(energy.tilt()), 4000, seed=seed)
    assert found.method == ("importance" if energy is ENERGY else "sequential") and found.acceptance > 0.2
    # Resampled draws share ancestors: their means have an error up to twice that of independent ones.
    whitened = (found.x - torch.tensor(exact.bias)) @ torch.linalg.inv(torch.linalg.cholesky(torch.tensor(exact.cov))).T
    assert float(z_score(whitened, 0.0).abs().max()) < 1.5 * Z_MAX
    products = torch.einsum("ni,nj->nij", whitened, whitened) - torch.eye(4).double()
    assert float(z_score(products, 0.0).abs().max()) < 1.5 * Z_MAX


def test_langevin_steps_alone_leave_the_shares_of_modes_as_they_were_and_resampling_does_not():
    # Two wells, the right with nine times the left one's mass.
    def energy(x):
        wells = torch.stack([-20 * (x[..., 0] + 1).square(), math.log(9) - 20 * (x[..., 0] - 1).square()])
        return -wells.logsumexp(0)

    base = MNAR(GaussianDecoder(1, 2, hidden=()), GaussianEncoder(1, 2), tilt=EnergyTilt(energy)).double()
    with torch.no_grad():
        base.decoder.linear.weight.copy_(torch.tensor([[0.8], [0.3]]))
        base.decoder.linear.bias.zero_()
    found = sample_tilted(base, 4000)
    assert float((found.x[:, 0] > 0).double().mean()) == pytest.approx(0.9, abs=0.03)
    path = Path(base)
    u, _, acceptance = path.move(path.draw(4000), 200, 0.3)
    with torch.no_grad():
        assert float((path.complete(u)[1][:, 0] > 0).double().mean()) < 0.75 and acceptance > 0.3


# Grids --------------------------------------------------------------------------------------------------


def small_vae(seed):
    decoder = GaussianDecoder(1, 2, hidden=[6])
    tilt = EnergyTilt(energy_net(2, [16]))
    module = MNAR(decoder, GaussianEncoder(1, 2), tilt=tilt).double()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
        decoder.raw_scale.fill_(0.3)
        tilt.net[-1].weight.normal_(0, 0.1)
    return module


def test_log_z_of_a_network_s_energy_over_a_small_vae_is_the_grid_s(seed):
    module = small_vae(seed)
    axis, z = torch.linspace(-12, 12, 241).double(), torch.linspace(-7, 7, 281).double()
    x = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        rows = module.decoder(z.reshape(-1, 1, 1))
        log_base = (rows.log_prob(x) + torch.distributions.Normal(0.0, 1.0).log_prob(z).unsqueeze(-1)).logsumexp(0) + math.log(
            float(z[1] - z[0])
        )
        exact = float((log_base + module.tilt(x)).logsumexp(0)) + 2 * math.log(float(axis[1] - axis[0]))
    for method in ("importance", "sequential"):
        found = log_normalizer(module, draws=20_000, method=method, seed=seed)
        assert abs(found.value - exact) < 6 * found.standard_error + 1e-3


def test_path_is_the_base_at_zero_and_the_joint_of_latents_and_noise_at_one():
    module = MNAR(LAW.decoder(), PosteriorEncoder(LAW), warp=SkewWarp(4), tilt=EnergyTilt(lambda x: x.abs().sum(-1))).double()
    with torch.no_grad():
        module.warp.skew.fill_(0.5)
    path = Path(module)
    u = path.draw(5)
    z, x = path.complete(u)
    torch.testing.assert_close(module.warp(x)[0], module.decoder(z).base_dist.loc + torch.tensor(LAW.noise) * u[:, 2:])
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(u).sum(-1)
    constant = normal - path.log_density(u, 0.0)
    torch.testing.assert_close(constant, constant[:1].expand(5))
    torch.testing.assert_close(path.log_density(u, 0.3) - path.log_density(u, 0.0), -0.3 * x.abs().sum(-1))


def test_temperatures_rise_from_nought_to_one_and_zero_energy_needs_one_step():
    path = Path(model(FAR.tilt()))
    temperatures = anneal(path, 2, 200).temperatures
    assert temperatures[0] == 0 and temperatures[-1] == 1 and all(a < b for a, b in itertools.pairwise(temperatures))
    assert len(temperatures) > 10
    assert anneal(Path(model(EnergyTilt(lambda x: 0 * x.sum(-1)))), 2, 200).temperatures == [0.0, 1.0]


def test_systematic_resampling_gives_each_its_share():
    shares = torch.rand(50).double()
    shares = shares / shares.sum()
    counts = torch.bincount(systematic(shares, 1000), minlength=50)
    assert float((counts - 1000 * shares).abs().max()) <= 1


def test_seed_decides_and_the_generator_is_left_alone():
    module = model(ENERGY.tilt())
    before = torch.get_rng_state()
    values = [log_normalizer(module, draws=500, method="sequential", seed=i).value for i in (1, 1, 2)]
    draws = [sample_tilted(module, 200, seed=i).x for i in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert values[0] == values[1] != values[2] and torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


# Guard rails --------------------------------------------------------------------------------------------


def problems(module, at_rows=None):
    return " ".join(report_tilt(module, at_rows).problems)


def settled(tilt):
    module = model(tilt)
    with torch.no_grad():
        module.log_z.fill_(log_normalizer(module).value)
    return module


def test_a_sound_tilt_has_no_problems():
    assert problems(settled(ENERGY.tilt()), torch.full((50,), -1.0)) == ""


def test_weights_without_a_mean_are_named():
    assert "tilt: exp(-E) over draws of the base has Pareto k" in problems(model(FAR.tilt()))


def test_an_energy_that_has_drifted_from_log_z_is_named():
    module = settled(ENERGY.tilt())
    with torch.no_grad():
        module.log_z.sub_(2.0)
    assert "tilt: log_z is" in problems(module)


def test_a_learned_energy_that_makes_the_rows_less_likely_is_named():
    module = model(EnergyTilt(energy_net(4, [8])))  # of zero energy: log Z is 0
    rows, said = torch.linspace(-6.0, 0.0, 50).double(), "tilt: the rows are 3 nats less likely than under the base"
    assert said in problems(module, rows)
    # So it is by the particles' weights: those of the worse half count for nothing here.
    weights = torch.tensor([[1.0], [0.0]]).double().expand(2, 50)
    assert said in " ".join(report_tilt(module, torch.stack([rows, rows - 9]), weights).problems)
    for fine in (rows + 6, rows + 3.2, torch.zeros(50).double(), 100 * (rows + 2.9)):  # more likely, or not surely less
        assert "less likely" not in problems(module, fine)
    assert "less likely" not in problems(settled(ENERGY.tilt()), rows - 5)  # a given tilt may displease the rows


def test_rows_where_the_base_has_no_mass_are_named():
    module = settled(ENERGY.tilt())
    assert "tilt: 50% of the rows have a log weight above" in problems(module, torch.tensor([-1.0, 40.0]))


BOWL = Quadratic(np.eye(4), np.zeros(4))
FALLING = {
    "fourth power": (GaussianDecoder, lambda x: -0.01 * x.square().square().sum(-1), True),
    "steep line under a normal": (GaussianDecoder, lambda x: -3 * x[..., 0], False),
    "line under a Student-t": (StudentTDecoder, lambda x: -0.2 * x[..., 0].relu(), True),
    "logarithm under a Student-t": (StudentTDecoder, lambda x: -0.5 * x.square().sum(-1).log1p(), False),
    "bowl under a Student-t": (StudentTDecoder, BOWL, False),
}


@pytest.mark.parametrize(("decoder", "energy", "unbounded"), FALLING.values(), ids=FALLING.keys())
def test_an_energy_that_outruns_the_base_is_named_and_a_ceiling_heals_it(decoder, energy, unbounded):
    def made(**options):
        return MNAR(decoder(2, 4, [8]), GaussianEncoder(2, 4), tilt=EnergyTilt(energy, **options)).double()

    assert ("tilt: the energy falls without end" in problems(made())) == unbounded
    assert "tilt: the energy falls without end" not in problems(made(ceiling=3.0))


def test_an_energy_that_is_not_finite_is_an_error():
    module = model(EnergyTilt(lambda x: x[..., 0].log()))
    with pytest.raises(FloatingPointError, match="energy: not finite at"):
        log_normalizer(module)
    with pytest.raises(FloatingPointError, match="energy: not finite at"):
        anneal(Path(module), 1, 100)


def test_steps_that_are_not_accepted_are_warned_of():
    with pytest.warns(UserWarning, match="tilt: Langevin steps accept"):
        sample_tilted(model(EnergyTilt(lambda x: 100 * (1e6 * x).sin().sum(-1))), 100, polish=3)


REFUSALS = {
    "no tilt": (lambda: log_normalizer(MNAR(LAW.decoder(), GaussianEncoder(2, 4))), "module: has no tilt"),
    "few draws": (lambda: log_normalizer(model(ENERGY.tilt()), draws=99), "draws: got 99, expected at least 100"),
    "few rows": (lambda: sample_tilted(model(ENERGY.tilt()), 99), "n: got 99, expected at least 100"),
    "unknown method": (
        lambda: log_normalizer(model(ENERGY.tilt()), method="magic"),
        "method: got 'magic', expected one of importance, annealed, sequential",
    ),
    "negative strength": (lambda: Constraint(lambda x: x[..., 0], -1.0), "strength: got -1.0"),
    "energy of another shape": (lambda: EnergyTilt(lambda x: x)(torch.zeros(3, 2)), "net: returned shape"),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refused_with_a_message_that_names_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_mechanism_does_not_enter_the_normalizer():
    bare, masked = model(ENERGY.tilt()), MNAR(LAW.decoder(), PosteriorEncoder(LAW), self_masking(SLOPE, INTERCEPT), tilt=ENERGY.tilt())
    assert log_normalizer(bare, draws=200) == log_normalizer(masked.double(), draws=200)


def test_a_tilt_over_levels_has_no_path_to_move_on():
    coins = MixedDecoder(1, [OrdinalHead(range(2), [[0.5, 0.5]] * 2, [0.0] * 2, [1.0] * 2)])
    module = MNAR(coins, GaussianEncoder(1, 2), tilt=EnergyTilt(lambda x: x.sum(-1)))
    with pytest.raises(TypeError, match="got MixedDecoder, expected one whose cells are a mean plus noise"):
        log_normalizer(module, method="sequential")
