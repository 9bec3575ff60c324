"""Sharpness: SAL of every block, clean against poisoned, at one checkpoint and over time."""

from __future__ import annotations

import numpy as np
import streamlit as st

from analysis import figures, rank_correlation
from experiments import Experiment, SalSeries, SalSpec, UdReport, draw
from experiments.pictures import sal_subtitle
from experiments.ud_report import PairUd
from landscape.loss_words import in_unit
from landscape.time_axis import moment_words, over_time
from pages import lone_run, parts, standing


def main() -> None:
    """Lay out the page from top to bottom."""
    parts.enter()
    st.title("Sharpness")
    experiment = parts.current()
    st.markdown(
        "How much can each block of weights still move the loss? Blocks to the right of β are **learnable**; "
        + (
            f"β comes from {experiment.reference_name}, and every run is counted against it."
            if experiment.has_own_reference
            else "move the step and watch more of the poisoned ones fall to its left."
        )
    )
    parts.tell_not_finite(experiment)
    picture_column, control_column = st.columns([3.2, 1], gap="medium")
    if lone_run.is_alone(experiment):
        lone_run.sharpness(experiment, picture_column, control_column)
        return
    chosen = parts.choose_report(experiment, picture_column, control_column)
    if chosen is None:
        return
    options, report, series = chosen
    with control_column:
        seed, names = _run_controls(experiment, report, series)
    if not names:
        picture_column.info(f"Choose at least one run to compare with {_reference(experiment)}.")
        return
    clean = series[f"{experiment.spec.clean_arm}-s{seed}"]
    poisoned = {name: series[name] for name in names}
    pairs = {f"{arm.arm}-s{pair.seed}": pair for arm in report.arms for pair in arm.pairs}
    with picture_column:
        _histogram(experiment, options, report, clean, poisoned, pairs[names[0]])
        standing.of_the_loss(experiment, "SAL is")
    _numbers(clean, poisoned, pairs)
    _over_time(experiment, clean, poisoned, pairs)
    _explain(experiment, options, clean)


def _run_controls(experiment: Experiment, report: UdReport, series: dict[str, SalSeries]) -> tuple[int, list[str]]:
    seeds = sorted({pair.seed for arm in report.arms for pair in arm.pairs})
    seed = seeds[0]
    if len(seeds) > 1:
        seed = st.selectbox("Seed", seeds, key="of-seed", bind="query-params")
    names = [f"{a.arm}-s{p.seed}" for a in report.arms for p in a.pairs if p.seed == seed]
    label = "Compared runs" if experiment.has_own_reference else "Poisoned runs"
    chosen = st.multiselect(label, names, default=names, key="poisoned", bind="query-params")
    return seed, [name for name in names if name in chosen]


def _histogram(
    experiment: Experiment,
    options: SalSpec,
    report: UdReport,
    clean: SalSeries,
    poisoned: dict[str, SalSeries],
    pair: PairUd,
) -> None:
    steps = [int(step) for step in clean.steps]
    step = lone_run.choose_step(clean)
    at = float(clean.epochs[steps.index(step)])
    figure = figures.sal_histogram(
        clean.sal[steps.index(step)],
        {name: one.sal[_nearest(one, step)] for name, one in poisoned.items()},
        pair.distance.threshold,
        roles=experiment.roles_drawn(poisoned),
        reference=experiment.reference_name,
        subtitle=sal_subtitle(options, report.samples, f"{moment_words(step, at)}, seed {pair.seed}"),
        dark=parts.is_dark(),
        loss_name=clean.loss_name,
    )
    parts.plot(figure, key="sal-histogram")


def _reference(experiment: Experiment) -> str:
    return experiment.the_reference


def _nearest(series: SalSeries, step: int) -> int:
    return int(np.argmin(np.abs(series.steps - step)))


