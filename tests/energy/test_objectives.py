"""What teaches a tilt: each objective's stationary point, where it is known; what the wrong formulas do; training and its reports."""

import math
import warnings

import numpy as np
import pytest
import torch
from exact import LAW, Z_MAX, LinearGaussian, PosteriorEncoder, Quadratic, z_score
from torch import nn

from pyro_mnar.energy.annealing import Path
from pyro_mnar.energy.maximum_likelihood import MaximumLikelihood
from pyro_mnar.energy.objectives import Contrastive, GuidedCost, Importance, NoiseContrastive, Objective, SelfNormalized
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.ensembles import fit
from pyro_mnar.model import MNAR, EnergyTilt, LearnedConstraint, energy_net
from pyro_mnar.networks import GaussianDecoder, GaussianEncoder, SkewWarp, StudentTDecoder

#: A base in the plane, an energy, and the law that they make: normal, too.
BASE = LinearGaussian(np.array([[0.8], [-0.5]]), np.array([0.3, -0.2]), np.array([0.6, 0.7]))
BOWL = Quadratic(np.array([[0.6, 0.3], [0.3, 0.9]]), np.array([0.5, 0.4]))
TRUTH, LOG_Z = BOWL.tilted(BASE), BOWL.log_z(BASE)
N, DRAWS = 4000, 4000
ALL = torch.ones(N, 2, dtype=torch.bool)


def truth(n=N):
    return torch.distributions.MultivariateNormal(torch.tensor(TRUTH.bias), torch.tensor(TRUTH.cov)).sample((n,))


def log_ratio(x):
    """Exact log p_tilted - log p_base."""
    return -BOWL(x) - LOG_Z


class Wiggle(nn.Module):
    """A given energy and directions in which to leave it, at zero."""

    def __init__(self, energy):
        super().__init__()
        self.energy, self.along = energy, nn.Parameter(torch.zeros(3))

    def forward(self, x):
        features = torch.stack([x[..., 0], x.square().sum(-1), (3 * x[..., 1]).sin()], -1)
        return self.energy(x).reshape(x.shape[:-1]) + features @ self.along


def model(energy=BOWL, log_z=LOG_Z, mechanism=None):
    made = MNAR(BASE.decoder(), PosteriorEncoder(BASE, 1.0), mechanism, tilt=EnergyTilt(Wiggle(energy))).double()
    made.freeze_base()
    with torch.no_grad():
        made.log_z.fill_(log_z)
    return made


def gradients(make, module, repeats=40, mask=ALL):
    """The gradients by the directions, and by b, of fresh data and draws."""
    found = []
    for _ in range(repeats):
        module.zero_grad()
        b = module.log_z.item()
        make(module).loss(truth(len(mask)), mask).backward()
        slope = module.log_z.grad if module.log_z.grad is not None else torch.zeros(())
        found.append(torch.cat([module.tilt.net.along.grad, slope.reshape(1), (module.log_z.detach() - b).reshape(1)]))
        with torch.no_grad():
            module.log_z.fill_(b)
    return torch.stack(found)


class FromTruth(MaximumLikelihood):
    """Its chains start where they should end: then they must stay there."""

    def _negatives(self):
        u = self.path.draw(40 * self.draws)
        with torch.no_grad():
            index = torch.multinomial(self.path.log_weight(u).softmax(0), self.draws)
        self.chains = u[index]
        return super()._negatives()


STATIONARY = {
    "self-normalized": lambda m: SelfNormalized(IWELBO(m, 1), DRAWS),
    "importance": lambda m: Importance(IWELBO(m, 1), DRAWS),
    "noise-contrastive": lambda m: NoiseContrastive(IWELBO(m, 1), DRAWS),
    "guided cost": lambda m: GuidedCost(IWELBO(m, 1), DRAWS),
    "persistent Langevin": lambda m: FromTruth(IWELBO(m, 1), 1000, restart=0.0, chain_steps=3, step_size=0.5),
}


@pytest.mark.parametrize("make", STATIONARY.values(), ids=STATIONARY.keys())
def test_the_true_energy_and_its_log_normalizer_are_stationary(make):
    found = gradients(make, model())
    spread = found.std(0)
    # Importance sampling and guided cost are consistent, their bias of the order 1 / draws far below the error here.
    z = found.mean(0) / (spread / len(found) ** 0.5).clamp_min(1e-12)
    assert float(z[:3].abs().max()) < Z_MAX
    assert float(z[3:][spread[3:] > 1e-9].abs().max()) < Z_MAX


