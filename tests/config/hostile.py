"""What a stranger may write where a class is named, and a watch that sees whether anything comes of it."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: name -> a value for an argument that wants a class; PROOF stands for a path that must never come to be
VECTORS: dict[str, object] = {
    "a function below torch": {"class_path": "torch.utils.collect_env.run", "init_args": {"command": "id > PROOF"}},
    "a hub": {"class_path": "torch.hub.load", "init_args": {"repo_or_dir": "PROOF", "model": "x", "source": "local"}},
    "a pickle": {"class_path": "torch.load", "init_args": {"f": "PROOF", "weights_only": False}},
    "a file written": {"class_path": "torch.save", "init_args": {"obj": 1, "f": "PROOF"}},
    "a launcher": {"class_path": "torch.distributed.run.main", "init_args": {"args": ["PROOF"]}},
    "a module reached through another": {"class_path": "torch.os.system", "init_args": {"command": "id > PROOF"}},
    "ours through ours": {"class_path": "lightning_gen.training.facts.subprocess.getoutput", "init_args": {"cmd": "x"}},
    "our own writer": {"class_path": "lightning_gen.files.write_text", "init_args": {"path": "PROOF", "text": "x"}},
    "our own command": {"class_path": "lightning_gen.config.cli.main", "init_args": {"arguments": ["--version"]}},
    "our own packer": {"class_path": "lightning_gen.tasks.pack.main", "init_args": {"arguments": ["PROOF"]}},
    "our entry": {"class_path": "lightning_gen.__main__.entry"},
    "the page of the dashboard": {"class_path": "lightning_gen.runs.board.main"},
    "the shell": {"class_path": "os.system", "init_args": {"command": "id > PROOF"}},
    "a process": {"class_path": "subprocess.Popen", "init_args": {"args": "id > PROOF", "shell": True}},
    "a process as text": "{class_path: subprocess.getoutput, init_args: {cmd: 'id > PROOF'}}",
    "a process as JSON": json.dumps({"class_path": "subprocess.getoutput", "init_args": {"cmd": "id > PROOF"}}),
    "a name alone": "subprocess.getoutput",
    "builtins": {"class_path": "builtins.exec", "init_args": {"source": "open('PROOF', 'w')"}},
    "a partial": {"class_path": "functools.partial", "init_args": {"func": "os.system"}},
    "a module that acts when it is imported": {"class_path": "antigravity.Flight"},
    "a module beside the file": {"class_path": "planted.Net"},
    "nested": {
        "class_path": "lightning_gen.nets.vae.mlp.MLPDecoder",
        "init_args": {"width": {"class_path": "os.system", "init_args": {"command": "id > PROOF"}}},
    },
    "in a list": [{"class_path": "os.system", "init_args": {"command": "id > PROOF"}}],
    "in other arguments": {
        "class_path": "lightning_gen.nets.vae.mlp.MLPDecoder",
        "dict_kwargs": {"x": {"class_path": "os.system", "init_args": {"command": "id > PROOF"}}},
    },
    "a class of ours that is not wanted": {"class_path": "lightning_gen.losses.adversarial.Hinge"},
    "a class of torch that is not wanted": {"class_path": "torch.nn.Linear", "init_args": {"in_features": 1}},
    "a class that only passes through": {"class_path": "lightning_gen.models.vae.Path"},
    "a storage": {"class_path": "torch.UntypedStorage", "init_args": {"size": 1}},
    "an abstract class": {"class_path": "lightning_gen.contracts.module.ImageModule"},
    "a private name": {"class_path": "lightning_gen.nets.vae.mlp.__builtins__"},
    "no path": {"class_path": "x"},
    "half a path": {"class_path": "torch."},
    "a NUL": {"class_path": "torch.optim.\0Adam"},
    "a letter that looks like one": {"class_path": "tоrch.optim.Adam"},
    "a path with blanks": {"class_path": "torch.optim. Adam"},
    "a very long path": {"class_path": "torch." + "a." * 100_000 + "b"},
    "a number": {"class_path": 3},
    "nothing": {"class_path": None},
    "a list for a path": {"class_path": ["os", "system"]},
    "a class that does not exist": {"class_path": "lightning_gen.models.vae.Nope"},
    "a module that does not exist": {"class_path": "lightning_gen.nets.nope.Nope"},
    "a relative path": {"class_path": "..os.system"},
    "arguments that are none": {"class_path": "lightning_gen.nets.vae.mlp.MLPDecoder", "init_args": "os.system"},
    "stray keys": {"class_path": "lightning_gen.nets.vae.mlp.MLPDecoder", "__path__": "PROOF"},
    "a number for a class": 7,
    "a list for a class": [],
}


def aimed(value: object, proof: str) -> object:
    """A vector with the path that it would write."""
    return json.loads(json.dumps(value).replace("PROOF", proof))


_ACTS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "shutil.rmtree", "exec.os")
_watching: list[list[str]] = []


def _look(event: str, arguments: tuple) -> None:
    if not _watching:
        return
    if event in _ACTS:
        _watching[-1].append(f"{event} {arguments[:1]}")
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        if arguments[0] not in (os.devnull, None) and not str(arguments[0]).endswith(".pyc"):
            _watching[-1].append(f"writes {arguments[0]}")
    elif event == "import" and str(arguments[0]).partition(".")[0] in ("antigravity", "planted", "webbrowser"):
        _watching[-1].append(f"imports {arguments[0]}")


@contextmanager
def watched() -> Iterator[list[str]]:
    """What runs, is written or is imported inside the block, as the interpreter itself reports it."""
    if not getattr(sys, "_hostile_watch", False):
        sys.addaudithook(_look)
        sys._hostile_watch = True
    seen: list[str] = []
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.pop()
