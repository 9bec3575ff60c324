"""What a benchmark is: methods × data sets × networks × defences × seeds, and the experiments it consists of.

A benchmark is a folder with ``bench.toml`` and one experiment for each data set and network; the experiment's arms are
the methods under each defence. So every page and command that takes an experiment takes a part of a benchmark.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.spec import (
    ArmSpec,
    DataSpec,
    DefenceSpec,
    ExperimentSpec,
    ModelSpec,
    SalSpec,
    SpecError,
    SurfaceSpec,
    TrainingSpec,
)
from experiments.spec_toml import build_part, build_parts

BENCH_FILE = "bench.toml"
CLEAN = "clean"
UNDEFENDED = "none"
TOP = (
    "name",
    "title",
    "description",
    "seeds",
    "models",
    "data",
    "training",
    "arms",
    "defend",
    "defences",
    "sal",
    "keep",
)


@dataclass(frozen=True)
class BenchSpec:
    """Everything that determines a benchmark.

    Attributes:
        name: Its folder's name.
        seeds: Each seed decides the poison, the initial weights and the batches of its runs.
        data, models: Data sets and registered networks; every combination is one experiment.
        training: SGD and its schedule, for all.
        arms: The methods, controls included; the clean arm is added by itself.
        defend: Defences each method is trained under, ``none`` for none.
        defences: Tables of defences with settings of their own.
        sal: The ways SAL is measured, by name; UD is reported for each.
        keep: Whether runs' checkpoints stay after SAL was measured; without them surfaces cannot be drawn.
    """

    name: str
    title: str = ""
    description: str = ""
    seeds: tuple[int, ...] = (0, 1, 2)
    data: tuple[DataSpec, ...] = ()
    models: tuple[str, ...] = ("lenet5",)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    arms: Mapping[str, ArmSpec] = field(default_factory=dict)
    defend: tuple[str, ...] = (UNDEFENDED,)
    defences: Mapping[str, DefenceSpec] = field(default_factory=dict)
    sal: Mapping[str, SalSpec] = field(default_factory=dict)
    keep: bool = True

    def experiments(self) -> dict[str, ExperimentSpec]:
        """The experiments by folder name, each with the clean arm first."""
        found = {}
        for data in self.data:
            for model in self.models:
                folder = "-".join([self.name, data_stem(data.name), model])
                if folder in found:
                    raise SpecError(
                        f"Two data sets of {self.name} would both be called {data_stem(data.name)}; rename one."
                    )
                found[folder] = ExperimentSpec(
                    name=folder,
                    title=f"{self.title or self.name}: {data_stem(data.name)}, {model}",
                    description=self.description,
                    seeds=self.seeds,
                    data=data,
                    model=ModelSpec(model),
                    training=self.training,
                    arms=self._arms(),
                    defences=self.defences,
                    sal=next(iter(self.sal.values())),
                    surface=SurfaceSpec(grid=25, samples=500),
                )
        return found

    def _arms(self) -> dict[str, ArmSpec]:
        arms = {CLEAN: ArmSpec()}
        for defence in self.defend:
            under = () if defence == UNDEFENDED else tuple(defence.split("+"))
            if under:
                arms[arm_name(CLEAN, defence)] = ArmSpec(control=True, defences=under)
            for name, arm in self.arms.items():
                arms[arm_name(name, defence)] = dataclasses.replace(arm, defences=(*arm.defences, *under))
        return arms


def arm_name(method: str, defence: str) -> str:
    """The arm of a method under a defence, as ``em_jpeg``."""
    return method if defence == UNDEFENDED else f"{method}_{defence.replace('+', '_')}"


def load_bench(path: Path) -> BenchSpec:
    """Read and check a benchmark's TOML file. Raises :class:`SpecError` with one sentence."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"There is no file {path}; give the path of a benchmark's TOML file.") from None
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not valid TOML: {error}.") from None
    return bench_from_table(table, where=str(path))


def bench_from_table(table: Mapping[str, Any], *, where: str = "benchmark") -> BenchSpec:
    """Build a benchmark from nested tables, refusing unknown entries and wrong types by name."""
    unknown = sorted(set(table) - set(TOP) - {"made_by"})
    if unknown:
        raise SpecError(f"{where}: {unknown[0]} is not an entry of a benchmark; known are {', '.join(TOP)}.")
    if "name" not in table:
        raise SpecError(f"{where}: the entry name is missing.")
    data = table.get("data", [])
    listed = data if isinstance(data, list) else [data]
    scalars = {
        key: table[key] for key in ("name", "title", "description", "seeds", "models", "defend", "keep") if key in table
    }
    spec = build_part(
        BenchSpec,
        scalars,
        "",
        where,
        data=tuple(build_part(DataSpec, one, "data", where) for one in listed),
        training=build_part(TrainingSpec, table.get("training", {}), "training", where),
        arms=build_parts(ArmSpec, table.get("arms", {}), "arms", where),
        defences=build_parts(DefenceSpec, table.get("defences", {}), "defences", where),
        sal=build_parts(SalSpec, table.get("sal", {}), "sal", where),
    )
    assert isinstance(spec, BenchSpec)
    return _checked(spec, where)


def _checked(spec: BenchSpec, where: str) -> BenchSpec:
    if not spec.data:
        raise SpecError(f"{where}: it names no data set; add a table [[data]].")
    if not spec.models:
        raise SpecError(f'{where}: it names no network; add an entry such as models = ["lenet5"].')
    if not spec.arms:
        raise SpecError(f"{where}: it names no method; add at least one table such as [arms.ops].")
    if not spec.sal:
        raise SpecError(f"{where}: it measures no SAL; add at least one table such as [sal.gradient].")
    if CLEAN in spec.arms:
        raise SpecError(f"{where}: the clean arm is added by itself; leave out [arms.{CLEAN}].")
    for name, arm in spec.arms.items():
        if arm.is_clean:
            raise SpecError(f'{where}: arms.{name} names no method; say which, as method = "ops".')
    try:
        spec.experiments()
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
    return spec


def data_stem(name: str) -> str:
    """A data set's name as part of a folder's name."""
    stem = Path(name).stem if name.endswith(".npz") else Path(name).name
    return re.sub(r"[^A-Za-z0-9.-]+", "-", stem).strip("-.") or "data"
