"""Instruments: the value is not related to them but through going missing, as in Heckman's model, against quadrature."""

import numpy as np
import pandas as pd
import pytest
import torch
from exact import LinearGaussian, z_score
from scipy import stats

from pyro_mnar import MNARImputer
from pyro_mnar.data import TableCodec
from pyro_mnar.distributions.links import PROBIT
from pyro_mnar.imputation.impute import impute_one
from pyro_mnar.imputer.identification.instrument import instruments_in_words, instruments_of, mask_strengths, weak_instruments
from pyro_mnar.imputer.identification.shadow import as_read
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.mechanisms import SelfMasking, SequentialMasking
from pyro_mnar.model import MNAR
from pyro_mnar.networks.conjugate_encoder import ConjugateEncoder
from pyro_mnar.networks.decoders import GaussianDecoder
from pyro_mnar.networks.heads import CategoryHead, NormalHead
from pyro_mnar.networks.mixed_decoder import MixedDecoder

#: Of x, z and y: y's own slope, z's effect and an intercept on the probit of y missing.
SLOPE, EFFECT, INTERCEPT = -0.9, 1.3, 0.2
#: x and y share a latent; the weight of z is to be left out.
LAW = LinearGaussian(np.array([[0.9], [0.7], [1.1]]), np.array([0.1, -0.4, 0.5]), np.array([0.6, 1.3, 0.8]))
CUT = LinearGaussian(LAW.weight * [[1.0], [0.0], [1.0]], LAW.bias, LAW.noise)


def heckman():
    """The model, in which z has a law of its own."""
    decoder = GaussianDecoder(1, 3, [])
    decoder.set_alone([1])
    own = SequentialMasking(SelfMasking(3, [2], ["free"], PROBIT), [1], instruments=[1])
    exact = LAW.decoder()
    with torch.no_grad():
        for name, value in exact.state_dict().items():
            decoder.state_dict()[name].copy_(value)
        decoder.linear.weight[1] = 0.0
        own.own.slope = torch.tensor([SLOPE])
        own.own.offset.fill_(INTERCEPT)
        own.effects[2, 1] = EFFECT
    return MNAR(decoder, ConjugateEncoder(decoder, [4]), own).double()


def by_quadrature(x, z):
    """log p(x, z, y missing), and the mean and the variance of y, given that it is missing."""
    center, cov = CUT.bias, CUT.cov
    given = center[2] + cov[2, 0] / cov[0, 0] * (x - center[0])
    spread = (cov[2, 2] - cov[2, 0] ** 2 / cov[0, 0]) ** 0.5
    y = given + spread * np.linspace(-9, 9, 4001)
    weight = stats.norm.pdf(y, given, spread) * stats.norm.cdf(SLOPE * y + EFFECT * z + INTERCEPT) * (y[1] - y[0])
    seen = stats.norm.logpdf(x, center[0], cov[0, 0] ** 0.5) + stats.norm.logpdf(z, center[1], cov[1, 1] ** 0.5)
    mean = (weight @ y) / weight.sum()
    return seen + np.log(weight.sum()), mean, (weight @ (y - mean) ** 2) / weight.sum()


ROWS = np.array([[0.3, -1.5], [0.3, 1.5], [-1.0, 0.0]])


def test_a_model_with_an_instrument_is_heckmans():
    model = heckman()
    x = torch.tensor(np.column_stack([ROWS, np.zeros(3)]))
    mask = torch.tensor([[True, True, False]]).expand(3, 3)
    log_p, mean, variance = np.array([by_quadrature(*row) for row in ROWS]).T
    torch.manual_seed(0)
    weights = IWELBO(model, 4000).log_weights(x, mask).detach().exp()
    assert z_score(weights, torch.tensor(np.exp(log_p))).abs().max() < 4
    found = impute_one(model, x, mask, particles=4000, draws=2000)
    draws = found.draws[..., 2]
    assert z_score(draws, torch.tensor(mean)).abs().max() < 4
    assert z_score((draws - torch.tensor(mean)) ** 2, torch.tensor(variance)).abs().max() < 4
    # Rows that are alike but in z: whoever should have answered, and did not, has another value.
    assert mean[0] < mean[1] - 0.3


def test_seen_values_are_not_related_to_an_instrument():
    model = heckman()
    near = [torch.tensor([[0.3, z, y]], dtype=torch.float64) for z in (-2.0, 2.0) for y in (-1.0, 1.5)]
    logs = [float(_log_values(model, row)) for row in near]
    # log p(x, z, y) is a sum of a function of z and one of x and y.
    assert logs[0] - logs[1] == pytest.approx(logs[2] - logs[3], abs=1e-9)


@torch.no_grad()
def _log_values(model, row):
    z = torch.linspace(-6, 6, 2001, dtype=torch.float64).unsqueeze(-1)
    return torch.logsumexp(model.decoder(z).log_prob(row) - z[:, 0] ** 2 / 2, 0)


