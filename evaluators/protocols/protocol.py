"""What a score means: all that made it, as one plain value with a digest, and where two of them differ.

FID moves by whole points with the resize, the crop, the file format, the reference set and the count, and
the field's papers seldom say them. So a score carries its protocol, and is compared under an equal one only.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import yaml

from space.shared.plain import InputError, nearest, to_plain

METRICS = ("fid", "fid_infinity", "kid", "precision", "recall", "clip", "hps")
TEXT_METRICS = ("clip", "hps")  # of an image and its caption, by a network of `clips`
HPS = "hps"  # the network of the metric of that name
NOT_DECIDING = ("name", "metrics", "source", "open_in_source")  # these move no score
SHOWN_CHARACTERS = 12


@dataclass(frozen=True)
class ImageForm:
    """The pixels that are scored, samples and references alike: crop, then resize, then the stored file.

    Networks prepare their own input from these (`ImageFeatures.preparation`). Without `size_px` they see
    every image in its own size, whatever its shape, so that their resize is the only one.
    """

    size_px: int | None  # side of the square images that are scored; null: each in its own size
    drawn_size_px: int | None = None  # side at which samples are generated; null: as they come
    crop: Literal["none", "center"] = "none"  # none squeezes an image that is not square
    resize: Literal["none", "nearest", "box", "bilinear", "bicubic", "lanczos"] = "none"
    antialias: bool = True  # Pillow's filters, which widen when they shrink; false: sampled at points
    file_format: Literal["png", "jpeg"] = "png"  # what samples were stored in before they are scored
    jpeg_quality: int | None = None  # Pillow's scale, 1 to 95; for jpeg alone

    def __post_init__(self) -> None:
        _at_least(1, size_px=self.size_px, drawn_size_px=self.drawn_size_px)
        if self.resize == "none" and self.size_px and self.drawn_size_px not in (None, self.size_px):
            raise InputError(
                f"resize: none cannot make {self.size_px} px of drawn_size_px = {self.drawn_size_px}; "
                "allowed: a filter, or equal sizes"
            )
        if (self.file_format == "jpeg") != (self.jpeg_quality is not None):
            raise InputError(
                f"jpeg_quality: {self.jpeg_quality} with file_format = {self.file_format}; allowed: 1 to 95 "
                "with jpeg, null otherwise"
            )
        if self.jpeg_quality is not None and not 1 <= self.jpeg_quality <= 95:
            raise InputError(f"jpeg_quality: {self.jpeg_quality} is not possible; allowed: 1 to 95")


@dataclass(frozen=True)
class NetworkSpec:
    """One network that looks at images: which, its weights and how it prepares its input.

    `digest`, of the tensors, is filled once they are loaded; where it is given, other weights are refused.
    `file_sha256` pins the published file that they come from. `settings` are the network's own (what is
    trained here).
    """

    # inception-v3, inception-v3-pytorch, open-clip, hps, efficientnet-lite0, embedded-clip, random-conv
    network: str
    model: str | None = None  # open-clip: its architecture, ViT-B-32 for instance
    weights: str | None = None  # the published weights' tag, HPS's version; null: the only ones, or your file
    file_sha256: str | None = None
    digest: str | None = None  # sixteen hexadecimal digits, the same whatever file the tensors came in
    preparation: str | None = None  # filled by the network: how images become its input
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As in the names of scores: "inception-v3", "vit-b-32"."""
        return self.network if self.model is None else self.model.lower()

    @property
    def text_metric(self) -> str:
        """Of a network in `clips`: which metric it gives."""
        return text_metric(self.network)


@dataclass(frozen=True)
class ReferenceSet:
    """The real images that samples are compared with."""

    name: str
    images: int | None  # null: not said
    chosen: str  # which of the set, in words: "all", "first of the held-out split", "at random, seed 0"
    digest: str | None = None  # of the images; filled when they are read
    data_digest: str | None = None  # of the data set that they come from, where that has one

    def __post_init__(self) -> None:
        _at_least(2, images=self.images)


@dataclass(frozen=True)
class CaptionList:
    """The prompts, one per sample, in order."""

    name: str
    digest: str | None = None  # `captions_digest` of the list; filled when it is read

    @classmethod
    def of(cls, name: str, captions: Sequence[str]) -> CaptionList:
        return cls(name, captions_digest(captions))


@dataclass(frozen=True)
class Sampling:
    """How a text-to-image network generated the samples. Null: not said, or it was none."""

    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    seeds: str | None = None  # how a sample's noise follows from the seed, in words

    def __post_init__(self) -> None:
        _at_least(1, steps=self.steps)


