"""What can be set on the Live page, and how it becomes an experiment whose name tells the settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from checkpoints import CheckpointError
from experiments import classroom, jobs
from experiments.catalogue import check_name, home, load_preset_or_file
from experiments.control import Control, write_control
from experiments.experiment import SPEC_FILE, Experiment, ExperimentError
from experiments.materials import dataset_of
from experiments.spec import ArmSpec, DataSpec, ExperimentSpec, content_key, run_name
from experiments.spec_toml import override
from training import poison

QUICK = ("ops", "lsp", "class-random", "uniform-noise")  # made in well under a second, for images and features
QUICK_IMAGES = ("ar", "cuda")
CONTROL = "uniform-noise"  # the quick method that is no poison
MOST = 3  # poisoned runs that race against the clean one
LONGEST = 60  # letters of a name


@dataclass(frozen=True)
class LiveSettings:
    """One setting of the Live page.

    Attributes:
        preset: What everything else departs from.
        arms: Names of the poisoned runs, 1 to 3: the preset's own, or methods.
        ratio: Share of poisoned samples. strength: share of each method's own strength.
        epochs, lr, seed: Of the training.
        download: Whether a data set may be downloaded.
    """

    preset: str
    arms: tuple[str, ...]
    ratio: float
    strength: float
    epochs: int
    lr: float
    seed: int
    download: bool = False

    def spec(self) -> ExperimentSpec:
        """The resolved experiment. Raises :class:`SpecError` or ValueError where a setting makes none."""
        base = load_preset_or_file(self.preset)
        if not 1 <= len(self.arms) <= MOST:
            raise ExperimentError(f"Choose 1 to {MOST} poisons to race against clean, not {len(self.arms)}.")
        arms = {base.clean_arm: base.arms[base.clean_arm]} if base.clean_arm else {}
        arms |= {name: self._arm(base, name) for name in self.arms}
        spec = dataclasses.replace(base, arms=arms)
        return dataclasses.replace(override(spec, self._training(base)), name=self.name)

    @property
    def name(self) -> str:
        """The preset's name, and after it whatever differs, or ``live``: what ships by that name stays."""
        base = load_preset_or_file(self.preset)
        tags = [] if self.arms == base.poisoned_arms else ["-".join(self.arms)]
        tags += [] if self.ratio == 1 else [f"ratio{self.ratio:g}"]
        tags += [] if self.strength == 1 else [f"strength{self.strength:g}"]
        tags += [c.removeprefix("training.").translate(str.maketrans("", "", "=[]")) for c in self._training(base)]
        name = "-".join([self.preset, *(tags or ["live"])])
        return name if len(name) <= LONGEST else f"{name[: LONGEST - 7]}-{content_key({'name': name})[:6]}"

    @property
    def roles(self) -> dict[str, str]:
        """{run: role} of the training, the clean run first."""
        base = load_preset_or_file(self.preset)
        arms = {base.clean_arm: "clean"} if base.clean_arm else {}
        for name in self.arms:
            control = base.arms[name].control if name in base.arms else name == CONTROL
            arms[name] = "control" if control else "poisoned"
        return {run_name(arm, self.seed): role for arm, role in arms.items()}

    def arguments(self, folder: str) -> list[str]:
        """The command that trains this: from the preset where ``--set`` can say it, else from the folder itself."""
        base = load_preset_or_file(self.preset)
        download = ["--download"] if self.download else []
        if self.arms != base.poisoned_arms:
            return ["run", folder, "--live", *download]
        changes = self._training(base)
        for name in self.arms:
            before, after = base.arms[name], self._arm(base, name)
            changes += [] if before.ratio == after.ratio else [f"arms.{name}.ratio={after.ratio!r}"]
            changes += [] if before.strength == after.strength else [f"arms.{name}.strength={after.strength!r}"]
        sets = [part for change in changes for part in ("--set", change)]
        return ["run", self.preset, "--out", folder, "--live", *sets, *download]

    def _training(self, base: ExperimentSpec) -> list[str]:
        changes = [] if self.epochs == base.training.epochs else [f"training.epochs={self.epochs}"]
        changes += [] if self.lr == base.training.lr else [f"training.lr={self.lr!r}"]
        return changes + ([] if self.seed == base.seeds[0] else [f"seeds=[{self.seed}]"])

    def _arm(self, base: ExperimentSpec, name: str) -> ArmSpec:
        arm = base.arms.get(name) or ArmSpec(method=name, control=name == CONTROL)
        strength = arm.strength
        if self.strength != 1:
            own = strength if strength is not None else own_strength(base.data, arm.method, download=self.download)
            strength = float(f"{self.strength * own:.6g}")
        return dataclasses.replace(arm, ratio=self.ratio, strength=strength)


_own: dict[tuple[str, str], float] = {}


def own_strength(data: DataSpec, method: str, *, download: bool = False) -> float:
    """The strength a method takes on a data set when none is given."""
    key = (content_key({"name": data.name, **data.options}), method)
    if key not in _own:
        dataset = dataset_of(ExperimentSpec("strength", data=data, arms={"clean": ArmSpec()}), download=download)
        _own[key] = float(poison(method, dataset, seed=0).options["strength"])
    return _own[key]


def racers(preset: str) -> list[str]:
    """Poisons that can race on a preset: its own arms first, then the quick methods that fit its data."""
    spec = load_preset_or_file(preset)
    own = list(spec.poisoned_arms)
    taken = {spec.arms[name].method for name in own}
    quick = QUICK + (() if spec.data.name == "toy" else QUICK_IMAGES)
    return own + [method for method in quick if method not in taken]


def begin(settings: LiveSettings, *, mine: str | None = None, speed: float = 0.0) -> jobs.Job:
    """Start a training from its beginning; earlier results of the same name are set aside, none is lost.

    Args:
        settings: What to train.
        mine: The experiment whose job this viewer started; it is stopped first. Others' jobs go on, and where one has
            the same name the new experiment gets a number.
        speed: Checkpoints a second; 0 is as fast as it goes.

    Raises:
        ValueError, OSError: It cannot be started; one sentence.
    """
    spec = settings.spec()
    if mine is not None:
        for job in jobs.list_jobs(mine):
            if job.running and "--live" in job.arguments:
                jobs.stop(job)
    name, number = check_name(spec.name), 1
    while any(job.running for job in jobs.list_jobs(name)):
        number += 1
        name = f"{spec.name}-{number}"
    if classroom.limits() is None:
        set_aside(name)
    else:  # others' results stay where they look at them
        name = classroom.free_name(name, home())
    experiment = Experiment.create(dataclasses.replace(spec, name=name), home() / name)
    write_control(experiment.path, Control(speed=speed))
    return jobs.start(settings.arguments(str(experiment.path)), experiment=name)


def go_on(job: jobs.Job, *, speed: float = 0.0) -> jobs.Job:
    """Start a job again that was stopped or lost; it goes on where it was, unpaused."""
    write_control(home() / job.experiment, Control(speed=speed))
    return jobs.start(job.arguments, experiment=job.experiment)


def set_aside(name: str) -> str | None:
    """Rename an experiment that holds runs to ``NAME.1`` or the next free number; return that name."""
    folder = home() / name
    if not (folder / SPEC_FILE).is_file() or not Experiment(folder).run_names():
        return None
    number = 1
    while (home() / f"{name}.{number}").exists():
        number += 1
    try:
        folder.rename(home() / f"{name}.{number}")
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be set aside ({error.strerror}); choose another seed.") from None
    return f"{name}.{number}"
