"""Reference statistics: computed once from images and kept by their content, or read from a shared file."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from evaluators.images.image_set import ImageSet, content_digest, open_images
from evaluators.measuring.measured_set import OnImages, measure_set
from evaluators.measuring.moments_file import is_moments_file, reference_of_moments
from evaluators.measuring.parts import FORMAT, Work, chosen_images, network_identities
from evaluators.measuring.reference import PASSED_OVER, Reference
from evaluators.networks.features import Networks
from evaluators.protocols.protocol import ImageForm
from space.shared.caches import cache_folder, can_be_written, own_temporary
from space.shared.decoding import Unreadable
from space.shared.plain import InputError, first_few

REFERENCE_SUFFIX = ".safetensors"
OF_REFERENCES = ("size_px", "crop", "resize", "antialias")  # fields of the form; the rest is of samples

Show = Callable[[str], AbstractContextManager[OnImages]]
"""A label to something that shows how far the work under that label is."""


@dataclass(frozen=True)
class MeasureSettings:
    """How sets of images are worked through; none of it moves a score but for images that are left out."""

    workers: int = 1
    part_images: int = 256  # a kill loses at most so many a worker
    max_unreadable: int = 0  # images that may be left out because they cannot be read
    cache_folder: str | None = None  # of reference statistics; null: ~/.cache/mdsearch/references

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("part_images", 1), ("max_unreadable", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: {least} or more")

    @property
    def cache(self) -> Path:
        return cache_folder(self.cache_folder, "references")


def reference_from(
    source: str,
    form: ImageForm,
    networks: Networks,
    load: Callable[[], Networks],
    settings: MeasureSettings,
    show: Show,
    wanted: int | None = None,
    only: str | None = None,
) -> Reference:
    """Statistics by the feature networks of what `source` names: images, or a .safetensors of statistics.

    `about` of what comes back holds `images` (how many) and `digest` (of the images), and how they were
    made: `form`, and `preparation` by network.

    Args:
        wanted: how many images there must be; None for any number.
        only: a captions file that names which of the images are meant.

    Raises:
        InputError: nothing there, another number, unreadable images, or statistics of another form or other
            weights.
    """
    if source.endswith(REFERENCE_SUFFIX):
        if only is not None:
            raise InputError(f"reference_list: chooses among images, and {source!r} holds statistics of all")
        reference = Reference.load(Path(source).expanduser())
        _check_shared(reference, form, networks, source)
        _check_count(reference.images, wanted)
        return reference
    if is_moments_file(source):
        if only is not None:
            raise InputError(
                f"reference_list: chooses among images, and {source!r} holds mu and sigma of all"
            )
        return reference_of_moments(source, networks)
    images = chosen_images(source, "reference", only)
    _check_count(len(images.names), wanted)
    with show("reference images read") as on_images:
        content = _content(images, on_images)
    own = Networks(networks.features)
    path = place_of(settings.cache / "reference", (FORMAT, content), form, own)
    parts = path if can_be_written(path.parent) else own_temporary("cache") / path.name
    work = Work(
        source=source,
        field="reference",
        samples=False,
        captions=None,
        form=form,
        load=partial(_features_alone, load),
        folder=parts.with_suffix(".parts"),
        part_images=settings.part_images,
        only=only,
    )
    reference = cached_reference(path, lambda: _measured(work, own, settings, show))
    shutil.rmtree(work.folder, ignore_errors=True)
    unreadable = json.loads(reference.about.get("unreadable", "{}"))
    check_unreadable(unreadable, int(reference.about["images"]), "reference", settings)
    said = str(images.passed_over)
    return replace(reference, about={**reference.about, PASSED_OVER: said}) if said else reference


def reference_form(source: str) -> Mapping[str, Any] | None:
    """The fields of the form in which statistics were made, as far as they say; None where these are images.

    Raises:
        InputError: a file that cannot be read as statistics.
    """
    if is_moments_file(source):
        return {}
    if not source.endswith(REFERENCE_SUFFIX):
        return None
    try:
        form: dict[str, Any] = json.loads(Reference.load(Path(source).expanduser()).about["form"])
    except (KeyError, ValueError):
        return {}  # which is refused where its statistics are asked for
    return form


def check_reference_source(source: str, field: str) -> None:
    """Raises InputError where there are neither statistics nor images."""
    if source.endswith(REFERENCE_SUFFIX):
        try:
            Reference.load(Path(source).expanduser())
        except InputError as error:
            raise InputError(f"{field}: {error}") from None
    elif not is_moments_file(source):
        open_images(source, field)


def reference_digest(source: str, field: str) -> str:
    """Of what statistics or images hold, wherever they lie. Raises InputError where they cannot be read."""
    path = Path(source).expanduser()
    if source.endswith(REFERENCE_SUFFIX) or is_moments_file(source):
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        except OSError as error:
            raise InputError(f"{field}: {source!r} cannot be read: {error.strerror}") from None
    return _content(open_images(source, field), lambda done, of: None)[:16]


def _check_count(count: int | None, wanted: int | None) -> None:
    if count is not None and wanted not in (None, count):
        raise InputError(f"reference: {count:,} images, where the protocol compares with {wanted:,}")


def _check_shared(reference: Reference, form: ImageForm, networks: Networks, source: str) -> None:
    """Raises InputError where statistics are of another form or other networks, with what differs."""
    try:
        theirs = json.loads(reference.about["form"])
        prepared = json.loads(reference.about["preparation"])
        _ = reference.images, reference.about["digest"]
    except (KeyError, ValueError):
        raise InputError(f"reference: {source!r} does not say of which images it is, and how made") from None
    for network in networks.features:
        reference.check(network.name, network.digest)
    ours = {**_of_references(form), **{network.name: network.preparation for network in networks.features}}
    theirs |= prepared
    differing = [
        f"{name} {theirs.get(name)!r} there and {value!r} here"
        for name, value in ours.items()
        if theirs.get(name) != value
    ]
    if differing:
        size = theirs.get("size_px")
        there = f"; evaluators.images.size_px={size} brings the samples there" if size != form.size_px else ""
        raise InputError(f"reference: {source!r} is of another protocol: {'; '.join(differing)}{there}")


def check_unreadable(
    unreadable: Mapping[str, str], readable: int, field: str, settings: MeasureSettings
) -> None:
    """Raises InputError where more images could not be read than may be left out, or under two could.

    Args:
        unreadable: name -> why.
    """
    if len(unreadable) > settings.max_unreadable:
        first, why = next(iter(unreadable.items()))
        raise InputError(
            f"{field}: {len(unreadable):,} of {readable + len(unreadable):,} images cannot be read: "
            f"{first_few(list(unreadable))} ({first}: {why}); mend them, or leave them out with "
            f"max_unreadable={len(unreadable)}"
        )
    if readable < 2:
        raise InputError(f"{field}: {readable} image; needed: two or more")


def _measured(work: Work, networks: Networks, settings: MeasureSettings, show: Show) -> Reference:
    with show("reference images measured") as on_images:
        result = measure_set(work, networks, workers=settings.workers, on_images=on_images)
    check_unreadable(result.unreadable, len(result.measured), "reference", settings)
    about = about_references(len(result.measured), result.digest, work.form, networks)
    return Reference.of(result.measured, about | {"unreadable": json.dumps(result.unreadable)})


def _content(images: ImageSet, on_images: OnImages) -> str:
    """The digest of all that the set's files hold. Raises InputError where one cannot be read."""
    total = len(images.names)
    on_images(0, total)

    def digest(index: int) -> bytes:
        try:
            return hashlib.sha256(images.read(index)).digest()
        except Unreadable as error:
            raise InputError(f"reference: {images.names[index]} cannot be read: {error}") from None

    digests = []
    with ThreadPoolExecutor() as pool:
        for digest_of_one in pool.map(digest, range(total)):
            digests.append(digest_of_one)
            on_images(len(digests), total)
    return content_digest(digests)


