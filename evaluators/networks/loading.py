"""The networks that a protocol asks for: loaded, checked against its digests, and written back into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from evaluators.networks.clip_models import OpenClip
from evaluators.networks.clip_models import published as published_clip
from evaluators.networks.efficientnet import (
    EFFICIENTNET,
    EfficientNet,
    EfficientNetSettings,
    find_efficientnet,
)
from evaluators.networks.embedded import EmbeddedClip
from evaluators.networks.features import (
    ImageFeatures,
    Networks,
    RandomConv,
    RandomConvSettings,
    TextSimilarity,
)
from evaluators.networks.hps import HpsClip, HpsSettings, check_told, published_hps
from evaluators.networks.inception import CLEAN_FID, PYTORCH_FID, CleanInception, Inception, PytorchInception
from evaluators.networks.weights import Missing, PublishedWeights, WeightsSettings, find_weights
from evaluators.protocols.protocol import HPS, EvaluationProtocol, NetworkSpec
from space.shared.plain import InputError, from_plain, nearest


@dataclass(frozen=True)
class ComputeSettings:
    """Where and how precisely networks look at images. `auto` is cuda where there is one.

    `precision` is that of open_clip's models, and stands in the protocol; Inception is fp32, scores float64.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"

    @property
    def on(self) -> str:
        """The device; InputError where cuda is asked for and there is none."""
        import torch

        if self.device == "cuda" and not torch.cuda.is_available():
            raise InputError("device: cuda is not available here; allowed: cpu, auto")
        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        return self.device


Network = ImageFeatures | TextSimilarity
WITH_A_MODEL = "open-clip"  # the one network that is of any architecture


def load_networks(
    protocol: EvaluationProtocol, weights: WeightsSettings, compute: ComputeSettings | None = None
) -> tuple[Networks, EvaluationProtocol]:
    """The networks of a protocol, and the protocol with their digests and preparation filled in.

    Raises:
        InputError: an unknown network, or weights that are missing (one message for all of them: what to put
            where) or have another digest than the protocol's.
    """
    compute = compute or ComputeSettings()
    specs = {spec.name: spec for spec in (*protocol.features, *protocol.clips)}
    paths = _find_all(specs, weights)
    _check_sizes(protocol, specs)
    loaded = {
        name: NETWORK_KINDS[spec.network].load(spec, paths[name], compute) for name, spec in specs.items()
    }
    for name, spec in specs.items():
        protocol = protocol.with_network(pinned(spec, loaded[name]))
    return Networks(
        tuple(cast(ImageFeatures, loaded[spec.name]) for spec in protocol.features),
        tuple(cast(TextSimilarity, loaded[spec.name]) for spec in protocol.clips),
    ), protocol


def _check_sizes(protocol: EvaluationProtocol, specs: dict[str, NetworkSpec]) -> None:
    """Raises InputError where images keep their sizes and a network would not bring them to its own."""
    fixed = [name for name, spec in specs.items() if not NETWORK_KINDS[spec.network].resizes]
    if protocol.images.size_px is None and fixed:
        raise InputError(
            f"evaluators.images.size_px: null, images of several sizes, and {', '.join(fixed)} resizes none; "
            "give the size that all are brought to"
        )


def pinned(spec: NetworkSpec, network: Network) -> NetworkSpec:
    """The entry of a network that is loaded. Raises InputError where the entry says otherwise."""
    for field in ("digest", "preparation"):
        said, found = getattr(spec, field), getattr(network, field)
        if said not in (None, found):
            raise InputError(f"{spec.name}: {field} {found}, where the protocol says {said}")
    return replace(spec, digest=network.digest, preparation=network.preparation)


def _find_all(specs: dict[str, NetworkSpec], weights: WeightsSettings) -> dict[str, Path | None]:
    """Every file, or one message that names all that are missing."""
    for name in weights.files:
        if name not in specs:
            raise InputError(
                f"weights.files.{name}: the protocol has no such network; {nearest(name, specs)}"
            )
    paths: dict[str, Path | None] = {}
    missing = []
    for name, spec in specs.items():
        try:
            paths[name] = _weights_of(spec, weights)
        except Missing as error:
            missing.append(str(error))
    if missing:
        raise Missing("weights are missing:\n" + "\n".join(f"  {line}" for line in missing))
    return paths


