"""What every mechanism, decoder and encoder promises: a new one is one more row in a table here."""

import itertools
import math

import pytest
import torch
from exact import Z_MAX, z_score
from pyro.distributions.transforms import affine_coupling
from torch import nn

from pyro_mnar.distributions import LOGIT, PROBIT, THRESHOLD
from pyro_mnar.distributions.indexing import indicator
from pyro_mnar.imputation.predict import predict
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.mechanisms import (
    CategoryMasking,
    FixedMasking,
    LatentMasking,
    LinearMasking,
    MaskDistribution,
    MixedMasking,
    NeuralMasking,
    SelfMasking,
    SequentialMasking,
    TwoSidedMasking,
)
from pyro_mnar.model import MNAR, Constraint, EnergyTilt, LearnedConstraint, Prior, energy_net
from pyro_mnar.networks import (
    CategoryHead,
    ConjugateEncoder,
    CountHead,
    Decoder,
    FlowEncoder,
    FlowPrior,
    GaussianDecoder,
    GaussianEncoder,
    GaussianOutcome,
    MixedDecoder,
    NormalHead,
    OrdinalHead,
    SetEncoder,
    SkewWarp,
    StudentTDecoder,
)

D = 4


class Other(Decoder):
    """A decoder that has no prior."""

    def __init__(self):
        super().__init__(2, D)

    def forward(self, z):
        return torch.distributions.Independent(torch.distributions.Normal(z @ torch.ones(2, D), 1.0), 1)


def fixed(x):
    return torch.stack([x[..., 1] - 0.5 * x[..., 0], 0.3 * x[..., 3] ** 2], -1)


MECHANISMS = {
    **{
        f"self {link.name} {direction}": lambda link=link, direction=direction: SelfMasking(D, None, direction, link)
        for link, direction in itertools.product((LOGIT, PROBIT, THRESHOLD), ("high", "low", "free"))
        if (link, direction) != (THRESHOLD, "free")
    },
    "self some columns": lambda: SelfMasking(D, [3, 1], ["high", "free"]),
    "self without a slope": lambda: SelfMasking(D, [3, 1, 0], ["none", "free", "none"]),
    "category": lambda: CategoryMasking(D, [3, 1], [2, 4]),
    "linear": lambda: LinearMasking(D),
    "linear some columns": lambda: LinearMasking(D, [2, 0]),
    "neural": lambda: NeuralMasking(D, [1, 2], hidden=8),
    "fixed": lambda: FixedMasking(fixed, D, [0, 2]),
    "latent self": lambda: LatentMasking(SelfMasking(D, [3, 1], "high", PROBIT), 2, [4]),
    "latent linear": lambda: LatentMasking(LinearMasking(D), 1, []),
    "latent mixed": lambda: LatentMasking(MixedMasking(SelfMasking(D, [0], "high"), NeuralMasking(D, [3], hidden=4)), 2),
    "mixed": lambda: MixedMasking(SelfMasking(D, [0], "high"), LinearMasking(D, [2]), NeuralMasking(D, [3], hidden=4)),
    "sequential": lambda: SequentialMasking(SelfMasking(D, [3, 1, 2], ["high", "none", "free"], PROBIT), [2, 0, 3, 1]),
    "sequential without an order": lambda: SequentialMasking(SelfMasking(D, [3, 1], "high"), latent_dim=2),
    "sequential with a latent": lambda: SequentialMasking(SelfMasking(D), [3, 2, 1, 0], 2),
    "sequential categories": lambda: SequentialMasking(
        MixedMasking(SelfMasking(D, [3], "low"), CategoryMasking(D, [1, 0], [3, 2])), [1, 3, 0, 2], levels={1: 3, 0: 2}
    ),
    "middle": lambda: TwoSidedMasking(D, [3, 1]),
    "tails": lambda: TwoSidedMasking(D, None, "tails"),
    "sequential on two sides": lambda: SequentialMasking(
        MixedMasking(TwoSidedMasking(D, [3], "tails"), TwoSidedMasking(D, [1]), SelfMasking(D, [0], "low")), [1, 3, 2, 0], 2
    ),
    "latent middle": lambda: LatentMasking(TwoSidedMasking(D, [2, 0]), 2, [4]),
    "latent sequential": lambda: LatentMasking(SequentialMasking(SelfMasking(D, [3, 1], "high", PROBIT), [2, 3, 0, 1]), 2, [4]),
}


