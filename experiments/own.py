"""Networks, data, losses and metrics that are functions of the user's own, named ``package.module:function``.

They are run only for a spec that was granted it, see :mod:`experiments.trust`.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from experiments.experiment import ExperimentError
from experiments.own_grants import refusal
from experiments.spec import ExperimentSpec, is_own, own_names
from landscape.scoring import Metric
from training import Dataset, DatasetError
from training.own_data import as_dataset, one_line
from training.own_losses import DEFAULTS, REAL, Loss, misfit, named_loss

KEPT = 2  # data sets in memory
OURS = {"analysis", "app", "checkpoints", "cli", "commands", "experiments", "landscape", "options", "pages", "training"}
OURS |= {"lazy_names", "version"}
_loaded: OrderedDict[tuple[Any, ...], Dataset] = OrderedDict()
_roots: dict[str, str] = {}  # which directory a package of the user's was imported from


def own_dataset(spec: ExperimentSpec) -> Dataset:
    """What the data factory of a spec gives; the last ones are kept in memory."""
    name, options = spec.data.name, dict(spec.data.options)
    key = name, repr(sorted(options.items())), spec.loss in REAL, spec.grant.root
    factory = _find(spec, "data", name)
    if key not in _loaded:
        made = _call(spec, "data", name, lambda: factory(**options))
        try:
            _loaded[key] = as_dataset(name, made, real_targets=spec.loss in REAL)
        except DatasetError as error:
            raise ExperimentError(str(error)) from None
        while len(_loaded) > KEPT:
            _loaded.popitem(last=False)
    return _loaded[key]


def own_network(spec: ExperimentSpec, dataset: Dataset, seed: int) -> nn.Module:
    """What the model factory of a spec gives, with initial weights that depend on the seed alone.

    The factory takes no arguments, or ``input_shape`` (of one sample) and ``n_classes`` by keyword.
    """
    name = spec.model.name
    factory = _find(spec, "model", name)
    if isinstance(factory, nn.Module):
        raise ExperimentError(f"{name} is a network already; name a function that makes and returns it.")
    known = {"input_shape": dataset.input_shape, "n_classes": dataset.n_classes}
    try:
        wanted = inspect.signature(factory).parameters.values()
    except (ValueError, TypeError):
        wanted = {}.values()  # written in C, say
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for one in wanted:
        if one.default is one.empty and one.kind not in variable and one.name not in known:
            raise ExperimentError(
                f"The model factory {name} wants {one.name}; it may take input_shape and n_classes alone, so give the "
                "others default values."
            )
    given = {one.name: known[one.name] for one in wanted if one.name in known}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = _call(spec, "model", name, lambda: factory(**given))
    if not isinstance(model, nn.Module):
        raise ExperimentError(f"The model factory {name} returned a {type(model).__name__}, not a torch.nn.Module.")
    return model


def loss_name(spec: ExperimentSpec, dataset: Dataset) -> str:
    """The loss of a spec: as named, or what the targets ask for."""
    return spec.loss or DEFAULTS[dataset.task]


def loss_of(spec: ExperimentSpec, dataset: Dataset) -> Loss | None:
    """``loss(outputs, targets)``, a mean over the batch; None is cross-entropy, the default everywhere."""
    name = loss_name(spec, dataset)
    return _OwnLoss(name, _find(spec, "loss", name)) if is_own(name) else named_loss(name)


def metric_of(spec: ExperimentSpec) -> Metric | None:
    """``metric(outputs, targets)`` of a spec, a mean over the batch; None where there is none."""
    return None if spec.metric is None else _OwnMetric(spec.metric, _find(spec, "metric", spec.metric))


def is_plain(spec: ExperimentSpec) -> bool:
    """Whether a spec has nothing of its own: registered network and data, and cross-entropy."""
    return not own_names(spec) and spec.loss is None


def require_classes(spec: ExperimentSpec, dataset: Dataset, arm: str) -> None:
    """Refuse to poison or defend what is no classification of images or features."""
    if dataset.task != "classification" or dataset.kind == "tokens":
        raise ExperimentError(
            f"The arm {arm} of {spec.name} changes data for a classification; {dataset.name} is for {dataset.task}."
        )


def check_fit(spec: ExperimentSpec, dataset: Dataset, model: nn.Module) -> None:
    """Refuse a network that cannot take the data, or whose outputs the loss, the metric or the labels do not fit.

    Outputs that are no tensor but hold one as ``logits`` or ``out`` give that from now on.
    """
    name, loss, metric = loss_name(spec, dataset), loss_of(spec, dataset), metric_of(spec)
    inputs, targets = torch.from_numpy(dataset.x_train[:2]), torch.from_numpy(dataset.y_train[:2])
    who = spec.model.name
    with _evaluating(model), torch.no_grad():
        try:
            outputs = model(inputs)
        except Exception as error:  # the user's own code may fail in any way
            raise ExperimentError(
                f"The network {who} cannot take inputs of shape {list(inputs.shape)} ({inputs.dtype}) from "
                f"{dataset.name}: {type(error).__name__}: {one_line(error)}"
            ) from None
        if not isinstance(outputs, Tensor):
            outputs = _tensor_of(outputs)
            if outputs is None:
                raise ExperimentError(f"The network {who} must give one tensor, or an object with a tensor logits.")
            model.register_forward_hook(_only_tensor)
        if metric is not None:
            metric(outputs.clone(), targets)
        if isinstance(loss, _OwnLoss):
            loss(outputs, targets)
            return
    both = (dataset.y_train, dataset.y_test)
    low, high = (float(extreme([extreme(part) for part in both])) for extreme in (np.min, np.max))
    reason = misfit(name, outputs, targets, low, high)
    if reason:
        raise ExperimentError(f"The network {who} does not fit the data {dataset.name}: {reason}.")


class _Own:
    """A loss or metric of the user's own, whose mistakes are told in one sentence."""

    kind = ""

    def __init__(self, name: str, function: Callable[[Tensor, Tensor], Any]) -> None:
        self.name, self.function = name, function

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        try:
            value = self.function(outputs, targets)
        except Exception as error:
            raise ExperimentError(
                f"The {self.kind} {self.name} failed: {type(error).__name__}: {one_line(error)}"
            ) from None
        value = self.taken(value)
        if not isinstance(value, Tensor) or value.numel() != 1:
            found = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ExperimentError(
                f"The {self.kind} {self.name} returned {found}; it must return the mean over the batch."
            )
        return value.reshape(())

    def taken(self, value: Any) -> Any:
        """What is taken for the value that it returned."""
        return value


