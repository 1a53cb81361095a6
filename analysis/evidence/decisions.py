"""The paper's design decisions as data, and the partner of a network that differs in exactly one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from space.architecture import Architecture
from space.choices import Space
from space.prices.macs import Cost, price
from space.shared.plain import InputError

# Of parameters and of GMACs, within which depth and width count as traded: the nearest trade of MD itself,
# an eighth of the width for a third more layers, is 2.4 % cheaper.
TRADE_TOLERANCE = 0.03

Claim = Literal["better", "no worse"]


@dataclass(frozen=True)
class Toggle:
    """One choice of the space with two values: the paper's and the other. `given` are choices that must have
    a value for the decision to be the paper's."""

    name: str
    papers: Any
    other: Any
    given: tuple[tuple[str, Any], ...] = ()

    def turned(self, chosen: Mapping[str, Any], space: Space) -> Iterator[dict[str, Any]]:
        value = chosen.get(self.name)
        if value not in (self.papers, self.other) or any(chosen.get(k) != v for k, v in self.given):
            return
        turned = self.other if value == self.papers else self.papers
        if turned in dict(space.choices())[self.name]:
            yield {**chosen, self.name: turned}

    def has_papers(self, chosen: Mapping[str, Any], partner: Mapping[str, Any]) -> bool:
        return bool(chosen[self.name] == self.papers)


