"""What is wrong with a result and what to do about it, on one page, in words with numbers.

A problem is something that the numbers show; a clean result has none. A caveat is what no number can show, and is said always.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from textwrap import fill

import torch
from torch import Tensor, nn

from pyro_mnar.data.codec import TableCodec
from pyro_mnar.data.scaling import Scaling
from pyro_mnar.diagnostics import findings
from pyro_mnar.diagnostics.mask_check import MaskCheck, check_mask, missing_rates
from pyro_mnar.imputation.importance import ImportanceDraws
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.infer.checks import check_rows
from pyro_mnar.mcmc.posterior import PosteriorDraws

# Draws that the mask check looks at, and pairs of columns: of wide tables those seen most often bin the rows.
_LOOKS, _PAIRS = 200, 2000
_WIDTH = 110


@dataclass(frozen=True)
class Diagnosis:
    """What was found; ``str`` is the page.

    Attributes:
        problems: by kind, a sentence of what is wrong and one of what to do: ``weights``, ``particles``, ``chains``, ``rhat``, ``ess``,
            ``divergences``, ``mask``, ``far``, ``direction``. Empty when nothing is.
        caveats: by kind, what holds whatever the numbers: ``assumption``, ``loo``.
        mask_check: where a mechanism was fitted.
    """

    problems: dict[str, str]
    caveats: dict[str, str]
    mask_check: MaskCheck | None

    def __str__(self) -> str:
        count = len(self.problems)
        title = {0: "No problem found.", 1: "1 problem found."}.get(count, f"{count} problems found.")
        numbered = [fill(f"{i}. {text}", _WIDTH, subsequent_indent="   ") for i, text in enumerate(self.problems.values(), 1)]
        always = [fill(f"- {text}", _WIDTH, subsequent_indent="  ") for text in self.caveats.values()]
        return "\n".join([title, *numbered, *(["In any case:"] if always else []), *always])


def diagnose(
    result: PosteriorDraws | ImportanceDraws | Imputation,
    module: nn.Module | Sequence[nn.Module],
    x: Tensor,
    mask: Tensor,
    *,
    rows: Sequence[Hashable] | None = None,
    columns: Sequence[Hashable] | None = None,
    codec: TableCodec | Scaling | None = None,
    limited: Tensor | None = None,
    seed: int = 0,
) -> Diagnosis:
    """Return what is wrong with a ``result``, draws of the posterior or an imputation, and with the mechanism they suppose, in words.

    Of an :class:`~pyro_mnar.imputation.impute.Imputation` only rows with holes are judged, of draws of latents all.

    Args:
        result: the draws, or an imputation that was asked for draws.
        module: the one that they were made with, or the members of the ensemble, in order.
        x: (N, D) float; the holes may hold anything.
        mask: (N, D) bool, True = observed.
        rows: N labels; positions by default.
        columns: D names; positions by default.
        codec: the table's, or the scaling of plain numbers, for words in the table's units; in the model's by default.
        limited: (N, D) bool, True = missing for limits that are known, of which no mechanism is asked; or None.
        seed: the seed of the replicates of the mask check.

    Raises:
        ValueError: for an imputation without draws, draws of other rows, labels of the wrong number.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> from pyro_mnar.mechanisms.self_masking import SelfMasking
        >>> from pyro_mnar.imputation.ensemble import impute
        >>> mnar = MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2), SelfMasking(2, [0]))
        >>> x, mask = torch.zeros(40, 2), torch.ones(40, 2, dtype=torch.bool)
        >>> list(diagnose(impute(mnar, x, mask, draws=20), mnar, x, mask).problems)
        ['mask']
    """
    completed = result.draws if isinstance(result, Imputation) else result.x.flatten(0, 1)
    check_rows(x, mask)
    if completed.shape[1:] != x.shape:
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected the rows and columns of the draws {tuple(completed.shape[1:])}")
    members = list(module) if isinstance(module, Sequence) else [module]
    if len(completed) < len(members) or not members:
        raise ValueError(f"result: got {len(completed)} completed tables, expected at least 1 of each of 1 or more members")
    names = [list(range(n)) if given is None else list(given) for given, n in ((rows, len(x)), (columns, x.shape[1]))]
    for argument, given, n in (("rows", names[0], len(x)), ("columns", names[1], x.shape[1])):
        if len(given) != n:
            raise ValueError(f"{argument}: got {len(given)} labels, expected {n}")
    if isinstance(result, PosteriorDraws):
        problems = dict(findings.chains(result, names[0]))
    else:
        problems = dict(findings.weights(result, len(members), mask, names[0]))
    check = None
    modeled = all(getattr(member, "mechanism", None) is not None for member in members)
    if modeled:
        # The members' draws follow one another, as impute has them.
        parts = [part[:: -(-len(part) * len(members) // _LOOKS)] for part in completed.tensor_split(len(members))]
        rates = [missing_rates(member, part, mask) for member, part in zip(members, parts, strict=True)]
        told = mask
        if limited is not None:
            # As if they were seen for certain: they count neither among the holes nor among those expected.
            rates, told = [torch.where(limited & ~rate.isnan(), 0.0, rate) for rate in rates], mask | limited
        values = torch.cat(parts).double().cpu()
        units = None if codec is None else TableCodec.of(codec)
        if units is not None:
            values = torch.from_numpy(units.invert(values.numpy()))
        n_modeled = int((~rates[0][0, 0].isnan()).sum())
        by = sorted(mask.sum(0).argsort(descending=True, stable=True)[: max(1, _PAIRS // n_modeled)].tolist())
        levels = {column.name: column.levels for column in (() if units is None else units.columns) if column.levels}
        check = check_mask(values, torch.cat(rates), told, columns=names[1], by=by, seed=seed, levels=levels)
        problems |= dict(findings.mask(check))
        problems |= dict(findings.direction(parts, rates, names[1]))
    problems |= dict(findings.far(completed, x, mask, names[1]))
    return Diagnosis(problems, dict(findings.caveats(completed, x, mask, modeled, not isinstance(result, Imputation))), check)
