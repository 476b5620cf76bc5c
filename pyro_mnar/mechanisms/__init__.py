"""Mechanisms p(s given x): why values are missing."""

from pyro_mnar.mechanisms.base import MaskDistribution, Mechanism
from pyro_mnar.mechanisms.category_masking import CategoryMasking
from pyro_mnar.mechanisms.latent_masking import LatentMasking
from pyro_mnar.mechanisms.mixed_masking import MixedMasking
from pyro_mnar.mechanisms.own_value import OwnValueMasking
from pyro_mnar.mechanisms.self_masking import SelfMasking
from pyro_mnar.mechanisms.sequential_masking import SequentialMasking
from pyro_mnar.mechanisms.two_sided_masking import TwoSidedMasking
from pyro_mnar.mechanisms.whole_row import FixedMasking, LinearMasking, NeuralMasking

__all__ = [
    "CategoryMasking",
    "FixedMasking",
    "LatentMasking",
    "LinearMasking",
    "MaskDistribution",
    "Mechanism",
    "MixedMasking",
    "NeuralMasking",
    "OwnValueMasking",
    "SelfMasking",
    "SequentialMasking",
    "TwoSidedMasking",
]
