"""Ray for several searches in turn: it takes seconds to start, so that a sweep starts it once."""

from __future__ import annotations

from collections.abc import Callable

from search.backends.cluster import ClusterSettings, set_ray_environment


class RayConnection:
    """Started by the first search that asks for it, and again only for one with other settings; over at the
    end of a `with` block. Ray itself is imported when it is needed, not before."""

    def __init__(self) -> None:
        self._settings: ClusterSettings | None = None

    def __enter__(self) -> RayConnection:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def check(self, settings: ClusterSettings) -> None:
        """Raises InputError where a cluster that runs already is wanted, and does not answer."""
        if settings.address is not None and settings != self._settings:
            set_ray_environment(settings)
            from search.backends.ray_cluster import check_answers

            check_answers(settings.address)

    def use(self, settings: ClusterSettings, announce: Callable[[str], None]) -> None:
        """
        Raises:
            InputError: Ray does not start, or no cluster answers.
        """
        if settings == self._settings:
            return
        self._close()
        set_ray_environment(settings)
        from search.backends.ray_cluster import connect

        announce("starting Ray ..." if settings.address is None else "connecting to Ray ...")
        connect(settings, announce)
        self._settings = settings

    def _close(self) -> None:
        if self._settings is not None:
            self._settings = None
            from search.backends.ray_cluster import disconnect

            disconnect()
