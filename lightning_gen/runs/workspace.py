"""A W&B workspace with the panels of the dashboard, by W&B's own library: pip install 'lightning-gen[workspace]'

python -m lightning_gen.runs.workspace --entity TEAM --project lightning-gen          # print the template as JSON
python -m lightning_gen.runs.workspace --entity TEAM --project lightning-gen --save   # make it in the project
"""

import json
import sys
from typing import Any

from lightning_gen.config.arguments import Arguments
from lightning_gen.errors import UserError

__all__ = ["main", "workspace"]

#: section -> panels: title and what the names of its metrics match
_SECTIONS = {
    "Likelihood": {"bits/dim, held out": "eval/bits_per_dim", "bits/dim, training": "train/bits_per_dim"},
    "Distances, lower is better": {"Fréchet distance": "eval/(fd|fid)_.*", "KID": "eval/kid_.*"},
    "Fidelity and diversity, higher is better": {
        "precision": "eval/precision_.*",
        "recall": "eval/recall_.*",
        "density": "eval/density_.*",
        "coverage": "eval/coverage_.*",
    },
    "Training": {"losses": "train/loss.*", "values that were not finite": "not_finite/.*"},
}


def workspace(entity: str, project: str) -> Any:
    """The workspace, not saved: curves over images seen, fixed-seed grids, differences between runs.

    Raises:
        UserError: wandb-workspaces is not installed.
    """
    try:
        import wandb_workspaces.reports.v2 as panels
        import wandb_workspaces.workspaces as spaces
    except ImportError as error:
        raise UserError("workspace wants wandb-workspaces: pip install 'lightning-gen[workspace]'") from error
    sections = [
        spaces.Section(
            name=name,
            is_open=True,
            panels=[
                panels.LinePlot(title=title, x="images_seen", metric_regex=regex) for title, regex in plots.items()
            ],
        )
        for name, plots in _SECTIONS.items()
    ]
    samples = spaces.Section(name="Samples", is_open=True, panels=[panels.MediaBrowser(media_keys=["samples"])])
    runs = spaces.Section(name="Differences", is_open=True, panels=[panels.RunComparer(diff_only="split")])
    return spaces.Workspace(entity=entity, project=project, name="lightning-gen", sections=[*sections, samples, runs])


def main(arguments: list[str]) -> None:
    """Print the template, or save it."""
    parser = Arguments("workspace", __doc__)
    parser.add_argument("--entity", required=True, help="user or team")
    parser.add_argument("--project", default="lightning-gen", help="of W&B (lightning-gen)")
    parser.add_argument("--save", action="store_true", help="make it in the project; wants a key and a network")
    options = parser.parse_args(arguments)
    made = workspace(options.entity, options.project)
    if options.save:
        made.save()
        print(made.url)
    else:
        print(json.dumps(made._to_model().model_dump(mode="json", by_alias=True), indent=2))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"lightning-gen: {error}")
