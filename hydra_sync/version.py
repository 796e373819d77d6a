"""Which release this is, as peers and people see it. No I/O."""

from __future__ import annotations

from typing import Final

__all__ = ["AGENT", "VERSION"]

VERSION: Final = "0.1.0"
AGENT: Final = f"hydra-sync/{VERSION}"
