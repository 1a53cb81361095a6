"""How pages and sentences speak of what a search was over: UNets, or decoders of one encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from search.runs.header import searches_decoders
from space.autoencoder import Autoencoder


class Wording(NamedTuple):
    """`scale` is where parameters and MACs are counted (`counted`: in full), `macs` and `macs_of` what the
    latter are of, `units` how the winner is written down, `samples` what its images are."""

    search: str
    scale: str
    counted: str
    macs: str
    macs_of: str
    units: str
    samples: str


OF_UNETS = Wording(
    search="architecture search",
    scale="at the paper's scale",
    counted="at the paper's scale, not the proxy's",
    macs="GMACs an evaluation",
    macs_of="GMACs an evaluation (64 x 64 latent)",
    units="In the paper's units, as best.yaml holds it",
    samples="The same prompts and the same initial noise for every network,",
)


def wording_of(header: Mapping[str, Any]) -> Wording:
    if not searches_decoders(header):
        return OF_UNETS
    side = own_autoencoder(header).image_size
    return Wording(
        search="decoder search",
        scale=f"for images of {side} px",
        counted=f"of the decoder alone, for images of {side} px",
        macs="GMACs a decoded image",
        macs_of=f"GMACs a decoded image ({side} x {side} px)",
        units="As best.yaml holds it, with the encoder that stays",
        samples="The same held-out images, given back by each decoder; below these the originals, and the "
        "differences four times as large,",
    )


def own_autoencoder(header: Mapping[str, Any]) -> Autoencoder:
    """The one whose encoder stays, with the decoder that it had: what decoders are laid beside."""
    return Autoencoder.from_plain(header["space"]["autoencoder"], "space.autoencoder")
