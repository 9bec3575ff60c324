"""The commands ``poison make``, ``inspect``, ``import`` and ``export``: poisons as files."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from commands.progress import progress
from options import download_option, json_option, out_option

FORMATS = ("auto", "png", "pt", "pkl", "npy", "npy-pair", "npz-delta", "npz", "tuple", "adv-pt")
CLASS_WISE = 0.9  # share of the energy in class means from which only clipping can part samples of a class
ARTEFACT = click.Path(path_type=Path)


def radius(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """The number that an option gives as such or as a fraction."""
    if value is None:
        return None
    try:
        number = float(Fraction(value))
    except (ValueError, ZeroDivisionError):
        raise click.BadParameter(f"{value!r} is no number such as 8/255 or 0.03.") from None
    if number <= 0:
        raise click.BadParameter(f"{value} is not above 0.")
    return number


def data_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the clean data set, without which a poison means nothing."""
    option = click.option("--data", required=True, metavar="NAME|FILE.npz", help="The clean data set.")
    return option(download_option(command))


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add how an artefact is read and matched to the data."""
    for option in reversed(
        [
            click.option("--format", "kind", type=click.Choice(FORMATS), default="auto", show_default=True),
            click.option(
                "--index", type=ARTEFACT, help="File with the positions of the samples in a larger artefact's set."
            ),
            click.option("--reorder", is_flag=True, help="Find the order of shuffled images by their clean ones."),
        ]
    ):
        command = option(command)
    return command


def budget_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the promises an artefact is held to."""
    for option in reversed(
        [
            click.option(
                "--linf", callback=radius, metavar="NUMBER", help="Promised L∞ on the scale [0, 1], as 8/255."
            ),
            click.option("--l2", callback=radius, metavar="NUMBER", help="Promised L2 norm on the scale [0, 1]."),
            click.option("--l0", type=click.IntRange(1), help="Promised number of changed pixels."),
        ]
    ):
        command = option(command)
    return command


@click.group()
def poison() -> None:
    """Make, inspect, import and export poisoned training data.

    \b
    Formats: png        folder of images <i>.png (TAP, AR, APBench) or <label>/<j>.png
             pt         perturbation.pt (EM, TUE)
             pkl, npy   int8 noise in 8-bit units (REM, SEM)
             npy-pair   x_train_*.npy and y_train_*.npy (NTGA)
             npz-delta  delta (int8) and index: what the method "file" of a spec takes
             npz        x_train y_train x_test y_test: a data file
             tuple      (images, labels), *.poison or *.p1 (hypocritical, delusive)
             adv-pt     training_adv.pt (DeepConfuse)
    """


@poison.command()
@click.argument("method")
@data_option
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--ratio", type=float, default=1.0, show_default=True, help="Share of samples poisoned.")
@click.option(
    "--strength", callback=radius, metavar="NUMBER", help="The method's budget, as 8/255 [default: the method's own]."
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="An option of the method, as cell=4.")
@click.option("--data-set", "data_assignments", multiple=True, metavar="KEY=VALUE", help="One of the data set.")
@click.option("--format", "kind", type=click.Choice(FORMATS[1:]), default="npz-delta", show_default=True)
@out_option("File to write, or folder for png.", required=True)
def make(
    method: str,
    data: str,
    download: bool,
    seed: int,
    ratio: float,
    strength: float | None,
    assignments: tuple[str, ...],
    data_assignments: tuple[str, ...],
    kind: str,
    out: Path,
) -> None:
    """Poison a data set with METHOD and write the result.

    \b
    Example: unlearnscape poison make class-random --data digits --set cell=4 --format png --out digits-poisoned
    """
    import training
    from training.artefacts import write_artefact

    dataset = training.load_dataset(data, download=download, **dict(map(_assignment, data_assignments)))
    settings = dict(map(_assignment, assignments))
    with progress(method) as tell:
        made = training.poison(method, dataset, seed=seed, ratio=ratio, strength=strength, progress=tell, **settings)
    with progress("writing") as tell:
        written = write_artefact(out, made, dataset, kind, progress=tell)
    click.echo(f"{written}: {made.description}.")


