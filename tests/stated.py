"""Imputers fitted to what they are told, without the pilots that choose reasons: for tests that are not about the choice."""

from dataclasses import replace

from pyro_mnar.imputer.scaling.censored_scaling import in_supposed_units
from pyro_mnar.imputer.tables.given import learned
from pyro_mnar.imputer.training.fitting import fit_specified
from pyro_mnar.imputer.words import specification_of


def fit_as_stated(imputer, table):
    """Fit the ensemble of ``imputer``, whose ``random_state`` is a number; return the imputer, which has no ``reasons_``."""
    given = learned(imputer, table)
    specification, _ = specification_of(imputer, given.codec.schema, given.mask)
    codec, specification = in_supposed_units(given, specification)
    settings = {name: getattr(imputer, name) for name in ("particles", "steps", "batch_size", "progress")}
    fitted = fit_specified(specification, replace(given, codec=codec).x, given.seen, seed=imputer.random_state, **settings)
    imputer.codec_, imputer.seed_, imputer.candidates_ = codec, imputer.random_state, []
    imputer.specification_, imputer.histories_ = fitted.specification, fitted.histories
    imputer.members_, imputer.moves_ = [member.eval() for member in fitted.members], []
    return imputer
