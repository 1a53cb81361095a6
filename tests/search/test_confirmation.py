from dataclasses import replace

from search.confirmation import Confirmation, ConfirmationSettings
from search.ranking import Objectives, Point, verdicts
from search.record import Record
from search.strategy import Phases
from space.architecture import Architecture
from space.proxy import Proxy
from tests.search.worlds import NOISE, drive, make_search, preset, scores_at

MD = Architecture.load("conf/arch/md.yaml")
MD_LITE = Architecture.load("conf/arch/md_lite.yaml")
REFERENCES = {"md": MD, "md_lite": MD_LITE}
WORSE = replace(MD, levels=(*MD.levels[:2], replace(MD.levels[2], channels=768, cross_attention=False)))


def confirmation(record: Record, **settings: object) -> Confirmation:
    chosen = ConfirmationSettings(**({"minutes": None} | settings))
    references = {name: REFERENCES[name] for name in chosen.references}
    return Confirmation(
        record,
        chosen,
        references,
        objectives=Objectives(),
        proxy=preset("proxy", "embedded", Proxy),
        steps=400,
        seed=0,
    )


def searched(folder, **changes):
    search = make_search(folder, **({"trials": 6} | changes))
    drive(search)
    return search


def words(record: Record, name: str) -> dict[str, str]:
    found = verdicts(record.history, Objectives(), NOISE, list(REFERENCES))
    return {verdict.against: verdict.word for verdict in found if verdict.name == name}


def test_winner_and_references_are_trained_with_the_same_new_seeds_seed_by_seed(tmp_path):
    search = searched(tmp_path)
    started = []
    drive(confirmation(search.record, seeds=2), started=started.append)
    winner = started[0].name
    assert [(job.name, job.seed) for job in started] == [
        (name, seed) for seed in (1000, 1001) for name in (winner, "md", "md_lite")
    ]
    assert all(job.rungs == (400,) and job.seed != search.seed for job in started)


def test_references_are_never_told_to_the_sampler(tmp_path):
    search = searched(tmp_path)
    before = list(search.history.trials)
    drive(confirmation(search.record))
    assert search.history.trials == before and len(search.history.confirmations) == 6


def test_a_planted_worse_network_is_called_worse_and_an_equal_one_undecided(tmp_path):
    worse, equal = tmp_path / "worse", tmp_path / "equal"
    worse.mkdir(), equal.mkdir()
    planted = searched(worse, trials=1, enqueued=[WORSE])
    drive(confirmation(planted.record))
    assert words(planted.record, "trial 0") == {"md": "worse", "md_lite": "worse"}
    twin = searched(equal, trials=1, enqueued=[MD])
    drive(confirmation(twin.record))
    assert words(twin.record, "trial 0")["md"] == "undecided"


def test_a_planted_better_network_is_called_better(tmp_path):
    def flattering(architecture, step):
        point = scores_at(architecture, step)
        return (
            Point(point.fid * 0.5, min(1.0, point.clip + 0.3)) if architecture == WORSE else Point(60.0, 0.3)
        )

    search = make_search(tmp_path, trials=1, enqueued=[WORSE])
    drive(search, flattering)
    drive(confirmation(search.record), flattering)
    assert words(search.record, "trial 0") == {"md": "better", "md_lite": "better"}


def test_runs_start_only_if_they_should_end_in_time(tmp_path):
    """A rung took a second, so a run of one evaluation after three rungs should take three."""
    search = searched(tmp_path)
    phase = confirmation(search.record, minutes=1e-6)
    assert phase.expected_seconds() == 3.0
    assert phase.propose() is None and phase.finished and len(phase.skipped) == 6


def test_more_seeds_later_repeat_nothing(tmp_path):
    search = searched(tmp_path)
    drive(confirmation(search.record, seeds=1))
    drive(confirmation(search.record, seeds=3))
    names = [(trial.name, trial.seed) for trial in search.history.confirmations]
    assert len(names) == len(set(names)) == 9


def test_an_interrupted_run_is_gone_on_with(tmp_path):
    search = searched(tmp_path)
    left = confirmation(search.record).propose()
    again = confirmation(search.record)
    drive(again)
    states = [trial.state for trial in search.history.confirmations]
    assert states == ["complete"] * 6 and search.history.confirmations[0].key == left.key


def test_wrong_stops_are_counted_by_rerunning_halted_trials_with_the_searchs_own_seed(tmp_path):
    search = searched(tmp_path, trials=12, stopping="paper")
    halted = [trial.name for trial in search.history.trials if trial.state == "halted"]
    started = []
    drive(confirmation(search.record, best=0, references=(), halted=99), started=started.append)
    assert [job.name for job in started] == halted and {job.seed for job in started} == {0}


def test_wrong_stops_are_counted_at_the_searchs_length_however_long_the_confirmation(tmp_path):
    search = searched(tmp_path, trials=12, stopping="paper")
    started = []
    drive(confirmation(search.record, seeds=1, steps=800, halted=1), started=started.append)
    assert [job.rungs for job in started] == [(800,), (800,), (800,), (400,)]


def test_phases_hand_over_without_a_gap(tmp_path):
    search = make_search(tmp_path, trials=3)
    phases = Phases(search, lambda: confirmation(search.record, seeds=1))
    drive(phases)
    assert phases.finished and len(search.history.trials) == 3 and len(search.history.confirmations) == 3


def test_without_any_complete_trial_there_is_nothing_to_confirm(tmp_path):
    search = make_search(tmp_path, trials=1)
    search.take_result(search.propose().key, "failed", "diverged")
    phase = confirmation(search.record)
    assert phase.propose() is None and phase.finished
