"""Which architectures have a config of diffusers', and which are refused, by the field."""

from dataclasses import replace
from pathlib import Path

import pytest

from space.architecture import Architecture, Middle
from space.interchange.checkpoints import save_diffusers
from space.interchange.diffusers_config import diffusers_config
from space.interchange.from_diffusers import architecture_from_diffusers
from space.shared.plain import InputError
from space.unet import UNet
from tests.space.interchange.layouts import LAYOUTS

SD15 = architecture_from_diffusers(LAYOUTS["sd15"])


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            replace(SD15, shared_key_value=True),
            "shared_key_value: True has no diffusers layout; there: False",
        ),
        (replace(SD15, activation="swish"), "activation: 'swish' has no diffusers layout; there: gelu"),
        (replace(SD15, feed_forward_ratio=3), "feed_forward_ratio: 3"),
        (replace(SD15, stack_projection="none"), "stack_projection: 'none'"),
        (replace(SD15, attention="relu"), "attention: 'relu'"),
        (replace(SD15, middle=Middle((1,))), r"middle.blocks: \[1\] has no diffusers layout"),
        (
            replace(SD15, levels=(replace(SD15.levels[0], conv="separable"),)),
            r"levels\[0\].conv: 'separable'",
        ),
        (
            replace(SD15, middle=Middle((1, 0), conv="separable"), separable_kernel=7),
            r"middle.conv: 'separable' has no diffusers layout; there: full",
        ),
        (replace(SD15, levels=(replace(SD15.levels[0], down=(1, 0)),)), r"levels\[0\].down: \[1, 0\]"),
        (
            replace(SD15, levels=(replace(SD15.levels[0], self_attention=False),)),
            r"levels\[0\].self_attention",
        ),
        (replace(SD15, levels=(replace(SD15.levels[0], down=(2, 2)),)), r"middle.blocks: \[1, 0\]"),
    ],
)
def test_what_diffusers_has_no_layout_for_is_named(
    architecture: Architecture, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        save_diffusers(UNet(architecture), tmp_path / "unet")
    assert not (tmp_path / "unet").exists()


def test_saving_keeps_every_key_that_reading_needs() -> None:
    for layout in LAYOUTS.values():
        architecture = architecture_from_diffusers(layout)
        assert architecture_from_diffusers(diffusers_config(architecture)).id == architecture.id


def test_a_kernel_that_nothing_acts_on_leaves_the_config() -> None:
    assert diffusers_config(replace(SD15, separable_kernel=9)) == diffusers_config(SD15)
