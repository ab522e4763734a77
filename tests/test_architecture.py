"""The house keeps its shape: who may import whom, what loads torch, what is packaged, under which name."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOT_PACKAGES = {"tests", "benchmarks", "docs", "scripts", "examples"}

# From left to right; a module may import only from its own part or from parts further left (DESIGN: "The house").
ORDER = [
    {
        "analysis.archives",
        "analysis.errors",
        "analysis.interface",
        "analysis.process",
        "analysis.schema",
        "analysis.spec",
    },
    {"analysis.statistics", "analysis.presentation"},
    {"analysis.masks", "analysis.information", "analysis.data", "analysis.models"},
    {"analysis.store"},
    {"analysis.training"},
    {"analysis.study"},
    {"classifier", "vae", "gallery"},
    {"robustness", "gradcam", "calibration", "representations"},
    {"reports"},
    {"cli", "__main__"},
]
SECTIONS = {"classifier", "vae", "gallery", "robustness", "gradcam", "calibration", "representations"}
SECTION_FILES = {"README.md", "__init__.py", "config.py", "figures.py", "measures.py", "run.py"}
# The root loads each public name on first use and imports nothing before; this one has plain imports alone.
ROOT_INIT, PLAIN_INIT = "", "analysis.information"


def sources() -> list[Path]:
    skipped = {".venv", "build", "dist", *NOT_PACKAGES}
    return [path for path in ROOT.rglob("*.py") if not skipped & set(path.relative_to(ROOT).parts[:-1])]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> list[str]:
    """The package's own modules that a file imports, at the top or inside functions, but not for type checking.

    A module that it names in a string counts: ``"mixlens.vae.run"``, also with the name of something in it.
    """
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
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            dotted = re.fullmatch(r"mixlens\.([\w.]+)(:\w+)?", node.value)
            found += [dotted[1]] if dotted and dotted[1] in modules() else []
        elif isinstance(node, ast.JoinedStr) and isinstance(start := node.values[0], ast.Constant):
            assert not str(start.value).startswith("mixlens."), f"{path}: a module's name must be readable as it stands"
    return found


@cache
def modules() -> frozenset[str]:
    return frozenset(map(module_of, sources()))


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
        assert not body or module in (ROOT_INIT, PLAIN_INIT), f"{path} must stay empty, or listed here"
        if module != PLAIN_INIT:
            return
    own, part = rank(module)
    for target in imports(path):
        if target == "":  # the root, for its version
            continue
        position, other = rank(target)
        assert position <= own, f"{module} imports {target}, which stands to its right"
        if position == own and part != other:
            assert part not in SECTIONS, f"{module} imports {target}: sections of one kind never import each other"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('run = "mixlens.reports.html"', ["reports.html"]),
        ('run = ("mixlens.cli.main:main",)', ["cli.main"]),
        ('"""See `mixlens.reports.html`."""\ngroup = "mixlens.sections"', []),
        ("from ..analysis import errors", ["analysis"]),
        ("from . import config", ["config"]),
    ],
)
def test_what_counts_as_an_import(text: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "run.py").write_text(text, encoding="utf-8")
    assert imports(tmp_path / "vae" / "run.py") == [name.replace("config", "vae.config") for name in found]


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_every_section_has_the_same_files(section: str) -> None:
    assert {path.name for path in (ROOT / section).iterdir()} >= SECTION_FILES
    points = PYPROJECT["project"]["entry-points"]["mixlens.sections"]
    assert points[section] == f"mixlens.{section}.config:SECTION"
    assert points.keys() == SECTIONS


# Modules without a test file of their own, and where they are tried instead.
DEEP = "analysis/models/test_deep_networks.py: one test of each kind for all of them"
TRIED_ELSEWHERE = {
    "__main__": "cli/test_main.py runs it as a program",
    "analysis.data.sources.cifar100": "analysis/data/test_published.py",
    "analysis.data.modalities.image": "analysis/data/test_loader.py, test_streamed.py and classifier/test_train.py",
    "analysis.data.of_files": "analysis/data/sources/test_folder.py and its like",
    "analysis.data.sources.fashion_mnist": "analysis/data/test_published.py",
    "analysis.data.sources.yelp_full": "analysis/data/test_yelp.py",
    "analysis.data.sources.yelp_polarity": "analysis/data/test_yelp.py",
    "analysis.data.sources.imagenet_a": "analysis/data/sources/test_imagenet.py",
    "analysis.presentation.parts": "dataclasses without behaviour",
    "analysis.statistics.level": "two numbers",
    "analysis.models.conv4": DEEP,
    "analysis.models.densenet": DEEP,
    "analysis.models.layers": DEEP,
    "analysis.models.pyramidnet": DEEP,
    "analysis.models.wide_resnet": DEEP,
    "analysis.study.sections": "test_sections.py: what other packages may get wrong",
    "calibration.people_figures": "calibration/test_figures.py: half of figures.py",
    "calibration.rows": "calibration/test_figures.py, by its tables",
    "classifier.config": "settings; their limits are those of test_schema.py, and analysis/study/test_study.py's",
    "cli.studies": "cli/test_main.py, as a user meets it",
    "cli.tools": "cli/test_main.py, as a user meets it",
    "classifier.rows": "classifier/test_figures.py and test_heads_figures.py, by their tables",
    "gallery.config": "settings; as of classifier.config",
    "reports.content": "reports/test_html.py, test_pdf.py and test_foreign.py",
    "reports.report": "reports/test_writing.py",
    "reports.sections": "test_sections.py and reports/test_compare.py",
    "robustness.comparisons": "robustness/test_figures.py: half of figures.py",
    "robustness.state": "robustness/test_sweep.py: checkpoints, damaged and of others",
    "vae.config": "settings; as of classifier.config",
}


def test_tests_mirror_the_tree() -> None:
    untried = {
        module_of(path)
        for path in sources()
        if path.name != "__init__.py"
        and not (ROOT / "tests" / path.relative_to(ROOT).parent / f"test_{path.name}").is_file()
    }
    assert untried == TRIED_ELSEWHERE.keys()


def in_fresh_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/").stdout


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, mixlens; print(sorted(m for m in sys.modules if m.startswith(('mixlens.', 'torch', 'numpy'))))"
    assert in_fresh_python(code).strip() == "[]"


def test_reports_and_figures_load_without_torch() -> None:
    figures = ", ".join(f"mixlens.{section}.figures" for section in sorted(SECTIONS))
    code = f"import sys, mixlens.reports.report, mixlens.reports.compare, {figures}; print('torch' in sys.modules)"
    assert in_fresh_python(code).strip() == "False"


def test_the_command_line_loads_without_torch() -> None:
    code = "import sys; from mixlens.cli.main import application; application(); print('torch' in sys.modules)"
    assert in_fresh_python(code).strip() == "False"


@pytest.mark.parametrize("name", ["mixlens", f"mixlens.{PLAIN_INIT}"])
def test_public_names_are_there_and_no_modules(name: str) -> None:
    code = (
        f"import {name} as m, types; names = [getattr(m, n).__name__ for n in m.__all__];"
        "assert names == m.__all__ == sorted(m.__all__) and set(names) <= set(dir(m)), names;"
        "assert not any(isinstance(getattr(m, n), types.ModuleType) for n in names)"
    )
    in_fresh_python(code)


def test_only_mixlens_is_loaded_never_the_checkouts_own_name() -> None:
    import mixlens

    assert Path(mixlens.__file__).resolve().parent == ROOT
    elsewhere = {
        name
        for name, module in sys.modules.items()
        if str(getattr(module, "__file__", None) or "").startswith(f"{ROOT}/")
        and Path(module.__file__ or "").relative_to(ROOT).parts[0] not in (".venv", "tests", "scripts", "docs")
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
