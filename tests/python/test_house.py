"""The house: who imports whom, and what public signatures say.

A file imports only from its own folder and those above it, and there are no circles. import-linter
checks the folders, too (`[tool.importlinter]` in pyproject.toml), but neither the compiled module
nor single files.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import compnn

PACKAGE = Path(compnn.__file__).parent
REPOSITORY = Path(__file__).resolve().parents[2]
# In the order of the data: what stands later may import what stands earlier.
ROOT = ("errors", "names", "files", "journal", "views", "_core")
FOLDERS = (
    "images",
    "data",
    "network",
    "bank",
    "search",
    "explanation",
    "studies",
    "report",
    "demo",
    "cli",
)
# The package itself is above all: it names what is public.
PUBLIC = "compnn"


def modules() -> dict[str, Path]:
    """Each module of the package with its file."""
    found = {}
    for path in (*PACKAGE.rglob("*.py"), *PACKAGE.glob("*.pyi")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(module: str) -> set[str]:
    """The modules of the package that a module imports, anywhere in it, for types only or not."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; name the module"
            assert node.module is not None
            for each in node.names:
                inner = f"{node.module}.{each.name}"
                found.add(inner if inner in MODULES else node.module)
    return {each for each in found if each.split(".")[0] == "compnn"}


def place(module: str) -> tuple[int, str]:
    """Where a module stands: its rank, and the folder or root module that it is."""
    if module == PUBLIC:
        return len(FOLDERS) + 1, PUBLIC
    name = module.split(".")[1]
    return (0, name) if name in ROOT else (1 + FOLDERS.index(name), name)


def test_every_module_has_its_place() -> None:
    assert len(MODULES) > 80
    assert {place(module)[1] for module in MODULES} == {PUBLIC, *ROOT, *FOLDERS}
    for module in MODULES:
        assert imports(module) <= set(MODULES), module


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_file_imports_only_from_its_own_folder_and_those_above(module: str) -> None:
    rank, name = place(module)
    for imported in imports(module):
        other, above = place(imported)
        # The command line may use what is public.
        allowed = other < rank or above == name or (name == "cli" and above == PUBLIC)
        assert allowed or rank == other == 0, f"{module} imports {imported}"


def circles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    """Circles of imports, by depth-first search."""
    finished: set[str] = set()

    def visit(module: str, path: list[str]) -> Iterator[list[str]]:
        if module in path:
            yield path[path.index(module) :]
            return
        if module in finished:
            return
        for other in sorted(graph[module]):
            yield from visit(other, [*path, module])
        finished.add(module)

    for module in sorted(graph):
        yield from visit(module, [])


def test_there_is_no_circle() -> None:
    assert list(circles({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == [["b", "c"]]
    assert list(circles({"a": {"b", "c"}, "b": {"c"}, "c": set()})) == []
    assert list(circles({module: imports(module) - {module} for module in MODULES})) == []


def test_import_linter_has_the_same_order() -> None:
    tomllib = pytest.importorskip("tomllib")  # of Python 3.11
    document = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    (contract,) = document["tool"]["importlinter"]["contracts"]
    assert contract["type"] == "layers"
    layers = [f"compnn.{name}" for name in FOLDERS[::-1]]
    assert contract["layers"][: len(layers)] == layers
    (root,) = contract["layers"][len(layers) :]
    assert {each.strip() for each in root.split(":")} == {
        f"compnn.{name}" for name in ROOT if (PACKAGE / f"{name}.py").exists()
    }


# Signatures

# NumPy's own type parameters, of which `Any` may be one.
GENERICS = (
    "NDArray",
    "ndarray",
    "dtype",
    "generic",
    "number",
    "integer",
    "signedinteger",
    "unsignedinteger",
    "floating",
)


def names_any(node: ast.AST) -> bool:
    """Whether an annotation, which may be a text, names `Any` but as a type parameter of NumPy."""
    if isinstance(node, ast.Subscript):
        generic = node.value.attr if isinstance(node.value, ast.Attribute) else ""
        if isinstance(node.value, ast.Name):
            generic = node.value.id
        if generic in GENERICS:
            return names_any(node.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return names_any(ast.parse(node.value, mode="eval").body)
        except SyntaxError:  # a text in Literal
            return False
    is_any = (isinstance(node, ast.Name) and node.id == "Any") or (
        isinstance(node, ast.Attribute) and node.attr == "Any"
    )
    return is_any or any(names_any(child) for child in ast.iter_child_nodes(node))


def is_public(name: str) -> bool:
    """Whether a name is for others: special methods are called by all."""
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def loose(tree: ast.Module | ast.ClassDef, before: str = "") -> Iterator[str]:
    """The public functions, methods, attributes and aliases whose types name `Any`."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and is_public(node.name):
            if any(names_any(base) for base in node.bases):
                yield before + node.name
            yield from loose(node, f"{before}{node.name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and is_public(node.name):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            every += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
            hints = [each.annotation for each in every if each.annotation is not None]
            if any(map(names_any, [*hints, *filter(None, [node.returns])])):
                yield before + node.name
        elif isinstance(node, ast.AnnAssign) and is_public(ast.unparse(node.target)):
            is_alias = "TypeAlias" in ast.unparse(node.annotation)
            if names_any(node.value if is_alias and node.value else node.annotation):
                yield before + ast.unparse(node.target)
        elif isinstance(node, ast.Assign) and isinstance(tree, ast.Module):
            # An alias without a hint; other values hold no types.
            names = [ast.unparse(target) for target in node.targets]
            if any(map(is_public, names)) and names_any(node.value):
                yield before + names[0]


def test_signatures_are_looked_through() -> None:
    text = """
from typing import Any, TypeAlias
import numpy as np
Alias: TypeAlias = dict[str, Any]
Other = list[Any]
_Mine = list[Any]
Fine: TypeAlias = np.ndarray[Any, np.dtype[np.integer[Any]]]
LIST: list["Any"] = []
def one(a: Any, b: npt.NDArray[Any]) -> None: ...
def two(a: int, *, b: "list[Any]" = ()) -> None: ...
def three(**c: Any) -> Literal["Any thing"]: ...
def four(d: dict[str, npt.NDArray[Any]]) -> np.integer[Any]: ...
def _five(a: Any) -> Any: ...
class Public(Generic[Any]):
    attribute: Any
    _hidden: Any
    def method(self) -> Any: ...
    def __call__(self, a: Any) -> None: ...
    def _mine(self, a: Any) -> None:
        x: Any = 1
class _Private:
    attribute: Any
"""
    assert list(loose(ast.parse(text))) == [
        "Alias",
        "Other",
        "LIST",
        "one",
        "two",
        "three",
        "Public",
        "Public.attribute",
        "Public.method",
        "Public.__call__",
    ]


def test_no_public_signature_names_any() -> None:
    found = [
        f"{module}.{name}"
        for module, path in sorted(MODULES.items())
        if all(map(is_public, module.split("."))) or module == "compnn._core"
        for name in loose(ast.parse(path.read_text()))
    ]
    assert found == []