@dataclass(frozen=True)
class Trade:
    """Width against depth of one level at nearly equal parameters and MACs; the paper's side is the wider."""

    level: str

    def turned(self, chosen: Mapping[str, Any], space: Space) -> Iterator[dict[str, Any]]:
        """Deeper ones first, then wider ones; of each kind the furthest in width first."""
        cost, width = price(space.architecture(chosen)), chosen.get(self._width, 0)
        found = []
        for turned in self._traded(chosen, dict(space.choices())):
            gap = _gap(cost, price(space.architecture(turned)))
            if gap <= TRADE_TOLERANCE:
                wider_by = turned[self._width] - width
                found.append((wider_by > 0, -abs(wider_by), gap, turned))
        yield from (turned for *_, turned in sorted(found, key=lambda each: each[:3]))

    def has_papers(self, chosen: Mapping[str, Any], partner: Mapping[str, Any]) -> bool:
        return bool(chosen[self._width] > partner[self._width])

    @property
    def _width(self) -> str:
        return f"{self.level}.channels"

    def _traded(self, chosen: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """More width with fewer layers on one side or both and more on neither, or the reverse."""
        names = (self._width, f"{self.level}.layers_down", f"{self.level}.layers_up")
        if not values.keys() >= set(names):
            return
        for new in product(*(values[name] for name in names)):
            width, *layers = (b - a for a, b in zip((chosen[name] for name in names), new, strict=True))
            if any(layers) and width and all(change * width <= 0 for change in layers):
                yield {**chosen, **dict(zip(names, new, strict=True))}


@dataclass(frozen=True)
class PaperDecision:
    """A decision of the paper: its two sides, where and what the paper says of it, and what follows from that
    for the paper's side: "better", or "no worse" (and cheaper)."""

    slug: str
    name: str
    papers: str
    other: str
    section: str
    says: str
    claim: Claim
    change: Toggle | Trade

    def partners(self, architecture: Architecture, space: Space) -> list[Architecture]:
        """Networks of the space that differ from this one in exactly this decision, the clearest first; none
        where the decision has nothing to act on, or every partner lies outside the space."""
        try:
            chosen = _choices_of(architecture, space)
        except InputError:
            return []
        turned = [(each, space.architecture(each)) for each in self.change.turned(chosen, space)]
        # What has nothing to act on in the partner would change with it: two decisions, not one.
        return [partner for each, partner in turned if _choices_of(partner, space) == each]

    def partner(self, architecture: Architecture, space: Space) -> Architecture | None:
        return next(iter(self.partners(architecture, space)), None)

    def has_papers(self, architecture: Architecture, partner: Architecture, space: Space) -> bool:
        """Whether it is the first of the two that made the paper's choice."""
        return self.change.has_papers(_choices_of(architecture, space), _choices_of(partner, space))


@dataclass(frozen=True)
class MatchedPair:
    """Two networks that differ in one decision: the one with the paper's choice, and the other."""

    papers: Architecture
    other: Architecture

    @property
    def ids(self) -> tuple[str, str]:
        return self.papers.id, self.other.id


def pairs_among(decision: PaperDecision, networks: Sequence[Architecture], space: Space) -> list[MatchedPair]:
    """The pairs of one decision among networks, in their order. A network stands in one pair at most, so that
    pairs are independent."""
    known = {network.id: network for network in networks}
    used: set[str] = set()
    found = []
    for network in networks:
        partner = next(
            (p for p in decision.partners(network, space) if p.id in known and not {p.id, network.id} & used),
            None,
        )
        if partner is None:
            continue
        used |= {network.id, partner.id}
        papers = decision.has_papers(network, partner, space)
        found.append(MatchedPair(network, partner) if papers else MatchedPair(partner, network))
    return found


def _choices_of(architecture: Architecture, space: Space) -> dict[str, Any]:
    """Every choice, pinned ones too. Raises InputError where the network is not a point of the space."""
    return space.pinned() | space.encode(architecture)


def _gap(one: Cost, other: Cost) -> float:
    """The larger of the shares by which two costs differ in parameters and in MACs, of the larger cost."""
    return max(abs(a - b) / max(a, b) for a, b in zip(one[:2], other[:2], strict=True))


# The two levels are those of conf/space/md.yaml: 32x32 latent pixels at 512 px, and the innermost, 16x16.
PAPER_DECISIONS = (
    PaperDecision(
        "sa_middle",
        "self-attention at the middle level",
        "cross-attention alone",
        "self- and cross-attention",
        "3.2, Table 6",
        "left out at 32x32 while cross-attention stays: no loss of quality, much less to compute",
        "no worse",
        Toggle("level_2.self_attention", False, True, (("level_2.cross_attention", True),)),
    ),
    PaperDecision(
        "ca_middle",
        "cross-attention at the middle level",
        "with",
        "without",
        "3.2, Table 6",
        "kept at 32x32, since text should guide layout and texture alike; without both kinds of attention "
        "there FID rises from 12.50 to 17.87 and CLIP falls from .325 to .302 (v1)",
        "better",
        Toggle("level_2.cross_attention", True, False),
    ),
    PaperDecision(
        "ca_innermost",
        "cross-attention at the innermost level",
        "with",
        "without",
        "3.2, Table 6",
        "whole transformer layers stay in the innermost stack",
        "better",
        Toggle("level_3.cross_attention", True, False),
    ),
    PaperDecision(
        "shared_kv",
        "shared keys and values in self-attention",
        "one projection",
        "two projections",
        "3.2",
        "no loss of quality, about 5 % fewer parameters",
        "no worse",
        Toggle("shared_key_value", True, False),
    ),
    PaperDecision(
        "feed_forward",
        "feed-forward ratio",
        "3",
        "4",
        "3.2",
        "nearly the same: FID +0.27, 10 % fewer parameters",
        "no worse",
        Toggle("feed_forward_ratio", 3, 4),
    ),
    PaperDecision(
        "separable",
        "convolution at the innermost level",
        "separable",
        "full",
        "3.3, Fig. 2, Table 6",
        "similar quality in the deeper parts; about 10 % fewer parameters (v1)",
        "no worse",
        Toggle("level_3.conv", "separable", "full"),
    ),
    PaperDecision(
        "width_for_depth",
        "innermost width against depth, at equal cost",
        "wider",
        "deeper",
        "3.2",
        "many more layers at a much smaller width harm composition, a slightly smaller width alone harms "
        "nothing; 1024 channels are best",
        "better",
        Trade("level_3"),
    ),
    PaperDecision(
        "swish",
        "activation of the feed-forward",
        "swish",
        "gelu",
        "3.2",
        "no loss of quality; faster, and stable in low precision",
        "no worse",
        Toggle("activation", "swish", "gelu"),
    ),
    PaperDecision(
        "relu",
        "non-linearity of attention",
        "relu",
        "softmax",
        "3.2, appendix A, Fig. 5",
        "a viable substitute, reached by fine-tuning a softmax network for about 10,000 steps; here both are "
        "trained from nothing",
        "no worse",
        Toggle("attention", "relu", "softmax"),
    ),
)
