"""Which caption belongs to which image: from a captions file, or from the images' own shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache

from evaluators.images.image_set import ImageSet, Subset
from space.shared.captions import NAME_FIELDS, READERS, Captions, caption_in, read_captions
from space.shared.decoding import image_suffixes
from space.shared.image_files import normal_form
from space.shared.plain import InputError, first_few


def captions_of(images: ImageSet, file: str | None) -> list[str]:
    """One caption an image, in the order of the images: from `file`, or from their own shards.

    Images and captions are brought together by name (with or without folders and suffix) where the file
    names images, and by order where it doesn't.

    Raises:
        InputError: no captions, or counts or names that do not match, with the first few that lack a partner.
    """
    if file is not None:
        captions, source = read_captions(file), file
    else:
        captions, source = _inside(images), "the images' shards"
    if captions.names is not None:
        return _by_name(images.names, captions, source)
    if len(captions.texts) != len(images.names):
        raise InputError(
            f"captions: {len(captions.texts):,} in {source} for {len(images.names):,} images; without image "
            f"names they go by order, one a line"
        )
    _check_order(images.names, captions, source)
    return captions.texts


def named_in(file: str, images: ImageSet, field: str) -> ImageSet:
    """Those of the images that a captions file names, by the same rules.

    Raises:
        InputError: it names none, or images that are not there.
    """
    names = read_captions(file, field).names
    if names is None:
        raise InputError(f"{field}: {file!r} names no images, in any of {', '.join(NAME_FIELDS)}")
    for key in KEYS:
        wanted = set(map(key, names))
        indices = [index for index, name in enumerate(images.names) if key(name) in wanted]
        found = {key(images.names[index]) for index in indices}
        if len(indices) == len(found) == len(wanted):
            return Subset(images, indices)
    there = {_bare(name) for name in images.names}
    missing = [name for name in dict.fromkeys(names) if _bare(name) not in there]
    if not missing:
        raise InputError(f"{field}: {file!r} leaves open which images it means; name them by their path")
    raise InputError(
        f"{field}: {len(missing):,} images that {file!r} names are missing: {first_few(missing)}"
    )


# ---------------------------------------------------------------------- matching


def _inside(images: ImageSet) -> Captions:
    found = images.caption_files()
    if not found:
        raise InputError(
            "captions: missing; give captions=<file>: .txt with a line per image, or .jsonl, .csv, .parquet"
        )
    texts = [caption_in(text, file) for _, file, text in found]
    return Captions(texts, [image for image, _, _ in found])


def _by_name(images: list[str], captions: Captions, source: str) -> list[str]:
    """By whole names, else in one Unicode form, else without suffixes, without folders, without either."""
    assert captions.names is not None
    for key in KEYS:
        texts = _unique(zip(map(key, captions.names), captions.texts, strict=True))
        wanted = list(map(key, images))
        distinct = set(wanted)
        if texts is None or len(distinct) < len(wanted) or not distinct <= texts.keys():
            continue
        spare = [name for name in captions.names if key(name) not in distinct]
        if spare and not captions.more_than_images:
            raise InputError(
                f"captions: {len(spare):,} of {len(captions.names):,} in {source} lack an image: "
                f"{first_few(spare)}"
            )
        return [texts[name] for name in wanted]
    raise _mismatch(images, captions, source)


def _check_order(images: list[str], captions: Captions, source: str) -> None:
    """Raises InputError where a field that is not read names these images in another order."""
    wanted = [_number_or_name(_bare(name)) for name in images]
    for field, values in captions.others.items():
        there = [_number_or_name(_bare(str(value))) for value in values]
        if there != wanted and sorted(there) == sorted(wanted):
            raise InputError(
                f"captions: {source} would go by order, but its {field} names the images in another one; "
                f"allowed: names under {', '.join(NAME_FIELDS)}"
            )


def _mismatch(images: list[str], captions: Captions, source: str) -> InputError:
    assert captions.names is not None
    repeated = [name for name, count in Counter(captions.names).items() if count > 1]
    if repeated:
        return InputError(f"captions: {source} names {len(repeated):,} images twice: {first_few(repeated)}")
    known = {_bare(name) for name in captions.names}
    without = [name for name in images if _bare(name) not in known]
    if without:
        return InputError(
            f"captions: {len(without):,} of {len(images):,} images have none in {source}: "
            f"{first_few(without)} (it names {first_few(captions.names[:2])})"
        )
    return InputError(
        f"captions: {source} names images as {first_few(captions.names[:2])}, which leaves open what they "
        f"are among {first_few(images[:2])}; name them by their path from the folder of the images"
    )


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str] | None:
    """As a mapping, or None where a name comes twice."""
    texts: dict[str, str] = {}
    for name, text in pairs:
        if name in texts:
            return None
        texts[name] = text
    return texts


def _without_suffix(name: str) -> str:
    stem, dot, suffix = normal_form(name).rpartition(".")
    return stem if f"{dot}{suffix}".lower() in _suffixes() else normal_form(name)


@cache
def _suffixes() -> frozenset[str]:
    """That a name may lack: `img.v1` has none."""
    return image_suffixes() | READERS.keys()


def _number_or_name(name: str) -> str:
    """`7` for `007`, as an image of the number 7 may be called."""
    return str(int(name)) if name.isdecimal() else name


def _base(name: str) -> str:
    return normal_form(name).rpartition("/")[2]


def _bare(name: str) -> str:
    return _without_suffix(_base(name))


KEYS: tuple[Callable[[str], str], ...] = (str, normal_form, _without_suffix, _base, _bare)