@pytest.mark.parametrize("make", STATIONARY.values(), ids=STATIONARY.keys())
def test_away_from_it_descent_leads_back(make):
    module = model()
    with torch.no_grad():
        module.tilt.net.along.copy_(torch.tensor([0.2, 0.1, -0.2]))
    found = gradients(make, module, 10)[:, :3]
    assert float(z_score(found @ module.tilt.net.along.detach(), 0.0)) > Z_MAX


@pytest.mark.parametrize("make", STATIONARY.values(), ids=STATIONARY.keys())
def test_b_is_drawn_to_log_z_from_either_side(make):
    for shift in (-0.5, 0.5):
        found = gradients(make, model(log_z=LOG_Z + shift), 10)
        move = found[:, 4] - found[:, 3]  # by following, or against the gradient
        assert float(z_score(math.copysign(1, shift) * move, 0.0)) < -Z_MAX


def test_contrastive_energy_is_a_hyperbolic_tangent_of_the_log_ratio():
    for penalty in (0.25, 1.0):

        def critic(x, penalty=penalty):
            return -(0.5 * log_ratio(x)).tanh() / (2 * penalty)

        found = gradients(lambda m, p=penalty: Contrastive(IWELBO(m, 1), DRAWS, penalty=p), model(critic, 0.0))
        assert float(z_score(found[:, :3], 0.0).abs().max()) < Z_MAX
        true = gradients(lambda m, p=penalty: Contrastive(IWELBO(m, 1), DRAWS, penalty=p), model(), 10)
        assert float(z_score(true[:, :3], 0.0).abs().max()) > Z_MAX  # the true energy is not what it finds


def test_guided_cost_and_noise_contrastive_have_the_same_stationary_b_on_the_same_sample():
    x, module = truth(500), model(log_z=0.0)

    def root(slope):
        low, high = -5.0, 5.0
        for _ in range(60):
            middle = 0.5 * (low + high)
            with torch.no_grad():
                module.log_z.fill_(middle)
            torch.manual_seed(3)  # the same draws of the base
            low, high = (middle, high) if slope() < 0 else (low, middle)
        return middle

    def by_gradient():
        module.zero_grad()
        NoiseContrastive(IWELBO(module, 1), 700).loss(x, ALL[:500]).backward()
        return float(module.log_z.grad)

    def by_following():
        b = module.log_z.item()
        GuidedCost(IWELBO(module, 1), 700).loss(x, ALL[:500])
        return b - module.log_z.item()

    # Equal shares of data and base are what both suppose, whatever the counts.
    assert root(by_gradient) == pytest.approx(root(by_following), abs=1e-6)


def test_missing_cells_are_averaged_by_their_weights():
    """With holes at random the true energy stays stationary."""
    mask = torch.rand(N, 2) < 0.6
    for make in (lambda m: SelfNormalized(IWELBO(m, 200), DRAWS), lambda m: NoiseContrastive(IWELBO(m, 200), DRAWS)):
        found = gradients(make, model(), 12, mask)
        assert float(z_score(found[:, :4], 0.0).abs().max()) < Z_MAX
    ignoring = gradients(lambda m: SelfNormalized(IWELBO(m, 1), DRAWS), model(), 12, mask)
    assert float(z_score(ignoring[:, :4], 0.0).abs().max()) > Z_MAX  # one particle does not average: a looser bound


@pytest.mark.parametrize("cls", [SelfNormalized, Importance])
def test_base_and_tilt_trained_together_find_the_base_s_own_stationary_point(cls):
    module = model()
    module.decoder.requires_grad_(True)
    found = []
    for _ in range(40):
        module.zero_grad()
        cls(IWELBO(module, 20, "iwae"), DRAWS).loss(truth(), ALL).backward()
        found.append(torch.cat([module.decoder.linear.bias.grad, module.decoder.raw_scale.grad, module.tilt.net.along.grad]))
    assert float(z_score(torch.stack(found), 0.0).abs().max()) < Z_MAX


