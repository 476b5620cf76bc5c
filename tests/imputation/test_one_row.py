"""A row by all members in one pass, against the members one after the other."""

import copy
import gc
import weakref

import pandas as pd
import pytest
import torch

from pyro_mnar import MNARImputer
from pyro_mnar.imputation import ensemble
from pyro_mnar.imputation.one_row import stacked
from pyro_mnar.imputer.training.specification import Specification

ORDERS = ((0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 0, 4, 1, 3))
SPECIFICATIONS = {
    "ignorable": Specification("none", (), (), ("continuous",) * 5, 2, (16,), 3),
    "own values": Specification("self-masking", (0, 1, 3), ("high", "free", "none"), ("continuous",) * 5, 3, (16,), 3),
    "an order and the latent": Specification("auto", (0, 1, 3), ("free",) * 3, ("continuous",) * 5, 3, (16,), 3, ORDERS, latent=True),
}


def table(specification):
    """Return members with parameters apart from one another, and rows with holes, one without."""
    members = specification.models()
    x = torch.randn(30, 5)
    mask = torch.rand(30, 5) < 0.7
    mask[0], mask[1] = True, False
    for member in members:
        member.initialize(x, mask)
        with torch.no_grad():
            for p in member.parameters():
                p.add_(0.1 * torch.randn_like(p))
    return [member.eval() for member in members], x, mask


PARTS = ("completed", "ess", "pareto_k", "rhat", "probabilities", "draws")


def one_after_the_other(members, x, mask, draws=0, **options):
    """What the members say apart, of which each part is the mean, or all of the draws."""
    with pytest.MonkeyPatch.context() as apart:
        apart.setattr(ensemble, "impute_row", lambda *_, **__: None)
        return ensemble.impute(members, x, mask, draws=draws, **options)


def same(found, wanted):
    for part in PARTS:
        assert torch.equal(getattr(found, part).nan_to_num(), getattr(wanted, part).nan_to_num()), part


@pytest.mark.parametrize("name", list(SPECIFICATIONS))
@pytest.mark.parametrize(
    ("tolerance", "draws", "functions"), [(None, 0, {}), (0.05, 0, {}), (None, 5, {}), (0.05, 400, {1: torch.exp})]
)
def test_a_row_is_imputed_as_by_the_members_one_after_the_other(name, tolerance, draws, functions):
    members, x, mask = table(SPECIFICATIONS[name])
    assert stacked(members) is not None
    before = {key: value.clone() for key, value in members[0].state_dict().items()}
    options = {"labels": ["a"], "tolerance": tolerance, "particles": 400, "progress": False, "seed": 3, "functions": functions}
    for row in (0, 1, 2, 9):
        found = ensemble.impute(members, x[[row]], mask[[row]], draws=draws, **options)
        same(found, one_after_the_other(members, x[[row]], mask[[row]], draws, **options))
    assert all(torch.equal(value, before[key]) for key, value in members[0].state_dict().items())


@pytest.mark.parametrize("change", ["in place", "another tensor", "another part"])
def test_what_was_stacked_is_stacked_anew_where_a_member_changes(change):
    members, x, mask = table(SPECIFICATIONS["own values"])
    row = (~mask[:, 0]).nonzero()[0]
    options = {"labels": ["a"], "particles": 100, "progress": False, "seed": 3}
    first = ensemble.impute(members, x[row], mask[row], **options)
    assert stacked(members) is stacked(members)
    with torch.no_grad():
        if change == "in place":
            members[1].decoder.linear.bias.add_(1.0)
        elif change == "another tensor":
            members[1].decoder.linear.bias.data = members[1].decoder.linear.bias + 1.0
        else:
            members[1].mechanism = copy.deepcopy(members[2].mechanism)
    again = ensemble.impute(members, x[row], mask[row], **options)
    assert not torch.equal(again.completed, first.completed)
    same(again, one_after_the_other(members, x[row], mask[row], **options))
    gone = weakref.ref(members[0])
    members.clear()
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("name", ["own values", "an order and the latent"])
def test_members_may_be_alike_in_all_parameters_but_one(name):
    """As after a short fit, or where a mask has nothing before it to read: some stay where they started, in every member."""
    members, x, mask = table(SPECIFICATIONS[name])
    row = (~mask[:, 0]).nonzero()[0]
    options = {"labels": ["a"], "particles": 100, "progress": False, "seed": 3}
    for parameter in [name for name, _ in members[0].named_parameters() if not name.startswith("prior.")]:
        for member in members[1:]:
            member.load_state_dict(members[0].state_dict())
            with torch.no_grad():
                own = dict(member.named_parameters())[parameter]
                own.add_(0.1 * torch.randn_like(own))
        found = ensemble.impute(members, x[row], mask[row], **options)
        assert torch.equal(found.completed, one_after_the_other(members, x[row], mask[row], **options).completed), parameter


def test_members_that_differ_in_kind_or_have_levels_go_one_after_the_other():
    plain, deeper = (Specification("none", (), (), ("continuous",) * 2, 1, hidden, 2).models() for hidden in ((8,), (8, 8)))
    x = pd.DataFrame({"a": [1.5, None, 0.3, 2.2] * 5, "b": ["u", "v", None, "w"] * 5})
    mixed = MNARImputer("none", members=2, steps=1, progress=False).fit(x).members_
    assert stacked(plain) is not None
    assert stacked(mixed) is None and stacked([plain[0], deeper[0]]) is None and stacked(plain[:1]) is None