@pytest.fixture(params=MECHANISMS.values(), ids=MECHANISMS.keys())
def mechanism(request):
    made = request.param().double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return made


def is_threshold(mechanism):
    return isinstance(mechanism, SelfMasking) and mechanism.link is THRESHOLD


def test_mechanism_broadcasts_over_leading_dimensions(mechanism):
    x = torch.randn(5, 3, 2, D).double()
    mask = torch.rand(5, 3, 2, D) < 0.5
    law = mechanism(x)
    assert law.batch_shape == (5, 3, 2) and law.event_shape == (D,)
    assert law.sample((7,)).shape == (7, 5, 3, 2, D) and law.sample().dtype == torch.bool
    torch.testing.assert_close(law.log_prob(mask)[4, 1, 0], mechanism(x[4, 1, 0]).log_prob(mask[4, 1, 0]))
    assert mechanism(x[0, 0, 0]).expand((6,)).log_prob(mask[0, 0, 0]).shape == (6,)


def test_mechanism_s_cells_add_to_its_log_probability_and_each_cell_s_two_outcomes_to_one(mechanism):
    x = torch.randn(20, D).double()
    mask = torch.rand(20, D) < 0.5
    law = mechanism(x)
    torch.testing.assert_close(law.cell_log_prob(mask).sum(-1), law.log_prob(mask))
    for j in range(D):  # one at a time: a mask may read others
        both = law.cell_log_prob(mask).exp() + law.cell_log_prob(mask ^ indicator(torch.tensor([j]), D)).exp()
        torch.testing.assert_close(both[:, j], torch.full((20,), 1.0 if j in mechanism.columns else 2.0).double())


def test_mechanism_draws_masks_at_its_own_rates_and_shows_columns_that_it_does_not_model(mechanism):
    x = torch.randn(6, D).double()
    law = mechanism(x)
    few = getattr(law, "over_points", False)  # where a latent is averaged over for every mask that is drawn
    masks = law.sample((500 if few else 20_000,))
    draws = masks.double()
    # Given the masks drawn, of which a mask may read others.
    seen = [law.cell_log_prob(masks | indicator(torch.tensor([j]), D))[..., j] for j in range(D)]
    rates = torch.stack(seen, -1).exp().detach()
    certain = (rates.mean(0) < 1e-3) | (rates.mean(0) > 1 - 1e-3)
    z = z_score(draws - rates, 0.0)
    assert float(z[~certain].abs().max() if bool((~certain).any()) else 0) < Z_MAX
    assert float((draws - rates).mean(0).abs().max()) < (0.15 if few else 0.03)
    others = torch.ones(D, dtype=torch.bool)
    others[mechanism.columns] = False
    assert bool((draws[..., others] == 1).all())


def test_mechanism_says_truly_which_values_enter_which_masks(mechanism):
    couplings = mechanism.couplings
    assert couplings.shape == (D, D) and couplings.dtype == torch.bool and not bool(couplings.diagonal().any())
    reads = torch.zeros(D, D, dtype=torch.bool)
    for _ in range(20):
        x = torch.randn(D).double()
        law = mechanism(x)
        for k in range(D):
            other = x.index_add(0, torch.tensor([k]), torch.tensor([3.0]).double())
            # Of values that are missing: one that is seen may be read without being named.
            mask = ~indicator(torch.tensor([k]), D)
            changed = mechanism(other).cell_log_prob(mask).exp() != law.cell_log_prob(mask).exp()
            reads[:, k] |= changed & law.modeled
    # What a mechanism does not declare must not happen; the networks and lines here do use all that they declare.
    assert not bool((reads & ~couplings & ~torch.eye(D, dtype=torch.bool)).any())
    if not isinstance(mechanism, FixedMasking):
        assert bool((reads | ~couplings).all())