def test_base_and_tilt_trained_together_by_langevin():
    module = model()
    module.decoder.requires_grad_(True)
    found = []
    for _ in range(40):
        module.zero_grad()
        STATIONARY["persistent Langevin"](module).loss(truth(), ALL).backward()
        found.append(torch.cat([module.decoder.linear.bias.grad, module.decoder.raw_scale.grad, module.tilt.net.along.grad]))
    assert float(z_score(torch.stack(found), 0.0).abs().max()) < Z_MAX


class Silent(IWELBO):
    """No rows: what is left of an objective is its normalizer's part."""

    def loss(self, *args):
        return self.module.log_z.detach() * 0.0


DECODERS = {
    f"{cls.__name__} {name}": lambda cls=cls, options=options: cls(1, 1, **options)
    for cls in (GaussianDecoder, StudentTDecoder)
    for name, options in {
        "linear": {"hidden": ()},
        "network": {"hidden": [4], "linear": False},
        "sum": {"hidden": [4]},
        "scale network": {"hidden": [4], "scale_net": True},
    }.items()
}
NORMALISED = {
    "self-normalized": lambda m: SelfNormalized(Silent(m, 1), DRAWS),
    "importance": lambda m: Importance(Silent(m, 1), DRAWS),
    "persistent Langevin": lambda m: FromTruth(Silent(m, 1), 1000, restart=0.0, chain_steps=2, step_size=0.5),
}


@pytest.mark.parametrize(
    ("decoder", "warped"), [(name, False) for name in DECODERS] + [(name, True) for name in DECODERS if "sum" in name]
)
def test_every_parameter_of_a_base_has_the_gradient_of_the_log_normalizer(decoder, warped):
    made, energy = DECODERS[decoder](), Quadratic(np.array([[0.8]]), np.array([0.7]))
    module = MNAR(made, GaussianEncoder(1, 1), warp=SkewWarp(1) if warped else None, tilt=EnergyTilt(energy)).double()
    with torch.no_grad():
        for parameter in [*made.parameters(), *([module.warp.skew] if warped else [])]:
            parameter.add_(0.4 * torch.randn_like(parameter))
        if isinstance(made, StudentTDecoder):
            made.raw_df.fill_(-1.0)  # 2.3 degrees of freedom
    learned = [parameter for part in (made, *([module.warp] if warped else [])) for parameter in part.parameters()]
    # Fine in z, where networks have kinks.
    z, x = torch.linspace(-7, 7, 2801).double().reshape(-1, 1, 1), torch.linspace(-8, 10, 361).double().reshape(-1, 1)
    y, log_slope = module.warp(x) if warped else (x, torch.zeros_like(x))
    joint = -0.5 * z.square().squeeze(-1) + made(z).log_prob(y) + log_slope.squeeze(-1) - energy(x)
    log_z = joint.flatten().logsumexp(0) + math.log(0.005 * 0.05) - 0.5 * math.log(2 * math.pi)
    exact = torch.cat([grad.flatten() for grad in torch.autograd.grad(log_z, learned)])
    with torch.no_grad():
        module.log_z.copy_(log_z)
    for name, make in NORMALISED.items():
        found = []
        for _ in range(25):
            module.zero_grad()
            make(module).loss(torch.zeros(1, 1).double(), torch.ones(1, 1, dtype=torch.bool)).backward()
            found.append(torch.cat([p.grad.flatten() if p.grad is not None else torch.zeros(p.numel()) for p in learned]))
            with torch.no_grad():
                module.log_z.copy_(log_z)
        gradient = torch.stack(found)
        # A unit that only rare latents switch on may not be switched on once: its gradient is below the grain.
        error, grain = (gradient.mean(0) - exact).abs(), 1e-3
        z_scores = (error - grain) / (gradient.std(0) / len(found) ** 0.5).clamp_min(grain / 10)
        assert float(z_scores.max()) < 6, f"{name}: {z_scores}"  # of Student's 24 degrees of freedom, not of a normal


