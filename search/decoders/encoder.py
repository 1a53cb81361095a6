"""The autoencoder whose encoder stays: of a folder, or trained once and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from evaluators.networks.perceptual import PerceptualName, check_files, perceptual_network
from evaluators.networks.weights import WeightsSettings
from search.decoders.settings import DecoderSearchSettings
from search.formats import counted, duration
from space.architecture import compact
from space.interchange.autoencoder_files import read_autoencoder, save_autoencoder
from space.shared.files import alone_in, making_folder
from space.shared.plain import InputError, to_plain
from training.autoencoder import AUTOENCODER_RECORD, AutoencoderTrainer
from training.data.dataset import Dataset
from training.devices import choose_device
from training.failures import Diverged
from training.files import remove_states
from training.objectives.reconstruction import PerceptualNetwork
from training.run import RunSettings, TrainingRun

CACHED_AUTOENCODERS = "autoencoders"
STATE_EVERY_STEPS = 60
LOOKS_AGAIN_SECONDS = 2.0
SHOWN_RECONSTRUCTIONS = 8

_Say = Callable[[str], None]


def keep_encoder(settings: DecoderSearchSettings, data: Dataset, own: Path, say: _Say) -> None:
    """The autoencoder in a folder of the run (`own`), which a resumed search goes on with.

    Raises:
        InputError: `init_from` holds none, its training diverged, or the folder cannot be written.
    """
    if own.is_dir():
        return
    source = settings.init_from or trained_autoencoder(settings, data, say)
    stored = read_autoencoder(source)
    own.parent.mkdir(parents=True, exist_ok=True)
    with making_folder(own) as made:
        save_autoencoder(stored.network, made, stored.scale)


def trained_autoencoder(settings: DecoderSearchSettings, data: Dataset, say: _Say) -> Path:
    """Its folder in the cache, trained now where it is not there; an interrupted training goes on."""
    device = str(choose_device(settings.reconstruction.device))
    network = perceptual_for(
        settings.perceptual, settings.reconstruction.perceptual, settings.weights, device
    )
    folder = settings.cache / CACHED_AUTOENCODERS / _digest(settings, data, network)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder, say):
        if not _is_trained(folder, settings.encoder_steps):
            _train(settings, data, network, folder, say)
            remove_states(folder)
    return folder


def perceptual_for(
    name: PerceptualName, weight: float, weights: WeightsSettings, device: str
) -> PerceptualNetwork | None:
    """What trainings look through; None where the term has no weight. Raises InputError."""
    if name == "none" or not weight:
        return None
    check_files(weights, [name])
    return perceptual_network(name, weights, device)


def _train(
    settings: DecoderSearchSettings,
    data: Dataset,
    network: PerceptualNetwork | None,
    folder: Path,
    say: _Say,
) -> None:
    began, steps = time.monotonic(), settings.encoder_steps
    trainer = AutoencoderTrainer(
        settings.space.fixed, data, settings.of_encoder, seed=settings.seed, perceptual=network
    )
    trainer.say = say
    kept = RunSettings(
        seed=settings.seed, state_every_steps=STATE_EVERY_STEPS, keep_last=1, images=SHOWN_RECONSTRUCTIONS
    )
    with closing(TrainingRun(trainer, folder, kept)) as run:
        run.scores = trainer.scores
        run.go_on()
        left = counted(steps - trainer.step, "step")
        say(f"the autoencoder whose encoder stays: {left} of training, once, kept in {folder} ...")
        try:
            run.train_to(steps, lambda step, loss: None)
        except Diverged as error:
            raise InputError(
                f"reconstruction: the autoencoder whose encoder stays: {error}; a lower "
                "reconstruction.learning_rate may help"
            ) from None
    say(f"the autoencoder is trained: {duration(time.monotonic() - began)}")


def _is_trained(folder: Path, steps: int) -> bool:
    try:
        record = json.loads((folder / AUTOENCODER_RECORD).read_text(encoding="utf-8"))
        return bool(record["step"] >= steps)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest(settings: DecoderSearchSettings, data: Dataset, network: PerceptualNetwork | None) -> str:
    """Of all that decides its weights."""
    decides = {
        "autoencoder": settings.space.fixed.id,
        "data": data.digest,
        "reconstruction": to_plain(settings.of_encoder),
        "perceptual": None if network is None else [network.name, network.digest],
        "seed": settings.seed,
    }
    return hashlib.sha256(compact(decides).encode()).hexdigest()[:16]


@contextmanager
def _alone(folder: Path, say: _Say) -> Iterator[None]:
    """Waits while another search trains the same."""
    with ExitStack() as held:
        waits = False
        while True:
            try:
                held.enter_context(alone_in(folder))
                break
            except BlockingIOError:
                if not waits:
                    say(f"waits: another search trains the same autoencoder in {folder}")
                waits = True
                time.sleep(LOOKS_AGAIN_SECONDS)
        yield
