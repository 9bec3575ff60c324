"""``stand-by``: a process that has everything imported and waits for the job it is to do."""

from __future__ import annotations

import json
import os
import select
import sys

import click

PATIENCE = 900.0  # seconds after which an unused process ends


@click.command(name="stand-by", hidden=True)
@click.pass_context
def stand_by(context: click.Context) -> None:
    """Wait for one order on standard input, and do it as if it had been the command."""
    _warm_up()
    if not select.select([sys.stdin], [], [], PATIENCE)[0]:
        return
    line = sys.stdin.readline()
    if not line:  # whoever started this process is gone
        return
    order = json.loads(line)
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, order["log"], os.O_WRONLY | os.O_APPEND)):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.dup2(1, 2)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    context.find_root().command.main(args=order["arguments"], prog_name="unlearnscape", standalone_mode=True)


def _warm_up() -> None:
    """Import and run once what every training needs; the first time is the slow one."""
    import numpy as np
    import torch

    from analysis import sharpness_aware_learnability
    from landscape import evaluate_surface, pca_plane
    from lazy_names import load
    from training.data import load_dataset

    load("analysis", "checkpoints", "experiments", "landscape", "training")
    load_dataset("toy")  # with scikit-learn
    model = torch.nn.Linear(4, 3)
    batches = [(torch.zeros(8, 4), torch.zeros(8, dtype=torch.int64))]
    torch.autograd.backward(torch.nn.functional.cross_entropy(model(batches[0][0]), batches[0][1]))
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    for method in ("gradient", "search"):
        sharpness_aware_learnability(model, batches, method=method, steps=1)
    plane = pca_plane([np.random.default_rng(0).normal(size=(4, 15)).astype(np.float32)])
    evaluate_surface(model, plane, batches, np.linspace(-1, 1, 3), np.linspace(-1, 1, 3))
