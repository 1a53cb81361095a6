"""A search within a budget for an image goes on with what it read when it began."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mdsearch.api import serve_settings, settings_of
from search.other_side import image_notes
from search.preparation import header_of
from search.runs.folder import begin_record, claim_folder
from search.runs.record import Record
from search.toy import SPACE
from space.prices.coverage import parts_of_space
from space.shared.plain import InputError
from tests.search.timed_runs import of_decoders, write_run
from tests.space import test_decoder_space
from tests.space.price_lists import list_of

DECODERS = test_decoder_space.SPACE


def test_a_resumed_search_keeps_what_it_read(tmp_path: Path) -> None:
    """Words of a command line name the run; config.yaml keeps its milliseconds."""
    autoencoder = replace(
        DECODERS.fixed, image_size=128, latent_channels=8
    )  # of latents of 64 px, as the space's
    decoders = of_decoders()
    for event in decoders:
        if "architecture" in event:
            event |= {"architecture": autoencoder.to_plain(), "architecture_id": autoencoder.id}
    run = write_run(tmp_path / "decoders", decoders)
    unets = replace(SPACE, base=dict(SPACE.base) | {"latent_size": 8, "latent_channels": 2})
    prices = list_of(parts_of_space(unets)).write(tmp_path / "unets.json")
    words = ["budget.total_ms=400", f"budget.decoder={run}", f"budget.prices={prices}"]
    settings, given = settings_of([*words, "name=unet", f"runs_folder={tmp_path}"])
    read = settings.budget.other_side
    assert read is not None and read.least_ms == 40
    folder = claim_folder(settings)
    record = Record(folder)
    begin_record(settings, folder, record, header_of(settings, folder, given))
    record.close()
    write_run(run, [event for event in decoders if event.get("key") != "1"])
    anew = serve_settings([*words, "rungs=[1]", "start={fid: 3, clip: 0.1}", "stopping=none"])[
        0
    ].budget.other_side
    assert anew is not None and anew.least_ms == 60
    resumed, _ = settings_of([f"resume={folder}", "trials=20"])
    assert resumed.budget == settings.budget and claim_folder(resumed) == folder
    assert "has changed since" in image_notes(resumed.budget, resumed.space, resumed=True)[-1]
    for word in ("budget.decoder=30", "budget.steps=4"):
        with pytest.raises(InputError, match=r"^resume: budget differ"):
            claim_folder(settings_of([f"resume={folder}", word])[0])
