"""An older place of `mdsearch.Proposal`, for samplers of users' own until the next release."""

import warnings

from search.samplers.base import Observation as Observation
from search.samplers.base import Proposal as Proposal
from search.samplers.base import Sampler as Sampler

warnings.warn("search.sampler: import from mdsearch instead", DeprecationWarning, stacklevel=2)
