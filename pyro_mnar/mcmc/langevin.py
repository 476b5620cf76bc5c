"""Langevin as a kernel of ``pyro.infer.MCMC``, for any Pyro model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from pyro import poutine
from pyro.infer.mcmc.mcmc_kernel import MCMCKernel
from pyro.infer.mcmc.util import initialize_model
from torch import Tensor

from pyro_mnar.infer.structure import is_random
from pyro_mnar.mcmc import kernels
from pyro_mnar.mcmc.adaptation import TARGET_ACCEPTANCE, adapt_step, learn_scale, learning_windows, least_positions, start_step


class Langevin(MCMCKernel):
    """The Metropolis-adjusted Langevin algorithm (MALA), or the unadjusted step, tempered if asked.

    Where every random site stands in one and the same plate, at ``dim=-1``, and no row's density reads another row's latents, each
    row is a target of its own: it has its own step size and is accepted by itself. Otherwise all latents move together. Discrete
    latents that can be enumerated are summed out, and constrained sites transformed, as for Pyro's HMC.

    Adjusted, the step size is adapted in warm-up to an acceptance probability of .574 and a preconditioner is learned (a covariance
    of up to 64 dimensions, else a diagonal). Unadjusted, nothing is adapted and the draws are biased, as
    :mod:`pyro_mnar.mcmc.kernels` says by how much: take the step size from an adjusted run, or from energy-based models' practice.

    Args:
        model: callable with Pyro primitives.
        step_size: e, in units of the unconstrained latents; the first one if adjusted.
        adjusted: whether steps are accepted or rejected.
        noise: factor of the noise of an unadjusted step: below 1 a tempered one.
        clip: bound on each entry of the gradient of an unadjusted step, or None.
        anneal: factor by which the noise of unadjusted steps is larger still at the start of warm-up; it falls to 1, geometrically.

    Raises:
        ValueError: for arguments out of range, or tempering together with ``adjusted``; in ``setup``, for a discrete latent that
            cannot be enumerated, by name, and a potential that is finite at no start.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from pyro.infer import MCMC
        >>> def model(x):
        ...     scale = pyro.sample("scale", dist.HalfNormal(1.0))
        ...     with pyro.plate("rows", len(x)):
        ...         pyro.sample("x", dist.Normal(0.0, scale), obs=x)
        >>> mcmc = MCMC(Langevin(model), num_samples=50, warmup_steps=50, disable_progbar=True)
        >>> mcmc.run(torch.randn(20))
        >>> mcmc.get_samples()["scale"].shape
        torch.Size([50])
    """

    def __init__(
        self,
        model: Callable[..., object],
        step_size: float = 0.1,
        adjusted: bool = True,
        noise: float = 1.0,
        clip: float | None = None,
        anneal: float = 1.0,
    ) -> None:
        for name, value in (("step_size", step_size), ("anneal", anneal), ("clip", 1.0 if clip is None else clip)):
            if not value > 0:
                raise ValueError(f"{name}: got {value}, expected a positive number")
        if noise < 0:
            raise ValueError(f"noise: got {noise}, expected 0 or more")
        if adjusted and (noise, clip, anneal) != (1.0, None, 1.0):
            tempered = f"noise={noise}, clip={clip}, anneal={anneal}"
            raise ValueError(f"adjusted: got True with {tempered}, expected False (an adjusted step has none of them)")
        self.model, self.first_step, self.adjusted = model, step_size, adjusted
        self.noise, self.clip, self.anneal = noise, clip, anneal
        self._given: dict[str, Tensor] | None = None
        super().__init__()

    def setup(self, warmup_steps: int, *args: object, **kwargs: object) -> None:
        """Find a start, the latents' transforms, and whether rows are targets of their own."""
        self._warmup, self._args, self._kwargs = warmup_steps, args, kwargs
        with poutine.block():
            self._check_discrete(poutine.trace(self.model).get_trace(*args, **kwargs))
            given, self._given = self._given, None  # a chain's own: the next one asks for its start again
            try:
                found = initialize_model(self.model, args, kwargs, initial_params=given)
            except ValueError as error:
                said = f"model: its potential or gradient is finite at none of 100 starts, expected a finite one ({error})"
                raise ValueError(said) from None
            self._initial, potential, self.transforms, prototype = found
            self._density = lambda params: -potential(params).unsqueeze(0)
            self._rows = 1
            rows = _rows(prototype)
            if rows and self._separate(rows):
                self._rows, self._density = rows, self._row_density
        self._shapes = {name: value.shape for name, value in self._initial.items()}
        self._state, self._last = self._start(self._initial), self._initial
        like = self._state.log_density
        self._step = start_step(torch.full_like(like, self.first_step))
        self._scale: Tensor | float = 1.0
        self._gathered: list[Tensor] = []
        self._t, self._acceptance, self._divergences = 0, 0.0, []  # type: int, float, list[int]

    @property
    def initial_params(self) -> dict[str, Tensor]:
        return self._initial

    @initial_params.setter
    def initial_params(self, params: dict[str, Tensor]) -> None:
        self._given = params

    @property
    def step_size(self) -> Tensor:
        """Step sizes, (N,) of targets that are rows, else (1,), in units of the preconditioner."""
        warm = self.adjusted and self._t < self._warmup
        return (self._step.log_step if warm else self._step.log_mean).exp()

    def sample(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return unconstrained values of the latents a step after ``params``."""
        if params is not self._last:
            self._state = self._start(params)
        state, warm = self._state, self._t < self._warmup
        noise = torch.randn_like(state.position)
        if self.adjusted:
            uniform = torch.rand_like(state.log_density)
            self._state, info = kernels.mala(self._flat, state, self.step_size, noise, uniform, self._scale)
            if warm:
                self._adapt(info.acceptance)
        else:
            left = max(0.0, 1 - self._t / self._warmup) if self._warmup else 0.0
            factor = self.noise * self.anneal**left
            self._state, info = kernels.langevin(self._flat, state, self.step_size, noise, noise=factor, clip=self.clip)
        self._t += 1
        n = self._t if warm else self._t - self._warmup
        self._acceptance += (float(info.acceptance.mean()) - self._acceptance) / n
        if not warm and bool(info.diverging.any()):
            self._divergences.append(n - 1)
        self._last = self._split(self._state.position)
        return self._last

    def logging(self) -> OrderedDict[str, str]:
        return OrderedDict([("step size", f"{float(self.step_size.mean()):.2e}"), ("acc. prob", f"{self._acceptance:.3f}")])

    def diagnostics(self) -> dict[str, object]:
        """Return the draws at which any target diverged, and the mean acceptance probability after warm-up."""
        return {"divergences": self._divergences, "acceptance rate": self._acceptance}

    def _adapt(self, acceptance: Tensor) -> None:
        self._step = adapt_step(self._step, acceptance, TARGET_ACCEPTANCE["mala"])
        windows = learning_windows(self._warmup)
        if any(first <= self._t < last for first, last in windows):
            self._gathered.append(self._state.position)
        ends = any(self._t + 1 == last for _, last in windows)
        if ends and len(self._gathered) >= least_positions(self._state.position.shape[-1]):
            # The step size was in units of the old preconditioner: the new one's are a target's widths.
            self._scale, self._gathered = learn_scale(torch.stack(self._gathered)), []
            self._step = start_step(torch.full_like(acceptance, 0.5))

    @staticmethod
    def _check_discrete(trace: poutine.Trace) -> None:
        for name, site in trace.nodes.items():
            latent = is_random(site) and not site["is_observed"]
            if latent and site["fn"].support.is_discrete and not site["fn"].has_enumerate_support:
                law = type(site["fn"]).__name__
                raise ValueError(f"site {name!r}: {law} is discrete and cannot be enumerated, expected continuous latents")

    def _start(self, params: dict[str, Tensor]) -> kernels.State:
        return kernels.init(self._flat, self._joined(params))

    def _joined(self, params: dict[str, Tensor]) -> Tensor:
        return torch.cat([params[name].reshape(self._rows, -1) for name in self._initial], -1)

    def _split(self, position: Tensor) -> dict[str, Tensor]:
        parts = position.split([shape.numel() // self._rows for shape in self._shapes.values()], -1)
        return {name: part.reshape(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}

    def _flat(self, position: Tensor) -> Tensor:
        return self._density(self._split(position))

    def _row_density(self, params: dict[str, Tensor]) -> Tensor:
        values = {name: self.transforms[name].inv(value) for name, value in params.items()}
        trace = poutine.trace(poutine.condition(self.model, values)).get_trace(*self._args, **self._kwargs)
        trace.compute_log_prob()
        terms = [site["log_prob"] for site in trace.nodes.values() if is_random(site)]
        slopes = [self.transforms[name].log_abs_det_jacobian(values[name], params[name]) for name in params]
        return sum(terms[1:], terms[0]) - sum(slope.reshape(len(slope), -1).sum(-1) for slope in slopes)

    def _separate(self, rows: int) -> bool:
        """Return whether the density of every second row stays as it is when the others' latents change."""
        here = self._row_density(self._initial)
        if here.shape != (rows,):
            return False
        other = (torch.arange(rows, device=here.device) % 2).bool()
        for moved in (other, ~other):
            params = {n: torch.where(moved.reshape(-1, *[1] * (v.dim() - 1)), v + 0.1, v) for n, v in self._initial.items()}
            if not torch.equal(self._row_density(params)[~moved], here[~moved]):
                return False
        return True


def _rows(trace: poutine.Trace) -> int:
    """Return the size of the one plate in which every random site of ``trace`` stands, or 0 where that is not so."""
    stacks = {tuple((f.name, f.dim, f.size) for f in s["cond_indep_stack"]) for s in trace.nodes.values() if is_random(s)}
    if len(stacks) != 1 or any(is_random(s) and s["fn"].has_enumerate_support and not s["is_observed"] for s in trace.nodes.values()):
        return 0
    (stack,) = stacks
    return int(stack[0][2]) if len(stack) == 1 and stack[0][1] == -1 else 0
