"""The contracts of custom samplers and stopping rules, as tests to inherit. Needs pytest.

from my_sampler import MySampler
from mdsearch.testing import SamplerContract

class TestMySampler(SamplerContract): make = MySampler
"""

from search.testing import RuleContract, SamplerContract

__all__ = ["RuleContract", "SamplerContract"]
