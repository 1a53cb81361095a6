"""The groups of complete configurations and of strategies: chosen, composed, and held to their names."""

from __future__ import annotations

import pytest

from conf.compose import compose
from conf.help import groups, help_text
from search.preparation import search_strategy
from search.runs.record import MemoryRecord
from search.settings import settings_from_plain
from search.strategies.independent import ArchitectureSearch, IndependentSettings
from space.shared.plain import InputError


def test_the_default_experiment_is_the_default_search() -> None:
    usual = compose("search", [])
    assert compose("search", ["experiment=scenes"]) == usual
    assert "experiment" not in usual
    chosen = ("space", "budget", "proxy", "data", "training", "evaluators", "sampler", "stopping", "noise")
    assert {"strategy", "confirmation", "cluster", "trials", "rungs", *chosen} <= usual.keys()
    assert (usual["sampler"]["name"], usual["trials"], usual["rungs"]) == ("lasso", 12, [125, 250, 500])


def test_words_choose_on_top_of_an_experiment() -> None:
    plain = compose("search", ["experiment=scenes", "sampler=tpe", "budget.gmacs=120", "trials=3"])
    assert (plain["sampler"]["name"], plain["budget"]["gmacs"], plain["trials"]) == ("tpe", 120, 3)


def test_the_dearer_experiment_trains_what_its_proxy_says() -> None:
    usual, plain = compose("search", []), compose("search", ["experiment=thorough"])
    settings = settings_from_plain(plain)
    latents = settings.training.latents
    assert settings.proxy.latent_size == settings.data.image_size_px // latents.factor == 24
    assert settings.proxy.latent_channels == 3 * latents.factor**2 + 2
    assert (settings.trials, settings.rungs, settings.training.batch_size) == (8, (250, 500, 1000), 8)
    changed = {name for name in plain if plain[name] != usual[name]}
    assert changed == {"proxy", "training", "trials", "rungs", "confirmation"}  # scores are the default's


def test_help_lists_complete_configurations_first_and_strategies() -> None:
    found = groups("search")
    assert list(found)[:2] == ["experiment", "strategy"]
    assert found["experiment"]["scenes"].startswith("Rendered scenes under a small proxy")
    lines = help_text("search").splitlines()
    assert "experiment=... (default scenes)" in lines and "strategy=... (default independent)" in lines
    assert not [line for line in lines if line.strip().startswith("experiment.")]


def test_the_strategy_is_made_by_its_settings() -> None:
    settings = settings_from_plain(compose("search", ["strategy=independent"]))
    assert settings.strategy == IndependentSettings()
    assert isinstance(
        search_strategy(settings, MemoryRecord(lambda: 0.0), settings.noise), ArchitectureSearch
    )


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("strategy=supernets", "strategy: no preset 'supernets'; did you mean 'supernet'"),
        ("experiment=scene", "experiment: no preset 'scene'; did you mean 'scenes'"),
        (
            "strategy.name=evolution",
            r"strategy\.name: 'evolution' is not a choice .*Valid: evolve, ind",
        ),
        ("strategy.steps=3", r"strategy\.steps: no such key"),
    ],
)
def test_what_is_not_there_is_named(word: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        settings_from_plain(compose("search", [word]))
