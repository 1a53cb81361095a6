"""Recorded runs that no training made: every score is a stated truth plus noise of a stated size."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Any

from search.objectives import FID_AND_CLIP, objectives_to_plain
from search.runs.bundle import Bundled
from search.statistics.noise import Noise, RungNoise
from space.architecture import Architecture
from space.choices import UniformSuggestions
from space.prices.macs import price
from space.proxy import Proxy
from space.shared.plain import to_plain
from tests.search.worlds import MD_BUDGET, md_space, preset

RUNGS = (100, 200, 400)
NOISE = Noise(
    (RungNoise(100, 0.2, 0.05), RungNoise(200, 0.2, 0.05), RungNoise(400, 0.1, 0.02)), measured_under=()
)
START = {"fid_embedded_clip": 1000.0, "clip_embedded": 0.0, "fid_random_conv": 30.0}
Truth = Callable[[Architecture], float]


def networks(count: int, seed: int = 0) -> list[Architecture]:
    """Different random ones of the default space within its budget."""
    chance, found = random.Random(seed), {}
    while len(found) < count:
        network = md_space().sample(UniformSuggestions(chance))
        if not MD_BUDGET.excess(price(network)):
            found[network.id] = network
    return list(found.values())


def by_size(network: Architecture) -> float:
    """A quality from about 0 to 1: larger is better."""
    return price(network).parameters / 4e8


@dataclass
class World:
    """How well networks learn, and how much a seed changes the logarithm of FID and CLIP at the end (at
    earlier rungs more), of which a share is the seed's own, the same for all networks."""

    truth: Truth = by_size
    noise: float = 0.1
    common: float = 0.0
    rungs: Sequence[int] = RUNGS
    header: dict[str, Any] = field(default_factory=dict)

    def run(self, name: str, entries: Sequence[tuple[Architecture, int]], **changes: Any) -> Bundled:
        """A run of these networks, each with a seed; `sampler` names who proposed them, "enqueued" nobody."""
        source = changes.get("source", "sampler")
        events = [self._head(name, changes.get("sampler", "sobol")), self._start()]
        for number, (network, seed) in enumerate(entries):
            events += self._trial(str(number), f"trial {number}", "search", source, network, seed)
        for key, (of, network, seed) in enumerate(changes.get("confirmations", ())):
            events += self._trial(f"confirm-{key}", of, "confirm", "confirmation", network, seed)
        said = {"commit": "abc", "hardware": {"processor": "made up", "cpus": 2, "gpu": None}}
        return Bundled(name, said, "0" * 64, tuple(events))

    def scores(self, network: Architecture, seed: int, step: int) -> dict[str, float]:
        quality = self.truth(network) * (step / 400) ** 0.5
        size = self.noise * (400 / step) ** 0.5

        def chance(name: str) -> float:
            own = random.Random(f"{network.id} {seed} {step} {name}").gauss(0, 1)
            shared = random.Random(f"{seed} {step} {name}").gauss(0, 1)
            return size * ((1 - self.common) ** 0.5 * own + self.common**0.5 * shared)

        return {
            "fid_embedded_clip": 1000 * exp(-2 * quality + chance("fid")),
            "clip_embedded": quality + chance("clip"),
            "validation_loss": 0.1 * exp(-quality + chance("loss")),
            "fid_random_conv": exp(chance("random")),
        }

    def _head(self, name: str, sampler: str) -> dict[str, Any]:
        return {
            "event": "run",
            "time": 0.0,
            "name": name,
            "overrides": [f"name={name}"],
            "seed": 0,
            "rungs": list(self.rungs),
            "objectives": objectives_to_plain(FID_AND_CLIP),
            "space": to_plain(md_space()),
            "budget": to_plain(MD_BUDGET),
            "proxy": to_plain(preset("proxy", "embedded", Proxy)),
            "noise": to_plain(NOISE),
            "sampler": {"name": sampler},
            "references": ["md", "md_lite"],
        } | self.header

    def _start(self) -> dict[str, Any]:
        return {"event": "start", "time": 0.0, "scores": START, "protocol": {"id": "made up"}}

    def _trial(
        self, key: str, name: str, purpose: str, source: str, network: Architecture, seed: int
    ) -> Iterator[dict[str, Any]]:
        cost = price(network)
        yield {
            "event": "proposed",
            "time": 1.0,
            "key": key,
            "number": int(key) if key.isdigit() else 0,
            "purpose": purpose,
            "name": name,
            "architecture": network.to_plain(),
            "architecture_id": network.id,
            "parameters": cost.parameters,
            "macs": cost.macs,
            "attention_macs": cost.attention_macs,
            "proxy_parameters": 1,
            "seed": seed,
            "steps": self.rungs[-1],
            "source": source,
            "params": md_space().encode(network) if purpose == "search" else None,
            "sampler_attributes": {},
        }
        for step in self.rungs:
            yield {
                "event": "rung",
                "time": 2.0,
                "key": key,
                "step": step,
                "scores": self.scores(network, seed, step),
                "seconds": {"training": 9.0, "sampling": 1.0},
                "decision": "end" if step == self.rungs[-1] else "continue",
                "reason": "",
            }
        yield {"event": "ended", "time": 3.0, "key": key, "state": "complete", "reason": ""}
