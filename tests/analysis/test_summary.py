"""What is said of the winner, of doubt and of stopping, against small records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.findings import steps_saved
from analysis.report.page import Page
from analysis.report.sections.next import next_section
from analysis.summary import blind_spot, found_sentences, stopped_sentences, unconfirmed_sentence
from search.runs.record import History, Record
from tests.analysis.report.pages import words_of
from tests.search.histories import MD, MD_LITE, NOISE, confirm, end, open_run, propose, score

LEADERS = {"name": "leaders", "minimum_peers": 2, "deviations": 2.0}
BEHIND = "behind the best 2 complete trials at step 200 by 3.4 deviations of one run on average: FID 900"


def a_run(folder: Path, stopped: int = 0, **header: Any) -> Record:
    """Two complete trials, MD-Lite the better; then some that are stopped at the second of three rungs."""
    record = open_run(folder, trials=2 + stopped, **({"stopping": LEADERS} | header))
    for architecture, fid in ((MD, 20.0), (MD_LITE, 10.0)):
        key = propose(record, architecture)
        for step in (100, 200, 400):
            score(record, key, step, fid * 400 / step, 0.4, "end" if step == 400 else "continue")
        end(record, key)
    for _ in range(stopped):
        key = propose(record, MD)
        score(record, key, 100, 150.0, 0.1)
        score(record, key, 200, 140.0, 0.1, "halt")
        end(record, key, "halted", BEHIND)
    return record


def closed(record: Record) -> History:
    record.close()
    return record.history


def test_the_winner_is_said_with_its_cost_and_what_differs_from_md(tmp_path: Path) -> None:
    history = closed(a_run(tmp_path, references=["md", "md_lite"]))
    cost, change = found_sentences(history, history.trials[1])
    assert cost.startswith("Trial 1 has 278.2 M parameters, 154.0 GMACs at the paper's scale")
    assert "(MD: 387.4 M, 183.6 GMACs; MD-Lite: 278.2 M, 154.0 GMACs)" in cost
    assert change.startswith("It differs from MD in level 3: channels 1024 -> 896, up [3, 3, 3] -> [2")
    assert found_sentences(history, history.trials[0])[1] == "It is MD itself."


def test_without_a_reference_point_md_is_what_a_winner_is_laid_beside(tmp_path: Path) -> None:
    history = closed(a_run(tmp_path, references=[]))
    cost, change = found_sentences(history, history.trials[1])
    assert cost.endswith("at the paper's scale.") and "differs from MD in level 3" in change


def test_what_a_proxy_cannot_see_has_its_steps_widths_and_data(tmp_path: Path) -> None:
    embedded = {"fid": "fid_embedded_clip", "clip": "clip_embedded"}
    history = closed(open_run(tmp_path, objectives=embedded, data={"name": "scenes"}))
    said = blind_spot(history)
    assert all(part in said for part in ("after 400 steps", "here / 16", "than scenes", "published FID"))
    history.header |= {"proxy": {"width_divisor": 1}, "objectives": {"fid": "fid_a", "clip": "clip_a"}}
    assert "width" not in blind_spot(history) and "published" not in blind_spot(history)


def test_who_was_stopped_where_why_and_what_it_saved(tmp_path: Path) -> None:
    """It spares 200 of 400 steps. Its own 200 took 62 s: 50 of training, and two scorings of 5.9."""
    history = closed(a_run(tmp_path, stopped=1))
    who, saved, doubt = stopped_sentences(history)
    assert who.startswith(
        "1 of 3 trials, by stopping=leaders: trial 2 at step 200 (behind the best 2 complete"
    )
    assert who.endswith("on average).") and "FID 900" not in who  # the figures stand in the trial's row
    assert saved.startswith("That saved 200 of 1,200 training steps (17%), about 1 min 2 s of worker time")
    assert steps_saved(history.trials).seconds == pytest.approx(history.trials[2].seconds)
    assert (
        "once in 44 rungs, more often" in doubt
        and "nobody has counted" in doubt
        and "mdsearch confirm" in doubt
    )
    history.header["training"] = "elsewhere"  # where nothing of ours trains them on
    assert "mdsearch" not in stopped_sentences(history)[-1]


def test_of_many_stopped_a_few_are_named(tmp_path: Path) -> None:
    who = stopped_sentences(closed(a_run(tmp_path, stopped=5)))[0]
    assert (
        who.startswith("5 of 7 trials") and who.count("at step 200 (") == 3 and who.endswith(" and 2 more.")
    )


def test_trained_again_the_stopped_say_how_many_were_stopped_wrongly(tmp_path: Path) -> None:
    record = a_run(tmp_path, stopped=2)
    confirm(record, "trial 2", MD, [(5.0, 0.5)])
    confirm(record, "trial 3", MD, [(90.0, 0.1)])
    doubt = stopped_sentences(closed(record))[-1]
    assert doubt.startswith("2 stopped trials trained again") and "1 would have" in doubt
    assert doubt.endswith("was stopped wrongly (trial 2).")


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({}, "No trial was behind beyond the noise, as stopping=leaders counts it"),
        ({"stopping": LEADERS | {"minimum_peers": 3}}, "stopping=leaders waits for 3 complete trials"),
        ({"stopping": {"name": "none"}}, "With stopping=none every trial"),
        ({"stopping": {"name": "asha"}}, "No trial was behind, as stopping=asha counts it"),
        (
            {"noise": {"rungs": NOISE[2:], "measured_under": []}},
            "not known, without which stopping=leaders stops nobody",
        ),
    ],
)
def test_where_nobody_was_stopped_the_reason_is_said(
    header: dict[str, Any], why: str, tmp_path: Path
) -> None:
    none, said = stopped_sentences(closed(a_run(tmp_path, **header)))
    assert none == "None." and why in said and said.endswith("; no step saved.")


def test_the_first_part_of_a_page_answers_three_questions(tmp_path: Path) -> None:
    record = a_run(tmp_path, stopped=1, references=["md"])
    confirm(record, "trial 1", MD_LITE, [(10.0, 0.4), (10.0, 0.4)])
    confirm(record, "md", MD, [(20.0, 0.4), (20.0, 0.4)])
    history = closed(record)
    words = words_of(tmp_path).partition(" Verdicts ")[0]
    found, sure, stopped = (words.index(f" {title} ") for title in ("Found", "How sure", "Stopped"))
    assert found < words.index("It differs from MD in level 3") < sure
    assert sure < words.index("Trial 1 against MD: ") < words.index("Not seen here: ") < stopped
    assert stopped < words.index("1 of 3 trials, by stopping=leaders")
    commands = dict((next_section(Page(tmp_path, history)) or {})["commands"])
    line = commands["Count how many were stopped wrongly"]
    assert line.split()[:2] == ["mdsearch", "confirm"] and "stopped=99" in line and "best=0" in line


def test_a_run_of_one_network_alone_confirms_nothing_but_is_said(tmp_path: Path) -> None:
    record = a_run(tmp_path)
    first, winner = record.history.trials[:2]
    assert "trial 1 was not trained again with new seeds" in unconfirmed_sentence(record.history, winner)
    confirm(record, "trial 1", MD_LITE, [(10.0, 0.4)])
    assert "no other network with its seeds" in unconfirmed_sentence(record.history, winner)
    assert "trial 0 was not trained again" in unconfirmed_sentence(record.history, first)
    assert "Not confirmed: trial 1 was trained again" in words_of(tmp_path)
    record.close()
