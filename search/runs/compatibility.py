"""Whether the scores of two runs may stand side by side: what decides a score, and where two records differ.

A score means nothing without its protocol. Budget, space, sampler, stopping, noise, seed, number of trials,
cluster and backend may differ: they decide which networks were tried, not what a score says. Runs of other
seeds compare too, beyond the noise, which is the noise from seed to seed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from search.objectives import VALIDATION_LOSS, objectives_from_plain, objectives_to_plain
from search.runs.record import History
from space.choices import Space
from space.shared.plain import flat, to_plain

# Fields of a record's header. `protocol` is the evaluators' own: features, their weights, references, counts.
DECIDES_A_SCORE = ("objectives", "rungs", "proxy", "data", "training", "protocol", "strategy")
# Inside them, what follows from another field, or decides where work is done and not what comes out.
FOLLOWS = frozenset(
    {
        "training.steps",
        "training.micro_batch",
        "training.memory_format",
        "training.compile",
        "training.checkpointing",
        "training.spike_factor",
        "training.ema_lengths",
        "data.memory_mib",
        "data.max_unreadable_share",
        "data.patience_seconds",
        "data.cache_folder",
        "protocol.name",
        "protocol.reference.name",  # what a folder is called; digests say what is in it
        "protocol.captions.name",
    }
)
FOLLOWS_FROM_TRAINING = "protocol.drawing."  # its sampler, steps and guidance; and the seed, which may differ
SAID_LATER = "protocol.captions"  # older records do not say it; there it follows from images and count
FOLLOWS_FROM_DIGEST = "retrieval_accuracy"
DATA_DIGEST = "data_digest"
READS = "reads"  # digests of the folders that settings name, by field: wherever those lie
DEVICE, PRECISION, VALIDATION_IMAGES = "training.device", "training.precision", "training.validation_images"
PRECISION_ON = {"cpu": "fp32", "cuda": "bf16"}  # what precision=auto is there
# What moves no score of images stands in a digest as the first digests had it, whatever it is.
AS_FIRST = {DEVICE: "auto", PRECISION: "auto", VALIDATION_IMAGES: 256}
# What a space holds in a choice that its header does not name, as those of before the choice do not.
CHOICES_LEFT_OUT = {
    f"space.{name}": to_plain(field.default)
    for name, field in Space.__dataclass_fields__.items()
    if isinstance(field.default, tuple)
}
# The groups of a header that the parts of a protocol are made of.
_OF_A_PART = {
    "objectives": "scores",
    "proxy": "proxy",
    "data": "data",
    "training": "training",
    "strategy": "strategy",
    "protocol": "evaluators",
}
# Strategies; the first is what older records hold.
TRIALS_BY_THEMSELVES = ("independent", "supernet", "evolve")
NO_DECAY = "none"
MOST_CHARACTERS = 60
MOST_NAMED = 8


def protocol_difference(one: History, other: History) -> list[str]:
    """Every field that decides a score and differs, as "rungs: [100, 200] against [125, 250]".

    Empty where the scores of the two runs compare. A run that has not recorded its evaluators' protocol yet
    compares with no other. Images are compared by their digest, and by their settings only where a
    protocol holds none.
    """
    if any("protocol" not in history.header for history in (one, other)):
        return ["protocol: not recorded yet; nothing was scored"]
    return field_differences(one.header, other.header, DECIDES_A_SCORE)


def space_difference(one: History, other: History) -> list[str]:
    """Every choice of the two spaces that differs; samplers can learn from another run only if none does."""
    return field_differences(one.header, other.header, ("space",))


def field_differences(one: Mapping[str, Any], other: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """The fields of two headers that differ, by dotted name, with both values."""
    names, validated = list(names), _is_validated(one) or _is_validated(other)
    read = one.get(READS, {}).keys() & other.get(READS, {}).keys()
    ours, theirs = (
        _of_scores(_deciding(header, names), validated, {name: header[READS][name] for name in read})
        for header in (one, other)
    )
    trained_in = [_precision(_deciding(header, names)) for header in (one, other)]
    if None not in trained_in:
        ours, theirs = ours | {PRECISION: trained_in[0]}, theirs | {PRECISION: trained_in[1]}
    if "space" in names:
        ours, theirs = CHOICES_LEFT_OUT | ours, CHOICES_LEFT_OUT | theirs
    if data_digest(one) is not None and data_digest(other) is not None:
        ours, theirs = (
            {name: value for name, value in fields.items() if not name.startswith("data.")}
            for fields in (ours, theirs)
        )
    return [
        f"{name}: {setting_text(ours.get(name))} against {setting_text(theirs.get(name))}"
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name) != theirs.get(name)
        and not (name.startswith(SAID_LATER) and None in (ours.get(name), theirs.get(name)))
    ]


def protocol_parts(header: Mapping[str, Any], *, as_before: bool = False) -> tuple[str, ...]:
    """What decides a score at a step, a word a part with the digest of its fields: `("data-5d1f...", ...)`;
    with `as_before`, as versions stored them that also counted what moves no score.

    Equal parts are what the noise of a score belongs to. The rungs are none of them, since noise is stated by
    step; the length of a run is, where its learning rate decays towards the end. Before the evaluators'
    protocol is recorded there is no such part, and data go by their settings.
    """
    digest = data_digest(header)
    fields = _deciding(header, [name for name in _OF_A_PART if header.get(name) is not None])
    if not as_before:
        fields = _of_scores(fields, _is_validated(header), header.get(READS, {}))
    parts: dict[str, dict[str, Any]] = {"data": {"digest": digest}} if digest is not None else {}
    for name, value in fields.items():
        part = _OF_A_PART[name.partition(".")[0]]
        said_by_digest = digest is not None and (part == "data" or name.endswith(DATA_DIGEST))
        if not said_by_digest and not name.startswith(SAID_LATER):
            parts.setdefault(part, {})[name] = _as_number(value)
    if fields.get("training.decay", NO_DECAY) != NO_DECAY:
        parts["training"]["length"] = max(header.get("rungs") or [0])
    return tuple(f"{part}-{_digest(parts[part])}" for part in sorted(parts))


def foreign_parts(measured_under: Sequence[str], header: Mapping[str, Any]) -> list[str]:
    """The parts of a header's protocol that something was measured otherwise under, by digests of any
    version; what one of the two does not name is no difference."""
    theirs = dict(word.split("-", 1) for word in measured_under)
    ours, before = (
        dict(word.split("-", 1) for word in protocol_parts(header, as_before=as_before))
        for as_before in (False, True)
    )
    return [part for part in ours if part in theirs and theirs[part] not in (ours[part], before[part])]


def _deciding(header: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The fields of these groups by dotted name, without what follows from others."""
    found = flat({name: _in_common(name, header.get(name)) for name in names})
    return {
        name: value
        for name, value in found
        if name not in FOLLOWS
        and not name.startswith(FOLLOWS_FROM_TRAINING)
        and not name.endswith(FOLLOWS_FROM_DIGEST)
    }


