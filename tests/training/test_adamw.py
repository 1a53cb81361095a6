"""The optimiser against torch's own, to the bit."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from training.adamw import QuickAdamW

CPU = torch.device("cpu")
RATES = (1e-2, 3e-3)


def networks() -> tuple[nn.Sequential, nn.Sequential]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(20, 7), nn.Linear(7, 3))
    return network, copy.deepcopy(network)


def stepped(network: nn.Module, optimizer: torch.optim.Optimizer, number: int, without: str = "") -> None:
    optimizer.zero_grad()
    images = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(number))
    network(images).square().mean().backward()
    for name, parameter in network.named_parameters():
        if name == without:
            parameter.grad = None
    optimizer.param_groups[0]["lr"] = RATES[number % 2]
    optimizer.step()


def everything(network: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    kept = [optimizer.state[each] for each in network.parameters()]
    return [*network.parameters(), *(state[name] for state in kept for name in sorted(state))]


def test_steps_are_those_of_torch_whatever_comes_between() -> None:
    """A parameter without a gradient, whose steps then lag behind; a state that is loaded."""
    ours, theirs = networks()
    settings = {"lr": RATES[0], "betas": (0.9, 0.99), "weight_decay": 0.1}
    quick = QuickAdamW(ours.parameters(), CPU, **settings)  # type: ignore[arg-type]
    usual = torch.optim.AdamW(theirs.parameters(), **settings, fused=True)  # type: ignore[arg-type]
    for number in range(12):
        if number == 8:
            quick.load_state_dict(copy.deepcopy(quick.state_dict()))
        without = "2.bias" if number in (0, 4, 5) else ""
        stepped(ours, quick, number, without)
        stepped(theirs, usual, number, without)
        if number:
            assert all(map(torch.equal, everything(ours, quick), everything(theirs, usual)))
    steps = {float(state["step"]) for state in quick.state.values()}
    assert steps == {9.0, 12.0}


def test_all_steps_are_one_tensor_once_each_parameter_has_a_state() -> None:
    network, _ = networks()
    quick = QuickAdamW(network.parameters(), CPU, lr=1e-2, betas=(0.9, 0.99), weight_decay=0.0)
    stepped(network, quick, 0)
    before = [state["step"].data_ptr() for state in quick.state.values()]
    quick.step()
    after = [state["step"].data_ptr() for state in quick.state.values()]
    assert len(set(before)) == 6 and [pointer - after[0] for pointer in after] == [0, 4, 8, 12, 16, 20]
    quick.zero_grad()
    assert all(each.grad is None for each in network.parameters())


def test_a_copy_steps_its_own_parameters() -> None:
    network, _ = networks()
    quick = QuickAdamW(network.parameters(), CPU, lr=1e-2, betas=(0.9, 0.99), weight_decay=0.0)
    for number in range(3):
        stepped(network, quick, number)
    other, other_quick = copy.deepcopy((network, quick))
    before = [each.clone() for each in network.parameters()]
    stepped(other, other_quick, 3)
    assert all(map(torch.equal, network.parameters(), before))
    assert not any(map(torch.equal, other.parameters(), before))
