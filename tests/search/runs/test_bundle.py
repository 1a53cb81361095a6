"""Records of many runs in one file: nothing lost, nothing that says where, equal bytes for equal runs."""

import gzip
import hashlib
import json
from pathlib import Path
from unittest import mock

import pytest

from analysis.replay.table import load_table
from mdsearch.commands.gather import main
from mdsearch.commands.noise import main as noise_main
from search.runs.bundle import bundled_of, commands, histories_of, read_bundle
from search.runs.prior import write_prior
from search.runs.record import RECORD_NAME, Record, read_events, read_history
from space.shared.plain import InputError
from tests.analysis.replay.recordings import write_run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    found = []
    for name, words in (
        ("table-0", ("trials=4", "sampler=sobol", "stopping=none", "seed=0")),
        ("table-1", ("trials=4", "sampler=sobol", "stopping=none", "seed=1")),
        ("search", ("trials=8", "stopping=asha", "seed=2")),
    ):
        folder = write_run(tmp_path / name, *words, noise=0.1)
        (folder / "provenance.json").write_text(json.dumps({"commit": "abc", "protocol": {"id": "test"}}))
        found.append(folder)
    return found


def gather(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def test_a_bundle_says_what_the_records_say(runs: list[Path], tmp_path: Path, capsys) -> None:
    bundle = tmp_path / "all.jsonl.gz"
    gather(*runs, f"out={bundle}")
    assert "table-0: 4 runs of full length\n" in capsys.readouterr().out
    histories = histories_of([str(bundle)])
    assert list(histories) == ["table-0", "table-1", "search"]
    for folder in runs:
        assert histories[folder.name] == read_history(folder)
    digests = {name: run.digest for name, run in read_bundle(bundle).items()}
    assert digests["search"] == hashlib.sha256((runs[2] / RECORD_NAME).read_bytes()).hexdigest()
    assert read_bundle(bundle)["search"].provenance == {"commit": "abc"}


def test_a_bundle_stands_where_run_folders_do(runs: list[Path], tmp_path: Path, capsys) -> None:
    bundle = tmp_path / "all.jsonl.gz"
    gather(*runs, f"out={bundle}")
    of_folders, of_bundle = load_table([str(runs[0]), str(runs[1])]), load_table([f"{bundle}:table*"])
    assert of_bundle == of_folders
    assert noise_main([f"{bundle}:table-*"]) == 0 and "FID" in capsys.readouterr().out


def test_equal_runs_make_equal_bytes_and_a_bundle_grows(runs: list[Path], tmp_path: Path) -> None:
    once, again, grown = (tmp_path / f"{name}.jsonl.gz" for name in ("once", "again", "grown"))
    gather(*runs, f"out={once}")
    gather(*runs, f"out={again}")
    gather(runs[0], f"out={grown}")
    gather(grown, *runs[1:], f"out={grown}")
    assert once.read_bytes() == again.read_bytes() == grown.read_bytes()
    old = read_bundle(grown)["table-0"].digest
    with (runs[0] / RECORD_NAME).open("a") as record:
        record.write('{"event":"session","time":1,"trials":4}\n')
    gather(grown, runs[0], f"out={grown}")
    assert list(read_bundle(grown)) == ["table-0", "table-1", "search"]
    assert read_bundle(grown)["table-0"].digest != old


@pytest.fixture
def taught(runs: list[Path], tmp_path: Path) -> Path:
    """A run whose record begins with the eight trials of the first two runs."""
    folder = tmp_path / "taught"
    folder.mkdir()
    with mock.patch("os.fsync"):
        record = Record(folder)
        record.append("run", **{k: v for k, v in read_history(runs[0]).header.items() if k != "event"})
        record.append("start", scores={}, protocol={"id": "test"})
        for run in runs[:2]:
            trials = read_history(run).trials
            write_prior(record, ((trial, run.name, f"{trial.name} of {run.name}") for trial in trials))
        record.close()
    (folder / "provenance.json").write_text("{}")
    return folder


def lines_of(bundle: Path) -> list[dict]:
    return [json.loads(line) for line in gzip.decompress(bundle.read_bytes()).splitlines()]


def test_a_curve_is_in_a_bundle_once_and_read_with_each_that_was_taught_it(
    runs: list[Path], taught: Path, tmp_path: Path
) -> None:
    bundle, part = tmp_path / "all.jsonl.gz", tmp_path / "part.jsonl.gz"
    gather(*runs, taught, f"out={bundle}")
    kinds = [event["event"] for event in lines_of(bundle)]
    assert kinds.count("prior_of") == 8 and "prior" not in kinds
    read = read_bundle(bundle)["taught"]
    assert [json.dumps(event) for event in read.events] == [
        json.dumps(event) for event in read_events(taught / RECORD_NAME)
    ]
    assert read.history == read_history(taught)
    # Alone, or beside one of its two teachers only, it keeps the rest whole.
    for sources, whole in (([f"{bundle}:taught"], 8), ([f"{bundle}:table-1", f"{bundle}:taught"], 4)):
        gather(*sources, f"out={part}")
        assert [event["event"] for event in lines_of(part)].count("prior") == whole
        assert read_bundle(part)["taught"] == read


def test_a_copy_that_is_not_exact_stays_whole(runs: list[Path], taught: Path, tmp_path: Path) -> None:
    record, bundle = taught / RECORD_NAME, tmp_path / "all.jsonl.gz"
    events = list(read_events(record))
    next(event for event in events if event["event"] == "prior")["ended"] += 1.0
    record.write_text("".join(json.dumps(event) + "\n" for event in events))
    gather(*runs, taught, f"out={bundle}")
    assert [event["event"] for event in lines_of(bundle)].count("prior") == 1
    assert read_bundle(bundle)["taught"].history == read_history(taught)


def test_a_reference_to_what_a_bundle_does_not_hold_is_said(
    runs: list[Path], taught: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "all.jsonl.gz"
    gather(runs[0], taught, f"out={bundle}")
    lines = lines_of(bundle)
    own = next(i for i, event in enumerate(lines) if event["event"] == "proposed")
    head = next(i for i, event in enumerate(lines) if event.get("name") == "taught")
    for kept in (lines[:own] + lines[own + 1 :], lines[head:]):
        kept = [event for event in kept if event["event"] not in ("rung", "ended")]
        bundle.write_bytes(gzip.compress("\n".join(map(json.dumps, kept)).encode()))
        with pytest.raises(InputError, match=r"taught .* '.*', .* bundle"):
            read_bundle(bundle)


@pytest.mark.parametrize(
    ("kind", "lost", "said"),
    [
        ("rung", "scores", "table-0: event {} is not an event of a record .'scores'."),
        ("proposed", "architecture", "table-0: event {} is not an event of a record .'architecture'."),
        ("prior_of", "trial", "taught: an event prior_of has only event, run, time, source, name, number"),
    ],
)
def test_an_event_that_is_none_is_named(
    kind: str, lost: str, said: str, runs: list[Path], taught: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "all.jsonl.gz"
    gather(*runs, taught, f"out={bundle}")
    lines = lines_of(bundle)
    number = next(number for number, event in enumerate(lines) if event["event"] == kind)
    del lines[number][lost]
    bundle.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    with pytest.raises(InputError, match=said.format(number)):
        histories_of([str(bundle)])


def test_words_that_say_where_are_left_out(runs: list[Path], tmp_path: Path) -> None:
    record = runs[0] / RECORD_NAME
    first, *rest = record.read_text().splitlines(keepends=True)
    words = [
        "trials=4", "rungs=[1,2]", f"runs_folder={tmp_path}", f"++weights.files.a={tmp_path}/a.pt",
        f"resume={tmp_path}/a", f"enqueue=[md,runs/a.yaml,{tmp_path}/b/c.yaml,~/d.yaml]",
        f"sampler.use={tmp_path}/own.py:Mine", "budget.gmacs=1/2",
    ]  # fmt: skip
    record.write_text(json.dumps(json.loads(first) | {"overrides": words}) + "\n" + "".join(rest))
    (run,) = bundled_of(str(runs[0]))
    assert str(tmp_path) not in json.dumps(run.events)
    assert list(commands([run])) == [
        "mdsearch search trials=4 'rungs=[1,2]' 'enqueue=[md,runs/a.yaml,c.yaml,d.yaml]' "
        "sampler.use=own.py:Mine budget.gmacs=1/2"
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no gzip", "cannot be read as a bundle of records"),
        (gzip.compress(b"no json\n", mtime=0), "cannot be read as a bundle of records"),
        (gzip.compress(b'{"event":"rung"}\n', mtime=0), "line 1 is not of a bundle"),
        (gzip.compress(b"[]\n", mtime=0), "line 1 is not of a bundle"),
        (gzip.compress(b'{"event":"bundled"}\n', mtime=0)[:-9], "cannot be read as a bundle of records"),
        (gzip.compress(b'{"event":"bundled"}\n', mtime=0), "line 1 is not of a bundle"),
    ],
)
def test_what_is_no_bundle_is_said(content: bytes, said: str, tmp_path: Path) -> None:
    bundle = tmp_path / "a.jsonl.gz"
    bundle.write_bytes(content)
    with pytest.raises(InputError, match=said):
        histories_of([str(bundle)])


def test_what_cannot_be_gathered_is_refused(runs: list[Path], tmp_path: Path) -> None:
    bundle = tmp_path / "all.jsonl.gz"
    gather(runs[0], f"out={bundle}")
    duplicate = tmp_path / "other" / "table-0"
    duplicate.parent.mkdir()
    runs[1].rename(duplicate)
    for words, said in (
        ([f"out={bundle}"], "no run named"),
        ([runs[0], "out=a.json"], "'a.json' is no bundle"),
        ([tmp_path / "nowhere", f"out={bundle}"], "no record.jsonl here"),
        ([runs[0], duplicate, f"out={bundle}"], "have one name, table-0"),
        ([f"{bundle}:table-9", f"out={bundle}"], "did you mean 'table-0'"),
    ):
        with pytest.raises(InputError, match=said):
            main([str(word) for word in words])
    with pytest.raises(InputError, match="named twice"):
        histories_of([str(bundle), f"{bundle}:*"])
