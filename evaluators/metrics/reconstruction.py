"""How near images come back to what they were, one by one: PSNR and SSIM, on 8 bits as files hold them."""

from __future__ import annotations

import numpy as np
import torch

from space.shared.plain import InputError

RANGE = 255.0
WINDOW_PX = 11  # of SSIM's Gaussian, deviation 1.5 (Wang et al., 2004)


def psnr(images: np.ndarray, given: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8 twice to (N,) decibels; infinite where an image came back exactly."""
    error = (images.astype(np.float64) - given.astype(np.float64)) ** 2
    with np.errstate(divide="ignore"):
        found: np.ndarray = 10 * np.log10(RANGE**2 / error.mean(axis=(1, 2, 3)))
    return found


def psnr_where(images: np.ndarray, given: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """As `psnr`, of the pixels where (N, H, W) bool is true; where these came back exactly, that of an error
    of 1 in one of their values, so that a mean over images is finite."""
    values = 3 * kept.sum(axis=(1, 2))
    error = ((images.astype(np.float64) - given.astype(np.float64)) ** 2 * kept[..., None]).sum(
        axis=(1, 2, 3)
    )
    found: np.ndarray = 10 * np.log10(RANGE**2 * values / np.maximum(error, 1))
    return found


def ssim(images: np.ndarray, given: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8 twice to (N,), the mean over channels and pixels, images mirrored at their edges.

    Raises:
        InputError: images smaller than the window.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    if min(images.shape[1:3]) < WINDOW_PX:
        height, width = images.shape[1:3]
        raise InputError(f"images of {width}x{height} px; SSIM's window takes {WINDOW_PX} px or more a side")
    one, other = (torch.from_numpy(part).permute(0, 3, 1, 2).double() for part in (images, given))
    found = structural_similarity_index_measure(other, one, data_range=RANGE, reduction="none")
    assert isinstance(found, torch.Tensor)
    return found.numpy().reshape(len(images))
