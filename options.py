"""Options that several commands of the terminal door share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

RULES = ("kmeans", "two-means", "otsu", "gaussian-mixture", "percentile", "log-two-means")  # as in analysis.threshold
TASKS = ("scene", "keypoints2d", "depth_euclidean", "segment_unsup2d")  # as in training.tasks

LOSSES = ("cross-entropy", "next-token", "mse", "l1", "bce")  # as in training.own_losses


def sal_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the settings of SAL; what is not given comes from the experiment's own spec."""
    for option in reversed(
        [
            click.option(
                "--method",
                type=click.Choice(["search", "projected", "gradient"]),
                help="Search, better search, or first order.",
            ),
            click.option("--blocks", type=click.Choice(["layer", "unit", "parameter"]), help="What is one block."),
            click.option("--epsilon", type=float, help="Radius relative to the block's norm (paper: 0.05)."),
            click.option("--steps", type=int, help="Passes of the search (paper: 10)."),
            click.option("--lr", type=float, help="Step size of the search (paper: 0.1)."),
            click.option("--p", type=float, help="Norm of the ball: 1, 2 or inf (paper: 2)."),
            click.option("--samples", type=int, help="Training samples measured on; 0 takes all."),
            click.option("--batch-size", type=int, help="Samples per batch; 0 is one full batch."),
            click.option("--every", type=int, help="Measure every n-th checkpoint (and the last)."),
        ]
    ):
        command = option(command)
    return command


class _Out(click.Option):
    """``--out``, which is also taken by the name ``--output``, without a word of it in the help."""

    def get_help_record(self, context: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(context)
        return record and (record[0].replace("--out, --output", "--out"), record[1])

    def get_error_hint(self, context: click.Context | None) -> str:
        return "'--out'"


def out_option(words: str, *, required: bool = False) -> Callable[..., Any]:
    """Add where a command writes: one name for it in every command."""
    return click.option(
        "--out",
        "--output",
        "out",
        cls=_Out,
        metavar="PATH",
        type=click.Path(path_type=Path),
        required=required,
        help=words,
    )


def download_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the switch without which nothing is fetched from the network."""
    return click.option("--download", is_flag=True, help="Allow torchvision to download the data set.")(command)


def task_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the choice of one task of several."""
    return click.option(
        "--task", type=click.Choice(TASKS), help="Under the loss of this task of a network of several."
    )(command)


def rule_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the choice of the learnable threshold's rule."""
    return click.option(
        "--rule",
        type=click.Choice([*RULES, *("pooled-" + rule for rule in RULES)]),
        default="kmeans",
        show_default=True,
        metavar="RULE",
        help=f"Learnable threshold: the paper's kmeans; or {', '.join(RULES[1:])}; with pooled- before it, one for all "
        "checkpoints.",
    )(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")


def where_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add where the work is done."""
    jobs = click.option(
        "--jobs", type=click.IntRange(1, 512), help="Processes [default: as many as cores where that pays]."
    )
    cluster = click.option("--cluster", metavar="tcp://HOST:8786", help="Scheduler of a Dask cluster to work on.")
    return jobs(cluster(command))


@contextmanager
def terminal_progress(experiment: Any = None) -> Iterator[Any]:
    """Progress on the terminal and, for a job, in its progress file.

    What fails because the experiment's folder went meanwhile is told as that.
    """
    from experiments import ProgressFile, Several, TerminalBar
    from experiments.experiment import SPEC_FILE, gone

    bar, file = TerminalBar(), ProgressFile.from_environment()
    try:
        yield Several(bar, file) if file else bar
    except (ValueError, OSError, RuntimeError):
        if experiment is None or (experiment.path / SPEC_FILE).is_file():
            raise
        raise gone(experiment.path) from None
    finally:
        bar.close()


def open_for_writing(exp: str) -> Any:
    """The experiment at a path as it is; by name, one of the gallery becomes the user's own copy first."""
    from experiments import SPEC_FILE, find_experiment, writable

    experiment = find_experiment(exp)
    return experiment if (Path(exp) / SPEC_FILE).is_file() else writable(experiment)
