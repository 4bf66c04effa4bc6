"""The house rules that a machine can check: who imports whom, one error base, no pickle, no machine's paths."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from detector import errors
from tests.figures import figures, public_functions, undocumented

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT = {
    "detector": set(),
    "graph": {"detector"},
    "streaming": {"detector", "graph"},
    "moderation": {"detector", "graph", "streaming"},
    "simulation": {"detector", "streaming"},
    "training": {"detector", "graph", "streaming", "simulation"},
    "swarmlight": {"detector", "graph", "streaming", "training"},
}
"""The table of docs/explanation/architecture.md. A folder may always import itself."""

UNSAFE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
"""Modules whose files run code when they are read."""

BARE = {"Exception", "BaseException", "RuntimeError", "NotImplementedError"}
"""Not to be raised: they say neither what to do nor whose fault it is."""


@cache
def modules() -> tuple[Path, ...]:
    return tuple(sorted(path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, relative ones resolved."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            yield ".".join(part for part in (base, node.module) if part)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_go_only_the_way_of_the_table() -> None:
    found = []
    for path in modules():
        folder = path.relative_to(ROOT).parts[0]
        others = {module.split(".")[0] for module in imports(path)} & set(MAY_IMPORT) - {folder}
        found += [f"{name(path)} may not import {other}" for other in sorted(others - MAY_IMPORT[folder])]
    assert not found, "\n".join(found)


def test_the_table_here_is_the_table_of_the_documentation() -> None:
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/` \|.*\| ([^|]+) \|$", text, flags=re.MULTILINE)
    written = {folder: set(re.findall(r"`(\w+)`", cell)) for folder, cell in rows if folder in MAY_IMPORT}
    assert written == MAY_IMPORT


def test_the_documentation_names_files_that_exist() -> None:
    folders = "|".join([*MAY_IMPORT, "docs", "deploy", "tests"])
    named = [
        (page.name, path)
        for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
        for path in re.findall(rf"[`(]((?:{folders})/[\w./-]*)[`)]", page.read_text(encoding="utf-8"))
    ]
    assert len(named) > 50
    assert [f"{page} names {path}" for page, path in named if not (ROOT / path).exists()] == []


@cache
def defined(path: Path) -> frozenset[str]:
    """Names that a module defines, imports or sets, those of its classes with them."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return frozenset(found)


def dead(word: str, files: frozenset[str], named_so: dict[str, list[Path]]) -> bool:
    """Whether a word between backticks names a file of Python, or what a module has, and there is none.

    Args:
        word: what stands there.
        files: every file of the repository, from its root.
        named_so: the modules of a name.
    """
    if re.fullmatch(r"[\w./-]+\.py", word) or re.match(
        rf"(?:{'|'.join(MAY_IMPORT)}|docs|deploy|tests)/[\w./-]+$", word
    ):
        return not any(file == word or file.endswith(f"/{word}") or file.startswith(word) for file in files)
    parts = re.split(r"[.(]", word)
    if not re.fullmatch(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?:\(.*\))?", word):
        return False
    if parts[0] in MAY_IMPORT and len(parts) > 2:
        path = ROOT / parts[0]
        for place, part in enumerate(parts[1:], 1):
            if (path / part).is_dir():
                path /= part
            elif (path / f"{part}.py").is_file():
                return not set(parts[place + 1 : place + 2]) <= defined(path / f"{part}.py")
            else:
                return not (path / "__init__.py").is_file() or part not in defined(path / "__init__.py")
        return False
    if parts[0] in named_so and parts[1][:1].isupper():
        return not any(parts[1] in defined(path) for path in named_so[parts[0]])
    return False


ELSEWHERE = {"docs/integration/data-flow.md"}
"""Files of other projects, named beside their address."""


def test_what_comments_and_pages_name_exists() -> None:
    """A file that was renamed, or a class that moved, is renamed where it is spoken of."""
    files = frozenset(name(path) for path in tracked())
    named_so: dict[str, list[Path]] = {}
    for path in modules():
        named_so.setdefault(path.stem, []).append(path)
    pages = [path for path in tracked() if path.suffix in {".py", ".md"} and path.name != "CHANGELOG.md"]
    words = [(page, word) for page in pages for word in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))]
    assert len(words) > 3000
    found = [f"{name(page)} names {word}" for page, word in words if dead(word, files, named_so)]
    assert [each for each in found if not each.endswith(tuple(ELSEWHERE))] == []


