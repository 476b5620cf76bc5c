"""Analyses of completed tables of any origin: Rubin's rules, tilts, tipping points, reference-based imputation, scores."""

from pyro_mnar.analysis.analyses import analyze
from pyro_mnar.analysis.completions import Completions
from pyro_mnar.analysis.design import Design
from pyro_mnar.analysis.long_draws import long_draws
from pyro_mnar.analysis.pooled import Pooled
from pyro_mnar.analysis.reference_based import reference_based
from pyro_mnar.analysis.regressions import regression
from pyro_mnar.analysis.rubin import pool
from pyro_mnar.analysis.tipping import TippingPoint, tipping_point

__all__ = [
    "Completions",
    "Design",
    "Pooled",
    "TippingPoint",
    "analyze",
    "long_draws",
    "pool",
    "reference_based",
    "regression",
    "tipping_point",
]
