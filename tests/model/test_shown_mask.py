"""Graphs and traces show the mask; densities are as they were, and weights of particles do not pay for it."""

import pyro
import pytest
import torch
from exact import INTERCEPT, LAW, MASKS, ROWS, SLOPE, PosteriorEncoder, self_masking
from pyro import poutine
from pyro.infer.inspect import get_model_relations

from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.mechanisms import LinearMasking
from pyro_mnar.model import MNAR

X, MASK = torch.tensor(ROWS), torch.tensor(MASKS)


def mnar(mechanism):
    return MNAR(LAW.decoder(), PosteriorEncoder(LAW), mechanism).double()


SELF = mnar(self_masking(SLOPE, INTERCEPT))


@pytest.mark.parametrize("model", [SELF, mnar(LinearMasking(4))], ids=["integrated", "coupled"])
def test_the_mask_is_an_observed_node_that_depends_on_rows_and_latents(model):
    relations = get_model_relations(model.model, (X, MASK))
    assert {"x", "z"} <= set(relations["sample_sample"]["mask"])
    assert {"x", "mask"} <= set(relations["observed"]) and "mask" in relations["plate_sample"]["rows"]


def test_without_a_mechanism_no_mask_is_modeled_and_none_is_shown():
    assert "mask" not in get_model_relations(mnar(None).model, (X, MASK))["sample_sample"]


def test_the_shown_mask_counts_nothing_and_is_what_was_seen():
    trace = poutine.trace(SELF.model).get_trace(X, MASK)
    trace.compute_log_prob()
    assert torch.equal(trace.nodes["mask"]["value"], MASK) and torch.equal(trace.nodes["mask"]["fn"].sample(), MASK)
    torch.testing.assert_close(trace.nodes["mask"]["log_prob"], torch.zeros(5).double())
    weights = IWELBO(SELF, 1).model_trace({"z": trace.nodes["z"]["value"].unsqueeze(0)}, 1, X, MASK)
    weights.compute_log_prob()
    torch.testing.assert_close(trace.log_prob_sum(), weights.log_prob_sum())


def test_passes_with_particles_have_no_such_site():
    model, _ = IWELBO(SELF, 3).traces(X, MASK)
    assert "mask" not in model.nodes


def test_the_graph_is_drawn_where_graphviz_is():
    pytest.importorskip("graphviz")
    assert "mask" in str(pyro.render_model(SELF.model, model_args=(X, MASK)))
