"""The help of ``lightning-gen fit``, read from signatures and docstrings of source files: nothing heavy is imported.

The parser itself gives the same by importing torch and Lightning, which takes seconds; ``--model.help CLASS`` and the
like, which need it, still do.
"""

import ast
import importlib.util
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from lightning_gen.training.defaults import TRAINER_DEFAULTS

__all__ = ["asks_for_help", "help_text"]

_ROOT = Path(__file__).parents[1]
_USAGE = """\
usage: lightning-gen fit -c CONFIG [-c CONFIG ...] [--key value ...]

Train from configuration into a run folder. A configuration is a model, its data and a trainer, in one YAML file or
several; later files and arguments win. configs/ has one for each family.

  -h, --help              show this and exit
  --print_config          print the configuration that these arguments make, and exit
  -c, --config CONFIG     YAML file
  --seed_everything SEED  of all randomness (default: 0)
"""
_CLASSES = """\
  --{key} CLASS            one of {names}, or the path of another class
  --{key}.init_args.NAME   an argument of it
  --{key}.help CLASS       show the arguments of a class and exit
"""


def asks_for_help(arguments: list[str]) -> bool:
    """Return whether the arguments ask for the help of the command itself."""
    return "-h" in arguments or "--help" in arguments


def help_text() -> str:
    """Return what ``lightning-gen fit --help`` prints."""
    lightning = importlib.util.find_spec("lightning")
    places = lightning.submodule_search_locations if lightning else None
    parts = [_USAGE]
    for key, room, base in (("model", "models", "Module"), ("data", "data", "Images")):
        parts += [f"{key}:", _CLASSES.format(key=key, names=", ".join(_final_classes(_ROOT / room, base)))]
    sections = {
        "run": (_ROOT / "training" / "options.py", "Run"),
        "evaluation": (_ROOT / "evaluation" / "protocol.py", "Evaluation"),
        "trainer": (Path(next(iter(places or [""]))) / "pytorch" / "trainer" / "trainer.py", "Trainer"),
    }
    for key, (path, name) in sections.items():
        changed = TRAINER_DEFAULTS if key == "trainer" else {}
        node = next((n for n in _classes(path) if n.name == name), None) if path.is_file() else None
        parts += [f"{key}:", *(_section(key, node, changed) if node else [])]
    return "\n".join(parts).rstrip()


def _classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]


def _final_classes(folder: Path, base: str) -> Iterator[str]:
    """Names of the final classes of a room whose base class has `base` in its name, or that take images as data."""
    for path in sorted(folder.glob("*.py")):
        for node in _classes(path):
            bases = [ast.unparse(b) for b in node.bases]
            if any(ast.unparse(d) == "final" for d in node.decorator_list) and any(base in b for b in bases):
                yield node.name


def _section(key: str, node: ast.ClassDef, changed: dict[str, object]) -> Iterator[str]:
    """One entry for each argument of a class."""
    init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    about = _documented(ast.get_docstring(node) or "") | _documented((init and ast.get_docstring(init)) or "")
    for name, kind, default in _arguments(node, init):
        default = str(changed[name]) if name in changed else default
        facts = f"(type: {kind}, default: {default})" if default else f"(type: {kind})"
        text = re.sub(r"\s*Default: ``[^`]*``\.?", "", about.get(name, ""))
        yield f"  --{key}.{name}"
        yield textwrap.fill(f"{text} {facts}".strip(), 110, initial_indent=" " * 10, subsequent_indent=" " * 10)
    yield ""


def _arguments(node: ast.ClassDef, init: ast.FunctionDef | None) -> Iterator[tuple[str, str, str]]:
    """Name, type and default of each argument: of the constructor, else of the fields of a dataclass."""
    if init is None:
        for field in node.body:
            if isinstance(field, ast.AnnAssign):
                yield ast.unparse(field.target), ast.unparse(field.annotation), _unparse(field.value)
        return
    places, defaults = init.args.args[1:], list(init.args.defaults)
    given: list[ast.expr | None] = [None] * (len(places) - len(defaults)) + list(defaults)
    both = [*zip(places, given, strict=True), *zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)]
    for argument, default in both:
        yield argument.arg, _unparse(argument.annotation), _unparse(default)


def _unparse(node: ast.expr | None) -> str:
    return ast.unparse(node) if node else ""


def _documented(docstring: str) -> dict[str, str]:
    """Name -> text, of the section Args of a docstring."""
    block = docstring.partition("Args:\n")[2]
    found: dict[str, str] = {}
    name, indent = "", None
    for line in block.splitlines():
        depth = len(line) - len(line.lstrip())
        indent = depth if indent is None and line.strip() else indent
        if line.strip() and indent is not None and depth < indent:
            break
        entry = re.match(r"\s*(\w+): ?(.*)", line) if depth == indent else None
        if entry:
            name, found[entry[1]] = entry[1], entry[2]
        elif name:
            found[name] += f" {line.strip()}"
    return {name: re.sub(r"\s+", " ", text).strip() for name, text in found.items()}