def test_mechanism_survives_initialize_with_whatever_filler_in_the_holes():
    x = torch.randn(500, D).double()
    mask = torch.rand(500, D) < torch.tensor([0.9, 0.5, 0.7, 0.6])
    for name, make in MECHANISMS.items():
        laws = []
        for filler in (0.0, 1e6, torch.nan):
            torch.manual_seed(3)
            made = make().double()
            made.initialize(torch.where(mask, x, filler), mask)
            laws.append(made(x).log_prob(mask))
            assert not bool(laws[-1].isnan().any()), name
        assert torch.equal(laws[0], laws[1]) and torch.equal(laws[0], laws[2]), name


def test_mechanism_starts_from_no_table_of_another_width_or_without_a_mask(mechanism):
    x, mask = torch.randn(9, D + 1).double(), torch.rand(9, D + 1) < 0.7
    for given, message in (
        ((x, mask), rf"^x: got shape \(9, {D + 1}\), expected \(N, {D}\)"),
        ((x[:, : D - 1], mask[:, : D - 1]), rf"^x: got shape \(9, {D - 1}\), expected"),
        ((x[:, :D], mask[:5, :D]), rf"^mask: got shape \(5, {D}\), expected that of x"),
        ((mask[:, :D], x[:, :D]), "^mask: got torch.float64, expected torch.bool"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            mechanism.initialize(*given)


@pytest.mark.parametrize("name", ["self logit free", "self probit free", "linear", "linear some columns"])
def test_initialize_of_a_free_mechanism_gives_each_column_s_missing_rate(name):
    # Every row with every mask in turn: no column's values point to another's holes, not even by chance.
    counts = [torch.arange(n) > 0 for n in (10, 2, 3, 4)]
    patterns = torch.cartesian_prod(*counts)
    x, mask = torch.randn(5, D).double().repeat_interleave(len(patterns), 0), patterns.repeat(5, 1)
    made = MECHANISMS[name]().double()
    made.initialize(x, mask)
    rates = made(torch.randn(9, D).double()).log_missing.exp()[:, made.columns]
    torch.testing.assert_close(rates, (~mask).double().mean(0)[made.columns].expand_as(rates))


@pytest.mark.parametrize("direction", ["high", "low"])
def test_initialize_puts_a_threshold_at_the_outermost_observed_value(direction):
    x, mask = torch.randn(50, 2), torch.rand(50, 2) < 0.7
    made = SelfMasking(2, None, direction, THRESHOLD)
    made.initialize(x, mask)
    seen = torch.where(mask, x, torch.nan)
    for j in range(2):
        column = seen[:, j][mask[:, j]]
        assert made.anchor[j] == (column.max() if direction == "high" else column.min())
    assert bool(made(x).log_observed[mask].eq(0).all())


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.7])
def test_initialize_with_a_direction_supposes_the_normal_column_that_explains_rate_and_observed_moments(rate):
    # A standard normal cut at its upper end, its seen part standardized: the threshold is where it was cut.
    threshold = float(torch.special.ndtri(torch.tensor(1 - rate).double()))
    x = torch.special.ndtri((torch.arange(200_000).double() + 0.5) / 200_000)
    seen = x <= threshold
    loc, scale = x[seen].mean(), x[seen].std()
    for direction, sign in (("high", 1), ("low", -1)):
        made = SelfMasking(1, None, direction).double()
        made.initialize((sign * (x - loc) / scale).unsqueeze(-1), seen.unsqueeze(-1))
        middle = -made.intercept / made.slope
        assert float(middle.detach()) == pytest.approx(sign * float((threshold - loc) / scale), abs=1e-3)