def _features_alone(load: Callable[[], Networks]) -> Networks:
    """What a worker needs for references."""
    return Networks(load().features)


# ---------------------------------------------------------------------- kept by content, whatever the source


def place_of(stem: Path, images: Sequence[object], form: ImageForm, networks: Networks) -> Path:
    """`stem` with a key of all that decides statistics; `images` is what tells one set from another."""
    decides = [*images, _of_references(form), network_identities(networks)]
    key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
    return stem.with_name(f"{stem.name}-{key}{REFERENCE_SUFFIX}")


def cached_reference(path: Path, make: Callable[[], Reference]) -> Reference:
    """The statistics at `path`; of several processes that find none, one makes them and the others wait.

    Raises:
        InputError: the file cannot be read, or what `make` raises.
    """
    from filelock import FileLock

    if path.is_file():
        return Reference.load(path)
    made = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.is_file():
                made = make()
                made.save(path)
    except OSError:  # full, say: only the next command misses what is not kept
        return made or make()
    return Reference.load(path)


def about_references(count: int, digest: str, form: ImageForm, networks: Networks) -> dict[str, str]:
    """What statistics say of `count` images and of how they were made, for `Reference.about`."""
    return {
        "images": str(count),
        "digest": digest,
        "form": json.dumps(_of_references(form)),
        "preparation": json.dumps({network.name: network.preparation for network in networks.features}),
    }


def _of_references(form: ImageForm) -> Mapping[str, object]:
    """The fields of a form that decide what a reference image becomes."""
    return {name: getattr(form, name) for name in OF_REFERENCES}
