import random
from dataclasses import replace

import optuna
import pytest
import yaml

from space.architecture import Architecture
from space.choices import LevelRanges, Space, UniformSuggestions
from space.prices.macs import price
from space.proxy import Proxy, narrow
from space.search_space import step_of
from space.shared.plain import InputError, from_plain

MD = Architecture.load("conf/arch/md.yaml")
MD_LITE = Architecture.load("conf/arch/md_lite.yaml")


def md_space() -> Space:
    with open("conf/space/md.yaml") as file:
        space = from_plain(Space, yaml.safe_load(file), "space")
    assert isinstance(space, Space)
    return space


@pytest.mark.parametrize("architecture", [MD, MD_LITE], ids=["md", "md_lite"])
def test_the_papers_architectures_are_points_of_the_space(architecture):
    space = md_space()
    chosen = {name: values[0] for name, values in space.choices()} | space.encode(architecture)
    assert space.architecture(chosen) == architecture


def test_every_sample_encodes_back_to_itself():
    space, chance = md_space(), random.Random(0)
    for _ in range(500):
        architecture = space.sample(UniformSuggestions(chance))
        pinned = {name: values[0] for name, values in space.choices()}
        assert space.architecture(pinned | space.encode(architecture)) == architecture


@pytest.mark.parametrize(
    ("names", "order"),
    [
        ("level_1 level_2", None),
        ("level_2 level_1", None),  # level_0 added to a preset by a word stands last
        ("a b", None),
        ("outer inner", "inner, outer"),
        ("level_1 level_2 level_10", "level_1, level_10, level_2"),
    ],
)
def test_levels_that_would_be_turned_around_by_their_names_are_refused(names, order):
    space = Space(levels={name: LevelRanges((64,)) for name in names.split()})
    if order is None:
        space.check_order()
        return
    with pytest.raises(InputError, match=rf"^levels: {', '.join(names.split())} go by .*: {order};"):
        space.check_order()


def test_ignored_choices_make_no_second_network():
    space = md_space()
    chosen = {name: values[0] for name, values in space.choices()}  # no layers in levels 1 and 2
    duplicates = [
        space.architecture(chosen | {"level_1.self_attention": value, "level_2.cross_attention": value})
        for value in (False, True)
    ]
    assert duplicates[0] == duplicates[1] and duplicates[0].id == duplicates[1].id


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"middle": {"blocks": [0]}}, "not searched"),
        ({"head_width": 32}, "not searched"),
        ({"feed_forward_ratio": 5}, "feed_forward_ratio: 5 is not in the space"),
    ],
)
def test_what_is_no_point_of_the_space_is_told_why(change, why):
    foreign = Architecture.from_plain(MD.to_plain() | change)
    with pytest.raises(InputError, match=why):
        md_space().encode(foreign)


def test_a_width_outside_the_ranges_is_named():
    levels = (*MD.levels[:2], replace(MD.levels[2], channels=1536))
    with pytest.raises(InputError, match=r"level_3\.channels: 1536 .*allowed: "):
        md_space().encode(replace(MD, levels=levels))


def test_layers_that_differ_from_block_to_block_are_no_point_of_the_space():
    levels = (*MD.levels[:2], replace(MD.levels[2], down=(3, 2)))
    with pytest.raises(InputError, match="differ from block to block"):
        md_space().encode(replace(MD, levels=levels))


def test_a_pinned_choice_is_not_sampled_and_holds():
    space = md_space()
    levels = space.levels | {"level_3": replace(space.levels["level_3"], channels=(1024,))}
    pinned = replace(space, levels=levels)
    assert "level_3.channels" not in pinned.free()
    chance = random.Random(1)
    assert {pinned.sample(UniformSuggestions(chance)).levels[2].channels for _ in range(50)} == {1024}


def test_optuna_trials_can_be_sampled_from_and_every_choice_is_suggested_every_time():
    space = md_space()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(20)]
    for trial in trials:
        space.sample(trial)
        assert set(trial.params) == set(space.free())


def test_the_smallest_is_smaller_than_any_sample():
    space, chance = md_space(), random.Random(2)
    for cost_of in (lambda a: price(a).macs, lambda a: price(a).parameters):
        least = cost_of(space.smallest(cost_of))
        assert all(least <= cost_of(space.sample(UniformSuggestions(chance))) for _ in range(500))


