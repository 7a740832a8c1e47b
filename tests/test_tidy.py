"""The house rules that a linter does not know (the floors themselves are import-linter's)."""

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Names whose import gives a module a clock, chance, or a way to the outside.
IMPURE = {
    "asyncio", "concurrent", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random",
    "secrets", "select", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys",
    "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
IMPURE_CALLS = {"open", "print", "input", "now", "utcnow", "today", "getenv", "urandom", "uuid4"}
UNSAFE = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70


def tracked(*patterns: str) -> list[Path]:
    """The repository's own files: what git knows, and what it would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    paths = [ROOT / name for name in sorted(set(listed.split("\0"))) if name]
    return [path for path in paths if path.is_file()]


def own_python() -> list[Path]:
    return [path for path in tracked("*.py") if "_pb2" not in path.name]


def where(path: Path, line: int = 1) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of every import, those inside functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def called(node: ast.Call) -> str:
    """The last part of what is called: `now` of `datetime.datetime.now()`."""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def impurities(source: str) -> list[str]:
    """What in a module reaches for a clock, for chance or for the outside."""
    tree = ast.parse(source)
    found = [f"{n}: imports {name}" for n, name in imports(tree) if name.split(".")[0] in IMPURE]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) in IMPURE_CALLS:
            found.append(f"{node.lineno}: calls {called(node)}()")
    return found


def unsafe(source: str) -> list[str]:
    """What in a module can run code that came as data."""
    tree = ast.parse(source)
    found = [f"{n}: imports {name}" for n, name in imports(tree) if name.split(".")[0] in UNSAFE]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"torch.load", "eval", "exec"}:
            found.append(f"{node.lineno}: calls {ast.unparse(node.func)}()")
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            found.append(f"{node.lineno}: passes trust_remote_code")
    return found


def test_domain_and_plan_have_no_clock_no_chance_and_no_outside():
    modules = [path for path in own_python() if {"domain", "plan"} & {*path.parts}]
    modules += (ROOT / "proto/heliostat/swarm").glob("*.py")
    assert len(modules) > 5
    found = [f"{path}: {what}" for path in modules for what in impurities(path.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from os import path",
        "def f():\n    import random",
        "import datetime\nx = datetime.datetime.now()",
        "x = open('f')",
    ],
)
def test_the_purity_check_sees_what_it_should(source):
    assert impurities(source)


def test_nothing_unpickles_or_runs_code_that_came_as_data():
    found = [f"{path}: {what}" for path in own_python() for what in unsafe(path.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    ["import pickle", "torch.load(f)", "load(f, trust_remote_code=True)", "from dill import loads"],
)
def test_the_unpickling_check_sees_what_it_should(source):
    assert unsafe(source)


def declared() -> set[str]:
    """The distributions that pyproject.toml names, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *itertools.chain.from_iterable(extras)]
    names = [re.split(r"[\[<>=!~; ]", requirement)[0] for requirement in wanted]
    return {name.lower().replace("_", "-") for name in names}


def test_what_is_imported_is_declared():
    """What only happens to be there, as a part of something else, may be gone tomorrow."""
    scripts = {path.stem for folder in ("bench", "tools") for path in (ROOT / folder).glob("*.py")}
    own = {"bench", "farm", "node_agent", "heliostat", "tests", "tools", *scripts}
    providers = packages_distributions() | {"google": ["protobuf"]}
    names = declared()
    undeclared = [
        f"{where(path, line)}: imports {name}"
        for path in own_python()
        for line, name in imports(parsed(path))
        if (top := name.split(".")[0]) not in sys.stdlib_module_names | own
        and not {each.lower().replace("_", "-") for each in providers.get(top, [])} & names
    ]
    assert not undeclared, "\n".join(undeclared)


def base_packages() -> set[str]:
    """What a plain `pip install heliostat` brings, by import name."""
    known = {each.name.lower().replace("_", "-"): each for each in distributions()}
    wanted, found = ["heliostat"], set()
    while wanted:
        name = wanted.pop().lower().replace("_", "-")
        if name not in found and name in known:
            found.add(name)
            wanted += [
                re.split(r"[\[<>=!~; (]", requirement)[0]
                for requirement in known[name].requires or []
                if "extra ==" not in requirement
            ]
    provided = packages_distributions().items()
    return {
        package
        for package, names in provided
        if {name.lower().replace("_", "-") for name in names} & found
    }


def test_the_client_needs_no_extra():
    """docs/decisions/0005: neither Ray nor PyTorch, nor anything else of [head] and [node]."""
    modules = "farm.cli.app", "farm.config", "farm.client", "farm.client.errors"
    script = f"import sys, {', '.join(modules)}\nprint(*{{n.split('.')[0] for n in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    extra = set(loaded) & packages_distributions().keys() - base_packages()
    # Taken along by grpc, urllib3 and the interpreter where they happen to be installed.
    optional = {
        "_distutils_hack",
        "backports",
        "grpc_health",
        "grpc_reflection",
        "grpc_tools",
        "paste",
    }
    assert not extra - optional - {"farm", "heliostat", "node_agent"}


