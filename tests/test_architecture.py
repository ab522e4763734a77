"""The house keeps its shape: who may import whom, what loads torch, what is packaged, under which name."""

import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOT_PACKAGES = {"tests", "benchmarks", "docs", "scripts", "examples"}

# From left to right; a module may import only from its own part or from parts further left (DESIGN: "The house").
ORDER = [
    {
        "analysis.interface",
        "analysis.comparison",
        "analysis.errors",
        "analysis.plugins",
        "analysis.proportion",
        "analysis.settings",
        "analysis.style",
    },
    {"analysis.masks", "analysis.information", "analysis.data", "analysis.models"},
    {"analysis.store"},
    {"analysis.training"},
    {"analysis.study"},
    {"vae", "robustness", "gradcam", "calibration"},
    {"reports"},
    {"cli", "commands", "options", "__main__"},
]
SIBLINGS_APART = {"vae", "robustness", "gradcam", "calibration"}
# These import nothing of ours but one another.
LEAVES = {"analysis.interface", "analysis.errors", "analysis.style"}
# These load each public name on first use, and import nothing before.
LAZY = {"", "analysis.information"}


def sources() -> list[Path]:
    skipped = {".venv", "build", "dist", *NOT_PACKAGES}
    return [path for path in ROOT.rglob("*.py") if not skipped & set(path.relative_to(ROOT).parts[:-1])]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> list[str]:
    """The package's own modules that a file imports, at the top or inside functions, but not for type checking."""
    module = module_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node not in typing_only:
            base = ["mixlens", *filter(None, package.split("."))]
            base = base[: len(base) - node.level + 1]
            target = ".".join([*base[1:], *(node.module or "").split(".")]).strip(".")
            names = [alias.name for alias in node.names] if not node.module else [""]
            found += [".".join(filter(None, [target, name])) for name in names]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            if not getattr(node, "level", 0):
                assert not any(name.split(".")[0] == "mixlens" for name in names), f"{path}: import relatively"
    return found


def rank(module: str) -> tuple[int, str]:
    for position, parts in enumerate(ORDER):
        for part in parts:
            if module == part or module.startswith(f"{part}."):
                return position, part
    raise AssertionError(f"{module} has no place in ORDER")


@pytest.mark.parametrize("path", sources(), ids=lambda path: module_of(path) or "__init__")
def test_imports_point_left(path: Path) -> None:
    module = module_of(path)
    if path.name == "__init__.py":
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert module in LAZY or not body, f"{path} must stay empty, or lazy and listed here"
        return
    own, part = rank(module)
    for target in imports(path):
        if target == "":  # the root, for its version
            continue
        position, other = rank(target)
        assert position <= own, f"{module} imports {target}, which stands to its right"
        if position == own and part != other:
            assert part not in SIBLINGS_APART, f"{module} imports {target}: sections never import each other"
        if module in LEAVES:
            assert other in LEAVES, f"{module} is a leaf"


def in_fresh_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/").stdout


def test_importing_the_package_imports_nothing_else() -> None:
    lazy = sorted(f"mixlens.{name}".rstrip(".") for name in LAZY)
    code = (
        f"import sys, {', '.join(lazy)};"
        "print(sorted(m for m in sys.modules if m.startswith(('mixlens.', 'torch', 'numpy'))))"
    )
    assert in_fresh_python(code).strip() == str(["mixlens.analysis", "mixlens.analysis.information"])


def test_reports_and_figures_load_without_torch() -> None:
    code = (
        "import sys, mixlens.reports.html, mixlens.reports.gallery, mixlens.vae.figures, mixlens.analysis.store.record;"
        "print('torch' in sys.modules)"
    )
    assert in_fresh_python(code).strip() == "False"


@pytest.mark.parametrize("name", sorted(LAZY))
def test_public_names_load_on_first_use(name: str) -> None:
    module = f"mixlens.{name}".rstrip(".")
    code = (
        f"import {module} as m, pkgutil; names = [getattr(m, n).__name__ for n in m.__all__];"
        "assert names == m.__all__ == sorted(m.__all__) and set(names) <= set(dir(m)), names;"
        "assert not set(names) & {found.name for found in pkgutil.iter_modules(m.__path__)}, 'a module hides it'"
    )
    in_fresh_python(code)


def test_only_mixlens_is_loaded_never_the_checkouts_own_name() -> None:
    import mixlens

    assert Path(mixlens.__file__).resolve().parent == ROOT
    elsewhere = {
        name
        for name, module in sys.modules.items()
        if str(getattr(module, "__file__", None) or "").startswith(f"{ROOT}/")
        and Path(module.__file__ or "").relative_to(ROOT).parts[0] not in (".venv", "tests")
        and name.split(".")[0] != "mixlens"
    }
    assert not elsewhere


def test_every_package_folder_is_listed() -> None:
    folders = {
        ".".join(["mixlens", *path.parent.relative_to(ROOT).parts]) for path in sources() if path.name == "__init__.py"
    }
    assert folders == set(PYPROJECT["tool"]["setuptools"]["packages"])
    without_init = {path.parent for path in sources()} - {
        path.parent for path in sources() if path.name == "__init__.py"
    }
    assert not without_init, "a folder of modules without __init__.py is not packaged"


def test_the_wheel_holds_the_package_and_nothing_generic(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mixlens"}
    modules = {f"mixlens/{path.relative_to(ROOT).as_posix()}" for path in sources()}
    assert modules <= set(names)
    for needed in (
        "mixlens/py.typed",
        "mixlens/vae/README.md",
        "mixlens/analysis/study/presets/demo.yaml",
        "mixlens/reports/templates/report.html.j2",
    ):
        assert needed in names