def test_gradient_penalty_is_the_mean_squared_slope_at_the_base():
    module, weight = model(), 0.7
    found = []
    for _ in range(40):
        losses = []
        for penalty in (0.0, weight):
            torch.manual_seed(len(found))
            losses.append(SelfNormalized(IWELBO(module, 1), DRAWS, penalty).loss(truth(), ALL).detach())
        found.append(losses[1] - losses[0])
    # grad E = A (x - c), normal.
    mean = BOWL.precision @ (BASE.bias - BOWL.center)
    exact = weight * (mean @ mean + np.trace(BOWL.precision @ BASE.cov @ BOWL.precision))
    assert abs(float(z_score(torch.stack(found), exact))) < Z_MAX


# The first source's formulas, and what is wrong with them ---------------------------------------------


def test_adding_log_z_gives_no_density():
    x = torch.cartesian_prod(*[torch.linspace(-8, 8, 401).double()] * 2)
    log_base = torch.distributions.MultivariateNormal(torch.tensor(BASE.bias), torch.tensor(BASE.cov)).log_prob(x)
    cell = (16 / 400) ** 2
    assert float((log_base - BOWL(x) - LOG_Z).exp().sum() * cell) == pytest.approx(1.0, abs=1e-6)
    assert float((log_base - BOWL(x) + LOG_Z).exp().sum() * cell) == pytest.approx(math.exp(2 * LOG_Z), rel=1e-6)


def test_jensen_s_inequality_puts_the_contrastive_value_above_the_likelihood_and_it_has_no_maximum():
    deviation = BASE.bias - BOWL.center
    mean_energy = 0.5 * (deviation @ BOWL.precision @ deviation + np.trace(BOWL.precision @ BASE.cov))
    assert -mean_energy < LOG_Z - 0.1  # so that replacing log Z by it overstates the likelihood
    values = []
    x = truth(100_000)
    for scale in (1.0, 10.0, 100.0):
        # E on data less E on the base, of the energy times a scale.
        values.append(float(-scale * BOWL(x).mean() + scale * mean_energy))
    assert values[0] > 0.1 and values == pytest.approx([values[0], 10 * values[0], 100 * values[0]])
    with pytest.raises(ValueError, match="penalty: got 0.0"):
        Contrastive(IWELBO(model(), 1), penalty=0.0)


def test_the_gradient_s_second_term_is_over_the_tilted_model_with_a_plus():
    """d/dt log p of data under exp(-t E): against a difference of the closed form, and the other readings."""
    x = truth(200_000)
    value = {t: float((-t * BOWL(x)).mean()) - Quadratic(t * BOWL.precision, BOWL.center).log_z(BASE) for t in (0.499, 0.501)}
    exact = (value[0.501] - value[0.499]) / 0.002
    half = Quadratic(0.5 * BOWL.precision, BOWL.center).tilted(BASE)
    at_data = float(BOWL(x).mean())
    mean = {}
    for name, law in (("tilted", half), ("base", BASE)):
        d = law.bias - BOWL.center
        mean[name] = 0.5 * (d @ BOWL.precision @ d + np.trace(BOWL.precision @ law.cov))
    assert -at_data + mean["tilted"] == pytest.approx(exact, abs=1e-4)
    assert abs(-at_data + mean["base"] - exact) > 0.05
    assert abs(-at_data - mean["tilted"] - exact) > 0.05


def test_a_langevin_step_without_noise_seeks_the_mode_and_with_the_wrong_sign_leaves():
    path = Path(model())

    def run(sign, noise, steps=300, step=0.02):
        u = path.draw(500)
        for _ in range(steps):
            u = u.detach().requires_grad_()
            (slope,) = torch.autograd.grad(path.log_density(u).sum(), u)
            u = u + sign * step * slope + noise * math.sqrt(2 * step) * torch.randn_like(u)
        return path.complete(u.detach())[1]

    exact = torch.tensor(TRUTH.cov).diagonal()
    assert float((run(1, 1).var(0) / exact).log().abs().max()) < 0.3
    assert float((run(1, 0).var(0) / exact).max()) < 1e-3
    assert float((run(-1, 0).var(0) / exact).min()) > 100


# Training -----------------------------------------------------------------------------------------------