def _weights_of(spec: NetworkSpec, weights: WeightsSettings) -> Path | None:
    if spec.network not in NETWORK_KINDS:
        raise InputError(f"network: {spec.network!r} is not known; {nearest(spec.network, NETWORK_KINDS)}")
    if spec.model is not None and spec.network != WITH_A_MODEL:
        raise InputError(
            f"model: {spec.model!r} has no effect on {spec.network}; allowed: null, or {WITH_A_MODEL}"
        )
    return NETWORK_KINDS[spec.network].find(spec, weights)


# ---------------------------------------------------------------------- one entry a kind of network


@dataclass(frozen=True)
class NetworkKind:
    """How the weights of a kind of network are found (None: it needs none), and how it is made of them.

    `resizes`: it takes images of any sizes, and brings them to its own.
    """

    find: Callable[[NetworkSpec, WeightsSettings], Path | None]
    load: Callable[[NetworkSpec, Path | None, ComputeSettings], Network]
    resizes: bool = False


def _find_inception(published: PublishedWeights) -> Callable[[NetworkSpec, WeightsSettings], Path]:
    return lambda spec, weights: find_weights(spec.name, published, weights, spec.file_sha256)


def _find_open_clip(spec: NetworkSpec, weights: WeightsSettings) -> Path:
    if spec.model is None:
        raise InputError("model: missing for open-clip; its architecture, ViT-B-32 for instance")
    return find_weights(spec.name, published_clip(spec.model, spec.weights), weights, spec.file_sha256)


def _load_open_clip(spec: NetworkSpec, path: Path | None, compute: ComputeSettings) -> OpenClip:
    assert path is not None and spec.model is not None
    return OpenClip(spec.model, spec.weights, path, compute.on, compute.precision)


def _find_hps(spec: NetworkSpec, weights: WeightsSettings) -> Path:
    return find_weights(spec.name, published_hps(spec.weights), weights, spec.file_sha256)


def _load_hps(spec: NetworkSpec, path: Path | None, compute: ComputeSettings) -> HpsClip:
    assert path is not None and spec.weights is not None
    if spec.file_sha256 is None and spec.digest is None:
        check_told(path, spec.weights)
    settings = from_plain(HpsSettings, spec.settings, f"{spec.name}.settings")
    return HpsClip(spec.weights, path, settings, compute.on, compute.precision)


def _find_embedded(spec: NetworkSpec, weights: WeightsSettings) -> Path:
    folder = weights.files.get(spec.name)
    if folder is None:
        raise Missing(
            f"{spec.name}: trained by a search on its own data; name its folder with "
            f"weights.files.{spec.name}=runs/<name>/evaluator/embedded-clip"
        )
    return Path(folder).expanduser()


def _load_random_conv(spec: NetworkSpec, path: Path | None, compute: ComputeSettings) -> RandomConv:
    return RandomConv(from_plain(RandomConvSettings, spec.settings, f"{spec.name}.settings"))


def _load_embedded(spec: NetworkSpec, path: Path | None, compute: ComputeSettings) -> EmbeddedClip:
    assert path is not None
    return EmbeddedClip.load(path)


def _load_inception(kind: type[Inception]) -> Callable[[NetworkSpec, Path | None, ComputeSettings], Network]:
    def load(spec: NetworkSpec, path: Path | None, compute: ComputeSettings) -> Network:
        assert path is not None
        return kind(path, compute.on)

    return load


def _find_efficientnet(spec: NetworkSpec, weights: WeightsSettings) -> Path:
    return find_efficientnet(weights, spec.file_sha256)


def _load_efficientnet(spec: NetworkSpec, path: Path | None, compute: ComputeSettings) -> EfficientNet:
    assert path is not None
    settings = from_plain(EfficientNetSettings, spec.settings, f"{spec.name}.settings")
    return EfficientNet(path, settings, compute.on)


NETWORK_KINDS = {
    EFFICIENTNET: NetworkKind(_find_efficientnet, _load_efficientnet, True),
    "inception-v3": NetworkKind(_find_inception(CLEAN_FID), _load_inception(CleanInception), True),
    "inception-v3-pytorch": NetworkKind(
        _find_inception(PYTORCH_FID), _load_inception(PytorchInception), True
    ),
    WITH_A_MODEL: NetworkKind(_find_open_clip, _load_open_clip, True),
    HPS: NetworkKind(_find_hps, _load_hps, True),
    "embedded-clip": NetworkKind(_find_embedded, _load_embedded),
    "random-conv": NetworkKind(lambda spec, weights: None, _load_random_conv),
}