@pytest.mark.parametrize("kind", ["plain", "mixed"])
def test_a_law_alone_never_reads_the_latent(kind):
    if kind == "plain":
        decoder = GaussianDecoder(2, 3, [8])
    else:
        decoder = MixedDecoder(2, [NormalHead([0, 2]), CategoryHead([1], [[0.5, 0.3, 0.2]])], [8])
    decoder.set_alone([1])
    encoder, z, x = ConjugateEncoder(decoder, [4]), torch.randn(50, 2), torch.tensor([0.5, 1.0, -0.2])
    optimizer = torch.optim.AdamW([*decoder.parameters()], lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        (-decoder(z).log_prob(x).mean() - decoder.log_prior() / 50).backward()
        optimizer.step()
    cells = decoder(z).base_dist.log_prob(x)
    assert cells[:, 1].max() == cells[:, 1].min() and cells[:, 0].max() > cells[:, 0].min()
    before, after = (encoder(torch.tensor([[0.5, v, -0.2]]), torch.ones(1, 3, dtype=torch.bool)) for v in (0.0, 2.0))
    torch.testing.assert_close(before.loc, after.loc, rtol=0, atol=0)


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(1)
    x, z, e, u, noise = rng.normal(size=(5, 300))
    y = 1 + x + e
    seen = 0.5 + z + 0.8 * e + 0.6 * u > 0
    return pd.DataFrame({"x": x, "z": z, "noise": noise, "y": np.where(seen, y, np.nan)})


def quick(**settings):
    return MNARImputer(**{"steps": 3, "members": 2, "hidden": (4,), "progress": False} | settings)


def test_every_mask_reads_an_instrument_in_whatever_is_chosen(frame, tmp_path):
    table = frame
    fitted = quick(instrument=["z"]).fit(table)
    assert fitted.specification_.alone == (1,) and all(1 in order for order in fitted.specification_.orders)
    # A strong one identifies: that small values go missing is estimated, and no longer chosen.
    assert fitted.specification_.directions == ("free",)
    words = instruments_in_words(fitted)
    assert len(words) == 1 and words[0].startswith("Declared instrument z of y going missing: partial F ")
    assert words[0].endswith("strong enough to identify") and not weak_instruments(fitted)
    # F of a regression of the mask.
    y = table.y.isna().to_numpy(float)
    rest = np.column_stack([np.ones(300), table.x, table.noise])
    rss = [((y - part @ np.linalg.lstsq(part, y, rcond=None)[0]) ** 2).sum() for part in (rest, np.column_stack([rest, table.z]))]
    assert fitted.instruments_["f"][0] == pytest.approx((rss[0] - rss[1]) / (rss[1] / 296), rel=1e-6)
    fitted.save(tmp_path / "m")
    again = MNARImputer.load(tmp_path / "m")
    pd.testing.assert_frame_equal(again.instruments_, fitted.instruments_)
    np.testing.assert_array_equal(again.transform(table), fitted.transform(table))
    assert all(bool(member.decoder.alone[1]) for member in again.members_)


def test_strength_is_beside_other_columns_values_and_absences(frame):
    """The F of nested least squares regressions of the mask; the other holed column's absence is nearly the instrument's sign."""
    table = frame.assign(x=frame.x.mask(frame.z + 0.3 * frame.noise > 0.6))
    codec, values, mask = TableCodec.learn(table)
    told = Given(table, table, codec, values, mask)
    found = mask_strengths(told, [0, 3], [1])
    assert found[["column", "instrument"]].to_numpy().tolist() == [["x", "z"], ["y", "z"]]
    for line, (j, other) in zip(found.itertuples(), ((0, 3), (3, 0)), strict=True):
        rest = np.column_stack([np.ones(300), as_read(told, other), table.noise, ~mask[:, other]])
        missing, (small, large) = ~mask[:, j] * 1.0, (rest, np.column_stack([rest, table.z]))
        rss = [((missing - part @ np.linalg.lstsq(part, missing, rcond=None)[0]) ** 2).sum() for part in (small, large)]
        assert (line.of, line.rows_left) == (1, 295) and line.f == pytest.approx((rss[0] - rss[1]) / (rss[1] / 295), rel=1e-6)


def test_an_instrument_that_is_left_out_since_it_is_always_the_same_is_not_used(frame):
    codec, _, mask = TableCodec.learn(frame)
    assert instruments_of(MNARImputer(instrument=["always", "z"]), codec.schema, mask, ["always"]) == (1,)


def test_a_weak_instrument_is_said(frame):
    with pytest.warns(UserWarning, match="^instrument: hardly moves whether y is missing"):
        fitted = quick(instrument=["noise"]).fit(frame)
    assert fitted.specification_.alone == (2,) and "weak, below 10" in instruments_in_words(fitted)[0]


def test_bad_instruments_are_refused(frame):
    table = frame
    with pytest.raises(ValueError, match="^instrument: got unknown column 'v', expected some of x, z, noise, y"):
        quick(instrument=["v"]).fit(table)
    row = int(table.y.isna().argmax())
    with pytest.raises(ValueError, match=f"^instrument: got column 'y', which has a hole in row {row}, expected complete columns"):
        quick(instrument=["y"]).fit(table)
    with pytest.raises(ValueError, match="^instrument: got column 'z', which is declared a shadow variable too"):
        quick(instrument=["z"], shadow=["z"]).fit(table)
    for mechanism in ("linear", "neural"):
        with pytest.raises(ValueError, match=f"^instrument: got some with mechanism '{mechanism}'"):
            quick(mechanism=mechanism, instrument=["z"]).fit(table)
    with pytest.warns(UserWarning, match="^instrument: not used, since mechanism none"):
        quick(mechanism="none", instrument=["z"]).fit(table)


def test_effects_of_instruments_are_not_held_back_beside_own_values():
    own = lambda: SelfMasking(3, [2], ["free"], PROBIT)  # noqa: E731
    held, free = SequentialMasking(own(), [0, 1]), SequentialMasking(own(), [0, 1], instruments=[1])
    specification = Specification("self-masking", (2,), ("free",), ("continuous",) * 3, 1, (4,), 1, orders=((0, 1),), alone=(1,))
    (member,) = specification.models()
    assert member.mechanism.held.tolist() == free.held.tolist() == [True, False, True] and held.held.all()
