"""A protocol's samples: one picture a caption, over several workers or shards, the same pictures however.

A picture starts from noise of (seed, index) alone, but a convolution over another batch may round
differently. So batch k always holds pictures k * batch_size to (k + 1) * batch_size - 1; a batch that was
interrupted is drawn again whole, and batch size, device and threads belong to how samples are made.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch

from space.shared.plain import InputError, to_plain
from training.model import choose_device
from training.painters import DrawSettings, check_settings, identity, open_painter
from training.sample_folder import SampleFolder

PACKAGES = ("mdsearch", "diffusers", "transformers", "numpy", "pillow")


@dataclass(frozen=True)
class Shard:
    """Share `number` (from 1) of `of`, for machines that know nothing of each other but the folder."""

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise InputError(f"shard: {self.number}/{self.of} is not possible; allowed: 1/{self.of} and on")

    @classmethod
    def parsed(cls, text: str) -> Shard:
        """From "2/8". Raises InputError."""
        number, slash, of = text.partition("/")
        if not (slash and number.isdigit() and of.isdigit() and int(of) > 0):
            raise InputError(f"shard: {text!r} is not a share; allowed: such as 2/8, from 1/8 to 8/8")
        return cls(int(number), int(of))


WHOLE = Shard()


@dataclass(frozen=True)
class _Work:
    """What a worker needs."""

    model: str
    device: str
    captions: tuple[str, ...]
    settings: DrawSettings
    folder: SampleFolder
    manifest: dict[str, Any]


OnDrawn = Callable[[int, int], None]


def draw_samples(
    model: str | Path,
    captions: Sequence[str],
    settings: DrawSettings,
    out: str | Path,
    *,
    workers: int = 1,
    shard: Shard = WHOLE,
    device: str = "auto",
    on_drawn: OnDrawn = lambda done, of: None,
) -> SampleFolder:
    """Draw what is missing of the samples in `out`; those that are there, from earlier or elsewhere, stay.

    Args:
        model: folder of a trained model of ours, or of a diffusers text-to-image pipeline.
        captions: `settings.count` of them.
        workers: processes; with several GPUs they take turns on them. One draws in this process.
        on_drawn: told of the pictures of this shard that are there, and of how many there will be; once
            before the first is drawn, then after every batch.

    Raises:
        InputError: anything of model, settings or folder that does not fit, samples in `out` that were made
            otherwise (naming how), or a worker that was killed. What is drawn by then stays.
    """
    if len(captions) != settings.count:
        raise InputError(f"count: {settings.count}, but there are {len(captions)} captions")
    if workers < 1:
        raise InputError(f"workers: {workers} is not possible; allowed: 1 or more")
    check_settings(model, settings)
    manifest = how_made(model, captions, settings, device)
    folder = SampleFolder(Path(out), settings.count, settings.batch_size)
    folder.claim(manifest, captions)
    work = _Work(str(model), device, tuple(captions), settings, folder, manifest)
    mine = range(shard.number - 1, folder.batches, shard.of)
    missing = [batch for batch in folder.missing() if batch in mine]
    total = sum(len(folder.indices(batch)) for batch in mine)
    done = total - sum(len(folder.indices(batch)) for batch in missing)
    on_drawn(done, total)
    for drawn in _drawn(work, missing, min(workers, len(missing))):
        done += drawn
        on_drawn(done, total)
    folder.tidy()
    return folder


def how_made(
    model: str | Path, captions: Sequence[str], settings: DrawSettings, device: str
) -> dict[str, Any]:
    """What stands in the manifest: equal manifests, equal pictures."""
    text = json.dumps(list(captions), ensure_ascii=False, separators=(",", ":"))
    return {
        "model": identity(model),
        "settings": to_plain(settings),
        "captions": hashlib.sha256(text.encode()).hexdigest()[:16],
        "device": _device_name(choose_device(device)),
        "versions": {"torch": str(torch.__version__)} | {name: _version(name) for name in PACKAGES},
    }


def _device_name(device: torch.device) -> str:
    """As far as it decides which kernels run, and so how they round."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # mdsearch itself, run from a checkout
        return None


# ---------------------------------------------------------------------- in one process


def _drawn(work: _Work, batches: Sequence[int], workers: int) -> Iterator[int]:
    """Draw; yields the number of pictures after each batch."""
    if workers > 1:
        yield from _drawn_by_workers(work, batches, workers)
    elif batches:
        with _reproducible(work.settings.threads):
            yield from _drawn_here(work, batches)


def _drawn_here(work: _Work, batches: Sequence[int]) -> Iterator[int]:
    painter = open_painter(work.model, work.settings, choose_device(work.device))
    for batch in batches:
        indices = work.folder.indices(batch)
        try:
            pictures = painter.draw(work.captions[indices.start : indices.stop], indices)
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"batch_size: {work.settings.batch_size} pictures do not fit the device's memory "
                f"({str(error).splitlines()[0]}); a smaller batch_size needs another out"
            ) from None
        work.folder.check(work.manifest)
        for index, picture in zip(indices, pictures, strict=True):
            work.folder.write(index, picture)
        yield len(indices)


@contextmanager
def _reproducible(threads: int) -> Iterator[None]:
    """The same kernels each time: so many threads on a CPU, cuDNN's deterministic ones on a GPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
    finally:
        torch.set_num_threads(before)


# ---------------------------------------------------------------------- in several


def _drawn_by_workers(work: _Work, batches: Sequence[int], workers: int) -> Iterator[int]:
    """Every worker takes each n-th batch, and tells of it over a pipe of its own."""
    context = get_context("forkserver")  # which imports once for all workers, and begins nothing of CUDA
    context.set_forkserver_preload([__name__, "diffusers.schedulers"])
    processes: dict[Connection, ForkServerProcess] = {}
    try:
        for number in range(workers):
            ours, theirs = context.Pipe(duplex=False)
            arguments = (work, batches[number::workers], number, theirs)
            process = context.Process(target=_worker, args=arguments, daemon=True)
            process.start()
            theirs.close()  # the worker's end is then its alone, and closes when it dies
            processes[ours] = process
        while processes:
            for ready in wait(list(processes)):
                assert isinstance(ready, Connection)
                try:
                    told = ready.recv()
                except EOFError:
                    _check_ended(processes.pop(ready))
                    continue
                if isinstance(told, InputError):
                    raise told
                yield told
    finally:
        for process in processes.values():
            process.kill()
            process.join()


def _worker(work: _Work, batches: Sequence[int], number: int, sender: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    device = choose_device(work.device)
    if device.type == "cuda":
        torch.cuda.set_device(number % torch.cuda.device_count())
    try:
        with _reproducible(work.settings.threads):
            for drawn in _drawn_here(work, batches):
                sender.send(drawn)
    except InputError as error:
        sender.send(error)


def _end_with_parent() -> None:
    """A parent that was killed can stop nobody."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _check_ended(process: ForkServerProcess) -> None:
    process.join()
    code = process.exitcode
    assert code is not None
    if code < 0:
        raise InputError(
            f"a worker was ended by {signal.Signals(-code).name} (out of memory?); what is drawn stays, and "
            "the same command goes on, with fewer workers= if need be"
        )
    if code > 0:
        raise RuntimeError(f"a worker failed with status {code}; its traceback stands above")
