"""Plain data to dataclasses, strictly."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from space.shared.plain import ByName, InputError, from_plain, nearest, to_plain


@dataclass(frozen=True)
class Inner:
    size: int
    ratio: float = 0.5

    def __post_init__(self) -> None:
        if self.size < 0:
            raise InputError(f"size: {self.size} is negative")


@dataclass(frozen=True)
class Outer:
    inner: Inner
    many: tuple[Inner, ...] = ()
    kind: Literal["a", "b"] = "a"
    name: str | None = None
    files: str | tuple[str, ...] | None = None
    sizes: tuple[int, ...] = ()
    some: tuple[str, ...] | None = None
    on: bool = False
    table: dict[str, int] = field(default_factory=dict)


def read(**data: Any) -> Outer:
    outer: Outer = from_plain(Outer, {"inner": {"size": 1}} | data)
    return outer


def test_reads_nested_data_and_writes_it_back() -> None:
    outer = read(many=[{"size": 2, "ratio": 1}], kind="b", name="x", on=True, table={"k": 3})
    assert outer == Outer(Inner(1), (Inner(2, 1.0),), "b", "x", on=True, table={"k": 3})
    assert isinstance(outer.many[0].ratio, float)
    assert from_plain(Outer, to_plain(outer)) == outer
    assert to_plain(read(), omit_defaults=True)["inner"] == {"size": 1}
    assert "kind" not in to_plain(read(), omit_defaults=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"inner": {"size": "x"}}, "inner.size: expected a whole number, got 'x'"),
        ({"name": "half a \ud83d"}, r"name: 'half a \\ud83d' is not UTF-8"),
        ({"inner": {"size": True}}, "inner.size: expected a whole number, got True"),
        ({"inner": {"size": 1.5}}, "inner.size: expected a whole number, got 1.5"),
        ({"inner": {"size": -1}}, "inner.size: -1 is negative"),
        ({"inner": {}}, "inner.size: missing"),
        ({"inner": 3}, "inner: expected a mapping"),
        ({"many": [{"size": 1}, {"siz": 2}]}, r"many\[1\].siz: no such field; did you mean 'size'"),
        ({"many": {"size": 1}}, r"many: expected a list, got \{'size': 1\}$"),
        ({"many": "ab"}, "many: expected a list, got 'ab'$"),
        ({"sizes": 3}, r"sizes: expected a list, got 3; a list of one: \[3\]$"),
        ({"some": "ab"}, r"^some: expected a list or null, got 'ab'; a list of one: \[ab\]$"),
        ({"kind": "c"}, "kind: 'c' is not a choice here; Valid: a, b"),
        ({"name": 3}, "^name: expected text or null, got 3$"),
        ({"files": 3}, "^files: expected text or a list or null, got 3$"),
        ({"files": ["a", 3]}, r"^files\[1\]: expected text, got 3$"),
        ({"on": 1}, "on: expected true or false, got 1"),
        ({"table": [1]}, "table: expected a mapping"),
        ({"table": {"k": "v"}}, "table.k: expected a whole number"),
    ],
)
def test_bad_data_is_refused_by_field(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(**data)


def test_numbers_that_yaml_writes_in_other_ways() -> None:
    assert from_plain(Inner, {"size": 3.0}) == Inner(3)  # a whole number with a point
    assert from_plain(Inner, {"size": 3, "ratio": "1e-3"}) == Inner(3, 1e-3)  # text to YAML 1.1
    with pytest.raises(InputError, match="ratio: expected a number, got 'nan-ish'"):
        from_plain(Inner, {"size": 3, "ratio": "nan-ish"})


def test_nearest_name() -> None:
    assert nearest("swosh", ["swish", "gelu"]) == "did you mean 'swish'? Valid: gelu, swish"
    assert nearest("zzz", ["swish", "gelu"]) == "Valid: gelu, swish"
    assert nearest("x", []) == "Valid: (none)"


@dataclass(frozen=True)
class Plum:
    name: Literal["plum"] = "plum"
    stones: int = 1


Fruit = Annotated[Any, ByName({"plum": f"{__name__}:Plum"}, renamed={"damson": "plum"})]


def test_by_name_an_older_name_is_read_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert from_plain(Fruit, {"name": "damson", "stones": 2}, "fruit") == Plum(stones=2)
    assert "fruit.name=damson is now fruit.name=plum" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["plumb", None, 3, ["plum"], {"plum": 1}])
def test_by_name_refuses_whatever_is_no_name(name: Any) -> None:
    with pytest.raises(InputError, match=r"^fruit\.name: .* is not a choice here; .*Valid: plum$"):
        from_plain(Fruit, {"name": name}, "fruit")
