"""A search's evaluator by a protocol's networks: HPS beside FID and CLIP score, where it is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluators.measuring.measurements import Measurements
from evaluators.measuring.reference import Reference
from evaluators.networks.clip_models import OpenClip
from evaluators.networks.features import Networks, RandomConv, RandomConvSettings
from evaluators.networks.hps import HpsClip, HpsSettings
from evaluators.protocols.protocol import EvaluationProtocol, ImageForm, NetworkSpec
from evaluators.scorers.by_protocol import ProtocolEvaluator, objective_names, score_names, searched_clips
from space.shared.plain import InputError
from tests.evaluators.conftest import CAPTIONS, TINY_CLIP

COUNT = 12
FID, CLIP = "fid_random_conv", "clip_tiny_for_tests"


def test_hps_is_scored_beside_the_two(tiny_clip: OpenClip, hps_file: Path) -> None:
    hps = HpsClip("v2.0", hps_file, HpsSettings())
    random_conv = RandomConv(RandomConvSettings(channels=(4,)))
    images = np.random.default_rng(2).integers(0, 256, (COUNT, 16, 16, 3)).astype(np.uint8)
    features = Networks((random_conv,))
    measured = Measurements.by(features)
    measured.add(features, range(COUNT), images[::-1] // 2)
    reference = Reference.of(measured)
    protocol = EvaluationProtocol(
        "test",
        COUNT,
        ImageForm(16),
        (NetworkSpec("random-conv", digest=random_conv.digest),),
        (
            NetworkSpec("open-clip", TINY_CLIP, digest=tiny_clip.digest),
            NetworkSpec("hps", weights="v2.0", digest=hps.digest),
        ),
        None,
        None,
        metrics=("fid", "clip", "hps"),
    )
    evaluator = ProtocolEvaluator(Networks((random_conv,), (tiny_clip, hps)), reference, protocol)
    captions = CAPTIONS[:COUNT]
    found, deviations = evaluator.score_and_deviations(images, captions)
    assert list(found) == list(score_names(protocol)) == [FID, CLIP, "hps_v2_0"] == list(deviations)
    assert found["hps_v2_0"] == pytest.approx(100 * hps.text_similarity(images, captions).mean(), abs=1e-4)
    assert found[CLIP] == pytest.approx(tiny_clip.text_similarity(images, captions).mean(), abs=1e-6)
    assert objective_names(protocol) == (FID, CLIP)

    without = replace(protocol, metrics=("fid", "clip"))
    assert score_names(without) == (FID, CLIP) and searched_clips(without) == protocol.clips[:1]
    alone = replace(protocol, clips=protocol.clips[:1])
    with pytest.raises(InputError, match="clips: none of hps, which the metrics name"):
        objective_names(alone)
    with pytest.raises(InputError, match="clips: none; a search needs one"):
        objective_names(replace(protocol, clips=protocol.clips[1:]))
