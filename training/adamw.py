"""AdamW of networks that are many small tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from training.devices import has_fused_optimizer


class _Lists(NamedTuple):
    of: list[Tensor]  # the optimiser's own list, which others may put another in the place of
    parameters: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    steps: Tensor  # taken so far, (parameters,)
    own_steps: list[Tensor]  # the same, one by one


class QuickAdamW(AdamW):
    """torch's own to the bit, of all parameters at once where each has a gradient.

    torch looks at every parameter anew in each step and adds 1 to a tensor for each: of a network whose
    tensors are small, half of the step. Here what stays is listed once, and all steps are one tensor, of
    which each parameter's state holds a part.
    """

    _lists: _Lists | None = None  # of the state as it is; copies begin without

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        device: torch.device,
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        fused = has_fused_optimizer(device)
        super().__init__(parameters, lr, betas, weight_decay=weight_decay, fused=fused)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        lists = self._listed()
        gradients = [] if lists is None else [each.grad for each in lists.parameters if each.grad is not None]
        if lists is None or closure is not None or len(gradients) < len(lists.parameters):
            return super().step(closure)
        group = self.param_groups[0]
        with torch.no_grad():
            lists.steps.add_(1)
            torch._fused_adamw_(
                lists.parameters,
                gradients,
                lists.means,
                lists.squares,
                [],
                lists.own_steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )
        return None

    def _listed(self) -> _Lists | None:
        """None before the first step, and of what torch alone can step."""
        parameters = self.param_groups[0]["params"]
        if self._lists is not None and self._lists.of is not parameters:
            self._lists = None
        if self._lists is None and len(self.param_groups) == 1 and self.defaults["fused"]:
            kept: list[dict[str, Tensor]] = [self.state.get(each, {}) for each in parameters]
            alike = {(type(each), each.dtype, each.device) for each in parameters}
            if all(kept) and len(alike) == 1 and type(parameters[0]) is nn.Parameter:
                steps = torch.stack([each["step"] for each in kept])
                for each, own in zip(kept, own_steps := list(steps.unbind()), strict=True):
                    each["step"] = own
                means, squares = ([each[name] for each in kept] for name in ("exp_avg", "exp_avg_sq"))
                self._lists = _Lists(parameters, list(parameters), means, squares, steps, own_steps)
        return self._lists

    def zero_grad(self, set_to_none: bool = True) -> None:
        if not set_to_none:
            return super().zero_grad(set_to_none=False)
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        return None

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self._lists = None
        super().load_state_dict(dict(state_dict))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self._lists = None
        super().add_param_group(param_group)
