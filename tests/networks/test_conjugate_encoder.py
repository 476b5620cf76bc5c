"""The encoder that knows the decoder: exact where the model is, and learning the rest."""

import copy

import pytest
import torch
from exact import LAW, Z_MAX, PosteriorEncoder, z_score
from torch.distributions import MultivariateNormal, kl_divergence

from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.ensembles import fit
from pyro_mnar.model import MNAR
from pyro_mnar.networks import ConjugateEncoder, GaussianDecoder, MixedDecoder, NormalHead


def rows(n):
    """Complete rows of the exact law, (n, 4)."""
    z, noise = torch.randn(n, 2).double(), torch.randn(n, 4).double()
    return z @ torch.tensor(LAW.weight).T + torch.tensor(LAW.bias) + torch.tensor(LAW.noise) * noise


def as_torch(law):
    return MultivariateNormal(law.loc, precision_matrix=law.factor @ law.factor.mT, validate_args=False)


@pytest.mark.parametrize("in_heads", [False, True], ids=["alone", "in heads"])
@pytest.mark.parametrize("hidden", [(), (8,)], ids=["linear", "with a network"])
def test_it_starts_at_the_exact_posterior_of_complete_rows(hidden, in_heads):
    decoder = LAW.decoder()
    if hidden:  # whose network starts at zero
        decoder, linear = GaussianDecoder(2, 4, hidden).double(), decoder
        decoder.load_state_dict(linear.state_dict(), strict=False)
    if in_heads:
        plain, decoder = decoder, MixedDecoder(2, [NormalHead([0, 1]), NormalHead([2, 3])], hidden).double()
        decoder.linear.load_state_dict(plain.linear.state_dict())
        for i, head in enumerate(decoder.heads):
            head.raw_scale.data.copy_(plain.raw_scale[2 * i : 2 * i + 2])
    x, mask = 3 * rows(50), torch.ones(50, 4, dtype=torch.bool)
    found, exact = as_torch(ConjugateEncoder(decoder, hidden=[8]).double()(x, mask)), PosteriorEncoder(LAW, 1.0)(x, mask)
    torch.testing.assert_close(found.mean, exact.mean)
    torch.testing.assert_close(found.covariance_matrix, exact.covariance_matrix)
    # With nothing seen it starts about the prior's mean, not narrower than with everything.
    empty = as_torch(ConjugateEncoder(decoder, hidden=[8]).double()(x, ~mask))
    assert torch.equal(empty.mean, torch.zeros(50, 2).double())
    assert bool((torch.linalg.eigvalsh(empty.covariance_matrix - exact.covariance_matrix) > 0).all())


@torch.no_grad()
def test_a_decoder_that_sends_no_messages_leaves_the_law_to_the_network_of_values_and_mask():
    decoder = GaussianDecoder(2, 4, [8])
    decoder.linear.weight.zero_()
    encoder = ConjugateEncoder(decoder, hidden=[8])
    x, mask = torch.zeros(3, 4), torch.tensor([[True] * 4, [True] * 4, [True] * 3 + [False]])
    x[1, 0] = 1.0
    start = encoder(x, mask)
    assert torch.equal(start.loc, torch.zeros(3, 2))
    torch.testing.assert_close(start.factor, torch.eye(2).expand(3, 2, 2))
    for parameter in encoder.parameters():
        parameter.add_(torch.randn_like(parameter))
    plain, value, hole = zip(*(part.unbind() for part in (encoder(x, mask).loc, encoder(x, mask).factor)), strict=True)
    assert not any(torch.allclose(a, b) for other in (value, hole) for a, b in zip(plain, other, strict=True))


def test_decoder_s_parameters_are_read_but_neither_held_nor_reached_by_a_gradient():
    decoder = GaussianDecoder(2, 4, [8])
    encoder = ConjugateEncoder(decoder, hidden=[8])
    assert all(name.startswith("net.") for name, _ in encoder.named_parameters()) and list(encoder.children()) == [encoder.net]
    assert encoder.state_dict().keys() == {f"net.{name}" for name in encoder.net.state_dict()}
    x, mask = torch.randn(7, 4), torch.rand(7, 4) < 0.7
    law = encoder(x, mask)
    (law.rsample() ** 2).sum().add(law.log_prob(torch.zeros(7, 2)).sum()).backward()
    assert all(p.grad is None for p in decoder.parameters())
    assert all(p.grad is not None for p in encoder.parameters())
    with torch.no_grad():
        before = encoder(x, mask).loc
        decoder.linear.bias.add_(1.0)
        assert not torch.allclose(encoder(x, mask).loc, before)


def test_a_copied_model_s_encoder_reads_the_copied_decoder():
    decoder = GaussianDecoder(2, 4, [8])
    model = MNAR(decoder, ConjugateEncoder(decoder, hidden=[8]))
    copied = copy.deepcopy(model)
    x, mask = torch.randn(7, 4), torch.ones(7, 4, dtype=torch.bool)
    before = model.encoder(x, mask).loc
    with torch.no_grad():
        copied.decoder.raw_scale.sub_(1.0)
    assert torch.equal(model.encoder(x, mask).loc, before)
    assert not torch.allclose(copied.encoder(x, mask).loc, before)


def test_training_it_on_holes_at_random_closes_the_gap_to_the_exact_evidence():
    x, mask = rows(400), torch.rand(400, 4) < 0.7
    decoder = LAW.decoder().requires_grad_(False)
    model = MNAR(decoder, ConjugateEncoder(decoder, hidden=[32]).double())
    exact = torch.tensor([LAW.ignorable(*row).log_prob for row in zip(x.numpy(), mask.numpy(), strict=True)]).double()

    @torch.no_grad()
    def gaps():
        """Evidence less the bound of one particle: KL(q | posterior), in closed form, row by row."""
        return kl_divergence(as_torch(model.encoder(x, mask)), PosteriorEncoder(LAW, 1.0)(x, mask))

    start = gaps()
    fit(IWELBO(model, 5), x, mask, steps=300, batch_size=100, lr=2e-2, weight_decay=0.0, progress=False, mechanism_lr=1e-1)
    end = gaps()
    assert float(start.mean()) > 0.01 and float(end.mean()) < 0.001
    # And the bound is below the evidence by just that much.
    with torch.no_grad():
        log_w = IWELBO(model, 4000).log_weights(x[:50], mask[:50])
    assert float(z_score(exact[:50] - log_w, end[:50]).abs().max()) < Z_MAX
