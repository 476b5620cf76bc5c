"""Folding a given constraint into the base: the gradient of J in closed form, the fixed point of exact EM, and what it leaves alone."""

import numpy as np
import pytest
import torch
from exact import Z_MAX, LinearGaussian, PosteriorEncoder, Quadratic, z_score

from pyro_mnar.energy.posterior_regularization import PosteriorRegularized
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.ensembles import fit
from pyro_mnar.model import MNAR, Constraint, LearnedConstraint
from pyro_mnar.networks import GaussianDecoder, GaussianEncoder

WEIGHT, NOISE = np.array([[0.8], [-0.5]]), np.array([0.6, 0.7])
BOWL = Quadratic(np.array([[0.6, 0.3], [0.3, 0.9]]), np.array([1.5, 1.4]))
ROWS = np.array([[0.5, -0.3], [1.4, 0.8], [-0.7, 0.1], [0.2, -1.2], [0.3, 0.6], [-0.4, 0.9]])
MASKS = np.array([[1, 1], [1, 0], [0, 1], [1, 1], [0, 0], [1, 0]], dtype=bool)
START = np.array([0.3, -0.2])
X, MASK = torch.tensor(ROWS), torch.tensor(MASKS)


def law(bias):
    return LinearGaussian(WEIGHT, np.asarray(bias), NOISE)


def j(bias, imagined):
    """J in closed form: the tilted likelihood of what is seen, times Z."""
    base = law(bias)
    log_z, tilted = BOWL.log_z(base), BOWL.tilted(base)
    return np.mean([tilted.ignorable(x, m).log_prob + log_z for x, m in zip(ROWS, MASKS, strict=True)]) + imagined * log_z


def step(bias, imagined):
    """One exact round: rows filled by their tilted means, the bias refitted to these and to the tilted model's own."""
    tilted = BOWL.tilted(law(bias))
    filled = ROWS.copy()
    for row, mask in zip(filled, MASKS, strict=True):
        row[~mask] = tilted.ignorable(row, mask).mean
    return (filled.mean(0) + imagined * tilted.bias) / (1 + imagined)


def model(bias):
    made = MNAR(law(bias).decoder(), PosteriorEncoder(law(bias), 2.0), tilt=Constraint(lambda x: -BOWL(x), 1.0)).double()
    made.requires_grad_(False)
    made.decoder.linear.bias.requires_grad_()
    return made


def gradients(bias, imagined, repeats=40):
    """Gradients of the loss by the bias; with many particles, since the bounds are below J by the order of 1 / particles."""
    module, copies = model(bias), 2
    objective = PosteriorRegularized(IWELBO(module, 500, "iwae"), 3000, imagined)
    found = []
    for _ in range(repeats):
        module.zero_grad()
        objective.loss(X.repeat(copies, 1), MASK.repeat(copies, 1)).backward()
        found.append(module.decoder.linear.bias.grad.clone())
    return torch.stack(found)


@pytest.mark.parametrize("imagined", [0.0, 0.7])
def test_gradient_is_that_of_the_closed_form(imagined):
    h, slopes = 1e-4, []
    for i in range(2):
        move = h * np.eye(2)[i]
        slopes.append((j(START + move, imagined) - j(START - move, imagined)) / (2 * h))
    found = gradients(START, imagined)
    assert float(z_score(found, -torch.tensor(slopes)).abs().max()) < Z_MAX
    assert float(z_score(found, 0.0).abs().max()) > Z_MAX


@pytest.mark.parametrize("imagined", [0.0, 0.7])
def test_where_exact_em_comes_to_rest_the_gradient_is_nought(imagined):
    bias, values = START, []
    for _ in range(200):
        values.append(j(bias, imagined))
        bias = step(bias, imagined)
    assert np.diff(values).min() > -1e-12 and values[-1] > values[0] + 0.01  # it climbs J
    assert np.allclose(bias, step(bias, imagined), atol=1e-12)
    assert float(z_score(gradients(bias, imagined), 0.0).abs().max()) < Z_MAX


def test_reported_value_is_j_whatever_log_z_is_and_log_z_follows():
    module = model(START)
    objective = PosteriorRegularized(IWELBO(module, 20_000, "iwae"), 20_000, 0.7)
    for b in (0.0, 3.0):
        with torch.no_grad():
            module.log_z.fill_(b)
            assert float(objective(X, MASK).mean()) == pytest.approx(j(START, 0.7), abs=0.02)
    PosteriorRegularized(IWELBO(module, 5, "iwae")).loss(X, MASK)
    module.log_z.requires_grad_()
    PosteriorRegularized(IWELBO(module, 5, "iwae"), imagined=0.7).loss(X, MASK).backward()
    assert abs(float(module.log_z.grad)) < 1e-12  # no gradient moves it
    exact = BOWL.log_z(law(START))
    assert abs(float(module.log_z.detach()) - exact) < abs(3.0 - exact) - 0.2


def test_rows_seen_whole_teach_the_base_as_ever_and_imagined_ones_move_it():
    module, all_seen, found = model(START), torch.ones_like(MASK), []
    bare = IWELBO(MNAR(module.decoder, module.encoder), 5, "iwae")
    for imagined in (None, 0.0, 0.7):
        module.zero_grad()
        torch.manual_seed(1)
        objective = PosteriorRegularized(IWELBO(module, 5, "iwae"), 500, imagined or 0.0)
        if imagined is None:
            objective._log_ratio()  # so that the rows' particles are the same
        (bare if imagined is None else objective).loss(X, all_seen).backward()
        found.append(module.decoder.linear.bias.grad.clone())
    torch.testing.assert_close(found[0], found[1])
    assert float((found[0] - found[2]).abs().max()) > 1e-3


def test_a_base_that_has_learned_an_order_keeps_it_without_the_tilt():
    torch.manual_seed(0)
    x = torch.randn(400, 2) * 0.8 + torch.tensor([0.4, 0.0])
    x = x[x[:, 0] > x[:, 1]]
    mask = torch.rand(len(x), 2) < 0.6
    ordered, kept = Constraint(lambda v: (v[..., 0] - v[..., 1]).clamp(max=0), 5.0), []
    for tilt in (None, ordered):
        torch.manual_seed(2)
        module = MNAR(GaussianDecoder(2, 2, hidden=()), GaussianEncoder(2, 2), tilt=tilt)
        bound = IWELBO(module, 10, "dreg" if tilt is None else "iwae")
        fit(
            bound if tilt is None else PosteriorRegularized(bound, 200, 0.5),
            x,
            mask,
            steps=200,
            lr=2e-2,
            weight_decay=0.0,
            progress=False,
            mechanism_lr=1e-1,
        )
        with torch.no_grad():
            rows = module.draw(20_000)[1]
        kept.append(float((rows[:, 0] > rows[:, 1]).float().mean()))
    assert kept[1] > kept[0] + 0.02


REFUSALS = {
    "a learned tilt": (
        lambda m: PosteriorRegularized(IWELBO(m)),
        LearnedConstraint(lambda x: x, 2),
        "bound: its module's tilt has para",
    ),
    "rows below nought": (
        lambda m: PosteriorRegularized(IWELBO(m), imagined=-1.0),
        Constraint(lambda x: x.sum(-1), 1.0),
        "imagined: got -1",
    ),
}


@pytest.mark.parametrize(("make", "tilt", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refused_with_a_message_that_names_the_argument(make, tilt, message):
    with pytest.raises(ValueError, match=message):
        make(MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2), tilt=tilt))
