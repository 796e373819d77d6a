"""``python -m simulations.model``."""

from __future__ import annotations

from simulations.model.command import main

if __name__ == "__main__":
    main()
