"""The tilt's benchmark: its densities are densities, its samples theirs, and a run gives what its table reads."""

import math

import pytest
import torch
from exact import Z_MAX, z_score

from benchmarks.tilt import densities, holes, sampling, tables
from benchmarks.tilt.__main__ import PARTS, main
from benchmarks.tilt.bases import base_log_density, gaussian_base, grid
from benchmarks.tilt.shapes import SHAPES
from pyro_mnar import SelfMasking


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_density_integrates_to_one_and_is_that_of_the_sample(shape):
    points, log_cell = grid(241, 5.0)
    points = points.double() + 1e-4  # off the checkerboard's edges
    density = shape.log_density(points).exp()
    # A sum over cells is exact to 2 % where the density has edges.
    assert float(density.sum()) * math.exp(log_cell) == pytest.approx(1.0, abs=0.02)
    x = shape.sample(20_000)
    for f in (lambda v: v.tanh(), lambda v: (2 * v).cos(), lambda v: v[:, :1].sin() * v[:, 1:].sin()):
        exact = (density.unsqueeze(-1) * f(points)).sum(0) / density.sum()
        assert float((f(x).mean(0) - exact).abs().max()) < 0.03
    assert float(x.std(0).sub(1).abs().max()) < 0.05


def test_gaussian_base_has_the_data_s_moments_and_its_stated_density():
    x = SHAPES["ring"].sample(3000)
    base = gaussian_base(x)
    exact = torch.distributions.MultivariateNormal(x.mean(0).double(), torch.cov(x.T).double())
    found = base_log_density(base, x)
    torch.testing.assert_close(found, exact.log_prob(x.double()), atol=1e-3, rtol=0)


def test_energy_distance_is_nought_for_one_law_and_grows_with_a_shift():
    a, b, c = torch.randn(3, 2000, 2)
    near, far = holes.energy_distance(torch.stack([a, c]), b), holes.energy_distance((b + 1).unsqueeze(0), b)
    assert abs(near) < 0.1 < 0.4 < far
    pairs = torch.randn(500, 2, 10, 2)  # few rows, of which one's distance to its own completion would be seen
    squares = torch.tensor([math.copysign(d * d, d) for d in (holes.energy_distance(x.unsqueeze(0), y) for x, y in pairs)])
    assert abs(float(z_score(squares, 0.0))) < Z_MAX
    # Of normals that differ by a shift it is in closed form: 2 E|A - B| less twice E|A - A'|, a Rice mean and a Rayleigh mean.
    rayleigh = math.sqrt(math.pi)
    v = 1 / 4
    rice = rayleigh * math.exp(-v) * float((1 + 2 * v) * torch.special.i0(torch.tensor(v)) + 2 * v * torch.special.i1(torch.tensor(v)))
    pieces = [holes.energy_distance((x + 1).unsqueeze(0), y) ** 2 for x, y in zip(a.split(50), b.split(50), strict=True)]
    assert abs(float(z_score(torch.tensor(pieces), 2 * rice - 2 * rayleigh))) < Z_MAX


def test_the_truth_s_own_completions_are_at_no_distance():
    case = holes.CASES["ring, self-masked"]
    shape, why = SHAPES[case.shape], case.mechanism()
    full = shape.sample(1000)
    with torch.no_grad():
        mask = why(full).sample()
    x = torch.where(mask, full, 0.0)
    found = holes.exact_completions(shape, why, x, mask)
    assert torch.equal(found[:, mask[:, 0]], full[mask[:, 0]].expand(len(found), -1, -1)) and torch.equal(
        found[..., 1], full[:, 1].expand(len(found), -1)
    )
    ignorable = holes.exact_completions(shape, SelfMasking(2, [1], "high"), x, mask)
    assert abs(holes.energy_distance(found, full)) < 0.04 < 0.1 < holes.energy_distance(ignorable, full)


def test_energy_of_the_sampling_part_is_the_log_ratio_of_shares():
    energy = sampling._energy(sampling.CENTRES)
    torch.testing.assert_close(energy, (torch.tensor(sampling.BIASED) / torch.tensor(sampling.UNBIASED)).log(), atol=0.05, rtol=0)


def test_a_short_run_closes_some_of_the_gap_and_its_bound_is_not_above():
    found = densities.run("ring", "gaussian", "self-normalized", 0, steps=40)
    assert 0.5 < found["share closed"] < 1
    assert found["bound less exact"] < 3 * found["its standard error"]
    assert abs(found["estimate less grid"]) < 5 * found["estimate's error"] + 1e-3


def test_results_are_kept_and_read_again(tmp_path, monkeypatch, capsys):
    calls = []

    def run(*cell, steps):
        calls.append(cell)
        return [{"sampler": "one", "seed": cell[-1], "error": cell[-1]}, {"sampler": "two", "seed": cell[-1], "error": 0.5}]

    monkeypatch.setitem(PARTS, "sampling", (run, *PARTS["sampling"][1:]))
    found = [main(["sampling", "--seeds", "3", "--steps", "1", "--output", str(tmp_path)]) for _ in range(2)]
    assert calls == [(0,), (1,), (2,)] and found[0].equals(found[1]) and found[0].error.tolist() == [1.0, 0.5]
    assert "1.0000 (1.0000; 0.0000, 2.0000)" in capsys.readouterr().out


def test_a_table_s_gain_is_that_of_the_held_out_rows_however_log_z_is_had():
    found = tables.run("breast", "linear", 0, steps=5)
    assert found["gain by the tilt"] <= found["gain by log_normalizer"] + 4 * found["its standard error"] + 0.05
    assert math.isfinite(found["bound of base"]) and 0 < found["ESS share"] <= 1
