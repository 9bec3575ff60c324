"""Unlearnable Distance: the number, how it came about, and what it may be trusted for."""

from __future__ import annotations

import math

import streamlit as st

from analysis import figures, unlearnable_distance
from experiments import Experiment, SalSeries, UdReport, draw
from experiments.pictures import sal_subtitle
from experiments.ud_report import ArmUd, PairUd
from landscape.loss_words import in_brackets, in_unit
from landscape.style import format_points, format_ud
from pages import lone_run, parts, standing


def main() -> None:
    """Lay out the page from top to bottom."""
    parts.enter()
    st.title("Unlearnable Distance")
    experiment = parts.current()
    st.markdown(
        (
            f"One number per run: how many blocks of the network stay learnable, compared with "
            f"{experiment.reference_name}. "
            if experiment.has_own_reference
            else "One number per poisoned data set: how many blocks of the network stay learnable, compared with clean "
            "data. "
        )
        + f"Read it beside {standing.judged_by(experiment)}, and beside its spread."
    )
    parts.tell_not_finite(experiment)
    if lone_run.is_alone(experiment):
        lone_run.distance(experiment)
        return
    picture_column, control_column = st.columns([3.2, 1], gap="medium")
    chosen = parts.choose_report(experiment, picture_column, control_column)
    if chosen is None:
        return
    _, report, series = chosen
    with picture_column:
        _numbers(report, experiment)
        standing.of_the_loss(experiment, "UD counts blocks by their SAL, which is")
    with control_column:
        arm = _choose_arm(report)
    _how(experiment, report, arm)
    _table(report, series, experiment)
    _explain(experiment, report)


def _choose_arm(report: UdReport) -> ArmUd:
    names = [arm.arm for arm in report.arms]
    main_arm = next((a.arm for a in report.arms if not a.control), names[0])
    chosen = main_arm
    if len(names) > 1:
        chosen = st.selectbox("Show the steps for", names, index=names.index(main_arm), key="arm", bind="query-params")
    return next(arm for arm in report.arms if arm.arm == chosen)


def _numbers(report: UdReport, experiment: Experiment) -> None:
    for arm in report.arms:
        with st.container(border=True):
            number, clean, poisoned, words = st.columns([1.7, 1, 1.2, 1.6])
            label = f"UD of {arm.arm}" + (" (control)" if arm.control else "")
            number.metric(
                label,
                format_ud(arm.summary.mean),
                parts.spread_text(arm),
                delta_color="off",
                delta_arrow="off",
                help=parts.ud_help(experiment),
            )
            own = report.metric_name  # what the user judges by, where runs recorded it
            what, key = (own, "metric") if own else ("test accuracy", "test_accuracy")
            before, after = arm.mean(f"{key}_clean"), arm.mean(f"{key}_poisoned")
            gap = f"{after - before:+.3g}" if own else format_points(after - before)
            clean.metric(f"{experiment.reference_name} {what}", f"{before:.3g}" if own else parts.percent(before))
            poisoned.metric(
                f"{arm.arm} {what}",
                f"{after:.3g}" if own else parts.percent(after),
                gap if math.isfinite(after - before) else None,
                delta_color="off" if own else "normal",  # whether more is better, only the user knows
            )
            words.markdown(f"**{arm.verdict[0].upper() + arm.verdict[1:]}**")


def _how(experiment: Experiment, report: UdReport, arm: ArmUd) -> None:
    st.subheader(f"How the number for {arm.arm} came about")
    pair = arm.pairs[0]
    distance = pair.distance
    reference = experiment.the_reference
    steps, picture = st.columns([1, 1.6], gap="medium")
    with steps:
        st.markdown(
            f"""
1. SAL of every block at every checkpoint: {sal_subtitle(report.options, report.samples)}.
2. On {reference}, k-means splits the blocks of each checkpoint into two groups; the mean midpoint is the
   threshold **β = {in_unit(f"{distance.threshold:.3g}", report.loss_name)}**.
3. Blocks above β, averaged over checkpoints: **{distance.learnable_clean:.2f}** {experiment.reference_name},
   **{distance.learnable_poisoned:.2f}** {arm.arm}.
4. UD = {distance.learnable_poisoned:.2f} / {distance.learnable_clean:.2f} = **{format_ud(distance.value)}**
   (seed {pair.seed}).
"""
        )
    with picture:
        figure = figures.ud_steps(
            distance.learnable_clean,
            distance.learnable_poisoned,
            distance.value,
            name=arm.arm,
            roles=experiment.roles_drawn([arm.arm]),
            reference=experiment.reference_name,
            subtitle=f"mean over checkpoints, seed {pair.seed}",
            dark=parts.is_dark(),
        )
        parts.plot(figure, key="ud-steps")


