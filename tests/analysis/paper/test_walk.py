"""The walk from SD-1.5 to MD: every step a network that builds, the sums exact, the end MD itself."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from analysis.paper.table1 import printed_network
from analysis.paper.walk import DECISIONS, architectures, steps, walk_text
from analysis.rendering import TableSettings
from mdsearch.commands.walk import main
from space.architecture import Architecture
from space.difference import difference
from space.prices.macs import price
from space.unet import UNet

ROOT = Path(__file__).parents[3]


def test_it_starts_at_sd15_and_ends_at_md() -> None:
    walk = architectures()
    assert walk[0] == printed_network("sd15")
    assert walk[-1] == printed_network("md")
    assert walk[-1].id == "e7d9e606fec8"


def test_every_step_changes_the_network_and_builds() -> None:
    walk = architectures()
    assert len({a.id for a in walk}) == len(walk) == len(DECISIONS) + 1
    for a in walk:
        assert Architecture.from_yaml(a.to_yaml()) == a
        with torch.device("meta"):
            assert sum(parameter.numel() for parameter in UNet(a).parameters()) == price(a).parameters


def test_what_is_saved_sums_to_the_whole() -> None:
    walk = steps()
    assert walk[0].saved_parameters == walk[0].saved_macs == 0
    assert sum(step.saved_parameters for step in walk) == 859_520_964 - 387_376_712
    assert sum(step.saved_macs for step in walk) == walk[0].macs - walk[-1].macs
    for before, after in pairwise(walk):
        assert after.parameters == before.parameters - after.saved_parameters
        assert after.saved_macs_percent == pytest.approx(100 * after.saved_macs / before.macs, abs=0.005)


def named(word: str) -> dict[str, int | float]:
    (step,) = [step for step in steps() if word in step.decision]
    return {"parameters": step.saved_parameters, "macs": step.saved_macs}


def test_savings_by_hand() -> None:
    """One shared K/V saves a d x d matrix a self-attention layer, a ratio less 3 d^2 + 2 d of each layer."""
    assert named("swish") == {"parameters": 0, "macs": 0}
    assert named("keys and values") == {"parameters": 15 * 1024**2, "macs": 15 * 256 * 1024**2}
    ratio = 15 * 3 * 1024**2 + 5 * 3 * 640**2
    assert named("feed-forward")["macs"] == 15 * 256 * 3 * 1024**2 + 5 * 1024 * 3 * 640**2
    assert named("feed-forward")["parameters"] == ratio + 15 * 2 * 1024 + 5 * 2 * 640
    assert named("latent channels")["parameters"] == -(2 * 9 * 4 * 320 + 4)
    assert named("heads 64") == {"parameters": 0, "macs": 0}


def test_moving_the_transformers_keeps_the_number_of_parameters() -> None:
    """Section 3.2, for the wide bottleneck: within 3 % of SD-1.5's."""
    moved = next(step for step in steps() if "5 -> 15" in step.decision)
    assert moved.parameters == pytest.approx(859_520_964, rel=0.03)


def test_json_tells_what_changed() -> None:
    told = json.loads(walk_text(steps(), TableSettings(format="json")))
    assert [step["decision"] for step in told[1:]] == [decision.name for decision in DECISIONS]
    walk = architectures()
    for (before, after), step in zip(pairwise(walk), told[1:], strict=True):
        assert step["changed"] == difference(before, after)
        assert step["architecture_id"] == after.id
        assert step["flops"] == 2 * step["macs"]


def test_the_document_is_what_the_command_writes() -> None:
    """docs/walk.md, but for the line that dates it."""
    settings = TableSettings("markdown", "docs/walk.md", "docs/walk.png")
    made, kept = walk_text(steps(), settings), (ROOT / "docs" / "walk.md").read_text()
    assert made.splitlines()[:-1] == kept.splitlines()[:-1]
    assert (ROOT / "docs" / "walk.png").is_file()


def test_the_waterfall_names_every_decision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"plot={tmp_path / 'walk.svg'}"]) == 0
    plotted, printed = (tmp_path / "walk.svg").read_text(), capsys.readouterr().out
    for decision in DECISIONS:
        assert decision.name in printed
        assert decision.name.replace("->", "\u2192") in plotted
