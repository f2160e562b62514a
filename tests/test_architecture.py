"""The house rules of CONTRIBUTING.md, held against the imports."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = (
    "torch",
    "open_clip",
    "faiss",
    "lancedb",
    "decord",
    "av",
    "torchcodec",
    "numpy",
    "scipy",
    "rich",
    "pyarrow",
    "optuna",
)
FORBIDDEN = {
    "indexer": {"searcher", "bench", "vclipper", "click"},
    "searcher": {"torch", "open_clip", "click", "bench", "vclipper", "av", "decord", "lancedb"},
    "bench": {"vclipper"},
}


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    """Every node of a file's syntax tree."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path) -> set[str]:
    """First names of what a file imports, wherever in the file."""
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


#: ``python -m bench`` runs the command line of `vclipper`; nothing imports it.
WAY_IN = Path("bench/__main__.py")


def files_in(root: Path) -> list[tuple[str, Path]]:
    """The files that the rule is held against, each with its package."""
    found = [(package, file) for package in FORBIDDEN for file in sorted((root / package).rglob("*.py"))]
    return [(package, file) for package, file in found if file.relative_to(root) != WAY_IN]


FILES = files_in(ROOT)


@pytest.mark.parametrize(("package", "file"), FILES, ids=[str(f.relative_to(ROOT)) for _, f in FILES])
def test_packages_import_in_one_direction(package, file):
    assert imports(file) & FORBIDDEN[package] == set()


@pytest.mark.parametrize("file", sorted((ROOT / "bench").rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT)))
def test_bench_uses_click_in_its_commands_only(file):
    assert file.parent.name == "commands" or "click" not in imports(file)


def test_the_check_sees_a_forbidden_import(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from vclipper.library import Library\n    import click.testing\n")
    assert imports(bad) & FORBIDDEN["indexer"] == {"vclipper", "click"}


def test_one_way_in_alone_is_exempt(tmp_path):
    for name in ("bench", "bench/commands", "searcher"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__main__.py").touch()
    seen = [file.relative_to(tmp_path).as_posix() for _, file in files_in(tmp_path)]
    assert seen == ["searcher/__main__.py", "bench/commands/__main__.py"]


def names_made_in(path: Path) -> set[str]:
    """What a module binds itself, anywhere: what it only imports is not among it."""
    made: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
    return made


MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts): file
    for package in (*FORBIDDEN, "vclipper", "tests")
    for file in sorted((ROOT / package).rglob("*.py"))
}


def test_what_is_imported_comes_from_where_it_is_made():
    # A package's __init__ may gather names: it is no module of this list (its key would end in __init__).
    made = {module: names_made_in(file) for module, file in MODULES.items()}
    astray = [
        f"{module}: {alias.name} of {node.module}"
        for module, file in MODULES.items()
        for node in nodes(file)
        if isinstance(node, ast.ImportFrom) and node.module in made
        for alias in node.names
        if alias.name not in made[node.module]
    ]
    assert astray == []


def test_only_the_library_wires_things_together():
    wired = {"indexer", "searcher"}
    both = [f.name for f in (ROOT / "vclipper").glob("*.py") if wired <= imports(f)]
    assert set(both) <= {"library.py", "asking.py", "current.py", "cli.py", "output.py", "__init__.py"}


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_help_imports_nothing_heavy():
    quiet = "with contextlib.redirect_stdout(io.StringIO()): vclipper.cli.run(['--help'])"
    code = f"import vclipper.cli, io, contextlib\n{quiet}"
    assert modules_after(code) & set(HEAVY) == set()


def test_importing_vclipper_imports_nothing_heavy():
    assert modules_after("import vclipper") & set(HEAVY) == set()


def test_searcher_runs_without_torch():
    code = "import searcher.search, searcher.postprocess, searcher.select"
    assert modules_after(code) & {"torch", "open_clip"} == set()


@pytest.mark.parametrize("package", ["indexer", "searcher", "vclipper"])
def test_every_module_has_its_place_in_the_map(package):
    words = set(re.findall(r"`(\w+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    modules = {file.stem for file in (ROOT / package).glob("*.py") if not file.stem.startswith("__")}
    assert modules - words == set()


def test_every_package_is_listed_in_setup_cfg():
    listed = (ROOT / "setup.cfg").read_text()
    packages = {
        f.parent.relative_to(ROOT)
        for p in ("indexer", "searcher", "bench", "vclipper")
        for f in (ROOT / p).rglob("__init__.py")
    }
    for package in packages:
        assert f"\n    {'.'.join(package.parts)}\n" in listed