def _table(report: UdReport, series: dict[str, SalSeries], experiment: Experiment) -> None:
    st.subheader("Every seed, counted in three ways")
    rows = []
    for arm in report.arms:
        for pair in arm.pairs:
            clean = series[f"{experiment.spec.clean_arm}-s{pair.seed}"]
            poisoned = series[f"{arm.arm}-s{pair.seed}"]
            rows.append(
                {
                    "arm": arm.arm,
                    "seed": pair.seed,
                    "UD (blocks)": round(pair.distance.value, 3),
                    "UD (weighted by parameters)": _rounded(pair.distance.value_by_parameters),
                    "UD (exact two-means threshold)": _exact(clean, poisoned),
                    f"β{in_brackets(report.loss_name)}": f"{pair.distance.threshold:.3g}",
                    **_reached(pair, report, experiment),
                }
            )
    numbers = {name: st.column_config.NumberColumn(format="%.3f") for name in rows[0] if name.startswith("UD")}
    numbers |= {name: st.column_config.NumberColumn(format="%.1f") for name in rows[0] if name.endswith("(%)")}
    st.dataframe(rows, hide_index=True, column_config=numbers)
    apart = [
        row["seed"]
        for row in rows
        if row["UD (exact two-means threshold)"] is not None
        and abs(row["UD (exact two-means threshold)"] - row["UD (blocks)"]) > 0.05
    ]
    if apart:
        st.caption(
            "The k-means of the paper starts from one seeded guess and can miss the best split; here the exact split "
            f"gives another UD in {len(apart)} of {len(rows)} rows."
        )


def _reached(pair: PairUd, report: UdReport, experiment: Experiment) -> dict[str, float]:
    """What both runs of a pair end with: the user's own metric where runs recorded it, else the test accuracy."""
    own = report.metric_name
    names = (experiment.reference_name, "compared" if experiment.has_own_reference else "poisoned")
    if own:
        return {f"{names[0]} {own}": pair.metric_clean, f"{names[1]} {own}": pair.metric_poisoned}
    values = (pair.test_accuracy_clean, pair.test_accuracy_poisoned)
    return {f"{name} test (%)": round(100 * value, 1) for name, value in zip(names, values, strict=True)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _exact(clean: SalSeries, poisoned: SalSeries) -> float | None:
    try:
        return round(unlearnable_distance(clean.sal, poisoned.sal, rule="two-means").value, 3)
    except ValueError:
        return None


def _explain(experiment: Experiment, report: UdReport) -> None:
    parts.how_to_read(
        f"""
**UD** is here the mean number of learnable blocks of a run divided by that of {experiment.reference_name} (the ratio
of Ye, Su and Qian 2025, Definitions 2 and 3).

- **Near 1**: as many blocks stay learnable as in {experiment.reference_name}. Unless the interval over seeds
  excludes 1, the two are *not told apart*.
- **Below 1**: fewer blocks stay learnable; **above 1**: more do.

Of two optimisers, batch sizes or seeds this says how differently the landscape around them is shaped. It says nothing
of whether the data can be learned from, nor how well the network does; that is {standing.judged_by(experiment)} beside
it. Two seeds of the *same* training can differ in UD by a third or more.
"""
        if experiment.has_own_reference
        else """
**UD** is the mean number of learnable blocks in the poisoned run divided by that of the clean run (Ye, Su and Qian
2025, Definitions 2 and 3).

- **Near 1**: the network finds as much to learn as in clean data. Unless the interval over seeds excludes 1, the data
  are *not told apart from clean*.
- **Towards 0**: the landscape is flat from early on, there is little to learn: *less learnable*.
- **Above 1**: the network learns plenty, but wrongly, as from adversarial examples.

UD does not say how badly the network does; that is the test accuracy beside it. Two runs of the *same* clean data with
different seeds can differ in UD by a third or more, so a single run proves little: train several seeds with
`--set "seeds=[0,1,2]"`.
"""
    )
    parts.take_with_you(
        lambda: draw(experiment, "ud"),
        name=f"{experiment.name}-ud",
        command=parts.command_of(["ud", experiment.name, "--json"]),
        key="ud",
    )
    parts.share_hint()


main()
