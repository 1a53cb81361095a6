"""DiT: by hand on a tiny width, by PyTorch's counter, and by equality with diffusers' independent module."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from space.dit import DiT, DiTNetwork, block_cost, dit_price
from space.shared.plain import InputError

ARCH = Path(__file__).parents[2] / "conf" / "arch"
TINY = DiT(latent_size=4, patch=2, depth=2, width=8, heads=2, classes=3)


def counted(dit: DiT) -> tuple[int, int]:
    """(parameters, MACs) by PyTorch, on meta tensors."""
    with torch.device("meta"):
        network = DiTNetwork(dit)
        latents = torch.zeros(1, dit.latent_channels, dit.latent_size, dit.latent_size)
        with FlopCounterMode(display=False) as counter:
            network(latents, torch.zeros(1), torch.zeros(1, dtype=torch.long))
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops() // 2


def test_a_block_by_hand() -> None:
    """4 tokens, width 8, ratio 4: weights 8x48 + 8x24 + 8x8 + 8x32 + 32x8, biases 48 + 24 + 8 + 32 + 8."""
    block = block_cost(TINY)
    assert block.parameters == 384 + 192 + 64 + 256 + 256 + 120
    assert block.attention_macs == 4 * 4 * 8 * 2
    assert block.macs == 384 + 4 * (192 + 64 + 256 + 256) + 256


@pytest.mark.parametrize("dit", [TINY, DiT(), DiT(patch=4, depth=3, width=96, learned_variance=False)])
def test_closed_form_equals_pytorchs_counter(dit: DiT) -> None:
    assert (dit_price(dit).parameters, dit_price(dit).macs) == counted(dit)


def test_dit_xl_2_counts_as_published() -> None:
    dit = DiT.load(ARCH / "dit_xl_2.yaml")
    assert dit == DiT()
    assert dit_price(dit).parameters == pytest.approx(675.1e6, rel=1e-3)
    assert dit_price(dit).gmacs == pytest.approx(524.58, rel=1e-3)


def test_same_output_as_diffusers() -> None:
    from diffusers import DiTTransformer2DModel

    dit = DiT(latent_size=8, depth=2, width=32, heads=2, classes=5)
    peer = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        sample_size=8,
        num_embeds_ada_norm=5,
        norm_eps=1e-6,
    ).eval()
    torch.manual_seed(0)
    ours = DiTNetwork(dit).eval()
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    copy_into_diffusers(ours, peer)
    for (
        block
    ) in peer.transformer_blocks:  # the official code divides by half the width, diffusers by one less
        block.norm1.emb.time_proj.downscale_freq_shift = 0
    latents, time, labels = torch.randn(2, 4, 8, 8), torch.tensor([3, 731]), torch.tensor([1, 5])
    with torch.no_grad():
        expected = peer(latents, time, labels).sample
        actual = ours(latents, time, labels)
    assert expected.abs().mean() > 0.1
    assert torch.allclose(actual, expected, atol=1e-4)


def copy_into_diffusers(ours: DiTNetwork, peer: torch.nn.Module) -> None:
    """diffusers holds the embeddings once a block, and Q, K, V apart."""
    state = ours.state_dict()
    mapped = {f"pos_embed.proj.{end}": state[f"patches.{end}"] for end in ("weight", "bias")}
    for end in ("weight", "bias"):
        mapped[f"proj_out_1.{end}"] = state[f"modulation_out.{end}"]
        mapped[f"proj_out_2.{end}"] = state[f"out.{end}"]
        for index in range(len(ours.blocks)):
            here, there = f"blocks.{index}.", f"transformer_blocks.{index}."
            mapped[f"{there}norm1.linear.{end}"] = state[f"{here}modulation.{end}"]
            parts = state[f"{here}query_key_value.{end}"].chunk(3)
            for name, part in zip(("to_q", "to_k", "to_v"), parts, strict=True):
                mapped[f"{there}attn1.{name}.{end}"] = part
            for ours_name, name in (
                ("out", "attn1.to_out.0"),
                ("expand", "ff.net.0.proj"),
                ("reduce", "ff.net.2"),
            ):
                mapped[f"{there}{name}.{end}"] = state[f"{here}{ours_name}.{end}"]
            for ours_name, name in (("time.0", "linear_1"), ("time.2", "linear_2")):
                mapped[f"{there}norm1.emb.timestep_embedder.{name}.{end}"] = state[f"{ours_name}.{end}"]
            mapped[f"{there}norm1.emb.class_embedder.embedding_table.weight"] = state["labels.weight"]
    peer.load_state_dict(mapped)
    assert torch.allclose(peer.pos_embed.pos_embed, ours.positions, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch": 3}, "latent_size: 64 does not divide into patch = 3"),
        ({"heads": 5}, "width: 1152 does not divide into heads = 5"),
        ({"depth": 0}, "depth: 0 is not possible"),
        ({"width": 6, "heads": 2}, "width: 6 is not possible"),
    ],
)
def test_impossible_values_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DiT(**change)  # type: ignore[arg-type]


def test_a_wrong_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dit.yaml").write_text("widht: 1152")
    with pytest.raises(InputError, match=r"widht: no such field; did you mean 'width'"):
        DiT.load(tmp_path / "dit.yaml")