def test_the_readme_is_short() -> None:
    """What a newcomer reads in a few minutes; everything else has a page."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


SHARED_NAMES = {
    "__init__": "what a package is, or nothing",
    "__main__": "`python -m` of a package",
    "base": "the contract of an extension point",
    "bench": "`python -m PACKAGE.bench`: what the package costs",
    "cli": "the commands of a package",
    "features": "what a model is given: of a text, of an account",
    "feedback": "a moderator's decision: the record, and what `assess` does with it",
    "files": "recordings that come in, results that go out",
    "groups": "groups: how they are found, and when `assess` searches for them",
    "score": "the score of an account as a record, and the stage of that name",
    "second_stage": "the second stage: the model, and its training",
}
"""File names that stand in several folders, each with the one idea that they all mean."""


def test_a_file_name_stands_in_several_folders_only_where_it_means_the_same() -> None:
    count = Counter(path.stem for path in modules())
    assert {stem for stem, times in count.items() if times > 1} == set(SHARED_NAMES)
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    (why,) = re.findall(r"^A file name stands in several folders .*?\n\n", text, flags=re.MULTILINE | re.DOTALL)
    assert set(SHARED_NAMES) == {each for each in re.findall(r"`(\w+)`", why) if each != "assess"}


def test_a_class_name_is_used_once() -> None:
    """Two classes of one name make a reader, a search and a traceback ask which of them is meant."""
    places: dict[str, list[str]] = {}
    for path in modules():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{name(path)}:{node.lineno}")
    assert len(places) > 500
    found = [f"{each}: {', '.join(where)}" for each, where in sorted(places.items()) if len(where) > 1]
    assert not found, "give each a name that says what it is:\n" + "\n".join(found)


def test_nothing_unpickles() -> None:
    found = []
    for path in modules():
        found += [f"{name(path)}: {module}" for module in imports(path) if module.split(".")[0] in UNSAFE]
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                safe = isinstance(node.value, ast.Constant) and node.value.value is False
                found += [] if safe else [f"{name(path)}:{node.value.lineno}: allow_pickle"]
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                loads = (node.value.id, node.attr) == ("torch", "load")
                found += [f"{name(path)}:{node.lineno}: weights are safetensors"] if loads else []
    assert not found, "\n".join(found)


def test_every_module_is_imported_by_its_own_name() -> None:
    """Circles between modules would make the order of imports matter."""
    edges: dict[str, set[str]] = {}
    known = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in modules()}
    for path in modules():
        here = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        edges[here] = set()
        for node in tree(path).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                edges[here] |= (full & known) or ({node.module} & known)
    assert len(edges) > 50
    while True:
        free = {module for module, wanted in edges.items() if not (wanted & set(edges)) - {module}}
        if not free:
            break
        for module in free:
            del edges[module]
    assert not edges, f"imports go round: {sorted(edges)}"


def test_errors_are_those_of_the_one_tree() -> None:
    """No other file defines an exception, and none raises a bare `Exception` or what stands for unfinished work."""
    found = []
    for path in modules():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and path != ROOT / "detector" / "errors.py":
                bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                if any(base.endswith(("Error", "Exception")) for base in bases):
                    found.append(f"{name(path)} defines {node.name}")
            if isinstance(node, ast.Raise) and node.exc is not None:
                raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
                if isinstance(raised, ast.Name) and raised.id in BARE:
                    found.append(f"{name(path)}:{node.lineno} raises {raised.id}")
    assert not found, "\n".join(found)


def test_every_error_has_the_one_base() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert len(classes) > 5
    assert all(issubclass(cls, errors.SwarmlightError) for cls in classes)


def test_a_module_says_what_it_is() -> None:
    assert [name(path) for path in modules() if path.stat().st_size and not ast.get_docstring(tree(path))] == []


def tracked() -> list[Path]:
    """All files of the repository; those of the folders where there is no git."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return list(modules())
    return [ROOT / line for line in done.stdout.split("\0") if line and (ROOT / line).is_file()]


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    machine = re.compile("|".join(["/" + "work/", "/" + "root/", "/" + "home/[a-z]", "/" + "Users/[A-Za-z]"]))
    found = []
    for path in tracked():
        if path.suffix in {".safetensors", ".png", ".gz", ".zst"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.name}: {match.group()}" for match in machine.finditer(text)]
    assert not found, "\n".join(found)


def test_every_package_ships_its_types() -> None:
    assert [folder for folder in MAY_IMPORT if not (ROOT / folder / "py.typed").is_file()] == []


def test_every_dependency_is_documented_with_licence_and_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[<>=!~ \[;]", requirement)[0] for requirement in wanted}
    page = (ROOT / "docs" / "reference" / "dependencies.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", page, flags=re.MULTILINE))
    assert set(rows) == names
    for package, row in rows.items():
        licence, reason = row.split(" | ", 1)
        assert re.search(r"MIT|BSD|Apache|MPL|ISC", licence), package
        assert len(reason.split()) > 3, package