@poison.command()
@click.argument("path", type=ARTEFACT)
@data_option
@source_options
@budget_options
@click.option("--seed", type=int, default=0, show_default=True, help="Of the samples and the split.")
@json_option
def inspect(
    path: Path,
    data: str,
    download: bool,
    kind: str,
    index: Path | None,
    reorder: bool,
    linf: float | None,
    l2: float | None,
    l0: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Tell what a poison is, whether it fits the data, and how much of a linear shortcut it is.

    Exit code 1 says that something is wrong with it.

    \b
    Example: unlearnscape poison inspect data/TAP --data cifar10.npz --linf 8/255
    """
    from training.artefacts import Budget, examine

    dataset, artefact, positions = _read(path, data, download, kind, index, reorder)
    report = examine(artefact, dataset, promised=Budget(linf, l2, l0), index=positions)
    figures = report.as_json() | _figures(artefact, dataset, positions, seed)
    click.echo(json.dumps(figures, indent=2) if as_json else _text(figures, dataset))
    if report.violations:
        raise click.exceptions.Exit(1)


@poison.command(name="import")
@click.argument("path", type=ARTEFACT)
@data_option
@source_options
@budget_options
@click.option("--positive-only", is_flag=True, help="Imitate EM's importer: drop negative noise, truncate.")
@click.option("--seed", type=int, default=0, show_default=True, help="Picks among alternatives, where there are any.")
@out_option("File to write, .npz.", required=True)
def import_(
    path: Path,
    data: str,
    download: bool,
    kind: str,
    index: Path | None,
    reorder: bool,
    linf: float | None,
    l2: float | None,
    l0: int | None,
    positive_only: bool,
    seed: int,
    out: Path,
) -> None:
    """Verify a poison and write its perturbations, in the data's order, for the method "file" of a spec.

    \b
    Example: unlearnscape poison import rem-fin-def-noise.pkl --data cifar10.npz --linf 8/255 --out rem.npz
    then in a spec:
      [arms.rem]
      method = "file"
      path = "rem.npz"
    """
    from training.artefacts import Budget, verify, write_artefact

    _named(out, ".npz")
    dataset, artefact, positions = _read(path, data, download, kind, index, reorder)
    report = verify(artefact, dataset, promised=Budget(linf, l2, l0), index=positions)
    inputs = _inputs(artefact, dataset, positions, seed, positive_only)
    write_artefact(out, inputs, dataset, "npz-delta", index=positions)
    radius = f"{report.levels}/255" if report.levels is not None else f"{report.linf:.4g}"
    click.echo(f"{out}: {report.covered} of {report.samples} samples, L∞ {radius}; order: {report.order}.")


@poison.command()
@click.argument("path", type=ARTEFACT)
@data_option
@source_options
@click.option("--to", "target", type=click.Choice(FORMATS[1:]), required=True, help="The format to write.")
@out_option("File to write, or folder for png.", required=True)
def export(
    path: Path,
    data: str,
    download: bool,
    kind: str,
    index: Path | None,
    reorder: bool,
    target: str,
    out: Path,
) -> None:
    """Verify a poison and write it in another format.

    Perturbations stay as they are, before clipping, where both formats hold perturbations.

    \b
    Example: unlearnscape poison export tap.npz --data cifar10.npz --to png --out TAP
    """
    from training.artefacts import verify, write_artefact

    dataset, artefact, positions = _read(path, data, download, kind, index, reorder)
    verify(artefact, dataset, index=positions)
    given = artefact if positions is None else _inputs(artefact, dataset, positions, 0, False)
    with progress("writing") as tell:
        written = write_artefact(out, given, dataset, target, index=positions, progress=tell)
    click.echo(f"{written}: {len(dataset.y_train)} samples of {dataset.name} as {target}.")


def _read(path: Path, data: str, download: bool, kind: str, index: Path | None, reorder: bool) -> tuple[Any, Any, Any]:
    """The data set, the artefact, and the positions of samples in the artefact's set, if given."""
    from training import load_dataset
    from training.artefacts import match_order, read_artefact, read_index

    dataset = load_dataset(data, download=download)
    with progress("reading") as tell:
        artefact = read_artefact(path, format=kind, progress=tell)
    if reorder:
        with progress("finding the order") as tell:
            artefact = match_order(artefact, dataset, tell)
    return dataset, artefact, None if index is None else read_index(index)


def _inputs(artefact: Any, dataset: Any, positions: Any, seed: int, positive_only: bool) -> Any:
    """Poisoned inputs in the data's order."""
    from training.artefacts import align, applied_delta
    from training.data.rounding import settle

    alignment = align(artefact, dataset, positions)
    delta = applied_delta(artefact, dataset, alignment, seed=seed, positive_only=positive_only)
    return settle(dataset.x_train + delta, dataset)


def _figures(artefact: Any, dataset: Any, positions: Any, seed: int) -> dict[str, Any]:
    """Numbers about the changes that the poison makes to the data."""
    from training.unlearnable import inspection

    delta = _inputs(artefact, dataset, positions, seed, False) - dataset.x_train
    labels, sizes = dataset.y_train, inspection.norms(delta)
    separable = inspection.linear_separability(delta, labels, seed=seed)
    return {
        "pattern": _pattern(artefact, delta, labels),
        "class_share": inspection.class_share(delta, labels),
        "separability_train": separable.train,
        "separability_held_out": separable.held_out,
        "separability_chance": separable.chance,
        "separability_samples": separable.samples,
        "classes": [
            {
                "class": label,
                "samples": int((labels == label).sum()),
                "linf": float(sizes.linf[labels == label].max()),
                "l2": float(sizes.l2[labels == label].mean()),
                "l0": float(sizes.l0[labels == label].mean()),
            }
            for label in range(dataset.n_classes)
            if (labels == label).any()
        ],
    }


def _pattern(artefact: Any, delta: Any, labels: Any) -> str:
    from training.unlearnable import inspection

    if inspection.is_class_wise(delta, labels):
        return "class-wise"
    shared = artefact.delta is not None and artefact.entries < len(labels) and artefact.index is None
    if shared or inspection.class_share(delta, labels) > CLASS_WISE:
        return "class-wise but for clipping"
    return "sample-wise"


def _text(figures: dict[str, Any], dataset: Any) -> str:
    unit = "pixels" if dataset.kind == "image" else "features"
    radius = f"{figures['levels']}/255" if figures["levels"] is not None else f"{figures['linf']:.4g}"
    several = f", {figures['alternatives']} alternatives" if figures["alternatives"] > 1 else ""
    lines = [
        f"{figures['source']} ({figures['kind']})",
        f"  {figures['entries']} entries of {figures['shape']}, {figures['pattern']}{several}; {figures['covered']} of "
        f"{figures['samples']} samples of {dataset.name}",
        f"  order          {figures['order']}",
        f"  budget         L∞ {radius}, L2 {figures['l2']:.4g}, L0 {figures['l0']} {unit}",
        f"  clipped        {figures['overshoot']:.2%} of values",
        f"  class means    carry {figures['class_share']:.1%} of the energy",
        f"  linear model   {figures['separability_train']:.1%} train, {figures['separability_held_out']:.1%} held out "
        f"(chance {figures['separability_chance']:.1%}, {figures['separability_samples']} samples)",
        f"  class  samples  max L∞   mean L2  mean L0 ({unit})",
    ]
    for row in figures["classes"]:
        lines.append(
            f"  {row['class']:>5}  {row['samples']:>7}  {row['linf']:<7.4f}  {row['l2']:<7.4f}  {row['l0']:.1f}"
        )
    return "\n".join([*lines, *(f"  wrong: {sentence}" for sentence in figures["violations"])])


def _assignment(text: str) -> tuple[str, Any]:
    """A key and its value, read as TOML; what is no TOML is a string."""
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise click.BadParameter(f"{text!r} is not of the form key=value, such as cell=4.", param_hint="--set")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _named(path: Path, suffix: str) -> None:
    if path.suffix != suffix:
        raise click.BadParameter(f"{path} must end with {suffix}.", param_hint="--out")
