"""Imports point downward only."""

import ast
from pathlib import Path

GROUND = {
    "errors",
    "files",
    "finite",
    "images",
    "music",
    "reading",
    "batches",
    "cache",
    "captioned",
    "context",
    "precision",
    "distributed",
    "graphs",
    "resampling",
    "schedules",
    "serving",
    "threads",
}
BELOW = {
    **dict.fromkeys((*GROUND, "nets", "bijections", "contracts"), GROUND),
    **dict.fromkeys(("losses", "metrics"), GROUND | {"nets"}),
    "distributions": GROUND | {"bijections"},
    "inference": GROUND | {"distributions"},
    "data": GROUND | {"contracts"},
    "models": GROUND | {"contracts", "nets", "losses", "bijections", "distributions", "inference"},
    "config": GROUND | {"contracts"},
    "evaluation": GROUND | {"contracts", "metrics"},
    "tasks": GROUND | {"contracts", "config", "inference", "metrics", "evaluation", "data"},
    "runs": GROUND | {"contracts", "config"},
    "api": GROUND | {"contracts", "config", "evaluation", "runs", "tasks"},
    "launch": GROUND | {"contracts", "config"},  # what a job runs is a command line
    "training": GROUND | {"contracts", "config", "metrics", "evaluation", "runs"},
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
