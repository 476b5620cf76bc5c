"""Analyses of completed tables of any origin: Rubin's rules, tilts, tipping points, reference-based imputation, scores."""

from pyro_mnar.analysis.analyses import analyze, regression
from pyro_mnar.analysis.completions import Completions
from pyro_mnar.analysis.pooled import Pooled
from pyro_mnar.analysis.reference_based import reference_based
from pyro_mnar.analysis.rubin import pool
from pyro_mnar.analysis.tipping import TippingPoint, tipping_point

__all__ = ["Completions", "Pooled", "TippingPoint", "analyze", "pool", "reference_based", "regression", "tipping_point"]
