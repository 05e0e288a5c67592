"""Imports point downward only."""

import ast
from pathlib import Path

GROUND = {"errors", "files", "images", "schedules", "arguments", "plain", "panels"}
BELOW = {
    **dict.fromkeys((*GROUND, "nets", "losses", "bijections", "metrics", "base"), GROUND),
    "distributions": GROUND | {"bijections"},
    "data": GROUND | {"base"},
    "pack": GROUND | {"base", "data", "loading"},
    "models": GROUND | {"base", "nets", "losses", "bijections", "distributions"},
    "loading": GROUND | {"base"},
    "evaluation": GROUND | {"base", "metrics"},
    "callbacks": GROUND | {"base", "metrics", "evaluation"},
    "tasks": GROUND | {"base", "loading", "metrics", "evaluation"},
    "runs": GROUND | {"base", "loading"},
    "launch": GROUND | {"base", "loading", "cli"},  # what a job runs is a command line
    "resume": GROUND | {"callbacks"},
    "fit": GROUND | {"base", "loading", "metrics", "evaluation", "callbacks", "runs", "resume"},
}
TORCH_ONLY = GROUND | {"nets", "losses", "bijections", "distributions", "metrics"}


def violations(source: str, room: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            parts = name.split(".")
            if (
                parts[0] == "lightning_gen"
                and len(parts) > 1
                and room != "cli"
                and parts[1] not in BELOW[room] | {room}
            ):
                found.append(f"{room} imports {name}")
            if parts[0] == "lightning" and room in TORCH_ONLY:
                found.append(f"{room} imports {name}")
            if parts[0] == "wandb" and room not in {"callbacks", "runs", "launch"}:
                found.append(f"{room} imports {name}")
    return found


def test_imports_point_downward():
    root = Path("lightning_gen")
    files = [p for p in root.rglob("*.py") if p.name != "__init__.py"]
    assert files
    assert [v for p in files for v in violations(p.read_text(), p.relative_to(root).parts[0].removesuffix(".py"))] == []


def test_a_planted_import_is_found():
    assert violations("from lightning_gen.models.gan import GAN", "nets")
    assert violations("import lightning", "losses")