@pytest.mark.parametrize(("direction", "sign"), [("high", 1), ("low", -1)])
@pytest.mark.parametrize("link", [LOGIT, PROBIT, THRESHOLD], ids=lambda link: link.name)
def test_direction_fixes_the_sign_of_the_slope_for_any_parameters(direction, sign, link):
    made = SelfMasking(3, None, direction, link)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 5)
    assert bool((made.slope * sign > 0).all())
    if link is not THRESHOLD:
        rates = made(torch.tensor([[-1.0] * 3, [1.0] * 3])).log_missing
        assert bool(((rates[1] - rates[0]) * sign >= 0).all())


def test_direction_none_keeps_the_slope_at_nothing_for_any_parameters_and_start():
    made = SelfMasking(3, None, ["none", "high", "none"])
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 5)
    made.initialize(torch.randn(50, 3), torch.rand(50, 3) < 0.5)
    assert made.slope[[0, 2]].tolist() == [0, 0] and made.slope[1] > 0
    made.slope = torch.tensor([0.0, 2.0, 0.0])
    with pytest.raises(ValueError, match="slope: got .* 0 for direction none"):
        made.slope = torch.tensor([0.0, 2.0, 1.0])
    made(torch.randn(5, 3)).log_prob(torch.rand(5, 3) < 0.5).sum().backward()
    assert made.raw_slope.grad[[0, 2]].tolist() == [0, 0] and bool((made.offset.grad != 0).all())


def test_restrict_scores_only_the_columns_asked_for():
    law = MaskDistribution(torch.full((D,), 0.5).log(), torch.full((D,), 0.5).log(), torch.tensor([True, True, True, False]))
    mask = torch.tensor([True, False, True, False])
    restricted = law.restrict(torch.tensor([True, False, False, True]))
    assert restricted.log_prob(mask) == pytest.approx(math.log(0.5))
    assert bool(restricted.sample((50,))[:, 1:].all())


# Decoders -----------------------------------------------------------------------------------------

DECODERS = {
    f"{cls.__name__} {name}": lambda cls=cls, kwargs=kwargs: cls(2, D, **kwargs)
    for cls in (GaussianDecoder, StudentTDecoder)
    for name, kwargs in {
        "linear": {"hidden": ()},
        "network": {"hidden": [8], "linear": False},
        "sum": {"hidden": [8, 8]},
        "scale network": {"hidden": [8], "scale_net": True},
    }.items()
}


@pytest.fixture(params=DECODERS.values(), ids=DECODERS.keys())
def decoder(request):
    made = request.param().double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def test_decoder_returns_rows_of_independent_cells(decoder):
    law = decoder(torch.randn(5, 3, 2).double())
    assert law.batch_shape == (5, 3) and law.event_shape == (D,)
    x = law.rsample()
    cells = law.base_dist.log_prob(x)
    assert cells.shape == (5, 3, D)
    torch.testing.assert_close(cells.sum(-1), law.log_prob(x))
    moved = x.index_add(-1, torch.tensor([1]), torch.ones(5, 3, 1).double())
    assert torch.equal(law.base_dist.log_prob(moved)[..., [0, 2, 3]], cells[..., [0, 2, 3]])
    assert (decoder.latent_dim, decoder.n_columns) == (2, D)


def test_decoder_noise_is_the_law_of_the_standardized_residual(decoder):
    z = torch.randn(7, 2).double()
    law, noise = decoder(z), decoder.noise()
    assert noise.event_shape == (D,) and noise.batch_shape == ()
    e = torch.randn(7, D).double()
    scale = law.base_dist.scale.expand(7, D)
    # Change of variables: log p(m + d e) = log p(e) - log d, exactly and everywhere.
    torch.testing.assert_close(law.log_prob(law.base_dist.loc + scale * e), noise.log_prob(e) - scale.log().sum(-1))
    assert noise.has_rsample


