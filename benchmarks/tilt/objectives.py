"""Every objective, with one set of defaults."""

from __future__ import annotations

from collections.abc import Callable

from pyro_mnar import IWELBO, SelfNormalized
from pyro_mnar.energy import Contrastive, GuidedCost, Importance, MaximumLikelihood, NoiseContrastive
from pyro_mnar.energy.objectives import Objective

OBJECTIVES: dict[str, Callable[[IWELBO], Objective]] = {
    "self-normalized": SelfNormalized,
    "importance": Importance,
    "noise-contrastive": NoiseContrastive,
    "guided cost": GuidedCost,
    "contrastive, E^2 at .25": Contrastive,
    "contrastive, E^2 at .1": lambda bound: Contrastive(bound, penalty=0.1),
    "contrastive, gradient .1": lambda bound: Contrastive(bound, penalty=0.0, gradient_penalty=0.1),
    "persistent Langevin": MaximumLikelihood,
    "short-run Langevin": lambda bound: MaximumLikelihood(bound, persistent=False, chain_steps=20, step_size=0.1),
}
