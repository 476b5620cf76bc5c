"""Distributions of cells, and of missing cells with their integrals; links."""

from pyro_mnar.distributions.continuous import Normal, PrecisionNormal, StudentT
from pyro_mnar.distributions.discrete import CountCells, LevelCells
from pyro_mnar.distributions.linear_constraint import LinearConstraint
from pyro_mnar.distributions.links import LOGIT, PROBIT, THRESHOLD, Link
from pyro_mnar.distributions.mixed import MixedCells
from pyro_mnar.distributions.open_cells import OpenCells, cells_of
from pyro_mnar.distributions.point_mass_normal import PointMassNormal

__all__ = [
    "LOGIT",
    "PROBIT",
    "THRESHOLD",
    "CountCells",
    "LevelCells",
    "LinearConstraint",
    "Link",
    "MixedCells",
    "Normal",
    "OpenCells",
    "PointMassNormal",
    "PrecisionNormal",
    "StudentT",
    "cells_of",
]
