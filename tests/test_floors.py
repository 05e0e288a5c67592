"""Imports point downward only."""

import ast
from pathlib import Path

GROUND = {
    "errors",
    "files",
    "finite",
    "images",
    "reading",
    "batches",
    "context",
    "precision",
    "distributed",
    "schedules",
}
LOW = GROUND | {"music"}
BELOW = {
    "music": GROUND,
    **dict.fromkeys(GROUND, GROUND),
    **dict.fromkeys(("nets", "bijections", "contracts"), LOW),
    **dict.fromkeys(("losses", "metrics"), LOW | {"nets"}),
    "distributions": LOW | {"bijections"},
    "inference": LOW | {"distributions"},
    "data": LOW | {"contracts"},
    "models": LOW | {"contracts", "nets", "losses", "bijections", "distributions", "inference"},
    "config": LOW | {"contracts"},
    "evaluation": LOW | {"contracts", "metrics"},
    "tasks": LOW | {"contracts", "config", "inference", "metrics", "evaluation", "data"},
    "runs": LOW | {"contracts", "config"},
    "api": LOW | {"contracts", "config", "evaluation", "runs", "tasks"},
    "launch": LOW | {"contracts", "config"},  # what a job runs is a command line
    "training": LOW | {"contracts", "config", "metrics", "evaluation", "runs"},
}
TORCH_ONLY = GROUND | {"nets", "losses", "bijections", "distributions", "inference", "metrics"}


def violations(source: str, room: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            parts = name.split(".")
            if parts[0] == "lightning_gen" and len(parts) > 1 and parts[1] not in BELOW[room] | {room}:
                found.append(f"{room} imports {name}")
            if parts[0] == "lightning" and room in TORCH_ONLY:
                found.append(f"{room} imports {name}")
            if parts[0] == "wandb" and room not in {"training", "runs", "launch"}:
                found.append(f"{room} imports {name}")
    return found


def test_imports_point_downward():
    root = Path("lightning_gen")
    files = [p for p in root.rglob("*.py") if (p.name != "__init__.py" and p.parent != root) or p.stem in GROUND]
    assert files
    assert [v for p in files for v in violations(p.read_text(), p.relative_to(root).parts[0].removesuffix(".py"))] == []


def test_a_planted_import_is_found():
    assert violations("from lightning_gen.models.gan import GAN", "nets")
    assert violations("import lightning", "losses")
