"""Makes the modules of farm/client/aio that describe calls, from their twins in farm/client.

Each call is written once, in a mixin of `Farm`; here its `def` becomes `async def`, its calls to
the farm are awaited, its iterators are asynchronous. A method that does more with the farm than
call it (it hands it to what works with files and threads) runs as it is, in a thread. Run by
`make proto`; a test holds what is committed against it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CLIENT: Final = ROOT / "farm/client"
CALLS: Final = ("self._connection.call", "self._connection.send", "self._connection.close")
BLOCKING: Final = ("prepare", "input_cells", "sort_texts")
"""Calls that read files: a method with one of them runs in a thread."""
RENAMED: Final = {
    "Connection": "AsyncConnection",
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
    "Iterator": "AsyncIterator",
    "time.sleep": "asyncio.sleep",
}
FIRST_PARTY: Final = 'lint.isort.known-first-party = ["farm", "heliostat"]'
NOTE: Final = "Made of its twin in farm/client by tools/async_sdk.py: change that one."


class Kind:
    """How the methods of all mixins are called."""

    PLAIN, AWAITED, ITERATED = "plain", "awaited", "iterated"


def mixins() -> dict[Path, ast.ClassDef]:
    """Module → the class in it whose methods are calls: it derives from `Calls`, or mixes them."""
    parsed = {path: ast.parse(path.read_text(encoding="utf-8")) for path in CLIENT.glob("*.py")}
    classes = [
        (path, node)
        for path, tree in parsed.items()
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    ]
    names, found = {"Calls"}, dict[Path, ast.ClassDef]()
    while True:
        more = {
            path: node
            for path, node in classes
            if node.name not in names and names & {ast.unparse(base) for base in node.bases}
        }
        if not more:
            return dict(sorted(found.items()))
        found |= more
        names |= {node.name for node in more.values()}


def kinds_of(classes: list[ast.ClassDef]) -> dict[str, str]:
    """Method → `Kind`, over all mixins."""
    found = {}
    for node in classes:
        for method in methods(node):
            if is_plain(method):
                found[method.name] = Kind.PLAIN
            else:
                is_iterator = ast.unparse(method.returns or ast.Constant(None)).startswith(
                    "Iterator"
                )
                found[method.name] = Kind.ITERATED if is_iterator else Kind.AWAITED
    return found


def methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """The functions of a class."""
    return [each for each in node.body if isinstance(each, ast.FunctionDef)]


def is_plain(method: ast.FunctionDef) -> bool:
    """What calls nobody: __init__, properties, constructors by another way, helpers."""
    if method.name in ("close", "__enter__", "__exit__"):
        return False
    decorated = {ast.unparse(each) for each in method.decorator_list}
    return method.name == "__init__" or bool(
        decorated & {"property", "classmethod", "staticmethod"}
    )


class Converter(ast.NodeTransformer):
    """Rewrites the methods of one class."""

    def __init__(self, kinds: dict[str, str]) -> None:
        self.kinds = kinds
        self.fits = True
        """False when a method does what cannot be awaited where it stands."""
        self._iterated: set[int] = set()

    def visit_For(self, node: ast.For) -> ast.AST:
        """Over a call that iterates: `async for`."""
        is_async = self._kind(node.iter) == Kind.ITERATED
        if is_async:
            self._iterated.add(id(node.iter))
        self.generic_visit(node)
        return ast.AsyncFor(**dict(ast.iter_fields(node))) if is_async else node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """`yield from x` → a loop, for asynchronous generators have no such thing."""
        if not isinstance(node.value, ast.YieldFrom):
            return self.generic_visit(node)
        each = ast.Name("each", ast.Load())
        loop = ast.For(
            target=ast.Name("each", ast.Store()),
            iter=node.value.value,
            body=[ast.Expr(ast.Yield(each))],
            orelse=[],
        )
        return self.visit_For(loop)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Calls of the connection and of awaited methods get their `await`."""
        name, kind = ast.unparse(node.func), self._kind(node)
        if kind == Kind.ITERATED and id(node) not in self._iterated:
            self.fits = False
        of_self = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "self"
        node.args = [self.visit(each) for each in node.args]
        node.keywords = [self.visit(each) for each in node.keywords]
        if not of_self:
            node.func = self.visit(node.func)
        if name in BLOCKING:
            self.fits = False
        return ast.Await(node) if name in CALLS or kind == Kind.AWAITED else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A function within a method is called by who awaits nothing."""
        twin = Converter(self.kinds)
        changed = twin.generic_visit(ast.parse(ast.unparse(node)).body[0])
        self.fits = self.fits and twin.fits and ast.unparse(changed) == ast.unparse(node)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """A method handed on as it is cannot be awaited by who gets it."""
        if ast.unparse(node.value) == "self" and self.kinds.get(node.attr, "plain") != Kind.PLAIN:
            self.fits = False
        return self.generic_visit(node)

    def _kind(self, node: ast.AST) -> str | None:
        function = node.func if isinstance(node, ast.Call) else None
        if isinstance(function, ast.Attribute) and ast.unparse(function.value) == "self":
            return self.kinds.get(function.attr)
        return None


def converted(method: ast.FunctionDef, kinds: dict[str, str]) -> ast.stmt:
    """The asynchronous twin of a method."""
    if kinds[method.name] == Kind.PLAIN:
        return method
    converter = Converter(kinds)
    fields = dict(ast.iter_fields(ast.parse(ast.unparse(method)).body[0]))
    twin = ast.AsyncFunctionDef(**fields)
    twin.body = [converter.visit(each) for each in twin.body]
    if "watching.watch" in ast.unparse(method):
        # An iterator already: it is handed through.
        last = twin.body.pop()
        assert isinstance(last, ast.Return)
        assert last.value is not None
        each = ast.Name("each", ast.Load())
        twin.body.append(
            ast.AsyncFor(ast.Name("each", ast.Store()), last.value, [ast.Expr(ast.Yield(each))], [])
        )
    elif not converter.fits:
        twin.body = [*twin.body[:1], in_thread(method, kinds[method.name])]
    return twin


def in_thread(method: ast.FunctionDef, kind: str) -> ast.stmt:
    """The body of a method that runs in a thread, on a `Farm` of its own."""
    named = [f"{arg.arg}={arg.arg}" for arg in method.args.kwonlyargs]
    given = ", ".join([*(arg.arg for arg in method.args.args[1:]), *named])
    call = f"lambda farm: farm.{method.name}({given})"
    if kind == Kind.ITERATED:
        source = f"async for each in self._connection.each_in_thread({call}):\n  yield each"
    else:
        source = f"return await self._connection.in_thread({call})"
    module = ast.parse("async def f():\n " + source.replace("\n", "\n "))
    function = module.body[0]
    assert isinstance(function, ast.AsyncFunctionDef)
    return function.body[0]


def twin_of(path: Path, kinds: dict[str, str], names: dict[str, str]) -> str:
    """The source of a module's twin, before it is formatted."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body: list[ast.stmt] = []
    own: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in names:
            parts = [
                converted(each, kinds) if isinstance(each, ast.FunctionDef) else each
                for each in node.body
            ]
            body.append(ast.ClassDef(node.name, node.bases, [], parts, node.decorator_list))
        elif isinstance(node, ast.ImportFrom | ast.Import):
            body.append(node)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            own.append(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            own.append(node.targets[0].id)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own.append(node.target.id)
    about = (ast.get_docstring(tree) or "").partition("\n")[0].removesuffix(".")
    lines = [f'"""{about}, for asyncio.\n\n{NOTE}\n"""']
    source = ast.unparse(ast.fix_missing_locations(ast.Module(body, [])))
    lines.append(source.partition("\n")[0])  # from __future__
    lines.append("import asyncio\nfrom collections.abc import AsyncIterator")
    lines.append("from farm.client.aio import connection as aio_connection")
    lines.append("from farm.client.aio.connection import AsyncConnection")
    others = {name: module for name, module in names.items() if module != path.stem}
    lines += [f"from farm.client.aio.{module} import Async{n}" for n, module in others.items()]
    if own:
        lines.append(f"from farm.client.{path.stem} import {', '.join(own)}")
    lines.append(source.partition("\n")[2])
    return renamed("\n".join(lines), names)


def renamed(source: str, names: dict[str, str]) -> str:
    """Every name as its twin is called."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = _renamed(node.id, names)
        elif isinstance(node, ast.ClassDef):
            node.name = _renamed(node.name, names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.name = RENAMED.get(node.name, node.name)
            if isinstance(node, ast.AsyncFunctionDef) and node.returns is not None:
                node.returns = ast.parse(
                    ast.unparse(node.returns).replace("Iterator[", "AsyncIterator["), mode="eval"
                ).body
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "watching.watch":
            node.value = ast.Name("aio_connection", ast.Load())
    return ast.unparse(ast.fix_missing_locations(tree))


def _renamed(name: str, names: dict[str, str]) -> str:
    return f"Async{name}" if name in names else RENAMED.get(name, name)


def generated() -> dict[str, str]:
    """File name → text, formatted as the house does."""
    found = mixins()
    kinds = kinds_of(list(found.values()))
    names = {"Calls": "base", **{node.name: path.stem for path, node in found.items()}}
    return {path.name: formatted(twin_of(path, kinds, names)) for path in found}


def formatted(source: str) -> str:
    """Unused imports removed, the rest sorted, lines broken."""
    check = ["check", "--quiet", "--fix-only"]
    ruff = [str(Path(sys.executable).with_name("ruff"))]
    for arguments in (
        [*check, "--select", "F401,F811,I", "--config", FIRST_PARTY],
        ["format", "--quiet"],
    ):
        command = [*ruff, *arguments, "--stdin-filename", "farm/client/aio/made.py", "-"]
        source = subprocess.run(
            command, input=source, capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout
    return source


def main() -> None:
    """Write them."""
    for name, source in generated().items():
        (CLIENT / "aio" / name).write_text(source, encoding="utf-8")


if __name__ == "__main__":
    main()
