"""The README's session on the command line is true: its lines are run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.cli.commands import ENVIRONMENT, PATIENCE_S, free_port

ROOT = Path(__file__).parents[2]


def readme_session() -> str:
    """Its shell lines, in order."""
    text = (ROOT / "README.md").read_text()
    section = text[text.index("The same with the command line") : text.index("| command | does |")]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))


def test_the_session_of_the_readme(tmp_path: Path) -> None:
    """One crash, every event in order, a clean end, and two verdicts. Only the ports are others."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text(f'PATH="{tmp_path}/.venv/bin:$PATH"\n')
    command = tmp_path / ".venv" / "bin" / "hydra-sync"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hydra_sync "$@"\n')
    command.chmod(0o755)
    session = readme_session()
    for port in ("5001", "5002"):
        assert port in session
        session = session.replace(port, str(free_port()))
    session = f"set -eu\nalice= bob=\ntrap 'kill $alice $bob 2>/dev/null || true' EXIT\n{session}\n"
    done = subprocess.run(
        ["bash", "-c", session],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    events = re.findall(r"^ +(\d+)  \d{4}-\S+ \S+  (\d+)$", done.stdout, re.MULTILINE)
    assert events == [(str(seq), str(seq)) for seq in range(1, 101)]  # seq 0 begins the epoch
    assert "appended 100" in (tmp_path / "alice.out").read_text()
    assert "Traceback" not in done.stderr + (tmp_path / "alice.out").read_text() + (tmp_path / "bob.out").read_text()
