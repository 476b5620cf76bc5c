"""Missing not at random on Pyro: impute values that are absent because of what they are.

Names are imported when they are first used, so that ``import pyro_mnar`` costs no more than it must. What is not here is in a
namespace: ``pyro_mnar.networks``, ``.mechanisms``, ``.distributions``, ``.model``, ``.energy``, ``.mcmc``, ``.analysis``, ``.data``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from pyro_mnar.analysis.analyses import analyze as analyze
    from pyro_mnar.analysis.completions import Completions as Completions
    from pyro_mnar.analysis.rubin import pool as pool
    from pyro_mnar.analysis.tipping import tipping_point as tipping_point
    from pyro_mnar.data import amputate as amputate
    from pyro_mnar.diagnostics.arviz import to_arviz as to_arviz
    from pyro_mnar.diagnostics.diagnosis import diagnose as diagnose
    from pyro_mnar.diagnostics.mask_check import check_mask as check_mask
    from pyro_mnar.distributions.links import LOGIT as LOGIT
    from pyro_mnar.distributions.links import PROBIT as PROBIT
    from pyro_mnar.distributions.links import THRESHOLD as THRESHOLD
    from pyro_mnar.energy.objectives import SelfNormalized as SelfNormalized
    from pyro_mnar.imputation.ensemble import impute as impute
    from pyro_mnar.imputation.importance import sample_importance as sample_importance
    from pyro_mnar.imputation.predict import predict as predict
    from pyro_mnar.imputer.imputer import MNARImputer as MNARImputer
    from pyro_mnar.imputer.scoring import held_out_crps as held_out_crps
    from pyro_mnar.imputer.shards.batches import impute_batches as impute_batches
    from pyro_mnar.imputer.shards.parquet_fit import fit_parquet as fit_parquet
    from pyro_mnar.infer.bound import IWELBO as IWELBO
    from pyro_mnar.infer.ensembles import fit as fit
    from pyro_mnar.mcmc.langevin import Langevin as Langevin
    from pyro_mnar.mcmc.posterior import sample_posterior as sample_posterior
    from pyro_mnar.mechanisms.category_masking import CategoryMasking as CategoryMasking
    from pyro_mnar.mechanisms.latent_masking import LatentMasking as LatentMasking
    from pyro_mnar.mechanisms.mixed_masking import MixedMasking as MixedMasking
    from pyro_mnar.mechanisms.self_masking import SelfMasking as SelfMasking
    from pyro_mnar.mechanisms.sequential_masking import SequentialMasking as SequentialMasking
    from pyro_mnar.mechanisms.whole_row import LinearMasking as LinearMasking
    from pyro_mnar.model.mnar import MNAR as MNAR
    from pyro_mnar.model.priors import Prior as Prior
    from pyro_mnar.model.tilts import EnergyTilt as EnergyTilt
    from pyro_mnar.networks.conjugate_encoder import ConjugateEncoder as ConjugateEncoder
    from pyro_mnar.networks.decoders import GaussianDecoder as GaussianDecoder
    from pyro_mnar.networks.decoders import StudentTDecoder as StudentTDecoder
    from pyro_mnar.networks.encoders import GaussianEncoder as GaussianEncoder
    from pyro_mnar.networks.encoders import SetEncoder as SetEncoder
    from pyro_mnar.networks.mixed_decoder import MixedDecoder as MixedDecoder

_HOMES = {
    "CategoryMasking": "pyro_mnar.mechanisms.category_masking",
    "Completions": "pyro_mnar.analysis.completions",
    "ConjugateEncoder": "pyro_mnar.networks.conjugate_encoder",
    "EnergyTilt": "pyro_mnar.model.tilts",
    "GaussianDecoder": "pyro_mnar.networks.decoders",
    "GaussianEncoder": "pyro_mnar.networks.encoders",
    "IWELBO": "pyro_mnar.infer.bound",
    "LOGIT": "pyro_mnar.distributions.links",
    "Langevin": "pyro_mnar.mcmc.langevin",
    "LatentMasking": "pyro_mnar.mechanisms.latent_masking",
    "LinearMasking": "pyro_mnar.mechanisms.whole_row",
    "MNAR": "pyro_mnar.model.mnar",
    "MNARImputer": "pyro_mnar.imputer.imputer",
    "MixedDecoder": "pyro_mnar.networks.mixed_decoder",
    "MixedMasking": "pyro_mnar.mechanisms.mixed_masking",
    "PROBIT": "pyro_mnar.distributions.links",
    "Prior": "pyro_mnar.model.priors",
    "SelfMasking": "pyro_mnar.mechanisms.self_masking",
    "SelfNormalized": "pyro_mnar.energy.objectives",
    "SequentialMasking": "pyro_mnar.mechanisms.sequential_masking",
    "SetEncoder": "pyro_mnar.networks.encoders",
    "StudentTDecoder": "pyro_mnar.networks.decoders",
    "THRESHOLD": "pyro_mnar.distributions.links",
    "amputate": "pyro_mnar.data",
    "analyze": "pyro_mnar.analysis.analyses",
    "check_mask": "pyro_mnar.diagnostics.mask_check",
    "diagnose": "pyro_mnar.diagnostics.diagnosis",
    "fit": "pyro_mnar.infer.ensembles",
    "fit_parquet": "pyro_mnar.imputer.shards.parquet_fit",
    "held_out_crps": "pyro_mnar.imputer.scoring",
    "impute": "pyro_mnar.imputation.ensemble",
    "impute_batches": "pyro_mnar.imputer.shards.batches",
    "pool": "pyro_mnar.analysis.rubin",
    "predict": "pyro_mnar.imputation.predict",
    "sample_importance": "pyro_mnar.imputation.importance",
    "sample_posterior": "pyro_mnar.mcmc.posterior",
    "tipping_point": "pyro_mnar.analysis.tipping",
    "to_arviz": "pyro_mnar.diagnostics.arviz",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pyro_mnar' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
