"""Where files of users' own found `points_at`, for one release more."""

from search.statistics.curves import Curve, points_at
from space.shared.renamed import note_renamed

__all__ = ["Curve", "points_at"]
note_renamed("import search.curves", "import search.statistics.curves")
