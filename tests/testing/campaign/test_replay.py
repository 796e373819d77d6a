"""What a run is replayed from may be edited, and is read with care."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydra_sync.errors import UsageError
from hydra_sync.testing.campaign.replay import read_setup, write_setup
from hydra_sync.testing.plan.scenario import SETUP_MAX, Setup


@pytest.mark.parametrize("seconds", [0, 2, 0.001, SETUP_MAX["seconds"]])
def test_setups_are_read_as_they_were_written(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "setup.json"
    write_setup(Setup(SETUP_MAX["nodes"], seconds, 0), path)
    assert read_setup(path) == Setup(SETUP_MAX["nodes"], seconds, 0)


@pytest.mark.parametrize(
    ("field", "number"),
    [
        *(("seconds", words) for words in ("NaN", "Infinity", "1e999", "-1", "true", '"5"', "1e300")),
        *(("nodes", words) for words in ("0", "2.0", "1e9", "1000000000", "NaN", "true")),
        *(("operations", words) for words in ("-1", "0.5", "1e9", "null")),
    ],
)
def test_a_slip_in_a_setup_is_told(tmp_path: Path, field: str, number: str) -> None:
    """By the field and what it may be; the scenario is not blamed for it."""
    path = tmp_path / "setup.json"
    whole = Setup(3, 3, 3).to_json()
    path.write_text(whole.replace(f'"{field}": 3', f'"{field}": {number}'))
    with pytest.raises(UsageError, match=rf"setup.json is not a setup.*: {field} is .*, and has to be a .*number from"):
        read_setup(path)
