"""What the methods with a surrogate network share: building and training it, and signed steps within the budget.

The surrogate's initial weights and batches come from streams of their own, so that a victim of the same seed starts
elsewhere. On the CPU the same seed gives the same bytes; on a GPU sums may be ordered otherwise from run to run.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.data import Dataset
from training.models import MODELS, build_model
from training.unlearnable.perturbation import linf_budget

WEIGHTS, ORDER, LAYERS, START = 1 << 21, (1 << 21) + 1, (1 << 21) + 2, (1 << 21) + 3  # random streams
CLIP = 5.0  # of the norm of a training step's gradient, as in Huang et al. (2021)
PASS = 512  # samples per batch where no gradient is taken

Report = Callable[[int, int], None]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Task:
    """Training data on a device, and what may be done to them.

    Attributes:
        inputs: [N, …] float32.
        targets: [N] int64.
        n_classes: K.
        radius: ε, [1, …] float32, one number per input value; ∞-norm.
        low, high: The range of input values; infinite for feature vectors.
        budget: The budget in words.
        strength: ε as a number.
        surrogate: Registered name of the network.
        seed: Decides everything random.
    """

    inputs: Tensor
    targets: Tensor
    n_classes: int
    radius: Tensor
    low: float
    high: float
    budget: str
    strength: float
    surrogate: str
    seed: int

    def inside(self, values: Tensor) -> Tensor:
        """Values clipped to the range of inputs."""
        return values.clamp(self.low, self.high)

    def within(self, delta: Tensor) -> Tensor:
        """Perturbations projected on the L∞ ball of radius ε."""
        return torch.minimum(torch.maximum(delta, -self.radius), self.radius)

    def start(self, number: int, shape: torch.Size) -> Tensor:
        """Draw from U(−ε, ε); ``number`` tells the draws of one method apart."""
        return self.uniform(number, shape) * self.radius

    def uniform(self, number: int, shape: torch.Size) -> Tensor:
        """Draw from U(−1, 1) on the inputs' device."""
        rng = np.random.default_rng([self.seed, START, number])
        return torch.from_numpy(rng.uniform(-1, 1, size=tuple(shape)).astype(np.float32)).to(self.inputs.device)

    def chunks(self, size: int) -> list[slice]:
        """The samples in order, ``size`` at a time; the last chunk may be smaller."""
        return [slice(i, i + size) for i in range(0, len(self.targets), size)]


def make_task(dataset: Dataset, *, seed: int, strength: float | None, surrogate: str | None, device: str) -> Task:
    """Bring a data set to a device and settle budget and surrogate.

    Args:
        surrogate: A name of ``MODELS``; None takes lenet5 for grey images (mlp for those smaller than LeNet-5 takes),
            resnet-small for others, mlp for feature vectors.

    Raises:
        ValueError: Unknown network or device, or a strength that the data do not allow.
    """
    radius, budget = linf_budget(dataset, strength)
    if surrogate is not None and surrogate not in MODELS:
        raise ValueError(f"There is no surrogate network called {surrogate!r}; known are {', '.join(MODELS)}.")
    try:
        where = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError):
        raise ValueError(f"The device {device!r} cannot be used here; leave it at 'cpu'.") from None
    inputs = torch.from_numpy(dataset.x_train).to(where)
    spread = np.ones(dataset.input_shape, np.float32)
    if dataset.kind == "features":
        spread = dataset.x_train.std(axis=0, dtype=np.float64).astype(np.float32)
    image = dataset.kind == "image"
    return Task(
        inputs=inputs,
        targets=torch.from_numpy(dataset.y_train).to(where),
        n_classes=dataset.n_classes,
        radius=torch.from_numpy(radius * spread)[None].to(where, torch.float32),
        low=0.0 if image else -float("inf"),
        high=1.0 if image else float("inf"),
        budget=budget,
        strength=radius,
        surrogate=surrogate or _default_surrogate(dataset),
        seed=seed,
    )


def _default_surrogate(dataset: Dataset) -> str:
    if dataset.kind == "features":
        return "mlp"
    channels, height, width = dataset.input_shape
    if channels > 1:
        return "resnet-small"
    return "lenet5" if min(height, width) >= 12 else "mlp"


def build(task: Task, heads: Sequence[str] = ()) -> nn.Module:
    """The untrained surrogate, on the task's device; with ``heads``, a network of these tasks."""
    state = np.random.SeedSequence([task.seed, WEIGHTS]).generate_state(1, np.uint32)
    model = build_model(task.surrogate, tuple(task.inputs.shape[1:]), task.n_classes, seed=int(state[0]), tasks=heads)
    if task.inputs.dim() == 4:
        model = model.to(memory_format=torch.channels_last)  # about twice as fast on a CPU
    return model.to(task.inputs.device)


