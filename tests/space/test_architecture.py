"""The noun: written and read exactly, identified by what it is, compared in words, refused if impossible."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from space.architecture import Architecture, Level, Middle
from space.difference import difference, difference_in_a_line
from space.shared.plain import InputError
from tests.space.strategies import architectures

ARCH = Path(__file__).parents[2] / "conf" / "arch"
MD, MD_LITE = Architecture.load(ARCH / "md.yaml"), Architecture.load(ARCH / "md_lite.yaml")
LIMITS = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def with_level(index: int, **fields: object) -> Architecture:
    levels = list(MD.levels)
    levels[index] = replace(levels[index], **fields)  # type: ignore[arg-type]
    return replace(MD, levels=tuple(levels))


# ---------------------------------------------------------------------- reading and writing


@LIMITS
@given(architectures())
def test_yaml_round_trip_is_exact(architecture: Architecture) -> None:
    again = Architecture.from_yaml(architecture.to_yaml())
    assert again == architecture
    assert again.id == architecture.id
    assert again.to_yaml() == architecture.to_yaml()


def test_yaml_is_one_line_a_level() -> None:
    lines = MD.to_yaml().splitlines()
    assert lines[0] == "schema_version: 1"
    assert lines[-1].startswith("- {channels: 1024, conv: separable, down: [3, 3], up: [3, 3, 3]")
    assert len(lines) == 5


def test_md_counts_of_table_6() -> None:
    assert (MD.conv_blocks, MD.self_attention_layers, MD.cross_attention_layers) == (11, 15, 18)
    assert (MD_LITE.conv_blocks, MD_LITE.self_attention_layers, MD_LITE.cross_attention_layers) == (
        11,
        12,
        15,
    )


# ---------------------------------------------------------------------- identity


def test_ids_that_recorded_runs_depend_on() -> None:
    assert (MD.id, MD_LITE.id) == ("e7d9e606fec8", "a94f3b68fbca")


@pytest.mark.parametrize(
    "same",
    [
        with_level(0, self_attention=True, cross_attention=True),  # no layers at this level
        replace(MD, head_width=64),
        replace(MD, schema_version=1),
    ],
)
def test_unused_switches_leave_the_id(same: Architecture) -> None:
    assert same.id == MD.id
    assert difference(MD, same) == []


def test_switches_of_absent_parts_leave_the_id() -> None:
    bare = Architecture(levels=(Level(64, "full", (0,), (0, 0)), Level(64, "full", (0,), (0, 0))))
    unused = replace(
        bare,
        separable_expansion=2,
        separable_kernel=7,
        feed_forward_ratio=7,
        activation="gelu",
        attention="relu",
        shared_key_value=False,
        head_width=None,
        heads=3,
        stack_projection="conv",
        context_length=9,
        context_width=10,
    )
    assert unused.id == bare.id
    only_cross = with_level(2, self_attention=False)
    assert replace(only_cross, shared_key_value=False).id == only_cross.id
    no_layers = Middle((0,), self_attention=False, cross_attention=False)
    assert replace(MD, middle=Middle((0,))).id == replace(MD, middle=no_layers).id


@pytest.mark.parametrize(
    "other",
    [
        MD_LITE,
        with_level(2, channels=960),
        with_level(1, self_attention=True),
        with_level(0, conv="separable"),
        replace(MD, middle=Middle((0,))),
        replace(MD, separable_expansion=3),
        replace(MD, separable_kernel=7),
        replace(MD, feed_forward_ratio=4),
        replace(MD, activation="gelu"),
        replace(MD, attention="relu"),
        replace(MD, shared_key_value=False),
        replace(MD, head_width=32),
        replace(MD, stack_projection="linear"),
        replace(MD, context_length=78),
        replace(MD, latent_size=32),
        replace(MD, size_embeddings=6, pooled_width=1280),
    ],
)
def test_other_networks_have_other_ids(other: Architecture) -> None:
    assert other.id != MD.id
    assert difference(MD, other)


def test_a_later_field_with_a_default_leaves_ids_alone() -> None:
    @dataclass(frozen=True)
    class Later(Architecture):
        dropout: float = 0.0

    assert Later(levels=MD.levels).id == MD.id
    assert Later(levels=MD.levels, dropout=0.1).id != MD.id


# ---------------------------------------------------------------------- differences


def test_difference_in_words() -> None:
    assert difference(MD, MD_LITE) == [
        "level 3 channels: 1024 -> 896",
        "level 3 up: [3, 3, 3] -> [2, 2, 2]",
    ]
    changed = replace(with_level(1, self_attention=True), middle=Middle((2,)), activation="gelu")
    assert difference(MD, changed) == [
        "level 2 self attention: no -> yes",
        "middle: none -> blocks [2]",
        "activation: swish -> gelu",
    ]
    shorter = replace(MD, levels=MD.levels[:2])
    assert difference(MD, shorter)[0] == "level 3: removed (1024 channels)"
    assert difference(shorter, MD)[0] == "level 3: added (1024 channels)"


def test_difference_in_a_line_stands_by_levels_and_ends_after_a_dozen() -> None:
    assert difference_in_a_line(MD, MD) == ""
    assert difference_in_a_line(MD, MD_LITE) == "level 3: channels 1024 -> 896, up [3, 3, 3] -> [2, 2, 2]"
    changed = replace(with_level(1, self_attention=True), middle=Middle((2,)), activation="gelu")
    assert difference_in_a_line(MD, changed) == (
        "level 2: self attention no -> yes; middle: none -> blocks [2]; activation swish -> gelu"
    )
    assert difference_in_a_line(MD, replace(MD, levels=MD.levels[:2])) == "level 3: removed (1024 channels)"
    level = Level(64, "separable", (0,), (1, 1), cross_attention=True)
    many = Architecture(levels=(level,) * 3, activation="gelu", feed_forward_ratio=2, separable_expansion=2)
    count = len(difference(MD, many))
    assert count > 12 and difference_in_a_line(MD, many).endswith(f"; {count - 12} more")


# ---------------------------------------------------------------------- what cannot be


LEVEL = "{channels: 64, conv: full, down: [0], up: [0, 0]}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("levels: []", "levels: empty"),
        ("norm_groups: 32", "levels: missing"),
        (
            "levels: [{channels: 0, conv: full, down: [0], up: [0, 0]}]",
            r"levels\[0\].channels: 0 .*1 or more",
        ),
        ("levels: [{channels: 33, conv: full, down: [0], up: [0, 0]}]", r"levels\[0\].channels: 33 is odd"),
        ("levels: [{channels: 80, conv: full, down: [0], up: [0, 0]}]", r"norm_groups = 32; nearest: 64"),
        ("levels: [{channels: 64, conv: full, down: [], up: [0]}]", r"levels\[0\].down: empty"),
        ("levels: [{channels: 64, conv: full, down: [-1], up: [0, 0]}]", r"levels\[0\].down\[0\]: -1"),
        (
            "levels: [{channels: 64, conv: full, down: [0], up: [0]}]",
            r"levels\[0\].up: \[0\] has 1 .*which is 2",
        ),
        (
            "levels: [{channels: 64, conv: ful, down: [0], up: [0, 0]}]",
            r"levels\[0\].conv: 'ful'.*mean 'full'",
        ),
        (
            "levels: [{chanels: 64, conv: full, down: [0], up: [0, 0]}]",
            r"levels\[0\].chanels.*mean 'channels'",
        ),
        (
            "levels: [{channels: wide, conv: full, down: [0], up: [0, 0]}]",
            r"channels: expected a whole number",
        ),
        (
            "levels: [{channels: true, conv: full, down: [0], up: [0, 0]}]",
            r"channels: expected a whole number",
        ),
        ("levels: [{channels: 64, conv: full, down: 0, up: [0, 0]}]", r"levels\[0\].down: expected a list"),
        (f"levels: [{LEVEL}]\nshared_key_value: 1", "shared_key_value: expected true or false, got 1"),
        (f"levels: [{LEVEL}]\nactivaton: gelu", "activaton: no such field; did you mean 'activation'"),
        (f"levels: [{LEVEL}]\nactivation: swosh", "activation: 'swosh'.*did you mean 'swish'"),
        (
            f"levels: [{LEVEL}]\nseparable_kernel: 4",
            "separable_kernel: 4 is even.* nearest: 3, 5",
        ),
        (f"levels: [{LEVEL}]\nseparable_kernel: 0", "separable_kernel: 0 .*1 or more"),
        (f"levels: [{LEVEL}]\nheads: 4", "head_width: 64 beside heads: 4; allowed: exactly one"),
        (f"levels: [{LEVEL}]\nhead_width: null", "head_width: None beside heads: None"),
        (f"levels: [{LEVEL}]\nhead_width: 0", "head_width: 0"),
        (f"levels: [{LEVEL}]\nnorm_groups: 0", "norm_groups: 0"),
        (f"levels: [{LEVEL}]\npooled_width: -1", "pooled_width: -1"),
        (f"levels: [{LEVEL}]\nmiddle: {{blocks: []}}", "middle.blocks: empty"),
        (f"levels: [{LEVEL}, {LEVEL}, {LEVEL}]\nlatent_size: 30", "latent_size: 30 .*2 times.*nearest is 32"),
        (f"levels: [{LEVEL}]\nschema_version: 2", "schema_version: 2 is not known; allowed: 1"),
        ("levels: [", "not YAML"),
        ("- 1\n- 2", "expected a mapping"),
    ],
)
def test_impossible_architectures_are_refused_by_field(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        Architecture.from_yaml(text)


def test_heads_that_do_not_divide() -> None:
    with pytest.raises(InputError, match=r"levels\[2\].channels: 1056 does not divide.*head_width = 64"):
        with_level(2, channels=1056)
    with pytest.raises(InputError, match=r"middle.channels: 1024 .*heads = 3"):
        levels = tuple(replace(level, down=(0,), up=(0, 0)) for level in MD.levels)
        replace(MD, levels=levels, middle=Middle((1,)), head_width=None, heads=3)
    assert with_level(0, channels=352).levels[0].channels == 352  # no attention there, so no heads


def test_a_byte_order_mark_is_no_part_of_an_architecture(tmp_path: Path) -> None:
    (tmp_path / "md.yaml").write_text(MD.to_yaml(), encoding="utf-8-sig")
    assert Architecture.load(tmp_path / "md.yaml") == MD


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.yaml: cannot be read"):
        Architecture.load(tmp_path / "none.yaml")
    (tmp_path / "picture.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        Architecture.load(tmp_path / "picture.yaml")
    (tmp_path / "wrong.yaml").write_text("levels: [", encoding="utf-8")
    with pytest.raises(InputError, match=r"wrong.yaml: not YAML"):
        Architecture.load(tmp_path / "wrong.yaml")
