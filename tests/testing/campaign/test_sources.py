"""Results are of the program that ran: all of it that can be seen without running it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hydra_sync.testing.campaign.sources import program_sources
from hydra_sync.testing.campaign.verdicts import code_version

PROGRAM = {
    "scenes.py": "import sys\nimport json, trio\nimport hydra_sync.testing\nfrom shop import till\nimport no.such\n",
    "shop/__init__.py": "",
    "shop/till.py": "def pay():\n    from .deep.coins import *\n    from ... import beyond\n",
    "shop/deep/__init__.py": "from ..rates import RATE\n",
    "shop/deep/coins.py": 'if True:\n    import loose.part as part\nWARNS = "\\d"\n',
    "shop/rates.py": "import broken\nRATE = 1\n",
    "shop/unused.py": "",
    "loose/part.py": "import shop, scenes\n",
    "broken.py": "def (",
    "lonely.py": "",
}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in PROGRAM.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_program_is_what_its_files_import(program: Path) -> None:
    """Anywhere in them, by relative names too; not Python itself, what is installed, nor what nobody imports."""
    modules = {"/scenes.py", "/broken.py", "loose/part.py", "shop/__init__.py", "shop/till.py", "shop/rates.py"}
    assert set(program_sources("scenes")) == modules | {"shop.deep/__init__.py", "shop.deep/coins.py"}
    assert not {"shop", "scenes", "broken"} & set(sys.modules)


def test_the_package_of_a_scenario_is_part_of_its_program(program: Path) -> None:
    """With files that it may find by other ways than imports."""
    assert "shop/unused.py" in program_sources("shop.till")


def test_the_version_changes_with_the_program_under_test(program: Path) -> None:
    """Wherever it is, as long as the scenario comes to it; results of before are not taken for results of now."""
    before = code_version("scenes:a")
    (program / "lonely.py").write_text("x = 1")
    assert code_version("scenes:b") == before
    (program / "shop" / "rates.py").write_text("RATE = 2")
    assert code_version("scenes:a") != before


def test_every_process_has_the_same_version(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the files are, and whatever the process has imported."""
    words = "from hydra_sync.testing.campaign.verdicts import code_version; print(code_version('scenes'))"
    other = program.rename(program.parent / "elsewhere")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", words], cwd=other, env=environment, capture_output=True, text=True, check=False
    )
    monkeypatch.syspath_prepend(other)
    assert done.stdout.strip() == code_version("scenes"), done.stderr
