"""Missing not at random on Pyro: impute values that are absent because of what they are.

Names are imported when they are first used, so that ``import pyro_mnar`` costs no more than it must.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pyro_mnar.faces.imputer import MNARImputer as MNARImputer
    from pyro_mnar.infer.bound import IWELBO as IWELBO
    from pyro_mnar.infer.ensembles import fit_ensemble as fit_ensemble
    from pyro_mnar.infer.langevin import Langevin as Langevin
    from pyro_mnar.infer.langevin_likelihood import MaximumLikelihood as MaximumLikelihood
    from pyro_mnar.infer.nested_rhat import nested_rhat as nested_rhat
    from pyro_mnar.infer.normaliser import log_normaliser as log_normaliser
    from pyro_mnar.infer.normaliser import sample_tilted as sample_tilted
    from pyro_mnar.infer.objectives import Contrastive as Contrastive
    from pyro_mnar.infer.objectives import GuidedCost as GuidedCost
    from pyro_mnar.infer.objectives import Importance as Importance
    from pyro_mnar.infer.objectives import NoiseContrastive as NoiseContrastive
    from pyro_mnar.infer.objectives import SelfNormalised as SelfNormalised
    from pyro_mnar.infer.posterior import PosteriorDraws as PosteriorDraws
    from pyro_mnar.infer.posterior import sample_posterior as sample_posterior
    from pyro_mnar.infer.posterior_regularisation import PosteriorRegularised as PosteriorRegularised
    from pyro_mnar.infer.tilt_report import report_tilt as report_tilt
    from pyro_mnar.infer.training import fit as fit
    from pyro_mnar.models import LOGIT as LOGIT
    from pyro_mnar.models import MNAR as MNAR
    from pyro_mnar.models import PROBIT as PROBIT
    from pyro_mnar.models import THRESHOLD as THRESHOLD
    from pyro_mnar.models import CategoricalOutcome as CategoricalOutcome
    from pyro_mnar.models import CategoryBlock as CategoryBlock
    from pyro_mnar.models import CategoryMasking as CategoryMasking
    from pyro_mnar.models import ConjugateEncoder as ConjugateEncoder
    from pyro_mnar.models import Constraint as Constraint
    from pyro_mnar.models import CountBlock as CountBlock
    from pyro_mnar.models import EnergyTilt as EnergyTilt
    from pyro_mnar.models import FixedMasking as FixedMasking
    from pyro_mnar.models import FlowEncoder as FlowEncoder
    from pyro_mnar.models import FlowPrior as FlowPrior
    from pyro_mnar.models import GaussianDecoder as GaussianDecoder
    from pyro_mnar.models import GaussianEncoder as GaussianEncoder
    from pyro_mnar.models import GaussianOutcome as GaussianOutcome
    from pyro_mnar.models import LatentMasking as LatentMasking
    from pyro_mnar.models import LearnedConstraint as LearnedConstraint
    from pyro_mnar.models import LinearMasking as LinearMasking
    from pyro_mnar.models import MixedDecoder as MixedDecoder
    from pyro_mnar.models import MixedMasking as MixedMasking
    from pyro_mnar.models import NeuralMasking as NeuralMasking
    from pyro_mnar.models import NormalBlock as NormalBlock
    from pyro_mnar.models import OrdinalBlock as OrdinalBlock
    from pyro_mnar.models import Prior as Prior
    from pyro_mnar.models import SelectionDistribution as SelectionDistribution
    from pyro_mnar.models import SelfMasking as SelfMasking
    from pyro_mnar.models import SequentialMasking as SequentialMasking
    from pyro_mnar.models import SetEncoder as SetEncoder
    from pyro_mnar.models import SkewWarp as SkewWarp
    from pyro_mnar.models import StudentTDecoder as StudentTDecoder
    from pyro_mnar.models import TwoSidedMasking as TwoSidedMasking
    from pyro_mnar.models import energy_net as energy_net
    from pyro_mnar.results.analyses import analyse as analyse
    from pyro_mnar.results.diagnosis import diagnose as diagnose
    from pyro_mnar.results.importance import sample_importance as sample_importance
    from pyro_mnar.results.imputation import impute as impute
    from pyro_mnar.results.inference_data import to_arviz as to_arviz
    from pyro_mnar.results.mask_check import check_mask as check_mask
    from pyro_mnar.results.pooling import impute_ensemble as impute_ensemble
    from pyro_mnar.results.prediction import predict as predict
    from pyro_mnar.results.rubin import pool as pool
    from pyro_mnar.results.sensitivity import Completions as Completions
    from pyro_mnar.results.tipping import tipping_point as tipping_point
    from pyro_mnar.tables import amputate as amputate

_MODELS = [
    "LOGIT",
    "MNAR",
    "PROBIT",
    "THRESHOLD",
    "CategoryBlock",
    "CategoryMasking",
    "CategoricalOutcome",
    "ConjugateEncoder",
    "CountBlock",
    "Constraint",
    "EnergyTilt",
    "FixedMasking",
    "FlowEncoder",
    "FlowPrior",
    "GaussianDecoder",
    "GaussianEncoder",
    "LearnedConstraint",
    "GaussianOutcome",
    "LatentMasking",
    "LinearMasking",
    "MixedDecoder",
    "MixedMasking",
    "NeuralMasking",
    "NormalBlock",
    "OrdinalBlock",
    "Prior",
    "SelectionDistribution",
    "SelfMasking",
    "SequentialMasking",
    "SetEncoder",
    "SkewWarp",
    "StudentTDecoder",
    "TwoSidedMasking",
    "energy_net",
]
_HOMES = dict.fromkeys(_MODELS, "pyro_mnar.models") | {
    "Completions": "pyro_mnar.results.sensitivity",
    "Contrastive": "pyro_mnar.infer.objectives",
    "GuidedCost": "pyro_mnar.infer.objectives",
    "IWELBO": "pyro_mnar.infer.bound",
    "Importance": "pyro_mnar.infer.objectives",
    "Langevin": "pyro_mnar.infer.langevin",
    "MNARImputer": "pyro_mnar.faces.imputer",
    "MaximumLikelihood": "pyro_mnar.infer.langevin_likelihood",
    "NoiseContrastive": "pyro_mnar.infer.objectives",
    "PosteriorDraws": "pyro_mnar.infer.posterior",
    "PosteriorRegularised": "pyro_mnar.infer.posterior_regularisation",
    "SelfNormalised": "pyro_mnar.infer.objectives",
    "amputate": "pyro_mnar.tables",
    "analyse": "pyro_mnar.results.analyses",
    "check_mask": "pyro_mnar.results.mask_check",
    "diagnose": "pyro_mnar.results.diagnosis",
    "fit": "pyro_mnar.infer.training",
    "fit_ensemble": "pyro_mnar.infer.ensembles",
    "impute": "pyro_mnar.results.imputation",
    "impute_ensemble": "pyro_mnar.results.pooling",
    "log_normaliser": "pyro_mnar.infer.normaliser",
    "nested_rhat": "pyro_mnar.infer.nested_rhat",
    "pool": "pyro_mnar.results.rubin",
    "predict": "pyro_mnar.results.prediction",
    "report_tilt": "pyro_mnar.infer.tilt_report",
    "sample_importance": "pyro_mnar.results.importance",
    "sample_posterior": "pyro_mnar.infer.posterior",
    "sample_tilted": "pyro_mnar.infer.normaliser",
    "tipping_point": "pyro_mnar.results.tipping",
    "to_arviz": "pyro_mnar.results.inference_data",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pyro_mnar' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