def test_decoder_s_gradient_reaches_every_parameter(decoder):
    decoder(torch.randn(7, 2).double()).log_prob(torch.randn(7, D).double()).sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in decoder.parameters())


@pytest.mark.parametrize("cls", [GaussianDecoder, StudentTDecoder])
def test_decoder_of_both_parts_starts_as_its_linear_part(cls):
    made = cls(2, D, hidden=[8])
    z = torch.randn(7, 2)
    assert torch.equal(made.mean(z), made.linear(z))


@pytest.mark.parametrize("cls", [GaussianDecoder, StudentTDecoder])
@pytest.mark.parametrize("kwargs", [{"hidden": (), "linear": False}, {"hidden": (), "scale_net": True}], ids=["mean", "scale"])
def test_decoder_without_the_layers_it_needs_is_refused(cls, kwargs):
    with pytest.raises(ValueError, match="hidden: got no layers"):
        cls(2, D, **kwargs)


# Encoders -----------------------------------------------------------------------------------------


def mixed():
    kinds = [
        CategoryHead([1], [[0.5, 0.3, 0.2]]),
        CountHead([3], [2.0], [9.0], [0.0], [1.0]),
        OrdinalHead([2], [[0.4, 0.6]], [0.0], [1.0]),
    ]
    return MixedDecoder(2, [NormalHead([0]), *kinds], hidden=[8])


ENCODERS = {
    "gaussian": lambda: GaussianEncoder(2, D, hidden=[8]),
    "set": lambda: SetEncoder(2, D, embedding_dim=4, hidden=[8]),
    "flow": lambda: FlowEncoder(GaussianEncoder(2, D, hidden=[8]), affine_coupling(2, hidden_dims=[8])),
    "conjugate": lambda: ConjugateEncoder(GaussianDecoder(2, D, hidden=[8]).double(), hidden=[8]),
    "conjugate of several kinds": lambda: ConjugateEncoder(mixed().double(), hidden=[8]),
}


@pytest.fixture(params=ENCODERS.values(), ids=ENCODERS.keys())
def encoder(request):
    made = request.param().double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def test_encoder_is_reparameterised_and_reads_each_row_alone(encoder):
    x, mask = torch.randn(3, 7, D).double(), torch.rand(3, 7, D) < 0.6
    mask[0, 0] = False
    law = encoder(x, mask)
    assert law.batch_shape == (3, 7) and law.event_shape == (2,) and law.has_rsample
    assert law.rsample().requires_grad
    # Densities at many points say which law it is, whatever its parameters.
    z = 2 * torch.randn(50, 1, 1, 2).double()
    torch.testing.assert_close(law.log_prob(z)[:, 1, 4], encoder(x[1, 4:5], mask[1, 4:5]).log_prob(z[:, 0])[:, 0])


@pytest.mark.parametrize("filler", [7.0, torch.nan, torch.inf])
def test_encoder_s_value_and_gradient_do_not_depend_on_the_filler(encoder, filler):
    x, mask = torch.randn(7, D).double(), torch.rand(7, D) < 0.6
    mask[0] = False
    z, results = 2 * torch.randn(50, 7, 2).double(), []
    for fill in (0.0, filler):
        log_prob = encoder(torch.where(mask, x, fill), mask).log_prob(z)
        results.append((log_prob, *torch.autograd.grad(log_prob.sum(), list(encoder.parameters()))))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_encoder_tells_a_hole_from_an_observed_zero(encoder):
    zeros = torch.zeros(1, D).double()
    seen, hidden = torch.ones(1, D, dtype=torch.bool), torch.ones(1, D, dtype=torch.bool)
    hidden[0, 1] = False
    z = torch.randn(50, 1, 2).double()
    assert not torch.allclose(encoder(zeros, seen).log_prob(z), encoder(zeros, hidden).log_prob(z))


