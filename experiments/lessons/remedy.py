"""Lesson 7, try to break it: a poison of the digits, and what may take its effect away."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.lessons.short_run import Schedule, short_run, small_data
from training import build_defence, poison

SCHEDULE = Schedule("mlp", epochs=10, lr=0.05)
POISONS: dict[str, tuple[str, float | None]] = {
    "linearly separable noise": ("lsp", None),
    "random pattern per class": ("class-random", 0.3),
}
REMEDIES: dict[str, tuple[str, dict[str, int | float]]] = {
    "cutout": ("cutout", {"size": 3}),
    "mixup": ("mixup", {}),
    "cutmix": ("cutmix", {}),
    "JPEG compression": ("jpeg", {}),
    "fewer grey levels": ("bdr", {}),
    "blur": ("gaussian-blur", {}),
    "orthogonal projection": ("orthogonal-projection", {}),
}
FEWER = {"half of the data clean": 0.5, "a tenth of the data clean": 0.9}
CHOICES = (*REMEDIES, *FEWER)
HALF, LITTLE = 0.5, 0.1  # shares of the lost accuracy
ANSWERS = ("it breaks the poison", "it helps a little", "it does not help")


@dataclass(frozen=True)
class Outcome:
    """Test accuracies in [0, 1]: clean, poisoned, poisoned with the remedy; and what was done, in words."""

    clean: float
    poisoned: float
    remedied: float
    description: str

    @property
    def recovered(self) -> float:
        """Share of the lost accuracy that the remedy brings back; below 0 where it makes things worse."""
        lost = self.clean - self.poisoned
        return (self.remedied - self.poisoned) / lost if lost > 0 else 0.0


def try_remedy(poison_name: str, remedy: str, seed: int = 0) -> Outcome:
    """Train on clean digits, on poisoned ones, and on poisoned ones with a defence or with fewer poisoned samples."""
    data = small_data("digits")
    method, strength = POISONS[poison_name]
    made = poison(method, data, seed=seed, strength=strength)
    clean = short_run(data, SCHEDULE, seed=seed)
    poisoned = short_run(data, SCHEDULE, seed=seed, inputs=made.x_train)
    if remedy in FEWER:
        fewer = poison(method, data, seed=seed, strength=strength, ratio=FEWER[remedy])
        last = short_run(data, SCHEDULE, seed=seed, inputs=fewer.x_train)
        words = fewer.description
    else:
        name, settings = REMEDIES[remedy]
        defence = build_defence(name, **settings)
        last = short_run(data, SCHEDULE, seed=seed, inputs=made.x_train, defences=[defence])
        words = f"{made.description}; then {defence.description}"
    return Outcome(clean.test_accuracy, poisoned.test_accuracy, last.test_accuracy, words)


def answer(outcome: Outcome) -> str:
    """Which of ``ANSWERS`` holds."""
    return ANSWERS[0 if outcome.recovered >= HALF else 1 if outcome.recovered >= LITTLE else 2]
