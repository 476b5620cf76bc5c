"""Energy tilts p(x) exp(-E(x)) / Z: how they are learned, their normalizer, and a report on them."""

from pyro_mnar.energy.maximum_likelihood import MaximumLikelihood
from pyro_mnar.energy.normalizer import log_normalizer, sample_tilted
from pyro_mnar.energy.objectives import Contrastive, GuidedCost, Importance, NoiseContrastive, SelfNormalized
from pyro_mnar.energy.posterior_regularization import PosteriorRegularized
from pyro_mnar.energy.report import report_tilt
from pyro_mnar.model.tilts import Constraint, EnergyTilt, LearnedConstraint, Tilt, energy_net

__all__ = [
    "Constraint",
    "Contrastive",
    "EnergyTilt",
    "GuidedCost",
    "Importance",
    "LearnedConstraint",
    "MaximumLikelihood",
    "NoiseContrastive",
    "PosteriorRegularized",
    "SelfNormalized",
    "Tilt",
    "energy_net",
    "log_normalizer",
    "report_tilt",
    "sample_tilted",
]