def _of_scores(fields: dict[str, Any], validated: bool, read: Mapping[str, str]) -> dict[str, Any]:
    """Fields without what moves no score: the device, a precision named that `auto` is there, and, unless
    the validation loss is an objective, the images that give it. `read` are digests in place of folders."""
    chosen_anyway = fields.get(PRECISION) == PRECISION_ON.get(fields.get(DEVICE, ""))
    held = {DEVICE, *([PRECISION] if chosen_anyway else []), *([] if validated else [VALIDATION_IMAGES])}
    held_at = {name: AS_FIRST[name] for name in held} | dict(read)
    return {name: held_at.get(name, value) for name, value in fields.items()}


def _precision(fields: Mapping[str, Any]) -> str | None:
    """What a network is trained in; None where settings leave it to the device that is found."""
    named = fields.get(PRECISION)
    return PRECISION_ON.get(fields.get(DEVICE, "")) if named == "auto" else named


def _is_validated(header: Mapping[str, Any]) -> bool:
    """Whether the validation loss is one of the scores that decide."""
    objectives = objectives_from_plain(header.get("objectives"))
    return any(objective.name == VALIDATION_LOSS for objective in objectives)


def _as_number(value: Any) -> Any:
    """1 and 1.0 are one setting."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]


def _in_common(name: str, value: Any) -> Any:
    """Further objectives decide what a search wants, and not what a score means; nor does a strategy that has
    every trial trained by itself from its own start."""
    if name == "strategy" and isinstance(value, Mapping) and value.get("name") in TRIALS_BY_THEMSELVES:
        return {"name": TRIALS_BY_THEMSELVES[0]}
    if name != "objectives" or not isinstance(value, list):
        return value
    return objectives_to_plain(objectives_from_plain(value)[:2])


def data_digest(header: Mapping[str, Any]) -> Any:
    """The digest of the images that a run's evaluators were made for; None where none is recorded."""
    fields = dict(flat(header.get("protocol")))
    return next((value for name, value in fields.items() if name.endswith(DATA_DIGEST)), None)


def abridged(differences: Sequence[str]) -> list[str]:
    """As many as one can read, and how many more there are."""
    more = len(differences) - MOST_NAMED
    return [*differences[:MOST_NAMED], f"and {more} more"] if more > 0 else list(differences)


def setting_text(value: Any) -> str:
    """A value of a setting in one short line."""
    text = "-" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