def test_ranges_that_cannot_be_are_refused_by_name():
    ranges = LevelRanges(channels=(64, 128))
    with pytest.raises(InputError, match=r"level_1.channels: no value left"):
        Space({"level_1": replace(ranges, channels=())})
    with pytest.raises(InputError, match=r"level_1.channels: .* holds a value twice"):
        Space({"level_1": replace(ranges, channels=(64, 64))})
    with pytest.raises(InputError, match="head_width"):
        Space({"level_1": ranges}, base={"head_widht": 32})


def test_only_evenly_spaced_rising_numbers_have_a_step():
    assert step_of((768, 832, 896)) == 64 and step_of((1, 2)) == 1
    assert step_of((1, 2, 4)) is None and step_of((2, 1)) is None
    assert step_of((False, True)) is None and step_of((4,)) is None and step_of(("a", "b")) is None


def test_the_kernel_of_separable_blocks_can_be_searched():
    """Three values of section 3.3; where nothing is separable they are one network."""
    space = replace(md_space(), separable_kernel=(3, 7, 9))
    assert list(space.free())[:-1] == list(md_space().free()) and list(space.free())[-1] == "separable_kernel"
    assert space.encodings == 3 * md_space().encodings
    chance, kernels = random.Random(0), set()
    for _ in range(100):
        suggestions = UniformSuggestions(chance)
        architecture = space.sample(suggestions)
        separable = any(level.conv == "separable" for level in architecture.levels)
        assert ("separable_kernel" in space.ignored(architecture)) is not separable
        assert architecture.separable_kernel == (suggestions.params["separable_kernel"] if separable else 3)
        assert space.architecture(space.pinned() | space.encode(architecture)) == architecture
        kernels.add(architecture.separable_kernel)
    assert kernels == {3, 7, 9}
    with pytest.raises(InputError, match="separable_kernel: 4 is even"):
        replace(md_space(), separable_kernel=(4, 3))


def test_the_space_without_it_is_sampled_as_ever():
    """Free choices in their order: the parameters of recorded trials, and what samplers are seeded by."""
    assert md_space().pinned() == {"level_3.blocks": 2, "separable_kernel": 3}
    assert list(md_space().free())[-5:] == [
        "separable_expansion", "feed_forward_ratio", "shared_key_value", "activation", "attention",
    ]  # fmt: skip


def test_what_is_ignored_at_a_point_is_what_makes_no_difference_there():
    """Against trying every other value of every choice."""
    space, chance = md_space(), random.Random(0)
    pinned, seen = space.pinned(), set()
    for _ in range(40):
        suggestions = UniformSuggestions(chance)
        architecture = space.sample(suggestions)
        without_effect = {
            name
            for name, values in space.free().items()
            if all(
                space.architecture(pinned | suggestions.params | {name: value}) == architecture
                for value in values
            )
        }
        assert space.ignored(architecture) == without_effect
        seen |= without_effect
        canonical = space.canonical(suggestions.params)
        assert space.architecture(pinned | canonical) == architecture
        assert space.canonical(canonical) == canonical == space.encode(architecture)
    assert {"level_1.self_attention", "level_2.cross_attention", "separable_expansion"} <= seen


def test_what_is_fixed_around_a_network_stays_where_nothing_attends():
    """A text encoder of 20 x 1024 features gives them to every network, those without cross-attention too."""
    base = {"context_length": 20, "context_width": 1024, "head_width": 48, "norm_groups": 16}
    base |= {"time_width": 96}
    ranges = LevelRanges((96, 144), layers_down=(0, 1), cross_attention=(False, True))
    space = Space({"level_1": ranges}, base=base)
    bare = space.architecture({name: values[0] for name, values in space.choices()})
    assert not bare.cross_attention_layers
    assert (bare.context_length, bare.context_width, bare.head_width) == (20, 1024, 48)
    assert narrow(bare, Proxy(width_divisor=3)).head_width == 16
    plain = replace(bare, context_length=77, context_width=768, head_width=64)
    assert bare.id == plain.id and bare.canonical() == plain.canonical() == plain
    assert space.encode(bare) == space.encode(plain)
    assert Architecture.from_yaml(bare.to_yaml()) == bare
    chosen = {name: values[-1] for name, values in space.choices()}
    assert space.architecture(chosen).id != replace(space.architecture(chosen), context_width=768).id
