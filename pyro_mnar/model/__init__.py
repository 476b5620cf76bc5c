"""The model of a table with holes: its Pyro pair, the selection distribution, priors, tilts.

Dropping an argument drops an assumption: without a mechanism the model is MIWAE (arXiv 1812.02633), with one it is not-MIWAE (arXiv
2006.12871), with one particle it is a VAE, with a linear decoder factor analysis.
"""

from pyro_mnar.model.missing_cells import MissingCells
from pyro_mnar.model.missing_rows import MissingRows
from pyro_mnar.model.mnar import MNAR
from pyro_mnar.model.priors import Prior
from pyro_mnar.model.selection import SelectionDistribution
from pyro_mnar.model.tilts import Constraint, EnergyTilt, LearnedConstraint, Tilt, energy_net

__all__ = [
    "MNAR",
    "Constraint",
    "EnergyTilt",
    "LearnedConstraint",
    "MissingCells",
    "MissingRows",
    "Prior",
    "SelectionDistribution",
    "Tilt",
    "energy_net",
]
