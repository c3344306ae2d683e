"""Rules of the house that other tools do not check: sizes, and what docstrings must have."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "fem_models"
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST_MODULE, LONGEST_FUNCTION = 400, 60
ERRORS = {"InputError", "SolveError"}

type Function = ast.FunctionDef | ast.AsyncFunctionDef
# A function with its name behind those of its classes, and the docstring of its class for a constructor.
type Named = tuple[str, Function, str]


def _place(module: Path, line: int, name: str) -> str:
    return f"{module.relative_to(PACKAGE.parent)}:{line} {name}"


def _functions(module: Path) -> list[Function]:
    tree = ast.parse(module.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _public(body: list[ast.stmt], path: str = "", class_text: str = "") -> Iterator[Named]:
    """Functions of a module and methods of its classes that no underscore hides, and constructors."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public(node.body, f"{path}{node.name}.", ast.get_docstring(node) or "")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
            node.name in ("__init__", "__call__") or not node.name.startswith("_")
        ):
            yield f"{path}{node.name}", node, class_text if node.name == "__init__" else ""


def _public_functions() -> Iterator[tuple[Path, str, Function, str]]:
    for module in MODULES:
        for name, node, class_text in _public(ast.parse(module.read_text()).body):
            if not _decorated(node, "override", "overload", "setter"):
                yield module, name, node, f"{class_text}\n{ast.get_docstring(node) or ''}"


def _decorated(node: Function, *names: str) -> bool:
    return any(ast.unparse(decorator).rpartition(".")[2] in names for decorator in node.decorator_list)


def _parameters(node: Function) -> list[str]:
    """Names of parameters, but for those of commands, whose help is in their annotations."""
    given = node.args
    every = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    names = [a.arg for a in every if a is not None and not (a.annotation and _of_command(a.annotation))]
    return [name for name in names if name not in ("self", "cls") and not name.startswith("_")]


def _of_command(annotation: ast.expr) -> bool:
    return "typer." in ast.unparse(annotation)


def _section(docstring: str, title: str) -> str:
    """What is in a section of a docstring, of all docstrings where there are two."""
    return "\n".join(re.findall(rf"^{title}:\n((?:[ \t]+.*\n?|\n)+)", docstring, re.MULTILINE))


def _own_raises(node: Function) -> set[str]:
    """The errors of ours that a function raises itself, not in functions inside it."""
    found, inside = set(), list(node.body)
    while inside:
        part = inside.pop()
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(part, ast.Raise) and isinstance(part.exc, ast.Call):
            found.add(ast.unparse(part.exc.func).rpartition(".")[2])
        inside.extend(ast.iter_child_nodes(part))
    return found & ERRORS


def _modules_too_long() -> list[str]:
    lines = {module: len(module.read_text().splitlines()) for module in MODULES}
    return [_place(module, count, "lines") for module, count in lines.items() if count > LONGEST_MODULE]


def _functions_too_long() -> list[str]:
    return [
        f"{_place(module, node.lineno, node.name)}: {length} lines"
        for module in MODULES
        for node in _functions(module)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]


def _without_types() -> list[str]:
    found = []
    for module, name, node, _ in _public_functions():
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        typed = all(a.annotation is not None for a in arguments if a.arg not in ("self", "cls"))
        if not typed or node.returns is None:
            found.append(_place(module, node.lineno, name))
    return found


def _without_docstring() -> list[str]:
    return [
        _place(module, node.lineno, name)
        for module, name, node, docstring in _public_functions()
        if not docstring.strip()
    ]


def _without_arguments() -> list[str]:
    found = []
    for module, name, node, docstring in _public_functions():
        section = _section(docstring, "Args")
        missing = [p for p in _parameters(node) if not re.search(rf"[\s,*`]{p}\b[^\n]*:", f" {section}")]
        if missing:
            found.append(f"{_place(module, node.lineno, name)}: {', '.join(missing)}")
    return found


def _without_returns() -> list[str]:
    return [
        _place(module, node.lineno, name)
        for module, name, node, docstring in _public_functions()
        if _parameters(node)
        and node.returns is not None
        and ast.unparse(node.returns) not in ("None", "NoReturn", "Never")
        and not re.search(r"^(Returns|Yields):", docstring, re.MULTILINE)
    ]


def _without_raises() -> list[str]:
    found = []
    for module, name, node, docstring in _public_functions():
        section = _section(docstring, "Raises")
        missing = sorted(error for error in _own_raises(node) if error not in section)
        if missing:
            found.append(f"{_place(module, node.lineno, name)}: {', '.join(missing)}")
    return found


@pytest.mark.parametrize(
    "offenders",
    [
        _modules_too_long,
        _functions_too_long,
        _without_types,
        _without_docstring,
        _without_arguments,
        _without_returns,
        _without_raises,
    ],
    ids=lambda rule: rule.__name__.strip("_").replace("_", " "),
)
def test_house(offenders):
    assert offenders() == []
