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
    from pyro_mnar.infer.training import fit as fit
    from pyro_mnar.models import LOGIT as LOGIT
    from pyro_mnar.models import MNAR as MNAR
    from pyro_mnar.models import PROBIT as PROBIT
    from pyro_mnar.models import THRESHOLD as THRESHOLD
    from pyro_mnar.models import BernoulliDecoder as BernoulliDecoder
    from pyro_mnar.models import CategoricalDecoder as CategoricalDecoder
    from pyro_mnar.models import CategoricalOutcome as CategoricalOutcome
    from pyro_mnar.models import ConjugateEncoder as ConjugateEncoder
    from pyro_mnar.models import FixedMasking as FixedMasking
    from pyro_mnar.models import FlowEncoder as FlowEncoder
    from pyro_mnar.models import FlowPrior as FlowPrior
    from pyro_mnar.models import GaussianDecoder as GaussianDecoder
    from pyro_mnar.models import GaussianEncoder as GaussianEncoder
    from pyro_mnar.models import GaussianOutcome as GaussianOutcome
    from pyro_mnar.models import LatentMasking as LatentMasking
    from pyro_mnar.models import LinearMasking as LinearMasking
    from pyro_mnar.models import MixedMasking as MixedMasking
    from pyro_mnar.models import NeuralMasking as NeuralMasking
    from pyro_mnar.models import Prior as Prior
    from pyro_mnar.models import SelectionDistribution as SelectionDistribution
    from pyro_mnar.models import SelfMasking as SelfMasking
    from pyro_mnar.models import SetEncoder as SetEncoder
    from pyro_mnar.models import SkewWarp as SkewWarp
    from pyro_mnar.models import StudentTDecoder as StudentTDecoder
    from pyro_mnar.results.imputation import impute as impute
    from pyro_mnar.results.pooling import impute_ensemble as impute_ensemble
    from pyro_mnar.results.prediction import predict as predict
    from pyro_mnar.tables import amputate as amputate

_MODELS = [
    "LOGIT",
    "MNAR",
    "PROBIT",
    "THRESHOLD",
    "BernoulliDecoder",
    "CategoricalDecoder",
    "CategoricalOutcome",
    "ConjugateEncoder",
    "FixedMasking",
    "FlowEncoder",
    "FlowPrior",
    "GaussianDecoder",
    "GaussianEncoder",
    "GaussianOutcome",
    "LatentMasking",
    "LinearMasking",
    "MixedMasking",
    "NeuralMasking",
    "Prior",
    "SelectionDistribution",
    "SelfMasking",
    "SetEncoder",
    "SkewWarp",
    "StudentTDecoder",
]
_HOMES = dict.fromkeys(_MODELS, "pyro_mnar.models") | {
    "IWELBO": "pyro_mnar.infer.bound",
    "MNARImputer": "pyro_mnar.faces.imputer",
    "amputate": "pyro_mnar.tables",
    "fit": "pyro_mnar.infer.training",
    "fit_ensemble": "pyro_mnar.infer.ensembles",
    "impute": "pyro_mnar.results.imputation",
    "impute_ensemble": "pyro_mnar.results.pooling",
    "predict": "pyro_mnar.results.prediction",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pyro_mnar' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
