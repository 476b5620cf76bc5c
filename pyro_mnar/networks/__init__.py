"""Decoders with their heads, encoders, flows, outcomes, warps."""

from pyro_mnar.networks.conjugate_encoder import ConjugateEncoder
from pyro_mnar.networks.decoders import Decoder, GaussianDecoder, StudentTDecoder
from pyro_mnar.networks.encoders import GaussianEncoder, SetEncoder
from pyro_mnar.networks.flows import FlowEncoder, FlowPrior
from pyro_mnar.networks.head import Head
from pyro_mnar.networks.heads import CategoryHead, CountHead, NormalHead, OrdinalHead
from pyro_mnar.networks.mixed_decoder import MixedDecoder
from pyro_mnar.networks.outcomes import CategoricalOutcome, GaussianOutcome
from pyro_mnar.networks.semicontinuous_head import SemicontinuousHead
from pyro_mnar.networks.warps import SkewWarp

__all__ = [
    "CategoricalOutcome",
    "CategoryHead",
    "ConjugateEncoder",
    "CountHead",
    "Decoder",
    "FlowEncoder",
    "FlowPrior",
    "GaussianDecoder",
    "GaussianEncoder",
    "GaussianOutcome",
    "Head",
    "MixedDecoder",
    "NormalHead",
    "OrdinalHead",
    "SemicontinuousHead",
    "SetEncoder",
    "SkewWarp",
    "StudentTDecoder",
]
