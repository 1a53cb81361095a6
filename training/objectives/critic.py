"""What tells generated latents from real ones: a diffusion network that gives one number (section 4.1)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from training.model import Model

KEPT_SHARE = 0.99  # of the running mean of what is told apart, an update
LEARNT_SHARE = 0.52  # told apart; luck tells half
JUDGED_UPDATES = 200  # before which a discriminator is young


class Discriminator(nn.Module):
    """A diffusion network whose output, its mean over channels and places, is the logit of "real".

    Attributes:
        network: the discriminator itself.
        follower: the generator's running mean, if a reconstruction term needs it. It lies here, where states
            hold what the generator's own optimiser does not train.
        followed: the number of the batch whose generator the mean holds last; it may go back.
        told_apart: the running share of latents that are told right, of those that count.
    """

    followed: Tensor
    told_apart: Tensor

    def __init__(self, base: Model, *, zero_last_layer: bool, follower: Model | None) -> None:
        super().__init__()
        self.network = network_alone(base).requires_grad_(True)
        if zero_last_layer:
            last = self.network.unet.conv_out
            assert isinstance(last, nn.Conv2d) and last.bias is not None
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.follower = None if follower is None else network_alone(follower).requires_grad_(False)
        self.register_buffer("followed", torch.tensor(-1, device=base.device))
        self.register_buffer("told_apart", torch.tensor(0.5, device=base.device))

    def forward(self, latents: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """(B, C, H, W) latents, (B,) timesteps and text to (B,) logits."""
        logits: Tensor = self.network(latents, timesteps, context).float()
        return logits.mean(dim=(1, 2, 3))

    @torch.no_grad()
    def follow(self, model: Model, step: Tensor, decay: float) -> None:
        """Take the generator as it is before this step into the running mean, once a step."""
        if self.follower is None or int(step) == int(self.followed):
            return
        held: list[Tensor] = list(self.follower.unet.parameters())
        now: list[Tensor] = list(model.unet.parameters())
        torch._foreach_lerp_(held, now, 1 - decay)
        self.followed.fill_(int(step))

    @torch.no_grad()
    def watch(
        self,
        real: Tensor,
        fake: Tensor,
        counted: Tensor,
        batch_size: int,
        total: Callable[[float], float] | None,
    ) -> None:
        """Take (B,) logits, of a part of the batch, into the running share of what is told apart; with
        several workers those of all, by which all have the same bits.

        Args:
            counted: (B,) which of them count.
            total: as a `TrainingObjective` has it.
        """
        right = ((real.sign() - fake.sign()) / 4 + 0.5) * counted  # a logit of 0 is half right
        right, images = right.sum(), counted.float().sum()
        if total is not None:
            right, images = (each.new_tensor(total(float(each))) for each in (right, images))
        self.told_apart.lerp_(right / images.clamp(min=1), 1 - KEPT_SHARE ** (images / batch_size))


def network_alone(model: Model) -> Model:
    """A copy without its text encoder, for features that the model itself makes."""
    text, model.text = model.text, None
    try:
        return copy.deepcopy(model)
    finally:
        model.text = text


@contextmanager
def as_it_is(module: nn.Module) -> Iterator[None]:
    """Gradients pass through a module within the block, and none are its own."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def passed_on(value: Tensor, seen: Tensor, tensor: Tensor) -> Tensor:
    """`value`, computed of `seen`, as a scalar whose gradient goes to the `tensor` that `seen` is a copy of.

    So the backward pass through what computed it is over already, within `as_it_is`: activations that are
    computed again then find it as it was.
    """
    (gradient,) = torch.autograd.grad(value, seen)
    return value.detach() + ((tensor - tensor.detach()) * gradient).sum()


def told_by_luck(told_apart: Sequence[float]) -> str | None:
    """What to say of a discriminator that never learnt to tell anything apart, by its running shares."""
    if len(told_apart) < JUDGED_UPDATES or (most := max(told_apart)) >= LEARNT_SHARE:
        return None
    return (
        f"note: in {len(told_apart)} updates the discriminator told {most:.1%} apart at best, where luck "
        "tells half, so the adversarial term taught nothing. A higher "
        "objective.discriminator_learning_rate, objective.discriminator_betas=[0.9,0.999] and a wider "
        "objective.gap may help (docs/one-step.md)"
    )
