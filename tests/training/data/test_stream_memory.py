"""Memory and time that do not grow with the images: shown at a million of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from tests.training.data.forms import captioned, image_bytes, tar, text_beside
from training.data.sources.index import versions_of_files
from training.data.sources.place import DataPlace, open_place
from training.data.sources.recognise import Reading, recognise

SHARD = 10_000
READ = """
import json, sys, time
from pathlib import Path
from training.data.factory import load_data
from training.data.stream import StreamSettings

def anonymous_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))

settings = StreamSettings(source=sys.argv[1], cache_folder=sys.argv[2], image_size_px=8, memory_mib=1)
began = time.perf_counter()
load_data(settings)
listed = time.perf_counter() - began
before, began = anonymous_mib(), time.perf_counter()
data = load_data(settings)
opened = time.perf_counter() - began
for place in (0, 10**6 + 7, 10**12):
    data.at(range(place, place + 64), seed=0)
began = time.perf_counter()
for step in range(20):
    data.at(range(64 * step, 64 * (step + 1)), seed=0)
each = (time.perf_counter() - began) / 1280
print(json.dumps([anonymous_mib() - before, anonymous_mib(), listed, opened, each]))
"""


@pytest.mark.slow  # lists a million images, which takes minutes
def test_a_million_images_take_no_more_memory_than_ten_thousand(tmp_path: Path) -> None:
    """Shards that are links to one, as the list does not know."""
    images = [image_bytes(number) for number in range(25)]
    members = [
        pair
        for number in range(SHARD)
        for pair in (
            (f"{number:05}.png", images[number % 25]),
            (f"{number:05}.txt", f"image {number}".encode()),
        )
    ]
    tar(tmp_path / "one" / "00000.tar", members)
    (tmp_path / "many").mkdir()
    for number in range(100):
        os.link(tmp_path / "one" / "00000.tar", tmp_path / "many" / f"{number:05}.tar")
    measured = {name: _measured(tmp_path / name, tmp_path / "cache") for name in ("one", "many")}
    print(measured)  # MiB more, MiB, seconds to list, to open, and for an image
    assert measured["many"][0] < measured["one"][0] + 64
    assert measured["many"][1] < measured["one"][1] + 128  # after listing, too
    assert measured["many"][4] < 5 * measured["one"][4]


def _measured(source: Path, cache: Path) -> list[float]:
    words = [sys.executable, "-c", READ, str(source), str(cache)]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    found: list[float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def test_texts_beside_images_are_looked_at_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every start, to notice another text; the names of them all, 20,000, would take 1.6 MB."""
    text_beside(tmp_path, captioned(2))
    form, names = (
        recognise(open_place(str(tmp_path)), Reading()),
        [f"{number:06}.txt" for number in range(200)],
    )
    monkeypatch.setattr(DataPlace, "walk", lambda place: ((f"{n:05}", names) for n in range(100)))
    monkeypatch.setattr(DataPlace, "version", lambda place, name: [name])
    tracemalloc.start()
    versions_of_files(form)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e5
