"""What is a parameter of ours called in diffusers' layout of a UNet?"""

from __future__ import annotations

import re

ADDED_CONDITIONS = {"text_embeds": "pooled", "time_ids": "sizes"}  # of SDXL: diffusers' names, and ours

# In order, on a parameter's whole name: where it stands, then what it is.
_RENAMES = [
    (re.compile(pattern), there)
    for pattern, there in (
        (r"^time\.0\.", "time_embedding.linear_1."),
        (r"^time\.2\.", "time_embedding.linear_2."),
        (r"^guidance\.", "time_embedding.cond_proj."),
        (r"^added\.0\.", "add_embedding.linear_1."),
        (r"^added\.2\.", "add_embedding.linear_2."),
        (r"^norm_out\.", "conv_norm_out."),
        (r"^(down|up)\.(\d+)\.stages\.(\d+)\.conv\.", r"\1_blocks.\2.resnets.\3."),
        (r"^(down|up)\.(\d+)\.stages\.(\d+)\.stack\.", r"\1_blocks.\2.attentions.\3."),
        (r"^(down|up)\.(\d+)\.(?:down|up)sample\.(?:conv\.)?", r"\1_blocks.\2.\1samplers.0.conv."),
        (r"^middle\.(\d+)\.conv\.", r"mid_block.resnets.\1."),
        (r"^middle\.(\d+)\.stack\.", r"mid_block.attentions.\1."),
        (r"\.time\.", ".time_emb_proj."),
        (r"\.shortcut\.", ".conv_shortcut."),
        (r"\.project_(in|out)\.", r".proj_\1."),
        (r"\.layers\.", ".transformer_blocks."),
        (r"\.self_norm\.", ".norm1."),
        (r"\.cross_norm\.", ".norm2."),
        (r"\.feed_norm\.", ".norm3."),
        (r"\.self_attention\.", ".attn1."),
        (r"\.cross_attention\.", ".attn2."),
        (r"\.query\.", ".to_q."),
        (r"\.key\.", ".to_k."),
        (r"\.value\.", ".to_v."),
        (r"(attn\d)\.out\.", r"\1.to_out.0."),
        (r"\.feed_forward\.expand\.", ".ff.net.0.proj."),
        (r"\.feed_forward\.reduce\.", ".ff.net.2."),
    )
]


def diffusers_name(ours: str) -> str:
    """The name of one of our parameters in the diffusers layout.

    >>> diffusers_name("down.1.stages.0.stack.layers.0.self_attention.query.weight")
    'down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight'
    """
    for pattern, there in _RENAMES:
        ours = pattern.sub(there, ours)
    return ours
