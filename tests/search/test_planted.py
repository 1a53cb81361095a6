"""Stopping rules on real training: planted failures are stopped, a sound network is not (about
four minutes a rule on two cores)."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from search.runs.record import read_history
from space.architecture import Architecture

MD = Architecture.load("conf/arch/md.yaml")


def inner(architecture: Architecture, **changes: object) -> Architecture:
    return replace(
        architecture, levels=(*architecture.levels[:2], replace(architecture.levels[2], **changes))
    )


SOUND = {  # peers, and last a sound network that is judged against all of them
    "shallower": inner(MD, down=(2, 2), up=(2, 2, 2)),
    "narrower": inner(MD, channels=896),
    "wider": inner(MD, channels=1152, down=(2, 2), up=(2, 2, 2)),
}
WITHOUT_TEXT = replace(MD, levels=tuple(replace(level, cross_attention=False) for level in MD.levels))
FAR_TOO_NARROW = replace(
    MD,
    levels=tuple(
        replace(level, channels=width) for level, width in zip(MD.levels, (64, 64, 64), strict=True)
    ),
)


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (["stopping=paper"], "slower than earlier trials"),
        (
            ["stopping=leaders", "recorded=false"],
            "behind the best 2 complete trials",
        ),  # of these, not of teachers
    ],
    ids=["paper", "leaders"],
)
def test_planted_failures_are_stopped_and_a_sound_network_is_not(rule: list[str], why: str, tmp_path: Path):
    planted = SOUND | {"without text": WITHOUT_TEXT, "far too narrow": FAR_TOO_NARROW, "md": MD}
    files = []
    for name, architecture in planted.items():
        files.append(tmp_path / f"{name.replace(' ', '_')}.yaml")
        files[-1].write_text(architecture.to_yaml())
    words = [
        f"enqueue=[{','.join(map(str, files))}]",
        f"trials={len(files)}",
        "confirmation=none",
        *rule,
        "cluster.dashboard=false",
        f"runs_folder={tmp_path}",
        "name=planted",
    ]
    subprocess.run(
        [sys.executable, "-m", "mdsearch", "search", *words],
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    ended = dict(zip(planted, read_history(tmp_path / "planted").trials, strict=True))
    for name in ("without text", "far too narrow"):
        assert ended[name].state == "halted", f"{name}: {ended[name].rungs}"
        assert ended[name].reason.startswith(why)
    assert ended["md"].state == "complete", ended["md"].reason
