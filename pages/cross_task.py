"""Cross-task: what a poison made against one task costs the others of the same network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from analysis import Estimate, TaskUd
from analysis.similarity import KINDS
from experiments import Experiment, render
from experiments.cross_task_pictures import draw_cross_task
from experiments.cross_task_report import BatchNormScores, CrossTask, cross_task_verdict, report_cross_task
from experiments.cross_task_words import (
    batchnorm_words,
    cross_task_json,
    no_damage_words,
    other_measures,
    without_sal_words,
)
from pages import cross_task_start, cross_task_views, parts
from pages.lesson_parts.frame import QUIET

DAMAGE, NET = "Damage", "Net of a control"
MEAN_AGAIN, DAMAGE_AGAIN = "mean, clean BN", "damage, clean BN (%)"


def main() -> None:
    """Lay out the page from top to bottom."""
    parts.enter()
    st.title("Cross-task")
    st.markdown(
        "A poison is made against one task, the class of the scene. See which other tasks of the same network it takes "
        "along, and whether a control of the same budget costs as much."
    )
    experiment = parts.current()
    if experiment.spec.tasks is None:
        cross_task_start.no_tasks(experiment)
        return
    found = _found(experiment)
    if found is None:
        return
    if found.clean_problem is not None:
        st.warning(found.clean_problem, icon=":material/trending_up:")
        return
    picture_column, control_column = st.columns([3.2, 1], gap="medium")
    with control_column:
        arm = _arm(found)
        control = _control(found, arm)
        net = control is not None and _net()
    figure = "net-damage" if net else "damage"
    with picture_column:
        if found.learned:
            parts.plot(draw_cross_task(found, figure, control=control, dark=parts.is_dark()), key="damage-chart")
        else:
            st.info(
                "Clean training does no better on any task than a predictor that ignores the image, so nothing can be "
                "lost to a poison. Train longer, or on more images.",
                icon=":material/trending_flat:",
            )
    _numbers(found, arm)
    st.markdown(cross_task_verdict(found, arm, control))
    _table(experiment, found, control)
    cross_task_views.predictions(found, arm)
    _ud(experiment, found)
    _similarity(found, arm)
    cross_task_views.surfaces(experiment, found)
    _explain(experiment, found, figure, control)


# What there is ---------------------------------------------------------------------------------------------


def _found(experiment: Experiment) -> CrossTask | None:
    """What is measured; where nothing is, the next step is offered."""
    try:
        found = _report(str(experiment.path), _stamp(experiment))
    except ValueError as error:
        cross_task_start.offer_next(experiment, str(error))
        return None
    missing = [name for name in experiment.finished_runs() if name not in found.shown]
    if missing:
        words = f"{len(missing)} finished run{'s are' if len(missing) > 1 else ' is'} not measured yet."
        parts.offer(words, experiment, ["cross-task", "EXP"], key="cross-task-more", small=True)
    return found


def _stamp(experiment: Experiment) -> tuple[int, ...]:
    files = [*experiment.path.glob("cross-task/**/*.h5"), *experiment.path.glob("runs/*.h5")]
    return (len(files), *sorted(file.stat().st_mtime_ns for file in files)[-3:])


@st.cache_resource(max_entries=8, show_spinner="Comparing the tasks …")
def _report(path: str, stamp: tuple[int, ...]) -> CrossTask:
    return report_cross_task(Experiment.open(path))


def _arm(found: CrossTask) -> str:
    arms = list(found.arms)
    usual = next((arm for arm, role in found.arms.items() if role == "poisoned"), arms[0])
    return str(
        st.selectbox("Compare clean with", arms, index=arms.index(usual), key="beside", bind="query-params")
        if len(arms) > 1
        else arms[0]
    )


def _control(found: CrossTask, arm: str) -> str | None:
    controls = [one for one in found.controls if one != arm]
    if len(controls) < 2:
        return next(iter(controls), None)
    return str(
        st.selectbox(
            "Control",
            controls,
            key="control",
            bind="query-params",
            help="Arms of the same budget without the link between pattern and class. What they cost too is not the "
            "poison's doing.",
        )
    )


def _net() -> bool:
    return bool(
        st.segmented_control("Show", [DAMAGE, NET], default=DAMAGE, required=True, key="show", bind="query-params")
        == NET
    )


# Numbers ---------------------------------------------------------------------------------------------------


def _numbers(found: CrossTask, arm: str) -> None:
    columns = st.columns(4)
    first = next(iter(found.tasks))
    title = found.tasks[first]
    clean, own = (found.mean(first, one) for one in (found.clean_arm, arm))
    columns[0].metric(f"{title.words.capitalize()}, clean", _measure(title.metric, clean))
    gap = f"{100 * (own - clean):+.1f} points" if title.metric == "accuracy" else f"{own - clean:+.3f}"
    columns[1].metric(
        f"{title.words.capitalize()}, {arm}",
        _measure(title.metric, own),
        gap if own == own and clean == clean else None,  # its hyphen is how the metric knows a loss
        delta_color="normal" if title.higher_is_better else "inverse",
    )
    _estimate(columns[2], f"Damage of the {title.title}, {arm}", found.damage[first].get(arm), percent=True)
    if arm in found.ratio:
        _estimate(
            columns[3],
            f"Cross-task ratio, {arm}",
            found.ratio[arm],
            help_="Mean damage of the other tasks divided by that of the scene: 0 where the scene alone suffers, 1 "
            "where all suffer alike.",
        )


def _estimate(place: Any, label: str, one: Estimate | None, *, percent: bool = False, help_: str | None = None) -> None:
    if one is None or one.value != one.value:
        place.metric(label, "–", None if one is None else "not known", help=one.note if one else None, **QUIET)
        return
    spread = None
    if one.low is not None and one.high is not None:
        spread = f"{_number(one.low, percent)} to {_number(one.high, percent)}"
    place.metric(label, _number(one.value, percent) + " %" * percent, spread, help=help_ or one.note or None, **QUIET)


def _number(value: float, percent: bool) -> str:
    text = f"{100 * value:.0f}" if percent else f"{value:.2f}"
    return "0" if text == "-0" else text.replace("-", "−")


def _measure(metric: str, value: float) -> str:
    if value != value:
        return "–"
    return parts.percent(value) if metric == "accuracy" else f"{value:.3f}".replace("-", "−")


def _table(experiment: Experiment, found: CrossTask, control: str | None) -> None:
    st.subheader("Every task and arm")
    again = _batchnorm(experiment, found)
    rows = [_row(found, task, arm, control, again) for task in found.tasks for arm in found.seeds]
    number = st.column_config.NumberColumn
    st.dataframe(
        rows,
        hide_index=True,
        placeholder="–",
        column_config={
            "arm": st.column_config.TextColumn(width="medium"),
            "mean": number(format="%.3f", help="Over test images and seeds."),
            MEAN_AGAIN: number(format="%.3f", help="Over test images and seeds, after the statistics were replaced."),
            DAMAGE_AGAIN: number(format="%.0f", help="Relative to the clean runs, treated alike."),
            "± seeds": number(format="%.3f", help="Standard deviation over seeds."),
            "damage (%)": number(format="%.0f", help="0: as with clean data; 100: no better than without the image."),
            "net (points)": number(format="%.0f", help=f"Damage minus that of {control}." if control else None),
            "UD": number(format="%.2f", help=parts.UD_HELP),
            "± UD": number(format="%.2f", help="Standard deviation over seeds."),
        },
    )
    for words in no_damage_words(found):
        st.caption(words)
    others = {title.words: lines for task, title in found.tasks.items() if (lines := other_measures(found, task))}
    if others:
        with st.expander("Damage by other measures of the same tasks"):
            st.markdown(
                "The chart takes one measure for each task. Others need not agree: where they do not, neither says how "
                "much of the task is lost."
            )
            for title, lines in others.items():
                st.markdown(f"**{title}**\n\n" + "\n".join(f"- {line}" for line in lines))
    trivial = "; ".join(f"{title.words} {found.trivial[task][title.metric]:.3f}" for task, title in found.tasks.items())
    st.caption(f"Without looking at the image: {trivial}.".replace("-", "−"))


def _batchnorm(experiment: Experiment, found: CrossTask) -> BatchNormScores | None:
    """What was measured with BatchNorm statistics of clean images, where people want to see it."""
    if found.batchnorm is None:
        if experiment.spec.tasks is not None and experiment.spec.tasks.norm == "batch" and experiment.finished_runs():
            command = parts.command_of(["cross-task", experiment.name])
            st.caption(f"What BatchNorm's statistics alone cost is not measured yet; `{command}` does so.")
        return None
    shown = st.toggle(
        f"With {batchnorm_words(found.batchnorm.images)}",
        key="batchnorm",
        bind="query-params",
        help="BatchNorm keeps the mean and variance that its training images gave every channel. Here they are "
        "measured anew on clean training images, and no weight is changed. What comes back was lost to the statistics "
        "alone, not to what the network learned.",
    )
    return found.batchnorm if shown else None


def _row(found: CrossTask, task: str, arm: str, control: str | None, again: BatchNormScores | None) -> dict[str, Any]:
    title = found.tasks[task]
    values = found.means[task][arm][title.metric]
    damage = found.damage[task].get(arm)
    net = found.net.get(control or "", {}).get(task, {}).get(arm)
    ud = found.ud.get(task, {}).get(arm)
    return {
        "task": title.words,
        "arm": arm,
        "mean": found.mean(task, arm),
        **({} if again is None else _again(again, task, arm, title.metric)),
        "± seeds": found.spread(task, arm) if len(values) > 1 else None,
        "damage (%)": _points(damage),
        "interval": _interval(damage),
        "net (points)": _points(net),
        "net interval": _interval(net),
        **(_ud_cells(ud) if found.ud else {}),
    }


def _ud_cells(ud: TaskUd | None) -> dict[str, Any]:
    return {
        "UD": None if ud is None else ud.ud.value,
        "± UD": None if ud is None else ud.ud.summary.std,
        "what UD says": "" if ud is None else ud.verdict,
    }


def _again(again: BatchNormScores, task: str, arm: str, metric: str) -> dict[str, float | None]:
    values = again.means[task].get(arm)
    mean = None if values is None else sum(values[metric]) / len(values[metric])
    return {MEAN_AGAIN: mean, DAMAGE_AGAIN: _points(again.damage[task].get(arm))}


def _points(one: Estimate | None) -> float | None:
    if one is None or one.value != one.value:
        return None
    return 100 * one.value if abs(one.value) >= 0.005 else 0.0  # no −0


def _interval(one: Estimate | None) -> str:
    if one is None or one.low is None or one.high is None:
        return ""
    return f"{_number(one.low, True)} to {_number(one.high, True)}"


# SAL -------------------------------------------------------------------------------------------------------


def _ud(experiment: Experiment, found: CrossTask) -> None:
    if not found.ud:
        parts.offer(
            "SAL under every task's loss is not measured yet.", experiment, ["cross-task", "EXP"], key="task-sal"
        )
        return
    parts.plot(draw_cross_task(found, "task-ud", dark=parts.is_dark()), key="task-ud")
    for task, why in found.ud_problems.items():
        st.caption(f"{found.tasks[task].title.capitalize()} has no UD of some arm: {why}")
    for words in without_sal_words(found):
        st.caption(words)


def _similarity(found: CrossTask, arm: str) -> None:
    for one in (found.clean_arm, arm):
        if (why := found.similarity_problem(one)) is not None:
            st.caption(f"No similarity of the tasks' SAL vectors: {why}")
    if found.similarity(arm, KINDS[0]) is None or found.similarity(found.clean_arm, KINDS[0]) is None:
        return
    kind = st.segmented_control(
        "Similarity of the tasks' SAL vectors",
        list(KINDS),
        default="pearson",
        required=True,
        key="alike",
        bind="query-params",
        help="SAL is never negative, which pushes the cosine towards 1; the correlations take the mean away.",
    )
    figure = draw_cross_task(found, "task-similarity", arm=arm, kind=str(kind), dark=parts.is_dark())
    parts.plot(figure, key="task-similarity")


def _explain(experiment: Experiment, found: CrossTask, figure: str, control: str | None) -> None:
    parts.how_to_read(HOW)

    def drawn(name: str) -> go.Figure:
        return draw_cross_task(found, name, control=control)

    names: Sequence[str] = ("task-ud", "task-similarity") if found.ud else ()
    files = {f"{name} (SVG)": (f"{experiment.name}-{name}.svg", _drawing(found, name, control)) for name in names}
    parts.take_with_you(
        (lambda: drawn(figure)) if found.learned else None,
        name=f"{experiment.name}-{figure}",
        command=parts.command_of(["cross-task", experiment.name, "--json"]),
        key="cross-task",
        files={"Numbers (JSON)": (f"{experiment.name}-cross-task.json", lambda: _json(found)), **files},
    )
    parts.share_hint()


def _drawing(found: CrossTask, name: str, control: str | None) -> Any:
    return lambda: render(draw_cross_task(found, name, control=control), "svg")


def _json(found: CrossTask) -> str:
    import json

    return json.dumps(cross_task_json(found), indent=2)


HOW = """
One network looks at an image and answers several questions with a head for each: which kind of room it is, where its
key points are, how far every pixel is, and which pixels belong together. All heads share one backbone. The training
images were poisoned; the test images are clean.

- **Damage** is the share of what clean training gains over a predictor that ignores the image (the most frequent class,
  the median of every pixel, one segment). 0 %: nothing is lost; 100 %: all of it. Below 0 %: better than clean.
- **Net damage** takes away what a control of the same budget costs, such as noise, or the same patterns dealt out
  without regard to the class. Only what is left is due to the link between pattern and class.
- **Intervals** resample test images and seeds, the same ones for all arms. With few seeds they are rather too narrow.
- **UD** of a task counts learnable layers of the *shared backbone* under that task's loss alone. β is found in that
  task's own clean run, as losses have different units. Another task's head has SAL 0 by definition, and does not count.
- **Similarity** asks whether two tasks steer the same layers.
- **Surfaces**: one plane, the same two paths, one landscape per task. Colours are not shared, as units differ.

A test image looks different from what the poisoned network was trained on; the statistics that BatchNorm keeps of its
training images can alone cost every task something. The switch above the table replaces them by those of clean images
and changes no weight. Compare with the controls, too, before you blame the poison.
"""

main()
