"""Decoders, encoders, mechanisms, the selection distribution, and the model that they make."""

from pyro_mnar.models.blocks import CategoryBlock, CountBlock, NormalBlock, OrdinalBlock
from pyro_mnar.models.category_masking import CategoryMasking
from pyro_mnar.models.conjugate import ConjugateEncoder
from pyro_mnar.models.coupled_masking import FixedMasking, LinearMasking, NeuralMasking
from pyro_mnar.models.decoders import Decoder, GaussianDecoder, StudentTDecoder
from pyro_mnar.models.encoders import GaussianEncoder, SetEncoder
from pyro_mnar.models.flows import FlowEncoder, FlowPrior
from pyro_mnar.models.latent_masking import LatentMasking
from pyro_mnar.models.links import LOGIT, PROBIT, THRESHOLD, Link
from pyro_mnar.models.masks import MaskDistribution, Mechanism
from pyro_mnar.models.missing_rows import MissingRows
from pyro_mnar.models.mixed_cells import MixedCells
from pyro_mnar.models.mixed_decoder import MixedDecoder
from pyro_mnar.models.mixed_masking import MixedMasking
from pyro_mnar.models.mnar import MNAR
from pyro_mnar.models.outcomes import CategoricalOutcome, GaussianOutcome
from pyro_mnar.models.priors import Prior
from pyro_mnar.models.selection import MissingCells, SelectionDistribution
from pyro_mnar.models.self_masking import SelfMasking
from pyro_mnar.models.semicontinuous import MassNormal, SemicontinuousBlock
from pyro_mnar.models.sequential_masking import SequentialMasking, own_pieces
from pyro_mnar.models.tilts import Constraint, EnergyTilt, LearnedConstraint, Tilt, energy_net
from pyro_mnar.models.two_sided_masking import TwoSidedMasking
from pyro_mnar.models.warps import SkewWarp

__all__ = [
    "LOGIT",
    "MNAR",
    "PROBIT",
    "THRESHOLD",
    "CategoricalOutcome",
    "CategoryBlock",
    "CategoryMasking",
    "ConjugateEncoder",
    "Constraint",
    "CountBlock",
    "Decoder",
    "EnergyTilt",
    "FixedMasking",
    "FlowEncoder",
    "FlowPrior",
    "GaussianDecoder",
    "GaussianEncoder",
    "GaussianOutcome",
    "LatentMasking",
    "LearnedConstraint",
    "LinearMasking",
    "Link",
    "MaskDistribution",
    "MassNormal",
    "Mechanism",
    "MissingCells",
    "MissingRows",
    "MixedCells",
    "MixedDecoder",
    "MixedMasking",
    "NeuralMasking",
    "NormalBlock",
    "OrdinalBlock",
    "Prior",
    "SelectionDistribution",
    "SelfMasking",
    "SemicontinuousBlock",
    "SequentialMasking",
    "SetEncoder",
    "SkewWarp",
    "StudentTDecoder",
    "Tilt",
    "TwoSidedMasking",
    "energy_net",
    "own_pieces",
]
