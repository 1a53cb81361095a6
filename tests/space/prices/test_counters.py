"""Independent counters refuse what they cannot count."""

import pytest
import torch
from torch import Tensor, nn

from space.prices.counters import UnknownOperator, fvcore_count_of, meta_count_of


class Plain(nn.Module):
    """A linear layer (3 x 2 weights, 2 biases) on 5 rows, normed."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 2), nn.LayerNorm(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x))


class Distances(Plain):
    """Pairwise distances multiply matrices inside one operator that neither counter has a formula for."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cdist(super().forward(x), torch.zeros(4, 2, device=x.device))


class Spectrum(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(super().forward(x)).real


class Products(Plain):
    """Attention-like: two activations multiplied, 5 x 2 by 2 x 5."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)[None]
        return y @ y.transpose(1, 2)


def test_a_linear_layer_by_hand() -> None:
    """5 rows x 3 x 2 weights = 30 MACs; 6 weights, 2 biases, 4 of the norm = 12 parameters."""
    assert tuple(meta_count_of(Plain, torch.zeros(5, 3, device="meta"))) == (12, 30, 0)
    counted = fvcore_count_of(Plain(), torch.zeros(5, 3))
    assert tuple(counted) == (12, 30, 0)  # without the 50 operations that fvcore counts for the norm


def test_products_of_activations_are_told_from_layers() -> None:
    """30 MACs of the layer, 5 x 2 x 5 = 50 of the product."""
    assert tuple(meta_count_of(Products, torch.zeros(5, 3, device="meta"))) == (12, 80, 50)
    assert tuple(fvcore_count_of(Products(), torch.zeros(5, 3))) == (12, 80, 50)


@pytest.mark.parametrize(("module", "operator"), [(Distances, "cdist"), (Spectrum, "fft")])
def test_an_unknown_operator_fails_both_counts(module: type[nn.Module], operator: str) -> None:
    with pytest.raises(UnknownOperator, match=operator):
        meta_count_of(module, torch.zeros(5, 3, device="meta"))
    with pytest.raises(UnknownOperator, match=operator):
        fvcore_count_of(module(), torch.zeros(5, 3))
