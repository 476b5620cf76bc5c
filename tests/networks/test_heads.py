"""What every head of a mixed decoder promises: a new one is one row here."""

import pytest
import torch
from exact import even

from pyro_mnar.networks import CategoryHead, ConjugateEncoder, CountHead, MixedDecoder, NormalHead, OrdinalHead, SemicontinuousHead
from pyro_mnar.networks.angle import AngleHead
from pyro_mnar.networks.proportion import ProportionHead

HEADS = {
    "normal": lambda: NormalHead([0, 1]),
    "ordinal": lambda: OrdinalHead([0, 1], [[0.7, 0.3], [0.2, 0.5, 0.3]], [-0.3, 0.0], [0.5, 0.25]),
    "category": lambda: CategoryHead([0, 1], [[0.25] * 4, [0.6, 0.3, 0.1]]),
    "count": lambda: CountHead([0, 1], [2.0, 3.0], [7.0, 9.0], [-0.8, 0.0], [0.4, 1.0]),
    "proportion": lambda: ProportionHead([0, 1], [[-0.4, 0.9], [-0.3, None]], [[0.3, 0.6], [0.5, 0.5]]),
    "angle": lambda: AngleHead([0, 1], [0.3, -0.5], [0.0, 0.6]),
    "semicontinuous": lambda: SemicontinuousHead([0, 1], [-0.4, 0.3], [0.3, 0.6], [1, -1]),
}


@pytest.fixture(params=HEADS.values(), ids=HEADS.keys())
def head(request):
    made = request.param().double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def near_start(head, *shape):
    return head.start + 0.3 * torch.randn(*shape, len(head.start)).double()


def test_law_has_a_column_each_whatever_leads(head):
    assert len(head.start) == len(head.owner) and set(head.owner) == set(range(2))
    eta = near_start(head, 5, 3)
    law = head(eta)
    x = law.sample()
    assert law.batch_shape == x.shape == (5, 3, 2) and law.closed
    torch.testing.assert_close(law.log_prob(x)[4, 1], head(eta[4, 1]).log_prob(x[4, 1]))


def test_an_output_moves_its_own_column_alone(head):
    eta = near_start(head, 40)
    x = head(eta).sample()
    for place, own in enumerate(head.owner):
        moved = eta.index_add(-1, torch.tensor([place]), torch.full((40, 1), 0.4).double())
        changed = head(moved).log_prob(x) != head(eta).log_prob(x)
        assert bool(changed[:, own].any()) and not bool(changed[:, 1 - own].any())


def test_what_a_value_tells_is_its_score_over_the_information(head):
    """g is the derivative of log p(x | eta), noise counting as known: with 1 / W, the step g / W says it."""
    even(head)
    eta = near_start(head).detach().requires_grad_()
    x = head(eta.expand(6, -1)).sample().detach()
    told, variance = head.working(x, eta.detach())
    wide = eta.detach().expand(6, -1).clone().requires_grad_()
    (score,) = torch.autograd.grad(head(wide).log_prob(x).sum(), wide)
    said = variance < 1e6  # the value that repeats says nothing of a mean
    torch.testing.assert_close((told / variance)[said.expand_as(told)], score[said.expand_as(told)], atol=1e-6, rtol=1e-6)


def test_gradients_reach_every_parameter_and_the_outputs(head):
    eta = near_start(head, 400).requires_grad_()
    x = head(eta).sample().detach()
    head(eta).log_prob(x).sum().backward()
    assert bool(eta.grad.isfinite().all()) and all(bool(p.grad.isfinite().all()) for p in head.parameters())
    assert all(bool((p.grad != 0).any()) for p in head.parameters())


def test_features_are_as_many_as_said_and_read_no_missing_value(head):
    x = head(near_start(head, 7)).sample()
    mask = torch.rand(7, 2) < 0.5
    assert head.features(x, mask).shape == (7, head.n_features)
    # Holes hold 0, and then all that is read of a row without values is 0.
    assert not bool(head.features(torch.zeros(7, 2).double(), torch.zeros(7, 2).bool()).any())


def test_values_that_repeat_stand_apart_and_all_others_as_they_are(head):
    x = head(near_start(head, 50)).sample()
    found = head.apart(x, torch.ones_like(x, dtype=torch.bool))
    assert torch.equal(found[found.isfinite()], x[found.isfinite()])
    assert bool(found.isinf().any()) == hasattr(head, "mass")


def test_it_serves_a_decoder_and_its_encoder(head):
    decoder = MixedDecoder(2, [head], [4]).double()
    x = decoder(torch.randn(9, 2).double()).sample()
    decoder.center(torch.tensor([0.2, -0.1]).double())
    law = ConjugateEncoder(decoder, [4]).double()(x, torch.rand(9, 2) < 0.7)
    assert law.batch_shape == (9,) and bool(law.loc.isfinite().all())