def test_a_learned_constraint_matches_the_data_s_moments_and_finds_the_exact_tilt():
    def features(x):
        return torch.stack([x[..., 0], x[..., 1], x[..., 0] ** 2, x[..., 0] * x[..., 1], x[..., 1] ** 2], -1)

    module = MNAR(BASE.decoder(), PosteriorEncoder(BASE, 1.0), tilt=LearnedConstraint(features, 5)).double()
    module.freeze_base()
    x = truth(5000)
    options = {"steps": 600, "batch_size": 5000, "lr": 3e-2, "weight_decay": 0.0, "progress": False}
    history = fit(SelfNormalized(IWELBO(module, 1), 20_000), x, torch.ones_like(x, dtype=torch.bool), **options)
    # The maximum of the likelihood of these data is in closed form: the normal law of their own moments.
    empirical = torch.distributions.MultivariateNormal(x.mean(0), torch.cov(x.T, correction=0))
    base = torch.distributions.MultivariateNormal(torch.tensor(BASE.bias), torch.tensor(BASE.cov))
    with torch.no_grad():
        ratio = module.tilt(x) - module.log_z
    exact = empirical.log_prob(x) - base.log_prob(x)
    assert float((ratio - exact).abs().mean()) < 0.03
    assert history.evaluations[-1].tilt.problems == ()


def test_report_is_given_at_every_look_and_says_how_the_tilt_stands(monkeypatch):
    module = model(energy_net(2, [8]).double(), 0.0)
    looks = []
    fit(SelfNormalized(IWELBO(module, 1), 200), truth(200), ALL[:200], steps=20, every=10, callback=looks.append, progress=False)
    assert [look.tilt.log_z for look in looks] != [0.0, 0.0] and looks[-1].tilt.log_z == pytest.approx(float(module.log_z.detach()))
    assert looks[-1].tilt.lowest <= looks[-1].tilt.highest and looks[-1].tilt.normalizer.draws == 2000
    assert "ESS" in str(looks[-1].tilt)


def test_problems_at_the_end_of_training_are_warned_of():
    module = model(log_z=LOG_Z + 3)
    with pytest.warns(UserWarning, match="tilt: log_z is"):
        fit(
            SelfNormalized(IWELBO(module, 1), 200),
            truth(200),
            ALL[:200],
            steps=1,
            lr=1e-9,
            progress=False,
            mechanism_lr=1e-1,
            weight_decay=0.3,
        )


def test_training_with_one_seed_gives_one_result_and_leaves_the_generator_alone():
    results = []
    for i in range(2):
        torch.manual_seed(7)
        module = model(energy_net(2, [8]).double(), 0.0)
        x = truth(200)
        torch.manual_seed(i)
        before = torch.get_rng_state()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit(MaximumLikelihood(IWELBO(module, 1), 50), x, ALL[:200], steps=5, seed=4, progress=False)
        assert torch.equal(torch.get_rng_state(), before)
        results.append(torch.cat([p.detach().flatten() for p in module.parameters()]))
    assert torch.equal(*results)


def plain():
    return MNAR(GaussianDecoder(1, 2, [4]), GaussianEncoder(1, 2), tilt=EnergyTilt(energy_net(2, [4])))


REFUSALS = {
    "no tilt": (lambda: SelfNormalized(IWELBO(MNAR(LAW.decoder(), GaussianEncoder(2, 4)))), "bound: its module has no tilt"),
    "no draws": (lambda: NoiseContrastive(IWELBO(plain()), 0), "draws: got 0"),
    "no penalty": (lambda: Contrastive(IWELBO(plain()), penalty=0.0), "penalty: got 0.0, expected more than 0"),
    "no chain steps": (lambda: MaximumLikelihood(IWELBO(plain()), chain_steps=0), "chain_steps, restart, step_size: got 0"),
    "a share above one": (lambda: MaximumLikelihood(IWELBO(plain()), restart=1.5), "chain_steps, restart, step_size: got 10, 1.5"),
    "a bound alone": (lambda: fit(IWELBO(plain()), truth(10).float(), ALL[:10]), "bound: its module has a tilt, expected an objective"),
    **{
        f"{cls.__name__} with a free base": (
            lambda cls=cls: cls(IWELBO(plain())).loss(truth(10).float(), ALL[:10]),
            f"{cls.__name__}: the base requires gradients",
        )
        for cls in (Contrastive, NoiseContrastive, GuidedCost)
    },
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refused_with_a_message_that_names_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_objective_without_a_loss_says_so():
    with pytest.raises(NotImplementedError, match="Objective: expected one of the objectives"):
        Objective(IWELBO(plain())).loss(truth(10), ALL[:10])
