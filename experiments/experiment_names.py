"""What tells experiments apart whose titles are the same: the settings that differ, and the day they were made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.catalogue import is_gallery
from experiments.experiment import SPEC_FILE, Experiment
from experiments.spec_toml import without_labels
from experiments.surface_names import when_made

MOST = 3  # settings that are named; the others are counted


def tell_titles_apart(experiments: Sequence[Experiment]) -> dict[str, str]:
    """Words for every experiment whose title another one has too, by its name.

    Settings that differ among those of one title, as ``lr 0.05, epochs 40``, then when it was made; one that ships
    with the project says that instead. An experiment whose spec cannot be read has no title.
    """
    alike = defaultdict(list)
    for one in experiments:
        try:
            title = one.spec.title
        except ValueError:
            continue
        if title:
            alike[title].append(one)
    return {name: words for group in alike.values() if len(group) > 1 for name, words in _apart(group).items()}


def _apart(group: Sequence[Experiment]) -> dict[str, str]:
    settings = {one.name: _flat(without_labels(one.spec)) for one in group}
    keys = list(dict.fromkeys(key for table in settings.values() for key in table))
    telling = [key for key in keys if len({repr(table.get(key)) for table in settings.values()}) > 1]
    said = {}
    for one in group:
        known = [(key, settings[one.name][key]) for key in telling if key in settings[one.name]]
        words = [f"{key.rpartition('.')[2].replace('_', ' ')} {_value(value)}" for key, value in known[:MOST]]
        words += [f"{len(known) - MOST} more"] if len(known) > MOST else []
        made = "ships with the project" if is_gallery(one) else f"made {when_made(one.path / SPEC_FILE):%Y-%m-%d %H:%M}"
        said[one.name] = " · ".join([", ".join(words), made] if words else [made])
    return said


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return flat


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
