"""What all tests share: where the data of hydra-node lies, and the option that makes a skip a failure."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# A shell that runs us in the background leaves SIGINT ignored, for our children too, and some tests send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fail-on-skip", action="store_true", help="a skipped test is a failure")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.getoption("--fail-on-skip") and exitstatus == 0:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        assert reporter is not None
        if reporter.stats.get("skipped"):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def hydra_data() -> Path:
    """The directory with hydra-node's keys, samples and transactions."""
    data = Path(os.environ.get("HYDRA_SYNC_DATA", ROOT.parent / "shared" / "data")) / "hydra"
    if not data.is_dir():
        pytest.skip(f"hydra-node's data is not at {data}; set HYDRA_SYNC_DATA")
    return data
