"""From images and captions to what scores are made of, in any batches and on any number of workers.

A worker takes some of the samples, each with its number, and saves what it measured; whoever has merged all
of them asks for the scores (:mod:`evaluators.measuring.scoring`). Order, batches and workers leave no trace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evaluators.files import save_arrays
from evaluators.measuring.rows import SampleRows
from evaluators.metrics.clip_score import check_pairs
from evaluators.networks.features import Images, Networks, check_images
from space.shared.plain import InputError


class Measurements:
    """Features and cosines of the samples so far, by sample number; the part of one worker or of all.

    Attributes:
        features: by network's name, (N, width) float32 rows.
        cosines: by network's name, (N,) float64.
        too_long: by network's name, how many captions its text tower cut.
        digests: of the networks' weights, by name.
    """

    def __init__(
        self,
        features: Mapping[str, SampleRows],
        cosines: Mapping[str, SampleRows],
        digests: Mapping[str, str],
        too_long: Mapping[str, int] | None = None,
    ) -> None:
        self.features, self.cosines, self.digests = dict(features), dict(cosines), dict(digests)
        self.too_long = dict.fromkeys(self.cosines, 0) | dict(too_long or {})

    @classmethod
    def by(cls, networks: Networks) -> Measurements:
        """None yet, by these networks."""
        return cls(
            {network.name: SampleRows(network.width) for network in networks.features},
            {network.name: SampleRows(1, np.float64) for network in networks.similarities},
            networks.digests,
        )

    def __len__(self) -> int:
        return len(self._any)

    @property
    def indices(self) -> np.ndarray:
        """The samples' numbers, (N,) int64, rising."""
        return self._any.indices

    @property
    def _any(self) -> SampleRows:
        return next(iter((self.features or self.cosines).values()))

    def add(
        self,
        networks: Networks,
        indices: Sequence[int],
        images: Images,
        captions: Sequence[str] | None = None,
    ) -> None:
        """Measure a batch of samples, each under its number.

        Args:
            images: B of them, uint8, in the protocol's form.
            captions: B of them; None leaves the cosines out, as for references.

        Raises:
            ValueError: other images or counts, a sample that is there already, features that are not finite.
        """
        check_images(images)
        if captions is not None:
            check_pairs(images, captions)
        for network in networks.features:
            self.features[network.name].add(indices, network(images))
        if captions is not None:
            for similarity in networks.similarities:
                self.cosines[similarity.name].add(indices, similarity.text_similarity(images, captions))
                self.too_long[similarity.name] += similarity.too_long(captions)

    def merge(self, other: Measurements) -> None:
        """Take in another worker's. Raises ValueError for other networks, or a sample in both."""
        if self.digests != other.digests:
            raise ValueError(f"measurements by {other.digests} do not merge with those by {self.digests}")
        for name, rows in other.features.items():
            self.features[name].merge(rows)
        for name, rows in other.cosines.items():
            self.cosines[name].merge(rows)
            self.too_long[name] += other.too_long[name]

    def save(self, path: Path) -> None:
        """As one safetensors file, there whole or not at all. Raises OSError where it cannot be written."""
        arrays = {}
        for kind, held in (("features", self.features), ("cosines", self.cosines)):
            for name, rows in held.items():
                arrays[f"{kind}/{name}/indices"] = rows.indices
                arrays[f"{kind}/{name}/values"] = rows.values
        about = {"digests": json.dumps(self.digests), "too_long": json.dumps(self.too_long)}
        save_arrays(arrays, path, about)

    @classmethod
    def load(cls, path: Path) -> Measurements:
        """Raises InputError where the file is missing, damaged, or something else."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                about = file.metadata() or {}
                held: dict[str, dict[str, SampleRows]] = {"features": {}, "cosines": {}}
                for key in file.keys():  # noqa: SIM118  (a reader of files, not a mapping)
                    kind, name, what = key.split("/")
                    if what == "values":
                        values = file.get_tensor(key)
                        rows = SampleRows(values.shape[1], values.dtype.type)
                        rows.add(file.get_tensor(f"{kind}/{name}/indices"), values)
                        held[kind][name] = rows
            return cls(
                held["features"], held["cosines"], json.loads(about["digests"]), json.loads(about["too_long"])
            )
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise InputError(
                f"{path}: cannot be read as measurements: {error}; delete it, and it is made again"
            ) from None
