"""An .npz of `mu` and `sigma`, as pytorch-fid and clean-fid write them: moments of features.

Such a file does not say by which network they are, of how many images or of which.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from evaluators.images.npz import NPZ_ARRAY
from evaluators.measuring.reference import IMAGES, UNSAID, Reference
from evaluators.metrics.fid import Moments
from evaluators.networks.features import Networks
from space.shared.plain import InputError

MEAN, COVARIANCE = "mu", "sigma"
SUFFIX = ".npz"


def is_moments_file(source: str) -> bool:
    """Whether a source is one; an .npz that holds images too is read for these."""
    try:
        with zipfile.ZipFile(Path(source).expanduser()) as archive:
            arrays = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False
    return source.endswith(SUFFIX) and {MEAN, COVARIANCE} <= arrays and NPZ_ARRAY not in arrays


def reference_of_moments(source: str, networks: Networks) -> Reference:
    """As statistics by the one feature network, which the file must be by: that it cannot tell.

    Raises:
        InputError: arrays that are no mean and covariance, of another width, or several feature networks.
    """
    try:
        with np.load(Path(source).expanduser(), allow_pickle=False) as stored:
            mean, covariance = np.asarray(stored[MEAN]), np.asarray(stored[COVARIANCE])
        moments = Moments.of_unsaid_count(mean, covariance)
    except (OSError, ValueError) as error:
        raise InputError(f"reference: {source!r} cannot be read as mu and sigma: {error}") from None
    widths = ", ".join(f"{network.name} {network.width:,}" for network in networks.features)
    if len(networks.features) != 1 or networks.features[0].width != moments.width:
        raise InputError(
            f"reference: {source!r} holds mu and sigma of {moments.width:,} features by one network; this "
            f"protocol has {widths}"
        )
    (network,) = networks.features
    content = b"".join(np.ascontiguousarray(array, np.float64).tobytes() for array in (mean, covariance))
    about = {
        IMAGES: "",
        "digest": hashlib.sha256(content).hexdigest()[:16],
        UNSAID: f"{Path(source).name} holds mu and sigma, and not by which network: right only if by "
        f"{network.name} ({network.preparation})",
    }
    return Reference({network.name: moments}, {network.name: network.digest}, about=about)