def test_modules_fit_the_size_limits():
    found = []
    for path in own_python():
        source = path.read_text()
        lines = source.count("\n")
        if lines > FILE_LINES_MAX:
            found.append(f"{where(path)}: {lines} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    found.append(f"{where(path, node.lineno)}: {node.name} has {length} lines")
    assert not found, "\n".join(found)


def test_every_module_says_what_it_is_for():
    silent = [where(path) for path in own_python() if not ast.get_docstring(parsed(path))]
    assert not silent, "\n".join(silent)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def test_generated_protobuf_code_is_what_the_protos_say(tmp_path):
    protos = [path.name for path in (ROOT / "proto/heliostat/v1").glob("*.proto")]
    out = f"readable_stubs:{tmp_path}"
    subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc", "-I", "proto",
            f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}",
            f"--mypy_out={out}", f"--mypy_grpc_out={out}",
            *(f"proto/heliostat/v1/{name}" for name in sorted(protos)),
        ],
        cwd=ROOT, check=True, env={"PATH": str(Path(sys.executable).parent)},
    )  # fmt: skip
    committed = tracked("proto/heliostat/v1/*_pb2*")
    assert len(committed) >= 3 * len(protos)
    stale = [
        path.name
        for path in committed
        if path.read_text() != (tmp_path / "heliostat/v1" / path.name).read_text()
    ]
    assert not stale, f"run `make proto`: {', '.join(stale)}"


# Split, so that this file does not find itself.
FORBIDDEN = [
    re.compile(pattern)
    for pattern in (
        r"/work" + r"/(main|shared|brief)",
        r"/opt" + r"/(wheels|pypi)",
        r"/home" + r"/[a-z]+/",
        r"file:" + r"///",
        r"--(extra-)?index-url" + r"[ =]",
    )
]


def test_no_file_names_a_machine():
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if any(pattern.search(line) for pattern in FORBIDDEN):
                found.append(f"{where(path, number)}: {line.strip()[:80]}")
    assert not found, "\n".join(found)


def test_locks_name_no_index_and_the_cpu_lock_no_cuda():
    for lock in tracked("requirements/*.lock"):
        text = lock.read_text()
        assert not re.search(r"^--|https?:|file:", text, re.MULTILINE), where(lock)
        names = re.findall(r"^([a-z][a-z0-9._-]*)==", text, re.MULTILINE)
        assert text.count("--hash=sha256:") >= len(names) > 5, where(lock)
        cuda = [name for name in names if name.startswith("nvidia-") and name != "nvidia-ml-py"]
        assert bool(cuda) == (
            lock.stem in ("cuda", "node")
        )  # nvidia-ml-py is Python that speaks to a driver


def anchors(markdown: str) -> set[str]:
    """The anchors that a page's headings get: lower case, no punctuation, spaces as hyphens."""
    headings = re.findall(r"^#+\s+(.*)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_docs_links_lead_somewhere():
    dead = []
    for page in tracked("*.md"):
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith(("https://", "http://", "mailto:")):
                continue
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            if not file.exists():
                dead.append(f"{where(page)}: {target} does not exist")
            elif anchor and anchor not in anchors(file.read_text()):
                dead.append(f"{where(page)}: {target}: no such heading")
    assert not dead, "\n".join(dead)


def test_docs_number_their_decisions_and_list_them_all():
    decisions = [path for path in tracked("docs/decisions/*.md") if path.name[0].isdigit()]
    numbers = [int(path.name[:4]) for path in decisions]
    assert numbers == list(range(1, len(numbers) + 1))
    for path in decisions:
        text = path.read_text()
        for heading in ("## Context", "## Decision", "## Consequences"):
            assert heading in text, f"{where(path)}: no {heading}"
        assert text.count("\n") <= 40, f"{where(path)}: longer than a page"


def test_changelog_has_a_place_for_what_comes():
    assert "\n## Unreleased\n" in (ROOT / "CHANGELOG.md").read_text()


def test_whole_farms_are_started_where_make_test_looks_for_them():
    script = (ROOT / "tools" / "tests.sh").read_text(encoding="utf-8")
    (folders,) = re.findall(r"^farm_folders=\((.*)\)$", script, re.MULTILINE)
    marked = [
        where(path)
        for path in tracked("tests/*.py")
        if re.search(r"mark\.(e2e|chaos|season)\b", path.read_text(encoding="utf-8"))
    ]
    assert marked
    assert [place for place in marked if not place.startswith(tuple(folders.split()))] == []
