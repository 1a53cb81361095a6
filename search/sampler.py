"""An older place of `mdsearch.Proposal`, for samplers of users' own until the next release."""

from search.samplers.base import Observation as Observation
from search.samplers.base import Proposal as Proposal
from search.samplers.base import Sampler as Sampler
from space.shared.renamed import note_renamed

note_renamed("from search.sampler import Proposal", "from mdsearch import Proposal")
