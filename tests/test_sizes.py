"""Files and functions that a reader takes in at once."""

import ast
import statistics
from pathlib import Path

FILE, FUNCTION, MEDIAN = 300, 60, 10


def functions(source: str) -> list[tuple[str, int]]:
    """Name and lines of every function, those inside others too."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return [(node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in found]


def test_no_file_is_longer_than_a_reader_takes_in():
    files = [path for folder in ("lightning_gen", "tests", "benchmarks") for path in Path(folder).rglob("*.py")]
    assert files
    lines = {str(path): len(path.read_text().splitlines()) for path in files}
    assert {path: count for path, count in lines.items() if count > FILE} == {}


def test_functions_are_short():
    found = {
        f"{path}: {name}": lines
        for path in Path("lightning_gen").rglob("*.py")
        for name, lines in functions(path.read_text())
    }
    assert found
    assert {name: lines for name, lines in found.items() if lines > FUNCTION} == {}
    assert statistics.median(found.values()) <= MEDIAN


def test_a_long_function_is_found():
    body = "\n".join(f"    x = {i}" for i in range(FUNCTION))
    assert functions(f"def long():\n{body}\n") == [("long", FUNCTION + 1)]
