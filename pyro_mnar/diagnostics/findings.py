"""What numbers say against a result, each finding a sentence of what is wrong and one of what to do.

Each function yields (kind, words) for what it finds; the kinds are those of :class:`~pyro_mnar.diagnostics.diagnosis.Diagnosis`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import torch
from torch import Tensor

from pyro_mnar.diagnostics.mask_check import MaskCheck
from pyro_mnar.imputation.importance import ImportanceDraws
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.infer.weights import pareto_threshold
from pyro_mnar.mcmc.posterior import PosteriorDraws

#: Fewer effective particles leave a posterior mean with an error above 1 / sqrt(50) = 14 % of the posterior's standard deviation.
LEAST_PARTICLES = 50
#: Effective draws of each chain below which quantiles and R-hat are noise (Vehtari et al. 2021, arXiv 1903.08008).
LEAST_DRAWS = 100
#: Independent draws have by chance an R-hat of up to 1 + 20 / (their number), the largest of 20 000 simulated quantities; a row is
#: judged by its effective draws, and by nothing stricter than the second of these or laxer than the third.
RHAT_EXCESS, LARGE_RHAT, LARGEST_RHAT = 20.0, 1.01, 1.05
#: P-value of the mask check, which allows for all its comparisons.
LEAST_P = 0.01
#: Observed standard deviations from the observed mean beyond which a column's imputed mean is doubted. A normal column whose upper
#: half is hidden is imputed 2.6 above.
FAR = 4.0
#: Difference of P(missing) between the highest and the lowest quarter of a column that counts as a direction.
DIRECTION = 0.1


def weights(result: ImportanceDraws | Imputation, members: int, mask: Tensor, rows: Sequence[Hashable]) -> Iterator[tuple[str, str]]:
    """Judge importance weights, of an imputation (by so many ``members``) those of rows with holes; particles of all together."""
    whole = isinstance(result, ImportanceDraws)
    if isinstance(result, ImportanceDraws):
        (sets, particles), k, ess = result.log_weights.shape[:2], result.pareto_k.mean(0), result.ess.sum(0)
    else:
        sets, particles, k, ess = members, result.particles, result.pareto_k, result.ess * members
    counts = torch.ones_like(k, dtype=torch.bool) if whole else ~mask.all(1)
    bad, few = (k > pareto_threshold(particles)) & counts, (ess < LEAST_PARTICLES) & counts
    if isinstance(result, Imputation):
        bad, apart = bad & ~result.by_mcmc, result.by_mcmc & result.unreliable
        if apart.any():
            yield (
                "rhat",
                f"Chains disagree in {_of(apart, result.by_mcmc)} imputed by MCMC (R-hat up to {float(result.rhat[apart].amax()):.2f}, "
                f"row {_worst(result.rhat, apart, rows)}): sample these with sample_posterior, more warmup and more draws.",
            )
    if bad.any():
        yield (
            "weights",
            f"Importance weights are unreliable in {_of(bad, counts)} (Pareto k above {pareto_threshold(particles):.2f}; the worst "
            f"{float(k[bad].amax()):.2f}, row {_worst(k, bad, rows)}): means, intervals and draws there cannot be trusted. "
            "Sample these rows by MCMC, impute(..., method='auto') or sample_posterior, or train the encoder longer.",
        )
    if few.any():
        yield (
            "particles",
            f"Fewer than {LEAST_PARTICLES} effective particles of {sets * particles} in {_of(few, counts)} (the least "
            f"{float(ess[few].amin()):.1f}, row {_worst(-ess, few, rows)}): the error of a posterior mean there is more than "
            f"{100 / LEAST_PARTICLES**0.5:.0f} % of the posterior's standard deviation. Raise particles.",
        )


def chains(result: PosteriorDraws, rows: Sequence[Hashable]) -> Iterator[tuple[str, str]]:
    """Judge chains: how many, their agreement, effective draws and divergences."""
    rhat, ess = result.rhat(), result.ess()
    chains, kept, every = *result.x.shape[:2], torch.ones_like(rhat, dtype=torch.bool)
    if chains == 1:
        yield (
            "chains",
            "A single chain was run: its halves can be compared, but a mode that it never visits goes unseen. Run chains=4 or more.",
        )
    # Not a number is no better than large.
    large = ~(rhat <= (1 + RHAT_EXCESS / ess.nan_to_num(1.0)).clamp(LARGE_RHAT, LARGEST_RHAT))
    if large.any():
        yield (
            "rhat",
            f"R-hat is larger than by chance in {_of(large, every)} (the worst {float(rhat[large].nan_to_num(torch.inf).amax()):.2f}, "
            f"row {_worst(rhat.nan_to_num(torch.inf), large, rows)}): the chains do not agree, so their draws are not yet the "
            "posterior's. Raise warmup and draws; if chains stay apart, there are separate modes (see az.plot_trace of the row).",
        )
    few = ~(ess >= LEAST_DRAWS * chains)
    if few.any():
        yield (
            "ess",
            f"Fewer than {LEAST_DRAWS * chains} effective draws of {chains * kept} in {_of(few, every)} (the least "
            f"{float(ess[few].nan_to_num(0.0).amin()):.0f}, row {_worst(-ess.nan_to_num(0.0), few, rows)}): quantiles and R-hat are "
            f"noisy there. Ask for them, sample_posterior(..., ess={LEAST_DRAWS * chains}), or raise draws.",
        )
    lost = result.diverging.sum((0, 1))
    if lost.any():
        yield (
            "divergences",
            f"{int(lost.sum())} of {result.diverging.numel()} draws diverged, in {_of(lost > 0, every)} (most, {int(lost.amax())}, in "
            f"row {_worst(lost, lost > 0, rows)}): the density is not finite or too curved for the step there, and the chain may "
            "avoid a region. Raise warmup, use float64, and see whether imputed values there are plausible.",
        )


def mask(check: MaskCheck) -> Iterator[tuple[str, str]]:
    """Name the columns whose holes the mechanism does not explain, with the rows where they differ most."""
    found = []
    for j, column in enumerate(check.columns):
        k = check.worst(j)
        if check.p_value[j, k] > LEAST_P:
            continue
        low, _, high = check.replicated[:, j, k]
        rate, width = check.rate[j, k], check.replicated[2, j, k] - check.replicated[0, j, k]
        # The bin where the data lie furthest from what the mechanism expects, in widths of the expected range; empty ones have none.
        with_rows = check.counts[k] > 0
        off = abs(rate - check.replicated[1, j, k]) / (width + 1 / check.counts[k].clip(1))
        b = int(max(range(len(rate)), key=lambda i: off[i] if with_rows[i] else -1.0))
        said = f"{rate[b]:.0%} missing, {low[b]:.0%} to {high[b]:.0%} expected, p = {check.p_value[j, k]:.2g}"
        found.append(f"{column} ({check.where(k, b)}: {said})")
    if found:
        yield (
            "mask",
            f"The fitted mechanism does not explain the holes of {'; '.join(found)}. "
            "Masks that depend on other columns, not always those named here, are the usual cause: let the data choose (mechanism "
            "auto), say in which order holes came about, or take the column as ignorable; do not trust its imputations before.",
        )


def direction(parts: list[Tensor], rates: list[Tensor], columns: Sequence[Hashable]) -> Iterator[tuple[str, str]]:
    """Name the columns of which members say both that large and that small values go missing."""
    found = []
    for j, column in enumerate(columns):
        rises = []
        for values, chances in ((part[..., j].flatten(), rate[..., j].flatten()) for part, rate in zip(parts, rates, strict=True)):
            order = chances[values.argsort()].double()
            quarter = max(1, len(order) // 4)
            rises.append(float(order[-quarter:].mean() - order[:quarter].mean()))
        high, low = [r for r in rises if r > DIRECTION], [r for r in rises if r < -DIRECTION]
        if high and low:
            found.append(f"{column} ({len(high)} of {len(rises)} with large values, {len(low)} with small ones)")
    if found:
        yield (
            "direction",
            f"The ensemble's members disagree on which values go missing: {', '.join(found)}. The data do not say; state the direction "
            "where it is known, or report results under both.",
        )


def far(completed: Tensor, x: Tensor, mask: Tensor, columns: Sequence[Hashable]) -> Iterator[tuple[str, str]]:
    """Name the columns whose imputed mean is implausibly far from the observed one."""
    found = []
    for j, column in enumerate(columns):
        seen, holes = mask[:, j], ~mask[:, j]
        values = x[seen, j].double()
        # Of observed values all alike nothing can be said.
        if not holes.any() or len(values) < 2 or not values.std() > 0:
            continue
        distance = float((completed[:, holes, j].double().mean() - values.mean()) / values.std())
        if not abs(distance) <= FAR:
            found.append(f"{column} ({distance:+.1f})")
    if found:
        yield (
            "far",
            f"Imputed values lie implausibly far from the observed ones: {', '.join(found)}, in observed standard deviations. If the "
            "mask depends on other columns, a mechanism that blames the value itself does this; compare with no mechanism.",
        )


def caveats(completed: Tensor, x: Tensor, mask: Tensor, modeled: bool, likelihood: bool) -> Iterator[tuple[str, str]]:
    """Say what no number can show."""
    holes = ~mask
    if holes.any():
        low, high = torch.where(mask, x, torch.inf).amin(0), torch.where(mask, x, -torch.inf).amax(0)
        beyond = float(((completed < low) | (completed > high))[:, holes].double().mean())
        told = (
            "Why values are missing is assumed, as is the shape of the columns beyond what was seen"
            if modeled
            else "That what is missing says nothing beyond what is observed is assumed (ignorable missingness)"
        )
        yield (
            "assumption",
            f"{told}: the data cannot confirm it. {beyond:.0%} of the imputed values lie beyond their column's observed range. Fit "
            "under other assumptions (another direction, with and without a mechanism) and report how far conclusions move.",
        )
    if likelihood:
        yield (
            "loo",
            "az.loo and az.compare on these draws do not estimate predictive accuracy: each row has latents of its own and the "
            "parameters are point estimates, so nothing is left out. They need draws over parameters; compare held-out bounds "
            "(score) instead.",
        )


def _of(chosen: Tensor, counted: Tensor) -> str:
    return f"{int(chosen.sum())} of {int(counted.sum())} rows"


def _worst(badness: Tensor, chosen: Tensor, rows: Sequence[Hashable]) -> Hashable:
    return rows[int(torch.where(chosen, badness.double(), -torch.inf).argmax())]
