"""The terminal door: train, look and measure from the command line. ``python cli.py --help`` lists the commands."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import click

from commands.bench import bench
from commands.poison import poison
from commands.sensitivity import sensitivity
from options import download_option, json_option, rule_option, sal_options, terminal_progress, where_options
from version import __version__

FIGURES = ("compare", "compare-3d", "sal", "sal-heatmap", "learnable-blocks", "ud", "curves")
FORMATS = ("html", "png", "svg", "pdf", "csv")


class Commands(click.Group):
    """Turns every refusal into one sentence and an exit code; a stack trace is never shown."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command under the house's rules for errors and stops."""
        from experiments import ProgressFile, Stopped

        status = ProgressFile.from_environment()
        try:
            result = super().invoke(context)
        except (click.exceptions.Exit, click.Abort):
            raise
        except (Stopped, KeyboardInterrupt):
            _end(status, "stopped", "Stopped; everything finished so far is kept and the same command goes on.")
            click.echo("Stopped; everything finished so far is kept. The same command goes on from here.", err=True)
            raise click.exceptions.Exit(130) from None
        except (click.ClickException, ValueError, OSError, MemoryError, RuntimeError) as error:
            sentence = _sentence(error)
            _end(status, "failed", sentence)
            if os.environ.get("UNLEARNSCAPE_DEBUG"):
                raise
            if isinstance(error, click.ClickException):
                raise
            raise click.ClickException(sentence) from None
        except Exception as error:
            sentence = f"Something unexpected went wrong ({type(error).__name__}: {_sentence(error)})."
            _end(status, "failed", sentence)
            if os.environ.get("UNLEARNSCAPE_DEBUG"):
                raise
            raise click.ClickException(f"{sentence} UNLEARNSCAPE_DEBUG=1 shows where.") from None
        _end(status, "done", "")
        return result


def _end(status: Any, state: str, message: str) -> None:
    if status is not None:
        try:
            status.end(state, message)
        except (OSError, ValueError):
            click.echo("The progress file could not be written.", err=True)


def _sentence(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'A file'}: {error.strerror}."
    if isinstance(error, MemoryError):
        return "There is not enough memory; use fewer samples (--samples) or a smaller grid (--grid)."
    text = " ".join(str(error).split())
    return text or type(error).__name__


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version=__version__, message="unlearnscape %(version)s", prog_name="unlearnscape")
def main() -> None:
    """See why a network learns, or fails to learn, from a data set.

    An experiment is a folder: clean and poisoned runs of one network, the loss surfaces they walk on, the sharpness
    of every layer (SAL) and the Unlearnable Distance (UD). EXP is such a folder, or its name in $UNLEARNSCAPE_HOME
    (default: experiments_data). Every command skips what exists, and goes on where it was stopped.

    \b
    From nothing to the number:
      unlearnscape run toy-ops          train, SAL, surface and UD in one go
      unlearnscape ud toy-ops --json    the number alone
      unlearnscape app                  look at it
    """
    signal.signal(signal.SIGTERM, _stop)
    if os.environ.get("UNLEARNSCAPE_PROGRESS") and hasattr(os, "nice"):
        os.nice(10)  # a job in the background: whoever looks at the page comes first


def _stop(number: int, frame: Any) -> None:
    from experiments import Stopped

    raise Stopped


@main.command()
@click.argument("source", metavar="PRESET|SPEC.toml|EXP")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the experiment [default: by name].")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override, as training.lr=0.05.")
@click.option("--live", is_flag=True, help="Keep a snapshot for the Live page while training.")
@download_option
def train(source: str, out: Path | None, assignments: tuple[str, ...], live: bool, download: bool) -> None:
    """Train all runs of a preset or spec, clean and poisoned side by side.

    \b
    Presets: toy-ops toy-random digits-ops digits-random mnist-ops mnist-random
    Example: unlearnscape train toy-ops --out my-toy --set training.epochs=20 --set "seeds=[0,1,2]"
    """
    experiment = _create(source, out, assignments)
    with terminal_progress() as progress:
        _train(experiment, progress, live, download)
    click.echo(f"{experiment.path}: {len(experiment.finished_runs())} runs are trained.")