def _numbers(clean: SalSeries, poisoned: dict[str, SalSeries], pairs: dict[str, PairUd]) -> None:
    first = pairs[next(iter(poisoned))].distance
    columns = st.columns(len(poisoned) + 2)
    beta = in_unit(f"{first.threshold:.3g}", clean.loss_name)
    columns[0].metric("β, learnable threshold", beta, help=f"From {clean.run} alone.")
    columns[1].metric(
        f"{clean.run} learnable blocks",
        f"{first.learnable_clean:.1f} of {len(clean.blocks)}",
        help="Mean over checkpoints.",
    )
    for column, name in zip(columns[2:], poisoned, strict=True):
        distance = pairs[name].distance
        column.metric(
            f"{name} learnable blocks",
            f"{distance.learnable_poisoned:.1f} of {len(clean.blocks)}",
            f"{distance.learnable_poisoned - distance.learnable_clean:+.1f}",
        )


def _over_time(
    experiment: Experiment, clean: SalSeries, poisoned: dict[str, SalSeries], pairs: dict[str, PairUd]
) -> None:
    dark = parts.is_dark()
    first = pairs[next(iter(poisoned))].distance
    shown = (clean, *poisoned.values())
    time, moments = over_time(shown)
    numbers = [first.counts_clean, *(pairs[name].distance.counts_poisoned for name in poisoned)]
    counts = {one.run: (x, y) for one, x, y in zip(shown, moments, numbers, strict=True)}
    roles = {name: experiment.drawn_as(name) for name in counts}
    parts.plot(figures.learnable_blocks_over_time(counts, roles, time=time, dark=dark), key="lp-time")
    panels = {one.run: (one.sal, x) for one, x in zip(shown, moments, strict=True)}
    parts.plot(
        figures.sal_heatmap(panels, clean.blocks, time=time, dark=dark, loss_name=clean.loss_name), key="sal-heat"
    )


def _explain(experiment: Experiment, options: SalSpec, clean: SalSeries) -> None:
    if clean.uncounted_words:
        st.caption(clean.uncounted_words)
    _agreement(options, parts.stored_sal(experiment), clean)
    parts.how_to_read(
        f"""
**SAL** of a block is the largest change of the loss when this block alone is moved by at most ε = {options.epsilon:g}
of its own norm (Ye, Su and Qian 2025, Definition 1). High: the block still steers the loss, it is *learnable*. Low: the
landscape around it is flat.

**β** is found on {_reference(experiment)}: at every checkpoint the blocks are split into two groups (k-means), and β is
the mean of the midpoints. **Learnable blocks** are those above β; the paper calls
their number #LP.

Each run is measured on **its own training data**. The values depend on the sample, the batches and, for the search,
on its steps: the subtitle names them. The *gradient* estimate is first order, SAL ≈ ε‖θ‖·‖∇L‖.
"""
    )
    parts.take_with_you(
        lambda: draw(experiment, "sal"),
        name=f"{experiment.name}-sal",
        command=parts.command_of(["export", experiment.name, "--figure", "sal", "--format", "pdf"]),
        key="sal",
    )
    parts.share_hint()


def _agreement(options: SalSpec, stored: dict[SalSpec, dict[str, SalSeries]], clean: SalSeries) -> None:
    """Where both estimates exist, how well the gradient orders the blocks as the search does."""
    for other, series in stored.items():
        same = other.blocks == options.blocks and other.epsilon == options.epsilon and other.p == options.p
        partner = series.get(clean.run)
        if same and other.method != options.method and partner is not None:
            shared = np.intersect1d(partner.steps, clean.steps)
            rows = [np.searchsorted(one.steps, shared) for one in (clean, partner)]
            if shared.size:
                rho = rank_correlation(clean.sal[rows[0]].ravel(), partner.sal[rows[1]].ravel())
                st.caption(
                    f"Gradient and search order the blocks of {clean.run} alike with Spearman's ρ = {rho:.2f} "
                    f"over {shared.size} of its checkpoints."
                )
                return


main()
