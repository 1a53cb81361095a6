"""What samples are compared with: the moments of the reference images, and their features where needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluators.files import save_arrays
from evaluators.measuring.measurements import Measurements
from evaluators.metrics.fid import Moments
from space.shared.plain import InputError

# in `about`
IMAGES = "images"  # how many; empty where that is not known
PASSED_OVER = "passed_over"  # what lay among the images and was read as none, in words
UNSAID = "unsaid"  # what must be known of statistics from elsewhere, in words


@dataclass(frozen=True)
class Reference:
    """Statistics of one reference set, by network's name. FID needs moments; KID and recall need features.

    Attributes:
        digests: of the networks' weights; a reference of other weights is refused.
        about: what else is to be known of it, as text: the set's name, its images' digest, their form.
    """

    moments: Mapping[str, Moments]
    digests: Mapping[str, str]
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, measured: Measurements, about: Mapping[str, str] | None = None, *, keep_features: bool = True
    ) -> Reference:
        """Of measured reference images. Without features it is small enough to share: 33 MB at 2048."""
        features = {name: rows.values for name, rows in measured.features.items()}
        return cls(
            {name: Moments.of(values) for name, values in features.items()},
            {name: measured.digests[name] for name in features},
            features if keep_features else {},
            about or {},
        )

    @property
    def images(self) -> int | None:
        """How many, where that is known. Raises KeyError, ValueError where `about` lacks it."""
        return int(self.about[IMAGES]) if self.about[IMAGES] else None

    def check(self, features: str, digest: str) -> None:
        """Raises InputError where these are not statistics of this network with these weights."""
        if features not in self.moments:
            raise InputError(
                f"reference: holds statistics of {', '.join(self.moments) or 'nothing'}; missing: {features}"
            )
        if self.digests[features] != digest:
            raise InputError(
                f"reference: made by {features} with weights {self.digests[features]}, not {digest}"
            )

    def save(self, path: Path) -> None:
        """As one safetensors file, there whole or not at all. Raises OSError where it cannot be written."""
        arrays = {f"features/{name}": values for name, values in self.features.items()}
        for name, moments in self.moments.items():
            arrays |= {f"moments/{name}/{key}": value for key, value in moments.arrays().items()}
        about = {"digests": json.dumps(dict(self.digests)), "about": json.dumps(dict(self.about))}
        save_arrays(arrays, path, about)

    @classmethod
    def load(cls, path: Path) -> Reference:
        """Raises InputError where the file is missing, damaged, or something else."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                about = file.metadata() or {}
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            digests = json.loads(about["digests"])
            moments = {}
            for name in digests:
                prefix = f"moments/{name}/"
                own = {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}
                moments[name] = Moments.from_arrays(own)
            features = {
                key.removeprefix("features/"): value
                for key, value in arrays.items()
                if key.startswith("features/")
            }
            return cls(moments, digests, features, json.loads(about["about"]))
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as reference statistics: {error}") from None
