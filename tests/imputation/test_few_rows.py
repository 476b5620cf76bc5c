"""Few rows by all members in one pass, against the members one after the other."""

import pandas as pd
import pytest
import torch

from pyro_mnar import MNARImputer
from pyro_mnar.imputation import ensemble
from pyro_mnar.imputation.few_rows import stacked
from pyro_mnar.imputer.specification import Specification

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
    mask[0] = True
    for member in members:
        member.initialize(x, mask)
        with torch.no_grad():
            for p in member.parameters():
                p.add_(0.1 * torch.randn_like(p))
    return [member.eval() for member in members], x, mask


@pytest.mark.parametrize("name", list(SPECIFICATIONS))
@pytest.mark.parametrize("tolerance", [None, 0.05])
def test_few_rows_are_imputed_as_by_the_members_one_after_the_other(name, tolerance, monkeypatch):
    members, x, mask = table(SPECIFICATIONS[name])
    assert stacked(members) is not None
    before = {key: value.clone() for key, value in members[0].state_dict().items()}
    options = {"labels": list("abcdefgh"), "tolerance": tolerance, "particles": 400, "progress": False, "seed": 3}
    for rows in (slice(0, 1), slice(1, 2), slice(0, 3), slice(2, 10)):
        own = options | {"labels": options["labels"][: rows.stop - rows.start]}
        monkeypatch.setattr(ensemble, "FEW", 8)
        found = ensemble.impute(members, x[rows], mask[rows], **own)
        monkeypatch.setattr(ensemble, "FEW", 0)
        wanted = ensemble.impute(members, x[rows], mask[rows], **own)
        # Cells are gathered, and a processor takes the last few of them by other code.
        assert torch.allclose(found.completed, wanted.completed, rtol=0, atol=1e-6) and torch.equal(found.ess > 0, wanted.ess > 0)
        if rows.stop - rows.start == 1:
            for part in ("completed", "ess", "pareto_k", "rhat", "probabilities", "draws"):
                assert torch.equal(getattr(found, part).nan_to_num(), getattr(wanted, part).nan_to_num()), part
    assert all(torch.equal(value, before[key]) for key, value in members[0].state_dict().items())


@pytest.mark.parametrize("name", ["own values", "an order and the latent"])
def test_members_may_be_alike_in_all_parameters_but_one(name, monkeypatch):
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
        with monkeypatch.context() as apart:
            apart.setattr(ensemble, "FEW", 0)
            assert torch.equal(found.completed, ensemble.impute(members, x[row], mask[row], **options).completed), parameter


def test_members_that_differ_in_kind_or_have_levels_go_one_after_the_other():
    plain, deeper = (Specification("none", (), (), ("continuous",) * 2, 1, hidden, 2).models() for hidden in ((8,), (8, 8)))
    x = pd.DataFrame({"a": [1.5, None, 0.3, 2.2] * 5, "b": ["u", "v", None, "w"] * 5})
    mixed = MNARImputer("none", members=2, steps=1, progress=False).fit(x).members_
    assert stacked(plain) is not None
    assert stacked(mixed) is None and stacked([plain[0], deeper[0]]) is None and stacked(plain[:1]) is None
