"""A row's result does not depend on its place among the others: the operations, and an imputer as a whole."""

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_mnar import MNARImputer, impute
from pyro_mnar.distributions import log_tails
from pyro_mnar.distributions.alignment import aligned, definite, evenly, linear, summed
from pyro_mnar.distributions.continuous import PrecisionNormal
from pyro_mnar.imputation.resampling import LEAST_ROWS
from pyro_mnar.infer.particles import Particles
from pyro_mnar.infer.weights import effective_sample_size, smooth
from pyro_mnar.mechanisms import LinearMasking, NeuralMasking, SelfMasking, SequentialMasking, TwoSidedMasking
from pyro_mnar.model import MNAR
from pyro_mnar.networks import ConjugateEncoder, CountHead, GaussianDecoder, GaussianEncoder, StudentTDecoder

DTYPES = [torch.float32, torch.float64]
CHUNK = LEAST_ROWS


def alike(rows, dim=0):
    """Whether a chunk of one row, many times over, has one result, bit for bit."""
    return bool((rows == rows.narrow(dim, 0, 1)).all())


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_are_the_same_in_every_place_of_a_chunk(dtype):
    with torch.no_grad():
        for inner in (*range(1, 20), 29, 31, 63, 129):
            for outer in (1, 2, 5, 7, 8, 11, 16, 31, 128):
                x, weight = (
                    torch.randn(50, 1, inner, dtype=dtype).expand(50, CHUNK, inner).contiguous(),
                    torch.randn(outer, inner).to(dtype),
                )
                found = linear(x, weight)
                assert alike(found, 1), (inner, outer)
                torch.testing.assert_close(found, torch.nn.functional.linear(x, weight), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_posteriors_by_precision_are_the_same_in_every_place_of_a_chunk(dtype):
    def same(value):
        return value[:1].expand(CHUNK, *value.shape[1:]).contiguous()

    with torch.no_grad():
        for size in range(1, 14):
            root = torch.randn(1, size, size, dtype=dtype)
            law = PrecisionNormal.of(same(torch.randn(1, size, dtype=dtype)), same(root @ root.mT + torch.eye(size, dtype=dtype)))
            z = law.from_normals(torch.randn(50, 1, size, dtype=dtype).expand(50, CHUNK, size).contiguous())
            assert all(alike(part) for part in (law.loc, law.factor, z.transpose(0, 1), law.log_prob(z).T)), size


def test_an_encoder_and_a_decoder_are_the_same_in_every_place_of_a_chunk():
    for columns, latents in ((2, 1), (5, 3), (6, 5), (11, 10), (13, 9)):
        decoder = GaussianDecoder(latents, columns, [8], growing=True)
        mnar = MNAR(decoder, ConjugateEncoder(decoder, [8]))
        with torch.no_grad():
            for parameter in mnar.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
            x, mask = (
                torch.randn(1, columns).expand(CHUNK, -1).contiguous(),
                (torch.rand(1, columns) < 0.6).expand(CHUNK, -1).contiguous(),
            )
            law = mnar.encoder(x, mask)
            assert alike(law.loc) and alike(law.factor) and alike(decoder(law.loc).base_dist.loc), (columns, latents)
            with Particles(7, {"z": law.loc.expand(7, *law.loc.shape).contiguous()}) as seen:
                mnar.model(x, mask)
            assert alike(seen.trace.nodes["x"]["fn"].log_prob(seen.trace.nodes["x"]["value"]), -1)


@pytest.mark.parametrize("kind", [GaussianDecoder, StudentTDecoder])
@pytest.mark.parametrize("growing", [False, True])
@pytest.mark.parametrize("scale_net", [False, True])
def test_a_row_s_density_is_the_same_among_others(kind, growing, scale_net):
    """Of laws whose scales are networks' too, and of an encoder's: 8 rows, and as the last ones of 16, 24 and 64."""
    with torch.no_grad():
        for columns in range(1, 14):
            decoder, encoder = kind(2, columns, [8], scale_net=scale_net, growing=growing), GaussianEncoder(3, columns, [8])
            for parameter in (*decoder.parameters(), *encoder.parameters()):
                parameter.add_(torch.randn_like(parameter))
            x, mask, z = torch.randn(64, columns), torch.rand(64, columns) < 0.6, torch.randn(5, 64, 3)
            law, q = decoder(z[..., :2]), encoder(x, mask)
            log_prob, log_q = law.log_prob(x), q.log_prob(z)
            for rows in (slice(0, 8), slice(8, 24), slice(40, 64)):
                own, own_q = decoder(z[:, rows, :2].contiguous()), encoder(x[rows], mask[rows])
                assert torch.equal(own.log_prob(x[rows]), log_prob[:, rows]), columns
                assert torch.equal(own_q.log_prob(z[:, rows]), log_q[:, rows]), columns


@pytest.mark.parametrize("mechanism", [TwoSidedMasking, SelfMasking, LinearMasking, NeuralMasking])
def test_a_row_s_mask_is_scored_the_same_among_others(mechanism):
    """Where masks read earlier columns and the latent, their ends are each row's own."""
    with torch.no_grad():
        for columns in range(2, 9):
            law = mechanism(columns)
            if mechanism not in (LinearMasking, NeuralMasking):
                law = SequentialMasking(law, range(columns), 2)
            for parameter in law.parameters():
                parameter.add_(torch.randn_like(parameter))
            decoder = GaussianDecoder(2, columns, [8])
            mnar = MNAR(decoder, ConjugateEncoder(decoder, [8]), law)
            x, mask = torch.randn(40, columns), torch.rand(40, columns) < 0.6
            whole = impute(mnar, x, mask, particles=100, labels=range(40), progress=False)
            for rows in torch.randperm(40).split(8):
                rows = rows.tolist()
                own = impute(mnar, x[rows], mask[rows], particles=100, labels=rows, progress=False)
                assert torch.equal(own.completed, whole.completed[rows]) and torch.equal(own.ess, whole.ess[rows]), columns


def test_padding_changes_no_number_and_is_not_done_where_gradients_are_recorded():
    value = torch.randn(3, 5)
    assert aligned(value) is value and definite(torch.eye(5)).shape == (5, 5)
    with torch.no_grad():
        assert torch.equal(aligned(value)[:, :5], value) and float(aligned(value)[:, 5:].abs().max()) == 0
        assert torch.equal(evenly(torch.exp, value), value.exp()) and aligned(value[:, :4]).shape == (3, 4)
        assert torch.equal(torch.linalg.cholesky(definite(4 * torch.eye(3))).diagonal(), torch.tensor([2.0, 2.0, 2.0, 1.0]))


@pytest.mark.parametrize("function", [torch.log, torch.nn.functional.softplus, torch.sigmoid])
def test_a_parameter_is_taken_as_rows_of_it_are(function):
    """Torch rounds the last few cells of a tensor otherwise: one of 1 to 40 columns alone, and as every row of many."""
    with torch.no_grad():
        for columns in range(1, 41):
            value = torch.rand(columns) + 0.1
            rows = torch.nn.functional.pad(value.expand(64, -1), (0, 1))[:, :-1]
            assert bool((evenly(function, rows) == evenly(function, value)).all()), columns


def test_maps_of_logarithms_and_laws_of_counts_are_the_same_of_few_rows_as_of_many():
    """Of one draw of eight rows and three such columns all cells are the last few."""
    torch.manual_seed(0)
    y, skew, eta = 3 * torch.randn(64, 3), torch.tensor([0.3, -0.4, 0.1]), 3 * torch.randn(64, 1)
    head = CountHead([0], [3.0], [9.0], [0.0], [1.0])
    with torch.no_grad():
        for of in (log_tails.from_normal, log_tails.slope):
            assert torch.equal(torch.cat([of(part, skew) for part in y.split(CHUNK)]), of(y, skew))
        laws = [head(part) for part in eta.split(CHUNK)]
        assert torch.equal(torch.cat([law.log_mean for law in laws]), head(eta).log_mean)
        assert torch.equal(torch.cat([law.log_prob(torch.tensor([2.0])) for law in laws]), head(eta).log_prob(torch.tensor([2.0])))


def test_a_row_is_imputed_alike_alone_and_in_every_table():
    """In single precision, of odd numbers of columns and latents, which even ones would hide."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(70, 3)) @ rng.normal(size=(3, 5))
    x[rng.random(x.shape) < 0.3] = np.nan
    imputer = MNARImputer("self-masking", "high", members=1, steps=3, hidden=(8,), latent_dim=5, progress=False)
    table = pd.DataFrame(x, index=[f"row {i}" for i in range(70)], columns=list("abcde"))
    imputer.fit(table)
    whole = imputer.transform(table)
    for start, stop in ((0, 1), (3, 5), (10, 33), (20, 33), (40, 70)):  # chunks of 8, 16, 32 and 64
        assert imputer.transform(table.iloc[start:stop]).equals(whole.iloc[start:stop])
    order = rng.permutation(70)
    assert imputer.transform(table.iloc[order]).equals(whole.iloc[order])


def of_every_kind(n=40):
    """A table with holes in columns of every kind, and in one whose missing values are known to lie below a limit."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, 3))

    def score():
        return z @ rng.normal(size=3) + 0.7 * rng.normal(size=n)

    def levels(names):
        return np.array(names, dtype=object)[np.digitize(score(), [-0.5, 0.7][: len(names) - 1])]

    columns = {
        "real": score(),
        "positive": np.exp(score()),
        "categorical": levels(["u", "v", "w"]),
        "binary": levels(["no", "yes"]),
        "ordinal": pd.Categorical(levels(["low", "mid", "high"]), ["low", "mid", "high"], ordered=True),
        "count": rng.poisson(np.exp(0.5 * score() + 1)).astype(float),
        "proportion": np.clip(1.2 / (1 + np.exp(-score())) - 0.1, 0, 1),
        "semicontinuous": np.where(score() < 0, 0.0, np.exp(score())),
        "angle": 90 * score() % 360,
        "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.rint(30 * score()), unit="D"),
        "limited": np.exp(score()),
    }
    table = pd.DataFrame(columns, index=[f"row {i}" for i in range(n)])
    for name in table:
        table.loc[rng.random(n) < 0.3, name] = np.nan
    return table


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("mechanism", ["none", "self-masking"])
def test_a_row_of_every_kind_is_imputed_alike_alone_and_in_every_table(mechanism):
    table = of_every_kind()
    kinds = {name: name for name in ("positive", "count", "proportion", "semicontinuous")} | {
        "angle": "angle:360",
        "limited": "positive",
    }
    settings = {"members": 1, "steps": 3, "hidden": (8,), "latent_dim": 3, "progress": False, "n_jobs": 1}
    imputer = MNARImputer(mechanism, kinds=kinds, limits={"limited": ("<", "smallest")}, **settings).fit(table)
    whole = imputer.impute(table, draws=5, particles=100)
    for rows in ([4], [3, 4], list(range(10, 33)), np.random.default_rng(1).permutation(len(table)).tolist()):
        part = imputer.impute(table.iloc[rows], draws=5, particles=100)
        assert torch.equal(part.completed, whole.completed[rows]) and torch.equal(part.draws, whole.draws[:, rows])
        assert torch.equal(part.probabilities, whole.probabilities[rows]) and torch.equal(part.ess, whole.ess[rows])


def test_as_many_particles_as_are_asked_for_draw_levels_and_counts():
    """Beside very many particles cells are not filled up, of whatever kind."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=40), "k": rng.choice(list("uvw"), 40), "n": rng.poisson(3, 40)}).astype({"n": "Int64"})
    frame.loc[:3, "k"], frame.loc[2:5, "n"], frame.loc[6:7, "a"] = None, pd.NA, np.nan
    imputer = MNARImputer("none", steps=2, members=1, hidden=(4,), progress=False, kinds={"n": "count"}).fit(frame)
    few, many = (imputer.impute(frame[:8], draws=1, particles=particles) for particles in (4096, 4097))
    for found in (few, many):
        torch.testing.assert_close(found.probabilities[:4, 1].sum(-1), torch.ones(4).to(found.probabilities))
    # The chance of a level has a standard error of at most half of one over the root of the particles, in each.
    assert float((few.probabilities - many.probabilities).abs().max()) < 6 * 0.5 * (2 / 4096) ** 0.5


def test_sums_over_particles_are_the_same_wherever_a_row_lies():
    """Means, effective sample sizes and smoothed weights, in double precision: torch adds up the last few otherwise."""
    torch.manual_seed(0)
    with torch.no_grad():
        log_weights, cells = 3 * torch.randn(200, 64), torch.randn(200, 64, 7)
        whole, k = smooth(log_weights)
        size, mean = effective_sample_size(whole), summed(whole.exp().unsqueeze(-1) * cells)
        for start, rows in ((0, 8), (8, 8), (24, 16), (40, 8)):
            at = slice(start, start + rows)
            own, own_k = smooth(log_weights[:, at].contiguous())
            assert torch.equal(own, whole[:, at]) and torch.equal(own_k, k[at]) and own.is_contiguous()
            assert torch.equal(effective_sample_size(own), size[at])
            assert torch.equal(summed(own.exp().unsqueeze(-1) * cells[:, at]), mean[at])
