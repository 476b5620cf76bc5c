"""The error of means over evenly spread particles: exact where a part is known, calibrated against repetitions elsewhere."""

import pytest
import torch

from pyro_mnar.distributions.links import PROBIT
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.imputation.monte_carlo_error import variance_of_sums
from pyro_mnar.infer.streams import RowStreams
from pyro_mnar.mechanisms.self_masking import SelfMasking
from pyro_mnar.model.mnar import MNAR
from pyro_mnar.networks.conjugate_encoder import ConjugateEncoder
from pyro_mnar.networks.decoders import GaussianDecoder

ROWS, SIZE = 1500, 100


@pytest.fixture(params=[2, 9], ids=["Sobol", "beyond it"])
def noise(request, seed):
    """Evenly spread normals of rows that are repetitions of each other; the ninth dimension is a Latin hypercube's."""
    return RowStreams(seed, list(range(ROWS))).normal("z", SIZE, (request.param,), torch.zeros((), dtype=torch.float64))


def centered(values):
    """Return what each particle adds to the rows' means, and the errors of these but for a number that all rows share."""
    mean = values.mean(0)
    return (values - mean).unsqueeze(-1) / SIZE, mean


def test_of_functions_of_one_normal_each_the_error_is_known(noise):
    values = 2 * noise[..., 0] - 0.7 * noise[..., -1] + 0.4 * noise[..., 1].square()
    parts, mean = centered(values)
    torch.testing.assert_close(variance_of_sums(parts, [noise])[:, 0], (mean - 0.4).square(), rtol=1e-6, atol=1e-14)
    # Of two sites the normals are as those of one.
    torch.testing.assert_close(variance_of_sums(parts, [noise[..., :1], noise[..., 1:]]), variance_of_sums(parts, [noise]))


def test_without_even_normals_it_is_that_of_independent_particles(noise):
    parts, _ = centered(noise[..., 0].exp())
    torch.testing.assert_close(variance_of_sums(parts, []), parts.square().sum(0) * SIZE / (SIZE - 1))


@pytest.mark.parametrize(
    ("function", "least"),
    [
        (lambda z: z[..., 0] + z[..., -1] + 0.3 * z[..., 0] * z[..., -1], 2.0),
        (lambda z: (0.5 * z[..., 0] - 0.5 * z[..., 1]).exp(), 2.0),
        (lambda z: (z[..., 0] > 0.5).double() + z[..., -1], 1.5),
        (lambda z: (3 * z[..., 0] * z[..., -1]).sin(), 1.0),
    ],
    ids=["a product", "exp", "a step", "nothing of one dimension"],
)
def test_it_is_the_error_over_repetitions_and_less_than_that_of_independent_particles(noise, function, least):
    """A shifted sequence may err less still than the rest's draws did independently, never more than by chance."""
    values = function(noise)
    parts, mean = centered(values)
    found, independent = variance_of_sums(parts, [noise]).mean().sqrt(), parts.square().sum(0).mean().sqrt()
    true = mean.std()
    # 1500 errors tell their standard deviation to 2 %.
    assert 0.5 < float(true / found) < 1.15
    assert float(independent / found) > least * 0.95


def test_of_more_dimensions_than_particles_can_tell_apart_the_first_are_taken(seed):
    noise = RowStreams(seed, list(range(50))).normal("z", SIZE, (60,), torch.zeros((), dtype=torch.float64))
    parts, mean = centered(noise[..., 0])
    torch.testing.assert_close(variance_of_sums(parts, [noise])[:, 0], mean.square(), rtol=1e-6, atol=1e-14)
    parts, _ = centered(noise[..., 40])
    assert bool((variance_of_sums(parts, [noise])[:, 0] > 0.2 * parts.square().sum(0)[:, 0]).all())


@pytest.mark.parametrize("masking", [False, True])
def test_rows_of_a_tolerance_have_its_error_and_hardly_more_particles_than_that_takes(masking, seed):
    """Rows alike in all but their names: their means' deviation from each other is the error."""
    torch.manual_seed(seed)
    decoder = GaussianDecoder(2, 4, hidden=())
    mechanism = SelfMasking(4, [0, 1], ["high", "high"], PROBIT) if masking else None
    mnar = MNAR(decoder, ConjugateEncoder(decoder), mechanism)
    x = torch.tensor([[0.0, 0.0, 0.7, -0.4]]).expand(400, 4)
    mask = torch.tensor([[False, False, True, True]]).expand(400, 4)
    spread = impute(mnar, x, mask, draws=200, progress=False).draws[..., :2].std(0).mean(0)
    for tolerance in (0.05, 0.02):
        found = impute(mnar, x, mask, tolerance=tolerance, particles=25600, progress=False)
        share = float((found.completed[:, :2].std(0) / spread).amax())
        assert share < 1.1 * tolerance
    # What is averaged is linear without a mechanism. As of independent particles the error would be a fifth of what is allowed.
    assert masking or share > 0.3 * tolerance or float(found.ess.mean()) < 150


def test_whether_a_row_has_enough_particles_does_not_depend_on_the_rows_beside_it(seed):
    """Where the particles' own spread settles it no draw is asked for; a row beside it may need draws."""
    torch.manual_seed(seed)
    decoder = GaussianDecoder(2, 4, hidden=())
    decoder.raw_scale.data.fill_(-3.0)  # all but their own spread is little, so that draws may well show less
    mnar, x = MNAR(decoder, ConjugateEncoder(decoder)), torch.randn(256, 4)
    mask = torch.rand(256, 4) < 0.2
    mask[:, 0] = False
    rows = torch.arange(256)
    for tolerance in (0.3, 0.2, 0.15):
        options = {"tolerance": tolerance, "particles": 200, "progress": False}
        together = impute(mnar, x, mask, **options).ess
        parts = [impute(mnar, x[part], mask[part], labels=part.tolist(), **options).ess for part in rows.split(1)]
        assert torch.equal(together, torch.cat(parts))
