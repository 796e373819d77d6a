"""trio's private names are watched."""

from __future__ import annotations

import pytest
import trio
from trio._core import _run

from hydra_sync.testing import TrioChangedError
from hydra_sync.testing.world import _trio_internals as internals


def test_this_trio_is_one_we_know() -> None:
    """Every private name that the simulation uses is there, and is what we take it for."""
    internals.check()


@pytest.mark.parametrize("name", ["_ALLOW_DETERMINISTIC_SCHEDULING", "_r"])
def test_a_changed_trio_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With an error that says what is no longer true, and in which version."""
    monkeypatch.setattr(_run, name, "something else")
    with pytest.raises(TrioChangedError, match=rf"trio {trio.__version__} .*{name}"):
        internals.check()
