"""What tells surfaces apart that are otherwise called the same: a setting, the weights, the data, the day."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from landscape.loss_words import loss_word

SHORT = 8  # hexadecimal digits of a fingerprint: enough to tell the data of one experiment apart


def when_made(path: Path) -> datetime:
    """When a result file was written, in local time."""
    return datetime.fromtimestamp(path.stat().st_mtime).astimezone()


def facts_of(header: Mapping[str, Any], path: Path) -> dict[str, str]:
    """What a surface file says of itself beyond plane, runs, grid and samples, as short words, the telling ones first.

    Args:
        header: Of the surface file.
    """
    options = header["options"]
    weights = hashlib.sha256(json.dumps(header.get("fingerprints", {}), sort_keys=True).encode()).hexdigest()
    measured = str(header.get("data_fingerprint") or "")
    return {
        "block": f"of {options['block']}" if options["block"] else "of all parameters",
        "parameters": f"parameters {', '.join(map(str, options.get('parameters', ())))}",
        "seed": f"seed {options.get('seed', 0)}",
        "margin": f"margin {options.get('margin', 0):g}",
        "tolerance": f"tolerance {options.get('tolerance') or 0:g}",
        "precision": f"precision {options.get('precision') or 'of the network'}",
        "loss": str(header.get("loss_name") or loss_word()),
        "metric": f"with {header['metric_name']}" if header.get("metric_name") else "without a metric",
        "weights": f"weights {weights[:SHORT]}",
        "data": f"data {measured[:SHORT]}" if measured else "data not recorded",
        "made": f"made {when_made(path):%Y-%m-%d %H:%M}",
    }


def tell_apart(names: Sequence[str], facts: Sequence[Mapping[str, str]]) -> list[str]:
    """What to add to each name so that no two read the same; empty where a name is the only one of its kind.

    Of those that share a name, the facts that differ among them, and always when each was made.
    """
    added = []
    for name, mine in zip(names, facts, strict=True):
        alike = [theirs for other, theirs in zip(names, facts, strict=True) if other == name]
        telling = [key for key in mine if key == "made" or any(theirs[key] != mine[key] for theirs in alike)]
        added.append(", ".join(mine[key] for key in telling) if len(alike) > 1 else "")
    return added
