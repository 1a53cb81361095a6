"""Protocols for finished samples stand beside the search's own evaluators, and are refused as such."""

from __future__ import annotations

import pytest

from conf.compose import compose
from search.settings import settings_from_plain
from space.plain import InputError


@pytest.mark.parametrize("preset", ["coco30k", "bk_sdm", "own"])
def test_a_protocol_for_finished_samples_is_refused(preset: str) -> None:
    with pytest.raises(InputError, match=f"{preset} is for finished samples .* evaluators=embedded"):
        settings_from_plain(compose("search", [f"evaluators={preset}"]))


def test_the_embedded_one_is_taken() -> None:
    assert settings_from_plain(compose("search", [])).evaluators.fid == "embedded-clip"
