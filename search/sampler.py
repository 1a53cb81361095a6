"""Where files of users' own found `Proposal`, for one release more."""

from search.samplers.base import Observation, Proposal, Sampler
from space.shared.renamed import note_renamed

__all__ = ["Observation", "Proposal", "Sampler"]
note_renamed("import search.sampler", "import search.samplers.base")