def test_encoder_refuses_rows_that_it_is_not_made_for_by_name(encoder):
    x, mask = torch.randn(3, D + 1).double(), torch.rand(3, D + 1) < 0.6
    for given, message in (
        ((x, mask), f"^x: got {D + 1} columns, expected {D}, as the encoder is made for"),
        ((x[:, 1:D], mask[:, 1:D]), f"^x: got {D - 1} columns, expected {D}"),
        ((x[:, :D], mask), f"^mask: got {D + 1} columns, expected {D}"),
        ((x[:, :D].float(), mask[:, :D]), "^x: got torch.float32, expected torch.float64, as the encoder's parameters are"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            encoder(*given)


def test_set_encoder_is_invariant_when_columns_are_permuted_with_their_embeddings():
    encoder = SetEncoder(2, D, embedding_dim=4, hidden=[8]).double()
    x, mask = torch.randn(7, D).double(), torch.rand(7, D) < 0.6
    order = torch.tensor([2, 0, 3, 1])
    before = encoder(x, mask).base_dist.loc
    assert not torch.allclose(encoder(x[:, order], mask[:, order]).base_dist.loc, before)
    with torch.no_grad():
        encoder.embedding.copy_(encoder.embedding[order].clone())
    torch.testing.assert_close(encoder(x[:, order], mask[:, order]).base_dist.loc, before)


# Tilts --------------------------------------------------------------------------------------------

TILTS = {
    "energy": lambda: EnergyTilt(energy_net(D, [8])),
    "energy with a ceiling": lambda: EnergyTilt(energy_net(D, [8]), ceiling=1.0),
    "energy of the latents": lambda: EnergyTilt(energy_net(2, [8]), latent=True),
    "constraint": lambda: Constraint(lambda x: (x[..., 0] - x[..., 1]).clamp(max=0), 2.0),
    "learned constraint": lambda: LearnedConstraint(lambda x: torch.stack([x[..., 0], x.square().sum(-1)], -1), 2),
    "sum": lambda: EnergyTilt(energy_net(D, [8])) + Constraint(lambda x: x[..., 2], 0.5) + EnergyTilt(energy_net(2, [4]), latent=True),
}


@pytest.fixture(params=TILTS.values(), ids=TILTS.keys())
def tilt(request):
    made = request.param().double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def test_tilt_gives_each_row_one_number_from_that_row_alone_and_says_what_it_reads(tilt):
    z, x = torch.randn(5, 3, 2).double(), torch.randn(5, 3, D).double()
    weight = tilt.log_weight(z, x)
    assert weight.shape == (5, 3)
    torch.testing.assert_close(tilt.log_weight(z[2, 1], x[2, 1]), weight[2, 1])
    assert torch.equal(tilt.log_weight(z, 2 * x + 1), weight) == (not tilt.reads_rows)


def test_tilts_add_and_their_parameters_are_the_sum_s(tilt):
    z, x = torch.randn(5, 2).double(), torch.randn(5, D).double()
    both = tilt + Constraint(lambda x: x[..., 0], 1.0)
    torch.testing.assert_close(both.log_weight(z, x), tilt.log_weight(z, x) + x[..., 0])
    assert both.reads_rows and len(list(both.parameters())) == len(list(tilt.parameters()))


def test_model_with_a_tilt_holds_its_parameters_and_gives_it_a_factor(tilt):
    mnar = MNAR(GaussianDecoder(2, D, [8]), GaussianEncoder(2, D), SelfMasking(D, direction="high"), tilt=tilt).double()
    assert {id(p) for p in tilt.parameters()} <= {id(p) for p in mnar.parameters()}
    x, mask = torch.randn(6, D).double(), torch.rand(6, D) < 0.6
    mask[0] = False
    weights = []
    for filler in (0.0, torch.nan):
        torch.manual_seed(4)
        weights.append(IWELBO(mnar, 3).log_weights(torch.where(mask, x, filler), mask))
    assert torch.equal(*weights) and bool(weights[0].isfinite().all())
    mnar.freeze_base()
    trained = {id(p) for p in mnar.parameters() if p.requires_grad}
    assert trained == {id(p) for p in [*tilt.parameters(), mnar.log_z]}


# Refusals -----------------------------------------------------------------------------------------

REFUSALS = {
    "unknown direction": (lambda: SelfMasking(D, None, "up"), "direction: got 'up', expected one of high, low, free, none"),
    "count of directions": (lambda: SelfMasking(D, None, ["high"]), "direction: got 1 words, expected one or 4"),
    "free threshold": (
        lambda: SelfMasking(D, None, ["high", "low", "free", "high"], THRESHOLD),
        "direction: got 'free'",
    ),
    "threshold without a slope": (lambda: SelfMasking(D, None, "none", THRESHOLD), "direction: got 'none' with a threshold link"),
    "unknown side": (lambda: TwoSidedMasking(D, None, "left"), "side: got 'left', expected middle or tails"),
    "two sides of a column out of range": (lambda: TwoSidedMasking(D, [D]), "columns: got"),
    "order with a column twice": (lambda: SequentialMasking(SelfMasking(D), [0, 1, 1, 2]), r"order: got \[0, 1, 1, 2\], expected some"),
    "order out of range": (lambda: SequentialMasking(SelfMasking(D), [0, 1, D]), "order: got .* each once"),
    "order of a threshold": (lambda: SequentialMasking(SelfMasking(D, None, "high", THRESHOLD), range(D)), "own: got a threshold"),
    "order of a threshold in a mixture": (
        lambda: SequentialMasking(MixedMasking(SelfMasking(D, [0], "high", THRESHOLD), SelfMasking(D, [1])), range(D)),
        "own: got a threshold",
    ),
    "order of masks that read the row": (lambda: SequentialMasking(LinearMasking(D), range(D)), "own: got LinearMasking"),
    "order of a mixture with such": (
        lambda: SequentialMasking(MixedMasking(SelfMasking(D, [0]), NeuralMasking(D, [1])), range(D)),
        r"own: got MixedMasking, of which columns \[0, 1\] are coupled, expected",
    ),
    "order of an order": (lambda: SequentialMasking(SequentialMasking(SelfMasking(D)), range(D)), "own: got SequentialMasking"),
    "order of a latent": (lambda: SequentialMasking(LatentMasking(SelfMasking(D)), range(D)), "own: got LatentMasking"),
    "order in a mixture": (
        lambda: MixedMasking(SequentialMasking(SelfMasking(D, [0])), SelfMasking(D, [1])),
        "mechanisms: got a SequentialMasking",
    ),
    "latent of another width": (
        lambda: MNAR(GaussianDecoder(2, D), GaussianEncoder(2, D), SequentialMasking(SelfMasking(D), latent_dim=3)),
        "mechanism: reads 3 latents, expected the decoder's 2",
    ),
    "column out of range": (lambda: SelfMasking(D, [4]), "columns: got"),
    "negative column": (lambda: LinearMasking(D, [-1]), "columns: got"),
    "repeated column": (lambda: NeuralMasking(D, [1, 1]), "columns: got"),
    "no column": (lambda: FixedMasking(fixed, D, []), "columns: got"),
    "score of another width": (lambda: FixedMasking(fixed, D, [0])(torch.zeros(D)), "score: returned 2 columns"),
    "one mechanism in a mixture": (lambda: MixedMasking(SelfMasking(D)), "mechanisms: expected two or more"),
    "levels of another number": (lambda: CategoryMasking(D, [0, 1], [3]), r"levels: got \[3\], expected 2 or more for each of 2"),
    "one level": (lambda: CategoryMasking(D, [0], [1]), r"levels: got \[1\]"),
    "threshold of categories": (lambda: CategoryMasking(D, [0], [2], THRESHOLD), "link: got THRESHOLD"),
    "heads with a gap": (lambda: MixedDecoder(2, [NormalHead([0, 2])]), r"heads: got columns \[0, 2\], expected each from 0 on"),
    "heads that overlap": (lambda: MixedDecoder(2, [NormalHead([0, 1]), NormalHead([1])]), "heads: got columns"),
    "mixture over other widths": (
        lambda: MixedMasking(SelfMasking(D, [0]), LinearMasking(3, [1])),
        "mechanisms: expected two or more",
    ),
    "column modeled twice": (
        lambda: MixedMasking(SelfMasking(D, [0]), LinearMasking(D, [0])),
        "modeled more than once",
    ),
    "mechanism of another width": (
        lambda: MNAR(GaussianDecoder(2, D), GaussianEncoder(2, D), SelfMasking(3)),
        "mechanism: made for 3 columns, expected 4",
    ),
    "threshold under a warp": (
        lambda: MNAR(GaussianDecoder(2, D), GaussianEncoder(2, D), SelfMasking(D, None, "high", THRESHOLD), SkewWarp(D)),
        "mechanism: got a threshold together with a warp",
    ),
    "threshold in a mixture under a warp": (
        lambda: MNAR(
            GaussianDecoder(2, D),
            GaussianEncoder(2, D),
            MixedMasking(LinearMasking(D, [1]), SelfMasking(D, [0], "low", THRESHOLD)),
            SkewWarp(D),
        ),
        "mechanism: got a threshold together with a warp",
    ),
    "conjugate encoder of a decoder without linear part": (
        lambda: ConjugateEncoder(GaussianDecoder(2, D, hidden=[8], linear=False)),
        "decoder: its mean has no linear part",
    ),
    "threshold with a latent": (
        lambda: LatentMasking(MixedMasking(SelfMasking(D, [0], "high", THRESHOLD), LinearMasking(D, [1]))),
        "base: got a threshold",
    ),
    "prior of another decoder": (
        lambda: MNAR(Other(), GaussianEncoder(2, D), prior=Prior.members(1, D, 0)[0]),
        "prior: got one for an? Other",
    ),
    "prior of z with a tilt": (
        lambda: MNAR(
            GaussianDecoder(2, D), GaussianEncoder(2, D), tilt=Constraint(lambda x: x[..., 0], 1.0), latent_prior=FlowPrior(2)
        ),
        "latent_prior: got one together with a tilt",
    ),
    "table without its outcome": (
        lambda: MNAR(GaussianDecoder(2, D), GaussianEncoder(2, D), outcome=GaussianOutcome(D)).model(
            torch.zeros(3, D), torch.ones(3, D, dtype=torch.bool)
        ),
        "x: got 4 columns, expected 5",
    ),
    "prediction without an outcome": (
        lambda: predict(MNAR(GaussianDecoder(2, D), GaussianEncoder(2, D)), torch.zeros(3, D), torch.ones(3, D, dtype=torch.bool)),
        "mnar: has no outcome",
    ),
    "missing rate without a mechanism": (
        lambda: MNAR(GaussianDecoder(2, D), GaussianEncoder(2, D)).missing_rate(torch.zeros(1, D)),
        "mechanism: got none, expected one",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refused_with_a_message_that_names_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_mechanisms_and_decoders_are_modules_whose_parameters_the_model_holds():
    mnar = MNAR(GaussianDecoder(2, D), GaussianEncoder(2, D), MixedMasking(SelfMasking(D, [0]), LinearMasking(D, [2])))
    names = [name for name, _ in mnar.named_parameters()]
    assert all(
        any(name.startswith(part) for name in names) for part in ("decoder.", "encoder.", "mechanism.parts.0", "mechanism.parts.1")
    )
    assert all(isinstance(part, nn.Module) for part in mnar.mechanism.parts)
