"""The documentation: the page of plain Pyro runs and weighs rows as the library does; every public name has its place."""

import doctest
import math
import re
from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from exact import LAW, MASKS, ROWS, Z_MAX, PosteriorEncoder, z_score
from pyro import poutine
from scipy import special
from torch import nn

import pyro_mnar
from pyro_mnar import IWELBO, LOGIT, MNAR, GaussianDecoder, SelfMasking

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def page():
    """The names that the page's code leaves behind."""
    text = (DOCS / "one_page.md").read_text()
    names = {"__name__": "page"}
    with torch.random.fork_rng(devices=[]):
        for block in re.findall(r"```python\n(.*?)```", text, re.S):
            exec(compile(block, "one_page.md", "exec"), names)
    return names


def test_the_page_s_claims_hold(page):
    text = (DOCS / "one_page.md").read_text()
    (shown,) = re.findall(r"```pycon\n(.*?)```", text, re.S)
    test = doctest.DocTestParser().get_doctest(shown, dict(page), "one_page", None, None)
    assert doctest.DocTestRunner().run(test) == doctest.TestResults(failed=0, attempted=1)


def test_the_page_is_as_long_as_it_says():
    first = re.findall(r"```python\n(.*?)```", (DOCS / "one_page.md").read_text(), re.S)[0]
    assert len(first[first.index("class") :].strip().splitlines()) <= 45


@torch.no_grad()
def test_its_weights_average_to_the_library_s_evidence(page):
    net = page["NotMIWAE"](2, 1)
    for parameter in net.parameters():
        parameter.copy_(0.5 * torch.randn_like(parameter))
    # Both guides wider than any posterior, so that weights are bounded and z scores honest.
    net.encoder.weight.zero_()
    net.encoder.bias.copy_(torch.tensor([0.0, 0.98]))
    encoder = nn.Module()
    encoder.forward = lambda x, mask: dist.Normal(x.new_zeros(*x.shape[:-1], 1), 1.3).to_event(1)
    x = torch.randn(3, 2)
    mask = torch.tensor([[True, False], [True, True], [False, False]])
    decoder, mechanism = GaussianDecoder(1, 2, hidden=()), SelfMasking(2, None, "free", LOGIT)
    decoder.linear.load_state_dict(net.decoder.state_dict())
    scale = torch.nn.functional.softplus(net.raw_scale) - 0.05
    decoder.raw_scale.copy_(torch.log(torch.expm1(scale)))
    mechanism.slope = net.slope.detach()
    mechanism.offset.copy_(net.offset)
    ours = IWELBO(MNAR(decoder, encoder, mechanism), 20_000)
    found = [net.weigh(x, mask, 20_000)[0], ours.log_weights(x, mask)]
    means = [log_w.double().logsumexp(0) - math.log(20_000) for log_w in found]
    errors = [(log_w.double() - mean).exp().var(0) / 20_000 for log_w, mean in zip(found, means, strict=True)]
    z = (means[0] - means[1]) / (errors[0] + errors[1]).sqrt()
    assert float(z.abs().max()) < Z_MAX
    # And site by site where nothing is missing: the same numbers.
    z_draw = torch.randn(4, 1, 1)
    full, all_seen = x[1:2], mask[1:2]
    with poutine.trace() as seen, poutine.condition(data={"z": z_draw}):
        net.model(full, all_seen)
    seen.trace.compute_log_prob()
    joint = sum(seen.trace.nodes[name]["log_prob"] for name in ("x_obs", "s"))
    trace = ours.model_trace({"z": z_draw}, 4, full, all_seen)
    trace.compute_log_prob()
    torch.testing.assert_close(trace.nodes["x"]["log_prob"], joint)


def test_the_mechanism_that_shows_how_to_add_one_keeps_the_contract():
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "extending.md").read_text(), re.S)
    names = {"__name__": "page"}
    exec(compile(block, "extending.md", "exec"), names)
    mechanism = names["WindowMasking"](4).double()
    with torch.no_grad():
        for parameter in mechanism.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    x = torch.randn(6, 4).double()
    law, shifted = mechanism(x), mechanism(x, torch.full((6, 4), 0.7).double())
    torch.testing.assert_close(law.log_missing.exp() + law.log_observed.exp(), torch.ones(6, 4).double())
    logits = [each.log_missing - each.log_observed for each in (law, shifted)]
    torch.testing.assert_close(logits[1] - logits[0], torch.full((6, 4), 0.7).double())
    middle, width, slope = (
        value.detach().numpy() for value in (mechanism.middle, mechanism.log_width.exp(), mechanism.log_slope.exp())
    )

    def log_mask(rows):
        score = slope * ((rows - middle) ** 2 - width**2)
        return special.log_expit(np.where(MASKS[1], -score, score)).sum(-1)

    # In a model its missing values are drawn, and the weights are unbiased.
    exact = LAW.grid(ROWS[1], MASKS[1], log_mask).log_prob
    bound = IWELBO(MNAR(LAW.decoder(), PosteriorEncoder(LAW, 2.0), mechanism).double(), 100_000)
    row, mask = torch.tensor(ROWS[1:2]), torch.tensor(MASKS[1:2])
    with torch.no_grad():
        assert abs(float(z_score((bound.log_weights(row, mask) - exact).exp(), 1.0))) < Z_MAX
    bound.particles = 5
    bound.loss(row, mask).backward()
    assert all(bool((p.grad != 0).any()) for p in mechanism.parameters())


def test_the_page_of_bayesian_weights_runs_and_finds_what_was_simulated():
    names = {"__name__": "page"}
    try:
        for block in re.findall(r"```python\n(.*?)```", (DOCS / "bayesian_weights.md").read_text(), re.S):
            exec(compile(block, "bayesian_weights.md", "exec"), names)
        draws = names["mcmc"].get_samples()["beta"]
        # Posterior deviations are the scale of the error; a chain of 200 draws adds little to it.
        assert float(((draws.mean(0) - torch.tensor([1.0, 2.0])) / draws.std(0)).abs().max()) < Z_MAX
        assert len(names["members"]) == 4
    finally:
        pyro.clear_param_store()


def test_every_public_name_is_in_one_layer_of_the_reference():
    layers = {home.split(".")[1] for home in pyro_mnar._HOMES.values()}
    source = (DOCS / "conf.py").read_text()
    assert all(f'"{layer}":' in source for layer in layers)


def test_links_between_pages_and_to_figures_and_tables_lead_somewhere():
    for path in DOCS.glob("*.md"):
        text = path.read_text()
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) + re.findall(r"```\{include\} (\S+)", text)
        for link in links:
            assert (path.parent / link).exists(), f"{path.name}: {link}"
