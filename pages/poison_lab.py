"""Poison lab: make a poison, look at what it changes and how much of a shortcut it is, save it, train on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from analysis import figures_poison
from experiments import Experiment, ExperimentError, classroom, find_experiment, jobs, lab
from experiments.lab import Look, Made, Recipe
from pages import own_jobs, parts
from training import UNLEARNABLE, Dataset, load_dataset
from training.artefacts import write_artefact
from training.unlearnable import inspection

MOST = 10  # classes shown side by side
MAPS = {"PCA": "pca", "t-SNE": "t-sne"}
NORMS = {"L∞": "linf", "L2": "l2", "L0": "l0"}
FIRST_OPTIONS = 2  # shown without opening anything
METHOD_HELP = (
    "Random patterns, OPS, LSP, AR and CUDA need no network and are shown at once; EM, TAP, REM and their like train "
    "one, which takes a while."
)


def main() -> None:
    """Lay out the page from top to bottom."""
    parts.enter()
    st.title("Poison lab")
    st.markdown(
        "What does an unlearnable method do to the data? Look for a change that is hard to see but the same all over "
        "a class: that is what a network learns instead of the class."
    )
    picture_column, control_column = st.columns([3.2, 1], gap="medium")
    with control_column:
        data, data_options = _data_controls()
        try:
            dataset = _dataset(data, data_options)
        except ValueError as error:
            with picture_column:
                parts.fail_softly(error)
            return
        recipe = _recipe_controls(data, data_options, dataset)
    with picture_column:
        made = _made(recipe, dataset)
        if made is None:
            _explain()
            return
        found = _look(recipe, made, dataset)
        _picture(made, found, dataset)
    _numbers(found, dataset)
    _distributions(recipe, made, found, dataset)
    _next(recipe, made, dataset)
    _explain()
    _take(recipe, made, found, dataset)
    parts.share_hint()


# Choices --------------------------------------------------------------------------------------------------


def _data_controls() -> tuple[str, tuple[tuple[str, Any], ...]]:
    sources: dict[str, tuple[str, tuple[tuple[str, Any], ...]]] = {name: (name, ()) for name in lab.EMBEDDED}
    sources |= {path.stem: (path.name, ()) for path in lab.data_files()}
    try:
        experiment: Experiment | None = find_experiment(str(st.session_state.get("exp")))
        spec = experiment.spec if experiment else None
    except ValueError:
        spec = None
    if spec is not None and spec.arms and (spec.data.name, tuple(spec.data.options.items())) not in sources.values():
        sources[f"{spec.data.name} of {spec.name}"] = (spec.data.name, tuple(spec.data.options.items()))
    chosen = st.selectbox(
        "Data set",
        list(sources),
        key="data",
        bind="query-params",
        help="Those that ship with the project, .npz files in the folder $UNLEARNSCAPE_DATA, and the data of the "
        "experiment chosen in the sidebar.",
    )
    return sources[chosen]


@st.cache_resource(max_entries=3, show_spinner="Reading the data set …")
def _dataset(data: str, options: tuple[tuple[str, Any], ...]) -> Dataset:
    return load_dataset(data, **dict(options))


def _recipe_controls(data: str, data_options: tuple[tuple[str, Any], ...], dataset: Dataset) -> Recipe:
    allowed = classroom.limits()
    methods = [name for name in UNLEARNABLE if allowed is None or allowed.files or name != "file"]
    method = st.selectbox("Method", methods, key="method", bind="query-params", help=METHOD_HELP)
    options = lab.method_options(method)
    values = {option.name: _option(method, option) for option in options[:FIRST_OPTIONS]}
    strength = st.number_input(
        "Strength",
        min_value=0.0001,
        value=None,
        placeholder="the method's own",
        format="%g",
        key="strength",
        bind="query-params",
        help="The method's budget. For images it is usually the L∞ radius on the scale from 0 to 1 (8 grey levels are "
        "0.0314), for feature vectors a number of standard deviations.",
    )
    left, right = st.columns(2)
    ratio = left.number_input(
        "Share",
        0.0,
        1.0,
        1.0,
        0.1,
        key="ratio",
        bind="query-params",
        help="Share of the training samples that is poisoned.",
    )
    seed = right.number_input("Seed", 0, 9999, 0, key="seed", bind="query-params")
    if len(options) > FIRST_OPTIONS:
        with st.expander("More settings"):
            values |= {option.name: _option(method, option) for option in options[FIRST_OPTIONS:]}
    changed = lab.option_values(values, options)
    return Recipe(data, method, int(seed), float(ratio), strength, changed, data_options)


def _option(method: str, option: lab.Option) -> Any:
    """One setting of a method, by its kind."""
    label = option.name.replace("_", " ").capitalize()
    bound: dict[str, Any] = {"key": f"{method}-{option.name}", "bind": "query-params"}
    if option.choices:
        names = list(option.choices) if option.default is not None else ["by the data", *option.choices]
        default = names.index(str(option.default)) if option.default is not None else 0
        chosen = st.selectbox(label, names, index=default, **bound)
        return None if chosen == "by the data" else chosen
    if option.kind == "bool":
        return st.toggle(label, bool(option.default), **bound)
    if option.kind == "int":
        return st.number_input(label, value=option.default, step=1, placeholder="by the data", **bound)
    if option.kind == "float":
        return st.number_input(label, value=option.default, format="%g", placeholder="by the data", **bound)
    return st.text_input(label, str(option.default or ""), **bound)


# Making ---------------------------------------------------------------------------------------------------


def _made(recipe: Recipe, dataset: Dataset) -> Made | None:
    """The poison at hand; otherwise say why not, or offer to make it in a process of its own."""
    try:
        if lab.is_quick(recipe.method, dataset):
            return _make(recipe)
        if recipe.file.is_file():
            return _read(recipe, recipe.file.stat().st_mtime_ns)
    except ValueError as error:
        parts.fail_softly(error)
        return None
    last = next(iter(jobs.list_jobs(recipe.name)), None)
    if last is not None and last.running:
        st.markdown(f"**{recipe.method}** is being made in a process of its own; you may leave this page.")
        parts.job_panel(recipe.name)
        return None
    arguments = recipe.command(recipe.file, "npz")
    why = f"{dataset.name} is large, so {recipe.method} takes more than a moment."
    if lab.works_long(recipe.method):
        why = f"{recipe.method} optimises its change, with or without a network: seconds to many minutes."
    st.info(f"{why} It is made in a process of its own, and kept.", icon=":material/hourglass_empty:")
    if st.button("Make this poison", key="make", type="primary", icon=":material/play_arrow:"):
        _start(arguments, recipe.name)
    st.code(parts.command_of(arguments), language=None)
    if last is not None and last.state in ("failed", "lost"):
        st.error(classroom.without_paths(last.message), icon=":material/error:")
    return None


def _start(arguments: list[str], name: str) -> None:
    try:
        own_jobs.started(jobs.start(arguments, experiment=name))
    except (ValueError, OSError) as error:
        parts.fail_softly(error)
    else:
        st.rerun()


@st.cache_resource(max_entries=6, show_spinner="Making the poison …")
def _make(recipe: Recipe) -> Made:
    return lab.make_now(recipe, _dataset(recipe.data, recipe.data_options))


@st.cache_resource(max_entries=6, show_spinner="Reading the poison …")
def _read(recipe: Recipe, modified: int) -> Made:
    return lab.read_made(recipe, _dataset(recipe.data, recipe.data_options))


@st.cache_resource(max_entries=12, show_spinner="Looking at the poison …")
def _look(recipe: Recipe, _made: Made, _data: Dataset) -> Look:
    return lab.look(_made, _data)


# Looking --------------------------------------------------------------------------------------------------


def _picture(made: Made, found: Look, dataset: Dataset) -> None:
    """Samples of every class, clean, changed and poisoned, and the mean change of the class."""
    left, middle, right = st.columns([1, 1, 1.4])
    which = int(left.number_input("Sample of each class", 1, 1000, 1, key="sample", bind="query-params"))
    first = 0
    if dataset.n_classes > MOST:
        last = dataset.n_classes - MOST
        first = int(right.number_input("First class shown", 0, last, 0, key="class", bind="query-params"))
    classes, rows = _samples(dataset, made, range(first, min(first + MOST, dataset.n_classes)), which - 1)
    names = [str(label) for label in classes]
    clean, delta, poisoned, means = (
        dataset.x_train[rows],
        made.perturbation[rows],
        made.x_train[rows],
        found.class_means[classes],
    )
    if dataset.kind == "features":
        panels = [("clean", clean), ("change", delta), ("poisoned", poisoned), ("class mean", means)]
        figure = figures_poison.vector_panels(
            panels,
            names,
            unit="standard deviations",
            subtitle=f"{made.description} · sample {which} of each class",
            dark=parts.is_dark(),
        )
        parts.plot(figure, key="samples")
        return
    scales = [f"×{step:g}" for step in figures_poison.STEPS]
    chosen = middle.selectbox(
        "Change amplified",
        ["auto", *scales],
        key="amplify",
        bind="query-params",
    )
    factor = figures_poison.amplification(made.perturbation) if chosen == "auto" else float(chosen[1:])
    strips = [
        ("clean", clean),
        (f"change × {factor:g}, grey where nothing changes", figures_poison.centred(delta, factor)),
        ("poisoned", poisoned),
        (f"mean change of the class × {factor:g}", figures_poison.centred(means, factor)),
    ]
    shown = [(label, images[:, :1] if images.shape[1] == 2 else images) for label, images in strips]
    st.html(figures_poison.image_strips(shown, names))
    st.caption(f"{made.description} · {dataset.name}, sample {which} of each class")


def _samples(dataset: Dataset, made: Made, classes: range, which: int) -> tuple[list[int], list[int]]:
    """The which-th training sample of each class, or its last; classes without samples are left out."""
    found = [(label, np.flatnonzero(dataset.y_train == label)) for label in classes]
    kept = [(label, int(rows[min(which, len(rows) - 1)])) for label, rows in found if len(rows)]
    return [label for label, _ in kept], [row for _, row in kept]


def _numbers(found: Look, dataset: Dataset) -> None:
    sizes, separable = found.norms, found.separability
    image = dataset.kind == "image"
    columns = st.columns(6)
    largest = float(sizes.linf.max())
    size = f"{255 * largest:.0f} levels" if dataset.eight_bit else f"{largest:.2f}{'' if image else ' std'}"
    columns[0].metric("Largest change (L∞)", size, help="Of any value of any sample; images have 255 grey levels.")
    unit = "the scale from 0 to 1" if image else "standard deviations of the features"
    columns[1].metric("Mean L2", f"{sizes.l2.mean():.2f}", help=f"Euclidean length of a sample's change, in {unit}.")
    what = "pixels" if image else "features"
    count = f"{sizes.l0.mean():.0f}"
    total = int(np.prod(dataset.input_shape[-2:])) if image else dataset.input_shape[0]
    columns[2].metric(
        "Mean L0",
        f"{count} {what.removesuffix('s') if count == '1' else what}",
        help=f"{what.capitalize()} that change at all, of {total}.",
    )
    columns[3].metric(
        "In class means",
        parts.percent(found.class_share),
        help="Share of the perturbations' energy that is common to a class: near 100 % for class-wise methods.",
    )
    columns[4].metric(
        "Told apart, held out",
        "–" if separable is None else parts.percent(separable.held_out),
        None if separable is None else f"chance {parts.percent(separable.chance)}",
        delta_color="off",
        delta_arrow="off",
        help="Accuracy of a linear model that sees the perturbations alone, on samples it was not fitted to. Near "
        "100 % the poison is a linear shortcut.",
    )
    columns[5].metric(
        "Told apart, fitted",
        "–" if separable is None else parts.percent(separable.train),
        help="The same model on what it was fitted to; many dimensions make this high by themselves.",
    )
    if found.relabelled:
        st.caption(f"This control changes labels: {found.relabelled} of {len(dataset.y_train)}.")
    if not sizes.linf.any():
        st.info("No input is changed, so there is nothing to map.", icon=":material/info:")


def _distributions(recipe: Recipe, made: Made, found: Look, dataset: Dataset) -> None:
    if not found.norms.linf.any():
        return
    left, right = st.columns(2, gap="medium")
    with left:
        way = st.segmented_control("Map by", list(MAPS), default="PCA", required=True, key="map", bind="query-params")
        embedding = _embedding(recipe, MAPS[way], made, dataset)
        if isinstance(embedding, str):
            st.info(embedding)
        else:
            figure = figures_poison.perturbation_map(
                embedding.points,
                dataset.y_train[embedding.rows],
                method=embedding.method,
                explained=embedding.explained,
                dark=parts.is_dark(),
            )
            parts.plot(figure, key="map-figure")
    with right:
        name = st.segmented_control("Norm", list(NORMS), default="L2", required=True, key="norm", bind="query-params")
        values = getattr(found.norms, NORMS[name]).astype(np.float64)
        unit = "on the scale from 0 to 1" if dataset.kind == "image" else "standard deviations"
        if name == "L0":
            unit = "pixels" if dataset.kind == "image" else "features"
        elif name == "L∞" and dataset.eight_bit:
            values, unit = 255 * values, "grey levels"
        figure = figures_poison.norm_histogram(values, norm=name, unit=unit, dark=parts.is_dark())
        parts.plot(figure, key="norm-figure", height=440)


@st.cache_resource(max_entries=12, show_spinner="Drawing the map …")
def _embedding(recipe: Recipe, method: str, _made: Made, _data: Dataset) -> inspection.Embedding | str:
    try:
        return inspection.embed(_made.perturbation, _data.y_train, seed=0, method=method)
    except ValueError as error:
        return classroom.without_paths(str(error))


# Going on -------------------------------------------------------------------------------------------------


def _next(recipe: Recipe, made: Made, dataset: Dataset) -> None:
    """Save the poison, or train on it."""
    save, train = st.columns(2, gap="medium")
    with save.container(border=True):
        st.subheader("Save this poison")
        _save(recipe, made, dataset)
    with train.container(border=True):
        st.subheader("Train on it")
        _train(recipe, dataset)


def _save(recipe: Recipe, made: Made, dataset: Dataset) -> None:
    kind = st.selectbox(
        "Format",
        lab.formats(dataset),
        key="format",
        bind="query-params",
        help="npz-delta: perturbations in grey levels, for the method “file” of a spec. npz: the whole poisoned data "
        "set. pt, pkl, tuple: as published by the authors of EM, REM and the hypocritical perturbations.",
    )
    path = lab.saved_path(recipe, kind)
    if st.button("Save", key="save", icon=":material/save:"):
        try:
            write_artefact(path, made, dataset, kind)
        except (ValueError, OSError) as error:
            parts.fail_softly(error)
    if path.is_file():
        st.caption(f"Saved as `{path}`.")
        st.download_button(
            "Download",
            data=path.read_bytes,
            file_name=path.name,
            key="download",
            icon=":material/download:",
            on_click="ignore",
        )
    st.code(parts.command_of(recipe.command(Path(path.name), kind)), language=None)


def _train(recipe: Recipe, dataset: Dataset) -> None:
    left, right = st.columns(2)
    model = left.selectbox("Network", lab.fitting_models(dataset), key="network", bind="query-params")
    usual = lab.default_training(dataset).epochs
    allowed = classroom.limits()
    most = 200 if allowed is None else allowed.epochs
    epochs = int(right.number_input("Epochs", 1, most, min(usual, most), key="epochs", bind="query-params"))
    st.markdown("Trains the network on the clean data and on this poison, then measures SAL, UD and the loss surface.")
    if st.button("Train", key="train", type="primary", icon=":material/play_arrow:"):
        try:
            experiment = lab.lab_experiment(recipe, dataset, model, epochs)
            own_jobs.started(jobs.start(["run", str(experiment.path), "--live"], experiment=experiment.name))
        except (ValueError, OSError, ExperimentError) as error:
            parts.fail_softly(error)
            return
        st.session_state["lab-trained"] = experiment.name
    name = st.session_state.get("lab-trained")
    if name is None:
        return
    if any(job.running for job in jobs.list_jobs(name)):
        parts.job_panel(name)
    query = {"watch": name, "exp": name}
    st.page_link("pages/live.py", label=f"Watch {name}", icon=":material/play_circle:", query_params=query)


def _take(recipe: Recipe, made: Made, found: Look, dataset: Dataset) -> None:
    embedding = _embedding(recipe, "pca", made, dataset) if found.norms.linf.any() else ""

    def map_figure() -> go.Figure:
        assert not isinstance(embedding, str)
        return figures_poison.perturbation_map(
            embedding.points, dataset.y_train[embedding.rows], method="pca", explained=embedding.explained
        )

    parts.take_with_you(
        None if isinstance(embedding, str) else map_figure,
        name=f"{recipe.name}-map",
        command=parts.command_of(recipe.command(Path(f"{recipe.name}.npz"), "npz")),
        key="poison",
    )


def _explain() -> None:
    parts.how_to_read(
        """
An **unlearnable** method changes every training input a little, so that a network trained on them does badly on clean
test data. Labels stay as they are.

- **Change** is what was added, amplified so that one can see it: grey where nothing changes, brighter where a value
  rises, darker where it falls. For feature vectors red rises and blue falls.
- **Mean change of the class**: where it looks like the change itself, all samples of a class carry one pattern; where
  it is grey, every sample has a change of its own.
- **Told apart**: a linear model gets the changes alone, without the inputs. If it names the class of held-out
  samples, the change is a *shortcut* that a network can learn in place of the class (Yu et al., KDD 2022). Noise
  without any link to the class stays at chance.
- **Map**: clumps of one colour say the same. Distances between clumps of t-SNE mean little.
"""
    )


main()
