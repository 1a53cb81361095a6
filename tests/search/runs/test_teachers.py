"""Recorded networks that teach a search, and those that would tell it of its reference points."""

from __future__ import annotations

from pathlib import Path

from mdsearch.api import settings_of
from search.checks import compared_with
from search.named import named_architecture
from search.runs.bundle import histories_of
from search.runs.prior import recorded_that_teach, take_recorded
from search.runs.record import Record
from search.runs.teachers import known_references
from space.prices.macs import price
from space.shared.plain import to_plain
from tests.search.runs.test_prior import begin, provenanced, recorded
from tests.search.worlds import RUNGS, START, md_space
from training.data.factory import load_data


def test_the_default_search_is_taught_by_what_the_package_records() -> None:
    """Defaults that changed what a score means would leave the recorded networks behind."""
    settings = settings_of([])[0]
    digest = load_data(settings.data).digest
    runs = histories_of(["recorded:table*", "recorded:pairs*"]).values()
    own = sum(trial.state in ("complete", "halted") for run in runs for trial in run.trials)
    assert recorded_that_teach(settings, digest, []) == own  # though a later run holds an earlier one's, too
    references = compared_with(settings)
    assert list(references) == ["md", "md_lite"]
    pairs_of_references = 15  # and the two themselves
    taught = recorded_that_teach(settings, digest, references.values())
    assert taught == own - 2 - pairs_of_references == 222
    assert recorded_that_teach(settings_of(["recorded=false"])[0], digest, []) == 0
    assert recorded_that_teach(settings_of(["training.learning_rate=0.01"])[0], digest, []) == 0
    moves_no_score = ["training.device=cpu", "training.validation_images=64"]
    assert recorded_that_teach(settings_of(moves_no_score)[0], digest, []) == own
    assert recorded_that_teach(settings, "of other pictures", []) == 0


def test_no_sampler_or_rule_hears_of_a_reference_or_of_a_network_one_decision_away(
    tmp_path: Path, monkeypatch
) -> None:
    """Recorded are two networks, one whose depth and width of a level differ from the first, and one that
    differs from the second in one choice; the first two are the reference points. Told as a run of the user's
    own, all four teach."""
    space = md_space()
    first, second = (space.encode(named_architecture(name)) for name in ("md", "md_lite"))
    traded = first | {"level_3.channels": 896, "level_3.layers_down": 3}
    one_choice = second | {"activation": {"swish": "gelu", "gelu": "swish"}[second["activation"]]}
    other = first | {"activation": one_choice["activation"], "level_1.channels": 384}
    record = Record(tmp_path)
    record.append("run", name="a", trials=5, space=to_plain(space), rungs=list(RUNGS))
    record.append("start", scores=START, protocol={"images": 200})
    for number, choices in enumerate((first, second, traded, one_choice, other)):
        network = space.architecture(space.pinned() | choices)
        cost, of = price(network), {"architecture": network.to_plain(), "architecture_id": network.id}
        record.append(
            "proposed", key=str(number), number=number, purpose="search", name=f"trial {number}", **of,
            parameters=cost.parameters, macs=cost.macs, attention_macs=cost.attention_macs, seed=0,
            proxy_parameters=1, steps=400, source="enqueued", params=choices, sampler_attributes={},
        )  # fmt: skip
        record.append("ended", key=str(number), state="complete", reason="")
    record.close()
    recorded(monkeypatch, tmp_path, table=provenanced(str(tmp_path)))
    references = [named_architecture(name) for name in ("md", "md_lite")]
    search = begin(tmp_path / "b", trials=1)
    assert take_recorded(search.record, references) == []
    assert [trial.name for trial in search.history.prior] == ["trial 4 of recorded:table"]
    search.record.close()
    own = begin(tmp_path / "c", [str(tmp_path)], trials=1)
    own.record.close()
    assert len(own.history.prior) == 5
    assert known_references(own.history.prior, references) == [f"trial {n} of {tmp_path}" for n in (0, 1)]
    assert known_references(search.history.prior, references) == []