class _OwnLoss(_Own):
    kind = "loss"


class _OwnMetric(_Own):
    """Its value may be a plain number too."""

    kind = "metric"

    def taken(self, value: Any) -> Any:
        number = isinstance(value, int | float | np.number | np.ndarray) and np.size(value) == 1
        return torch.tensor(float(value)) if number else value


def _find(spec: ExperimentSpec, kind: str, name: str) -> Callable[..., Any]:
    """Import what a name stands for, if the spec may run it."""
    root = spec.grant.root
    if root is None:
        raise ExperimentError(refusal(spec))
    module_name, _, attribute = name.partition(":")
    package = module_name.split(".")[0]
    if package in OURS:
        raise ExperimentError(
            f"{name} cannot be imported: {package} is the name of a part of this program; rename that "
            f"{'folder' if '.' in module_name else 'file'} of yours, or copy the function into a file of another name, "
            f"such as my_{package}.py, and give my_{package}:{attribute}."
        )
    if _roots.setdefault(package, root) != root:  # one of the same name from elsewhere
        for loaded in [one for one in sys.modules if one.split(".")[0] == package]:
            del sys.modules[loaded]
        _roots[package] = root
    with _importing_from(root):
        try:
            found: Any = importlib.import_module(module_name)
        except (Exception, SystemExit) as error:
            raise ExperimentError(
                f"The {_role(kind)} {name} cannot be imported from {root}: {type(error).__name__}: {one_line(error)}"
            ) from None
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise ExperimentError(f"The module {module_name} has no {attribute}, which is named as {kind}.")
    if not callable(found):
        raise ExperimentError(f"{name}, named as {kind}, is a {type(found).__name__}, not a function.")
    return found  # type: ignore[no-any-return]


def as_module(name: str) -> str:
    """A name as it is imported: ``nets/small.py:make``, seen from the present directory, is ``nets.small:make``.

    Raises:
        ExperimentError: The file cannot be imported by a name from here.
    """
    file, mark, attribute = name.rpartition(":")
    if not mark or not file.endswith(".py"):
        return name
    path = Path(file)
    here = Path.cwd()
    if path.is_absolute() and path.is_relative_to(here):
        path = path.relative_to(here)
    parts = [part for part in path.with_suffix("").parts if part != "."]
    found = f"{'.'.join(parts)}:{attribute}"
    if path.is_absolute() or ".." in parts or not is_own(found):
        raise ExperimentError(
            f"{name} cannot be imported from here: go to the folder of {path.name}, whose name may have letters, "
            f"digits and underscores alone, and give {path.stem}:{attribute or 'function'}."
        )
    if not path.is_file():
        raise ExperimentError(f"There is no file {file}; give package.module:function as seen from {here}.")
    return found


def _role(kind: str) -> str:
    return kind if kind in ("loss", "metric") else f"{kind} factory"


def _call(spec: ExperimentSpec, kind: str, name: str, make: Callable[[], Any]) -> Any:
    with _importing_from(spec.grant.root or ""):
        try:
            return make()
        except (Exception, SystemExit) as error:
            raise ExperimentError(
                f"The {kind} factory {name} failed: {type(error).__name__}: {one_line(error)}"
            ) from None


@contextmanager
def _importing_from(root: str) -> Iterator[None]:
    """Look for modules in a directory first; afterwards last, for what the user's code imports later."""
    if root not in sys.path:
        sys.path.append(root)
    sys.path.insert(0, root)
    try:
        yield
    finally:
        sys.path.remove(root)  # the first


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _only_tensor(module: nn.Module, arguments: Any, outputs: Any) -> Any:
    return _tensor_of(outputs)


def _tensor_of(outputs: Any) -> Tensor | None:
    """The scores among what a network gives, as libraries name them."""
    for key in ("logits", "out"):
        found = outputs.get(key) if isinstance(outputs, dict) else getattr(outputs, key, None)
        if isinstance(found, Tensor):
            return found
    return outputs if isinstance(outputs, Tensor) else None
