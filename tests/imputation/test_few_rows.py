"""A row by all members in one pass, against the members one after the other."""

import copy
import gc
import weakref

import pytest
import torch

from pyro_mnar import MNAR, GaussianDecoder, GaussianEncoder
from pyro_mnar.imputation import ensemble
from pyro_mnar.imputation.few_rows import FEW, stacked
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.networks import OrdinalHead

ORDERS = ((0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 0, 4, 1, 3))
#: A column of every kind of law, two of levels: what their heads must know, and what values they have.
KINDS = {
    "continuous": ({}, None),
    "positive": ({}, None),
    "binary": ({"shares": [0.4, 0.6], "first": -1.0, "step": 2.0}, (-1.0, 1.0)),
    "categorical": ({"shares": [0.2, 0.3, 0.5]}, (0.0, 1.0, 2.0)),
    "ordinal": ({"shares": [0.1, 0.2, 0.3, 0.4], "first": -1.5, "step": 1.0}, (-1.5, -0.5, 0.5, 1.5)),
    "count": ({"means": 3.0, "largest": 9.0, "first": -1.5, "step": 0.5}, (-1.5, -1.0, 0.0, 1.5)),
    "proportion": ({"ends": [-2.0, 3.0], "odds": [0.2, 0.3]}, (-2.0, 3.0, 0.1, -0.7)),
    "semicontinuous": ({"mass": -0.5, "shares": 0.25, "sides": 1}, (-0.5, 0.2, 1.3)),
    "angle": ({"cosines": 0.3, "sines": 0.5}, (0.5, 2.0, 4.0)),
}
CELLS = tuple(cell for cell, _ in KINDS.values())
KIND_ORDERS = (tuple(range(9)), tuple(range(8, -1, -1)))
WORDS = ("high", "free", "free", "free", "high", "low", "tails", "middle")
SPECIFICATIONS = {
    "ignorable": Specification("none", (), (), ("continuous",) * 5, 2, (16,), 3),
    "own values": Specification("self-masking", (0, 1, 3), ("high", "free", "none"), ("continuous",) * 5, 3, (16,), 3),
    "an order and the latent": Specification("auto", (0, 1, 3), ("free",) * 3, ("continuous",) * 5, 3, (16,), 3, ORDERS, latent=True),
    "the whole row": Specification("linear", (0, 1), ("none",) * 2, ("continuous",) * 5, 3, (16,), 3),
    "kinds": Specification("none", (), (), tuple(KINDS), 3, (), 3, cells=CELLS),
    "kinds, own values": Specification("self-masking", tuple(range(8)), WORDS, tuple(KINDS), 3, (16,), 3, cells=CELLS),
    "kinds, an order and the latent": Specification(
        "auto", tuple(range(9)), (*WORDS, "none"), tuple(KINDS), 3, (16,), 2, KIND_ORDERS, latent=True, cells=CELLS
    ),
}


def table(specification):
    """Return members with parameters apart from one another, and rows with holes, one without."""
    members = specification.models()
    x = torch.randn(30, len(specification.kinds))
    for j, kind in enumerate(specification.kinds):
        if KINDS[kind][1] is not None:
            values = torch.tensor(KINDS[kind][1])
            x[:, j] = values[torch.randint(len(values), (30,))]
    mask = torch.rand(x.shape) < 0.7
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
        apart.setattr(ensemble, "impute_rows", lambda *_, **__: None)
        return ensemble.impute(members, x, mask, draws=draws, **options)


def same(found, wanted):
    for part in PARTS:
        assert torch.equal(getattr(found, part).nan_to_num(), getattr(wanted, part).nan_to_num()), part


OPTIONS = [(None, 0, {}), (0.05, 0, {}), (None, 5, {}), (0.05, 400, {1: torch.exp})]


@pytest.mark.parametrize(
    ("name", "tolerance", "draws", "functions"),
    [(name, *own) for name in SPECIFICATIONS for own in ([(0.1, 5, {1: torch.exp})] if name.startswith("kinds") else OPTIONS)],
)
def test_rows_are_imputed_as_by_the_members_one_after_the_other(name, tolerance, draws, functions):
    members, x, mask = table(SPECIFICATIONS[name])
    assert stacked(members) is not None
    before = {key: value.clone() for key, value in members[0].state_dict().items()}
    options = {"tolerance": tolerance, "particles": 200, "progress": False, "seed": 3, "functions": functions}
    for rows in ([0], [9], [0, 1, 9]):
        labels = [f"row {i}" for i in rows]
        found = ensemble.impute(members, x[rows], mask[rows], labels=labels, draws=draws, **options)
        same(found, one_after_the_other(members, x[rows], mask[rows], draws, labels=labels, **options))
    assert all(torch.equal(value, before[key]) for key, value in members[0].state_dict().items())


def test_as_many_rows_as_go_in_one_pass_and_one_more():
    members, x, mask = table(SPECIFICATIONS["kinds, own values"])
    options = {"particles": 100, "progress": False, "labels": [f"row {i}" for i in range(FEW + 1)]}
    whole = ensemble.impute(members, x[: FEW + 1], mask[: FEW + 1], **options)
    few = ensemble.impute(members, x[:FEW], mask[:FEW], **options | {"labels": options["labels"][:FEW]})
    assert torch.equal(few.completed, whole.completed[:FEW]) and torch.equal(few.probabilities, whole.probabilities[:FEW])
    assert torch.equal(few.ess, whole.ess[:FEW]) and torch.equal(few.pareto_k, whole.pareto_k[:FEW])


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


def test_members_that_differ_in_kind_go_one_after_the_other():
    plain, deeper = (Specification("none", (), (), ("continuous",) * 2, 1, hidden, 2).models() for hidden in ((8,), (8, 8)))
    assert stacked(plain) is not None
    assert stacked([plain[0], deeper[0]]) is None and stacked(plain[:1]) is None


def test_a_part_says_of_itself_alone_that_its_parameters_may_be_each_rows_own():
    """What a class below it computes may not broadcast."""

    class Own(GaussianDecoder):
        pass

    members = [MNAR(Own(2, 5), GaussianEncoder(2, 5)) for _ in range(2)]
    assert GaussianDecoder.rowwise and stacked(members) is None


def test_every_part_that_says_so_is_among_the_models_here():
    known = {type(part) for specification in SPECIFICATIONS.values() for part in specification.models()[0].modules()}
    said, left = set(), [torch.nn.Module]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        if kind.__module__.startswith("pyro_mnar.") and vars(kind).get("rowwise", False):
            said.add(kind)
    assert len(said) >= 20 and said <= known


def test_none_stands_for_none_in_members_alike():
    """Places of values that repeat are NaN where a column has none; members do not differ in these."""
    members, _, _ = table(SPECIFICATIONS["kinds"])
    module = stacked(members)
    assert module.warp.pin.isnan().any() and module.warp.pin.dim() == 1 and module.warp.skew.dim() == 2


def test_functions_of_parameters_are_taken_of_each_row_as_of_its_member():
    """Torch rounds the last few of 32 numbers otherwise, and a member has fewer than that."""
    for _ in range(5):
        members, _, _ = table(SPECIFICATIONS["kinds"])
        levels, heads = stacked(members).decoder.heads, [member.decoder.heads for member in members]
        at = next(i for i, head in enumerate(levels) if isinstance(head, OrdinalHead))
        for i, own in enumerate(heads):
            for found, wanted in zip(levels[at].bounds(), own[at].bounds(), strict=True):
                assert torch.equal(found[:, i], wanted)
