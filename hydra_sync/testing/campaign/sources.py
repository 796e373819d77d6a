"""The source files that a program is made of, found by reading imports, not by importing. Does I/O: reads files."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Final

from hydra_sync.testing.places import is_installed

__all__ = ["directory_sources", "program_sources"]

_LEFT_OUT: Final = frozenset({"hydra_sync", "__main__"})  # the latter is another module in each process

Sources = dict[str, bytes]
"""Contents by names that are the same in every process, wherever the files are."""


def directory_sources(package: str, directory: Path) -> Sources:
    """All Python files in the directory of a package."""
    return {
        f"{package}/{path.relative_to(directory).as_posix()}": path.read_bytes() for path in directory.rglob("*.py")
    }


def program_sources(module: str) -> Sources:
    """The files of the package that a module is in, of what the module imports, of what that imports, and so on.

    Left out are Python's own modules, hydra_sync, and installed packages other than the module's own. Not seen
    are imports of names that are made while the program runs, and files that are no Python, such as data.
    """
    own = module.partition(".")[0]
    sources: Sources = {}
    package = module.rpartition(".")[0] or module
    for found in _way_to(package):
        if found.name == package:
            for directory in found.directories:
                sources |= directory_sources(package, directory)
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        for found in _way_to(waiting.pop()):
            if found.name in seen:
                continue
            seen.add(found.name)
            if found.file is None:
                continue
            if found.top != own and is_installed(found.file):
                break
            source = sources[f"{found.package}/{found.file.name}"] = found.file.read_bytes()
            waiting += set(_imports(source, found.package)) - seen
    return sources


@dataclass(frozen=True, slots=True)
class _Module:
    name: str
    file: Path | None
    """None for a package without an ``__init__.py``."""
    directories: tuple[Path, ...]
    """Of a package; there may be several where it has no file."""

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    @property
    def package(self) -> str:
        """The package that relative imports begin at."""
        return self.name if self.directories else self.name.rpartition(".")[0]

    def inner(self, name: str) -> _Module | None:
        """A module in this package."""
        full = f"{self.name}.{name}"
        for directory in self.directories:
            package, file = directory / name / "__init__.py", directory / f"{name}.py"
            if package.is_file():
                return _Module(full, package, (package.parent,))
            if file.is_file():
                return _Module(full, file, ())
        directories = tuple(directory / name for directory in self.directories if (directory / name).is_dir())
        return _Module(full, None, directories) if directories else None


def _way_to(name: str) -> Iterator[_Module]:
    """The packages around a module, outermost first, and the module, as far as they are there.

    Python's own search for a name with dots would import the packages around it.
    """
    top, *inner = name.split(".")
    try:
        spec = None if top in _LEFT_OUT else find_spec(top)
    except (ImportError, ValueError):  # a module that somebody made by hand, or no name
        return
    if spec is None:
        return
    file = Path(spec.origin) if spec.has_location and spec.origin is not None else None
    if file is not None and file.suffix != ".py":
        return
    found: _Module | None = _Module(top, file, tuple(map(Path, spec.submodule_search_locations or ())))
    while found is not None:
        yield found
        found = found.inner(inner.pop(0)) if inner else None


def _imports(source: bytes, package: str) -> Iterator[str]:
    """The names of all modules that a file may import, at its top or later; others are among them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the file's own, for whoever imports it
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            try:
                origin = resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:  # from above the outermost package
                continue
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