class Descent:
    """SGD on the loss of a surrogate, one batch at a time, in training mode.

    Args:
        model: Trained in place.
        lr: Learning rate; momentum is 0.9, weight decay 5·10⁻⁴ and the gradient's norm is clipped to 5.
        seed: Of the network's own chance, as in dropout, and of what the loss draws.
        loss: Of outputs and targets, a mean over the batch.
    """

    def __init__(self, model: nn.Module, *, lr: float, seed: int, loss: Loss = functional.cross_entropy) -> None:
        if not (np.isfinite(lr) and lr > 0):
            raise ValueError(f"The surrogate's learning rate must be a positive number, not {lr}.")
        self.model, self.seed, self.lr, self.taken, self.loss = model, seed, lr, 0, loss
        self.optimiser = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)

    def step(self, inputs: Tensor, targets: Tensor, *, share: float = 1.0) -> None:
        """Take one step on a batch, at ``share`` of the learning rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr * share
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        with chance(self.seed, self.taken, inputs.device):
            torch.autograd.backward(self.loss(self.model(inputs), targets))
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimiser.step()
        self.taken += 1


def orders(task: Task, epoch: int, batch_size: int) -> Iterator[Tensor]:
    """The batches of an epoch: indices in an order that depends on seed and epoch."""
    order = np.random.default_rng([task.seed, ORDER, epoch]).permutation(len(task.targets))
    for i in range(0, len(order), batch_size):
        yield torch.from_numpy(order[i : i + batch_size]).to(task.inputs.device)


def train_clean(
    task: Task, *, epochs: int, lr: float, batch_size: int, tick: Callable[[], None], keep: Sequence[int] = ()
) -> list[nn.Module]:
    """Train a fresh surrogate on the clean data, the learning rate falling to 0 along a half cosine.

    Args:
        tick: Called after every batch.
        keep: Epochs, counted from 0, whose networks are wanted, and not the last one alone.

    Returns:
        The networks asked for, or else the trained one; latest last.
    """
    model = build(task)
    descent = Descent(model, lr=lr, seed=task.seed)
    steps = epochs * -(-len(task.targets) // batch_size)
    kept: list[nn.Module] = []
    for epoch in range(epochs):
        for chosen in orders(task, epoch, batch_size):
            share = 0.5 * (1 + float(np.cos(np.pi * descent.taken / steps)))
            descent.step(task.inputs[chosen], task.targets[chosen], share=share)
            tick()
        if epoch in keep:
            kept.append(copy.deepcopy(model))
    return kept or [model]


@contextmanager
def frozen(*models: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients of the weights, which speeds up gradients of the inputs."""
    before = [(model.training, [p.requires_grad for p in model.parameters()]) for model in models]
    for model in models:
        model.eval().requires_grad_(False)
    try:
        yield
    finally:
        for model, (training, wanted) in zip(models, before, strict=True):
            model.train(training)
            for parameter, want in zip(model.parameters(), wanted, strict=True):
                parameter.requires_grad_(want)


def input_gradient(loss: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Gradient of a scalar loss at points [n, …]."""
    leaf = points.detach().requires_grad_(True)
    return torch.autograd.grad(loss(leaf), leaf)[0]


def cross_entropy(model: nn.Module, targets: Tensor) -> Callable[[Tensor], Tensor]:
    """The summed cross-entropy as a function of the inputs; a sum, so that no sample's gradient vanishes in a mean."""
    return lambda points: functional.cross_entropy(model(points), targets, reduction="sum")


def descend(
    task: Task, inputs: Tensor, delta: Tensor, loss: Callable[[Tensor], Tensor], *, steps: int, step: float
) -> Tensor:
    """Projected signed-gradient descent (Madry, Makelov, Schmidt, Tsipras and Vladu, ICLR 2018) on the perturbation.

    Args:
        inputs: [n, …] clean.
        delta: [n, …] where to start, within ε.
        loss: Scalar of perturbed inputs, to be made small.
        steps: Number of steps.
        step: Length of a step as a share of ε.

    Returns:
        [n, …] within ε; the last step may leave the range of inputs by its length.
    """
    for _ in range(steps):
        points = task.inside(inputs + delta)
        delta = task.within(points - step * task.radius * input_gradient(loss, points).sign() - inputs)
    return delta


def accuracy(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Share of samples classified as ``targets``, in evaluation mode."""
    training = model.training
    model.eval()
    with torch.inference_mode():
        right = sum(
            int((model(inputs[i : i + PASS]).argmax(dim=1) == targets[i : i + PASS]).sum())
            for i in range(0, len(targets), PASS)
        )
    model.train(training)
    return right / len(targets)


@contextmanager
def chance(seed: int, number: int, device: torch.device) -> Iterator[None]:
    """Give layers that draw, as dropout does, a stream of their own, and put the global one back."""
    state = int(np.random.SeedSequence([seed, LAYERS, number]).generate_state(1, np.uint64)[0]) >> 1
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.default_generator.manual_seed(state)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(state)
        yield


class Ticker:
    """Counts finished work, in gradients of a batch or so, and reports it."""

    def __init__(self, total: int, report: Report | None) -> None:
        self.total, self.report, self.done = total, report, 0

    def __call__(self, amount: int = 1) -> None:
        """So much more is done."""
        self.done += amount
        if self.report is not None:
            self.report(min(self.done, self.total), self.total)

    def finish(self) -> None:
        """All is done, be it earlier than thought."""
        if self.done < self.total:
            self.done = self.total - 1
            self()


def check_counts(method: str, **counts: int) -> None:
    """Raise ValueError unless every count is a whole number of at least 1."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} of {method} is a whole number, at least 1, not {count!r}.")


def check_step(method: str, step: float) -> None:
    """Raise ValueError unless a step's length is a positive share of ε."""
    if not 0 < step <= 2:
        raise ValueError(f"A step of {method} is a share of the radius above 0 and at most 2, not {step}.")


def on_cpu(delta: Tensor) -> NDArray[np.float64]:
    """Perturbations as :class:`Perturbation` holds them."""
    return delta.cpu().numpy().astype(np.float64)
