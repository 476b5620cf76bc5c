"""Chains: posteriors of all rows at once, the Langevin kernel for Pyro, convergence."""

from pyro_mnar.mcmc.langevin import Langevin
from pyro_mnar.mcmc.nested_rhat import nested_rhat
from pyro_mnar.mcmc.posterior import PosteriorDraws, sample_posterior

__all__ = ["Langevin", "PosteriorDraws", "nested_rhat", "sample_posterior"]