@dataclass(frozen=True)
class EvaluationProtocol:
    """All that made a score. Two scores compare where `id` is equal.

    Attributes:
        features: networks whose features give fid, kid, precision and recall; one score each.
        clips: text-image networks that give a CLIP score each, or HPS.
        open_in_source: dotted names of fields that the source leaves open; their values are our choice.
    """

    name: str
    samples: int
    images: ImageForm
    features: tuple[NetworkSpec, ...]
    clips: tuple[NetworkSpec, ...]
    reference: ReferenceSet | None  # none where no metric needs it, for instance the CLIP score alone
    captions: CaptionList | None  # none likewise
    drawing: Sampling = field(default_factory=Sampling)
    metrics: tuple[str, ...] = ("fid", "clip")
    source: str = ""
    open_in_source: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _at_least(2, samples=self.samples)
        for metric in self.metrics:
            if metric not in METRICS:
                raise InputError(f"metrics: {metric!r} is not a metric; {nearest(metric, METRICS)}")
        for what, networks in (("features", self.features), ("clips", self.clips)):
            names = [spec.name for spec in networks]
            if len(set(names)) < len(names):
                raise InputError(f"{what}: {', '.join(names)}; allowed: each network once")
        valid = dict(_leaves(self.to_plain()))
        for path in self.open_in_source:
            if not any(name == path or name.startswith(f"{path}.") for name in valid):
                raise InputError(f"open_in_source: {path!r} is no field; {nearest(path, valid)}")

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits of what decides a score; name, source and the list of metrics do not."""
        return self.digest[:SHOWN_CHARACTERS]

    @property
    def digest(self) -> str:
        """The whole SHA-256 of which `id` shows the first digits; defaults leave no trace in it."""
        plain = to_plain(self, omit_defaults=True)
        deciding = {name: value for name, value in plain.items() if name not in NOT_DECIDING}
        text = json.dumps(deciding, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def _deciding(self) -> dict[str, Any]:
        return {name: value for name, value in self.to_plain().items() if name not in NOT_DECIDING}

    def to_plain(self) -> dict[str, Any]:
        plain: dict[str, Any] = to_plain(self)
        return plain

    def to_yaml(self) -> str:
        """The text form; `from_plain(EvaluationProtocol, yaml.safe_load(text))` gives an equal protocol."""
        return yaml.safe_dump(self.to_plain(), sort_keys=False, allow_unicode=True)

    def __str__(self) -> str:
        """A line for each part, to print beside scores; what the source leaves open is marked."""
        lines = [protocol_text(self.name, self.id, self._deciding(), self.source)]
        if self.open_in_source:
            lines.append(f"  our choice, the source does not say: {', '.join(self.open_in_source)}")
        return "\n".join(lines)

    def text_networks(self, metric: str) -> tuple[NetworkSpec, ...]:
        """Those of `clips` that give this metric."""
        return tuple(spec for spec in self.clips if spec.text_metric == metric)

    def with_network(self, spec: NetworkSpec) -> EvaluationProtocol:
        """This protocol with a network's entry, found by its name, replaced by one that is filled in."""

        def filled(networks: tuple[NetworkSpec, ...]) -> tuple[NetworkSpec, ...]:
            return tuple(spec if own.name == spec.name else own for own in networks)

        return replace(self, features=filled(self.features), clips=filled(self.clips))


def text_metric(network: object) -> str:
    """What a network of images and captions gives: HPS, or a CLIP score."""
    return HPS if network == HPS else "clip"


def differences(one: EvaluationProtocol, other: EvaluationProtocol) -> dict[str, tuple[Any, Any]]:
    """Dotted name -> both values, of each field that decides a score and differs; empty if scores compare."""
    ours, theirs = (dict(_leaves(protocol._deciding())) for protocol in (one, other))
    return {
        name: (ours.get(name), theirs.get(name))
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name) != theirs.get(name)
    }


def protocol_text(name: str, id: str, deciding: Mapping[str, Any], source: str = "") -> str:
    """A head, and a line for each field that decides a score: for a protocol as plain data, too."""
    head = f"protocol {name} ({id})" + (f", after {source}" if source else "")
    fields = [f"  {field}: {_shown(value)}" for field, value in deciding.items() if field not in NOT_DECIDING]
    return "\n".join([head, *fields])


def captions_digest(captions: Sequence[str]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of a list of captions, in order."""
    text = json.dumps(list(captions), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of everything inside nested mappings and lists of mappings."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{prefix}[{index}]")
    else:
        yield prefix, value


def _shown(value: Any) -> str:
    """Nested plain data in one line, what is null left out, digests shortened."""
    if value is None or value == []:
        return "none"
    if isinstance(value, Mapping):
        parts = [
            f"{name} {_shown(item[:SHOWN_CHARACTERS] if name.endswith('digest') else item)}"
            for name, item in value.items()
            if item not in (None, {}, [])
        ]
        return ", ".join(parts) or "not said"
    if isinstance(value, list):
        return (
            "; ".join(map(_shown, value)) if isinstance(value[0], Mapping) else ", ".join(map(_shown, value))
        )
    return f"{value:g}" if isinstance(value, float) else str(value)


def _at_least(least: int, **values: int | None) -> None:
    for name, value in values.items():
        if value is not None and operator.lt(value, least):
            raise InputError(f"{name}: {value} is not possible; allowed: {least} or more")
