"""Whether a text encoder tells captions apart, and what of them does not reach the network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from space.shared.plain import InputError, first_few
from training.data.captions import words
from training.text import TextEncoder

LOOKED_AT = 4096  # the first captions of a split, which are a fair sample of it
ENCODED = 8  # of them, by a frozen encoder
MOST_ALIKE = 0.05  # of the different captions that are read whole


def check_told_apart(encoder: TextEncoder, captions: Sequence[str]) -> None:
    """Captions that differ by case and punctuation alone are one, and cut ones may be alike.

    Raises:
        InputError: all of the different captions, or too many of those that are not cut, are the same tokens;
            a frozen encoder makes the same features of all, or such as are no numbers.
    """
    different = _different(captions)
    alike = _alike(encoder, different)
    whole = [caption for group in alike for caption in group if not encoder.too_long([caption])]
    if alike and (len(alike[0]) == len(different) or len(whole) > MOST_ALIKE * len(different)):
        first, second = alike[0][:2]
        raise InputError(
            f"text: {sum(map(len, alike)):,} of {len(different):,} different captions are the same tokens as "
            f"another one, such as {first!r} and {second!r}; needed: {encoder.would_tell_apart}"
        )
    if encoder.frozen and len(different) > 1:
        _check_features(encoder, different[:ENCODED])


@torch.no_grad()
def _check_features(encoder: TextEncoder, captions: list[str]) -> None:
    """Of an encoder that no training changes any more."""
    features = encoder.encode(captions)
    same = bool((features == features[:1]).all())
    if same or not features.isfinite().all():
        made = (
            f"the same features of {captions[0]!r} and {captions[1]!r}"
            if same
            else "features that are no numbers"
        )
        raise InputError(
            f"text.folder: its text model makes {made}; needed: one with the weights it was trained to"
        )


def unread_text(encoder: TextEncoder, captions: Sequence[str], what: str = "captions") -> list[str]:
    """What of the captions an encoder does not read: a line each for what is cut and what is unknown."""
    looked_at, lines = captions[:LOOKED_AT], []
    if cut := encoder.too_long(looked_at):
        lines.append(
            f"warning: {what}: {cut:,} of {len(looked_at):,} are longer than the {encoder.length} tokens "
            "that the text encoder reads, and cut"
        )
    if unknown := encoder.unknown_words(looked_at):
        lines.append(
            f"warning: {what}: {len(unknown):,} words are in no training caption, so that the text encoder "
            f"does not tell them apart: {first_few(unknown)}"
        )
    return lines


def _different(captions: Sequence[str]) -> list[str]:
    """One caption of those with the same words; without the empty one."""
    unique: Iterable[str] = dict.fromkeys(captions[:LOOKED_AT])
    by_words = {tuple(words(caption)): caption for caption in unique}
    return [caption for known, caption in by_words.items() if known]


def _alike(encoder: TextEncoder, captions: list[str]) -> list[list[str]]:
    """Captions of the same known tokens, by groups of two or more, the largest first."""
    if len(captions) < 2:
        return []
    tokens = encoder.tokenize(captions)
    rows = tokens.ids if tokens.rows is None else tokens.ids[tokens.rows]
    groups: dict[bytes, list[str]] = {}
    for caption, row in zip(captions, rows.numpy(), strict=True):
        groups.setdefault(row[row != encoder.unknown_token].tobytes(), []).append(caption)
    return sorted((group for group in groups.values() if len(group) > 1), key=len, reverse=True)