@main.command()
@click.argument("source", metavar="PRESET|SPEC.toml|EXP")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the experiment [default: by name].")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override, as training.lr=0.05.")
@click.option("--live", is_flag=True, help="Keep a snapshot for the Live page while training.")
@where_options
@download_option
@json_option
def run(
    source: str,
    out: Path | None,
    assignments: tuple[str, ...],
    live: bool,
    jobs: int | None,
    cluster: str | None,
    download: bool,
    as_json: bool,
) -> None:
    """Everything from nothing: train, SAL, the loss surface, and UD."""
    from experiments import Where, compute_surface, compute_ud

    experiment, where = _create(source, out, assignments), Where(jobs, cluster)
    with terminal_progress() as progress:
        _train(experiment, progress, live, download)
        report = compute_ud(experiment, progress=progress, download=download, where=where)
        compute_surface(experiment, progress=progress, download=download, where=where)
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())


@main.command()
@click.argument("exp")
@click.option("--plane", type=click.Choice(["pca", "pca-single", "random", "three-point", "parameters", "hessian"]))
@click.option("--grid", type=int, help="Points a side [default: 51].")
@click.option("--on", metavar="clean|poisoned|test|ARM", help="Data the loss is evaluated on.")
@click.option("--runs", metavar="A,B", help="Runs whose paths are drawn [default: all of the first seed].")
@click.option("--margin", type=float, help="Room around the paths [default: 0.2].")
@click.option("--samples", type=int, help="Samples evaluated on; 0 takes all.")
@click.option("--block", help="Restrict the plane to a layer, as fc3; the others stay at the origin.")
@click.option("--seed", type=int, help="Seed of the random plane.")
@click.option("--parameters", metavar="I,J", help="Flat indices of the two parameters of the parameters plane.")
@click.option("--tolerance", type=float, help="Interpolate where that is as good, to this share of the loss's range.")
@click.option("--precision", type=click.Choice(["float32", "float64", "bfloat16"]), help="Compute in this type.")
@where_options
@download_option
@json_option
def surface(
    exp: str,
    runs: str | None,
    parameters: str | None,
    jobs: int | None,
    cluster: str | None,
    download: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Evaluate loss and accuracy on a plane, with the runs' paths projected onto it.

    Points come coarse to fine, and the fastest way to evaluate this model on this machine is found by trying.
    Example: unlearnscape surface toy-ops --plane pca --grid 51 --on poisoned
    """
    from experiments import Where, compute_surface, describe_surface

    experiment = _open_for_writing(exp)
    if parameters is not None:
        given["parameters"] = _indices(parameters)
        given["plane"] = given.get("plane") or "parameters"
    options = _replace(experiment.spec.surface, given)
    names = _names(runs)
    with terminal_progress() as progress:
        path = compute_surface(
            experiment, options, runs=names, progress=progress, download=download, where=Where(jobs, cluster)
        )
    click.echo(json.dumps(describe_surface(path), indent=2) if as_json else str(path))


@main.command()
@click.argument("exp")
@sal_options
@click.option("--runs", metavar="A,B", help="Runs to measure [default: all].")
@where_options
@download_option
def sal(exp: str, runs: str | None, jobs: int | None, cluster: str | None, download: bool, **given: Any) -> None:
    """Measure Sharpness-Aware Learnability of every block at every checkpoint.

    Each run is measured on its own training data, as in the paper.
    Example: unlearnscape sal digits-ops --method search --blocks layer
    """
    from experiments import Where, compute_sal

    experiment = _open_for_writing(exp)
    names = _names(runs)
    with terminal_progress() as progress:
        paths = compute_sal(
            experiment,
            _replace(experiment.spec.sal, given),
            runs=names,
            progress=progress,
            download=download,
            where=Where(jobs, cluster),
        )
    for path in paths:
        click.echo(str(path))


@main.command()
@click.argument("exp")
@click.option("--runs", metavar="A,B", help="Runs to measure [default: all].")
@click.option("--top", type=int, default=2, show_default=True, help="Number of eigenvalues.")
@click.option("--probes", type=int, default=30, show_default=True, help="Random vectors behind the trace.")
@click.option("--samples", type=int, default=1000, show_default=True, help="Samples measured on; 0 takes all.")
@click.option("--every", type=int, default=0, help="Measure every n-th checkpoint [default: the last alone].")
@download_option
@json_option
def curvature(exp: str, runs: str | None, download: bool, as_json: bool, **given: int) -> None:
    """Measure the Hessian's largest eigenvalues and its trace, with residuals and standard error.

    Each run is measured on its own training data.
    Example: unlearnscape curvature toy-ops --top 3
    """
    from experiments import CurvatureOptions, compute_curvature, curvature_text, describe_curvature

    experiment = _open_for_writing(exp)
    names = _names(runs)
    with terminal_progress() as progress:
        paths = compute_curvature(
            experiment, CurvatureOptions(**given), runs=names, progress=progress, download=download
        )
    if as_json:
        click.echo(json.dumps([describe_curvature(path) for path in paths], indent=2))
    for path in paths if not as_json else ():
        click.echo(curvature_text(path))


@main.command()
@click.argument("exp")
@sal_options
@rule_option
@where_options
@download_option
@json_option
def ud(exp: str, rule: str, jobs: int | None, cluster: str | None, download: bool, as_json: bool, **given: Any) -> None:
    """Print the Unlearnable Distance beside test accuracy, with its spread over seeds.

    SAL that is missing is measured first. UD near 1: as learnable as clean; towards 0: unlearnable; above 1:
    it learns, but wrongly.
    """
    from experiments import Where, compute_ud, find_experiment

    experiment = find_experiment(exp)
    if experiment.finished_runs():
        experiment = _open_for_writing(exp)
    with terminal_progress() as progress:
        report = compute_ud(
            experiment,
            _replace(experiment.spec.sal, given),
            rule=rule,
            progress=progress,
            download=download,
            where=Where(jobs, cluster),
        )
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())


@main.command()
@click.argument("exp")
@json_option
def show(exp: str, as_json: bool) -> None:
    """Tell what an experiment holds, and what is missing with the command that makes it."""
    from experiments import find_experiment, summarise

    summary = summarise(find_experiment(exp))
    click.echo(json.dumps(summary.as_json(), indent=2) if as_json else summary.as_text())


@main.command()
@click.argument("exp")
@click.option("--figure", type=click.Choice(FIGURES), required=True, help="What to draw.")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="html", show_default=True)
@click.option("--plane", help="Which surface [default: the experiment's own plane].")
@click.option("--on", help="Data of the surface [default: the experiment's own].")
@click.option("--output", type=click.Path(path_type=Path), help="File [default: EXP-FIGURE.FORMAT here].")
@click.option("--dark", is_flag=True, help="Draw for a dark background.")
@click.option("--width", type=int, default=1000, show_default=True, help="Pixels.")
@click.option("--height", type=int, default=640, show_default=True, help="Pixels.")
def export(
    exp: str,
    figure: str,
    kind: str,
    plane: str | None,
    on: str | None,
    output: Path | None,
    dark: bool,
    width: int,
    height: int,
) -> None:
    """Write a figure, or the numbers in it, to a file. Needs no browser.

    Example: unlearnscape export toy-ops --figure compare --format pdf
    """
    from experiments import draw, find_experiment, render, write_bytes

    experiment = find_experiment(exp)
    data = render(draw(experiment, figure, plane=plane, on=on, dark=dark), kind, width=width, height=height)
    target = output or Path(f"{experiment.name}-{figure}.{kind}")
    write_bytes(target, data)
    click.echo(str(target))


@main.command(name="import")
@click.argument("exp", type=click.Path(path_type=Path))
@click.argument("recordings", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--clean", "clean", metavar="NAME", help="Which recording is the clean one [default: the first].")
@click.option("--model", default="", help="Registered network the runs are of, as lenet5.")
@click.option("--data", default="", help="Data set they are measured on: a registered name or FILE.npz.")
def import_(exp: Path, recordings: tuple[Path, ...], clean: str | None, model: str, data: str) -> None:
    """Make an experiment EXP from runs that any PyTorch loop recorded with checkpoints.Recorder.

    Example: unlearnscape import mine clean.h5 poisoned.h5 --model mlp --data my.npz
    """
    from experiments import import_runs

    experiment = import_runs(exp, recordings, clean=clean, model=model, data=data)
    click.echo(f"{experiment.path}: {', '.join(experiment.run_names())}")


@main.command()
@click.option("--port", type=int, default=8501, show_default=True)
@click.option("--address", default="127.0.0.1", show_default=True, help="Interface to listen on.")
def app(port: int, address: str) -> None:
    """Serve the web app on this machine (Ctrl-C stops it)."""
    root = Path(__file__).parent
    settings = {
        "server.address": address,
        "server.port": port,
        "server.headless": "true",
        "server.maxUploadSize": 50,
        "server.enableXsrfProtection": "true",
        "server.enableStaticServing": "true",
        "server.disconnectedSessionTTL": 30,
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
    }
    flags = [f"--{name}={value}" for name, value in settings.items()]
    # What every page needs is imported before the server answers, so that the first page opens at once.
    from streamlit.web.cli import main as streamlit

    for module in ("experiments", "analysis.figures", "landscape.static_export"):
        importlib.import_module(module)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise click.ClickException(
                f"{address}:{port} cannot be used ({error.strerror}); try another --port."
            ) from None
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    streamlit(["run", str(root / "app.py"), *flags], standalone_mode=False)


main.add_command(bench)
main.add_command(sensitivity)
main.add_command(poison)


def _create(source: str, out: Path | None, assignments: tuple[str, ...]) -> Any:
    from experiments import SPEC_FILE, Experiment, home, load_preset_or_file, override

    if (Path(source) / SPEC_FILE).is_file():
        if out is not None or assignments:
            raise click.ClickException(f"{source} is an experiment already; --out and --set are for new ones.")
        return Experiment.open(source)
    spec = load_preset_or_file(source)
    if out is not None:
        spec = dataclasses.replace(spec, name=out.name) if out.name else spec
    spec = override(spec, assignments)
    return Experiment.create(spec, out or home() / spec.name)


def _open_for_writing(exp: str) -> Any:
    """The experiment at a path as it is; by name, one of the gallery becomes the user's own copy first."""
    from experiments import SPEC_FILE, find_experiment, writable

    experiment = find_experiment(exp)
    return experiment if (Path(exp) / SPEC_FILE).is_file() else writable(experiment)


def _train(experiment: Any, progress: Any, live: bool, download: bool) -> None:
    from experiments import LiveObserver, train_experiment

    observer = LiveObserver(experiment) if live else None
    train_experiment(experiment, progress=progress, download=download, observe=observer)
    if observer is not None:
        observer.write(finished=True)


def _replace(options: Any, given: dict[str, Any]) -> Any:
    return dataclasses.replace(options, **{key: value for key, value in given.items() if value is not None})


def _names(runs: str | None) -> list[str] | None:
    """The runs that were named, or None for all."""
    return [name.strip() for name in runs.split(",")] if runs else None


def _indices(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not two whole numbers such as 3,17", param_hint="--parameters") from None


if __name__ == "__main__":
    main()