IMPORTED_AS = {
    "apache-flink": "pyflink",
    "argon2-cffi": "argon2",
    "axe-playwright-python": "axe_playwright_python",
    "kafka-python": "kafka",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
}
"""Packages that are imported under another name than their own, `-` for `_` apart."""

USED_WITHOUT_IMPORT = {
    "check-jsonschema": "tests/test_manifests.py: a file in it",
    "kubernetes-validate": "tests/test_manifests.py: imported where it is installed",
    "accelerate": "transformers imports it where it reads a quantised file",
    "axe-playwright-python": "asked for by `pytest.importorskip`",
    "gguf": "transformers imports it where it reads a quantised file",
    "ipykernel": "nbclient starts it",
    "mkdocs-material": "mkdocs.yml names it",
    "mkdocstrings-python": "mkdocs.yml names it",
    "mypy": "a command",
    "noida-db": "a command that the demo and the tests start",
    "pandas-stubs": "mypy reads it",
    "pytest-timeout": "a plug-in of pytest",
    "pytest-xdist": "a plug-in of pytest",
    "python-multipart": "Starlette imports it where it reads a form",
    "ruff": "a command",
    "scipy-stubs": "mypy reads it",
}
"""Packages that no file here imports, and who does."""


@cache
def imported() -> frozenset[str]:
    """First names of what the product, its tests and its documentation import."""
    files = [*modules(), *(path for folder in ("tests", "docs") for path in (ROOT / folder).rglob("*.py"))]
    return frozenset(module.partition(".")[0] for path in files for module in imports(path))


def test_every_dependency_is_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[<>=!~ \[;]", requirement)[0] for requirement in wanted}
    unused = {each for each in names if IMPORTED_AS.get(each, each.replace("-", "_")) not in imported()}
    assert unused == set(USED_WITHOUT_IMPORT)


def test_types_are_overridden_only_for_what_is_imported() -> None:
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["overrides"]
    named = [module.partition(".")[0] for override in overrides for module in override["module"]]
    assert len(named) > 5
    assert [module for module in named if module not in imported()] == []


CERTAIN = {"raises", "warns"}
"""Context managers of pytest that fail where nothing happens."""


def certainly_asserts(body: list[ast.stmt]) -> bool:
    """Whether running these statements runs an assertion; one in a loop that may be empty, or in an `if`, is none."""
    for node in body:
        if isinstance(node, ast.Assert | ast.Match):
            return True
        if isinstance(node, ast.With):
            calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
            if any(isinstance(call.func, ast.Attribute) and call.func.attr in CERTAIN for call in calls):
                return True
            if certainly_asserts(node.body):
                return True
        if isinstance(node, ast.Try) and (certainly_asserts(node.body) or certainly_asserts(node.finalbody)):
            return True
        if isinstance(node, ast.If) and certainly_asserts(node.body) and certainly_asserts(node.orelse):
            return True
        if isinstance(node, ast.For) and certainly_asserts(node.body):
            literal = isinstance(node.iter, ast.Tuple | ast.List | ast.Set) and bool(node.iter.elts)
            counted = isinstance(node.iter, ast.Call) and all(isinstance(arg, ast.Constant) for arg in node.iter.args)
            if literal or (counted and getattr(node.iter, "args", []) and ast.unparse(node.iter).startswith("range(")):
                return True
    return False


def asserts_itself(node: ast.AST) -> bool:
    """Whether there is an assertion in it that is not in a function defined inside."""
    inner = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.FunctionDef | ast.Lambda)]
    return any(isinstance(child, ast.Assert) or asserts_itself(child) for child in inner)


def test_no_test_can_pass_without_having_asserted() -> None:
    """A test whose every assertion is in a loop or behind an `if` passes where there is nothing to go round."""
    found, seen = [], 0
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                seen += 1
                if asserts_itself(node) and not certainly_asserts(node.body):
                    found.append(f"{name(path)}:{node.lineno} {node.name}")
    assert seen > 500
    assert not found, "assert that there was something to go round:\n" + "\n".join(found)


def test_public_functions_document_their_parameters() -> None:
    functions = [(path, node) for path in modules() for node in public_functions(tree(path))]
    assert len(functions) > 500
    found = [f"{name(path)}:{node.lineno} {node.name}" for path, node in functions if undocumented(node)]
    assert not found, "document their parameters under `Args:`:\n" + "\n".join(found)


def test_the_figures_of_the_documentation_are_those_of_the_code() -> None:
    """What has to be nothing is nothing; the rest within a fifth, as every change moves it."""
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    written = {
        what: int(now.replace(",", "")) for what, now in re.findall(r"^\| ([a-z0-9 ]+) \|.* ([\d,]+) \|$", text, re.M)
    }
    real = figures()
    assert set(written) == set(real)
    assert {what: number for what, number in real.items() if abs(number - written[what]) > 0.2 * written[what]} == {}
