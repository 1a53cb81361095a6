"""What runs, models and scores on disk go by: identities, names and values that the code of before the
refactoring gave. A change here is a change of what is stored."""

import hashlib

import pytest
import torch

from conf.compose import compose
from evaluators.protocols.protocol import EvaluationProtocol
from search.named import named_architecture
from space.proxy import Proxy, narrow
from space.shared.plain import from_plain
from space.shared.seeds import derived_seed, numbered_seed
from space.unet import UNet

ARCHITECTURES = {
    "md": "e7d9e606fec8",
    "md_lite": "a94f3b68fbca",
    "sd15": "68f44e92e360",
    "sdxl": "7cda2aa8f5c2",
    "snapfusion": "17a61c29c182",
}
PROTOCOLS = {"bk_sdm": "fcd2cf4f57a4", "coco30k": "4114b462343f", "own": "4ec095b39fb2"}
# Tensors of the proxy's UNet; a digest of their names and shapes, in the order in which they are made; and a
# sum of their absolute values from seed 0, each with a weight that moves when the order does.
WEIGHTS = {
    "md": (470, "b0aedf7699253f56", 334221.2853003677),
    "md_lite": (413, "34fb5067394e8bcd", 255364.61095258483),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures_go_by_the_same_ids(name):
    assert named_architecture(name).id == ARCHITECTURES[name]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_go_by_the_same_ids(name):
    plain = compose("search", [f"evaluators={name}"])["evaluators"]
    plain["samples"] = plain["samples"] or 200
    plain["images"]["size_px"] = plain["images"]["size_px"] or 256  # as own has it where all have
    assert from_plain(EvaluationProtocol, plain, "evaluators").id == PROTOCOLS[name]


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_have_the_same_names_and_the_same_beginning(name):
    proxy = from_plain(Proxy, compose("search", [])["proxy"])
    torch.manual_seed(0)
    state = UNet(narrow(named_architecture(name), proxy)).state_dict()
    names = "\n".join(f"{key} {tuple(value.shape)}" for key, value in state.items())
    values = sum(float(v.double().abs().sum()) * (1 + at % 7) for at, v in enumerate(state.values()))
    count, digest, total = WEIGHTS[name]
    assert len(state) == count
    assert hashlib.sha256(names.encode()).hexdigest()[:16] == digest
    assert values == pytest.approx(total, rel=1e-6)


def test_seeds_derive_as_they_did():
    assert derived_seed("weights", 0) == 5543443259633724587
    assert derived_seed("initial noise", 3, 7) == 1235843811884337181
    assert numbered_seed(0, "repair 3", 1) == 1458301721
    assert numbered_seed(5, "nsga2", 12) == 2438884186
