"""SAL, threshold and UD against numbers of the authors' procedure, kept under ``golden/``.

``UNLEARNSCAPE_GOLDEN`` may point to a folder with every case (``sal_mlp.npz``, ``sal_lenet.npz``, ``sal_resnet.npz``).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis import learnable_threshold, sharpness_aware_learnability, unlearnable_distance
from tests.golden_models import MODELS, load

FOLDER = Path(os.environ.get("UNLEARNSCAPE_GOLDEN") or Path(__file__).parent / "golden")
MODES = ("full", "batch128")


def stored(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"sal_{name}.npz", allow_pickle=False) as archive:
        return dict(archive)


def cases(name: str) -> list[str]:
    arrays = stored(name)
    return sorted({"/".join(key.split("/")[:2]) for key in arrays if "/state/" in key})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "case"), [(name, case) for name in MODELS for case in cases(name)])
def test_search_equals_the_reference(name, case, mode):
    arrays = stored(name)
    inputs = torch.from_numpy(arrays[f"{case.split('/')[0]}/inputs"])
    targets = torch.from_numpy(arrays["targets"])
    size = len(targets) if mode == "full" else 128
    batches = [(inputs[i : i + size], targets[i : i + size]) for i in range(0, len(targets), size)]
    blocks = sharpness_aware_learnability(load(name, arrays, f"{case}/state/"), batches)
    wanted = {
        key: arrays[f"{case}/{mode}/{key}"] for key in ("loss", "accuracy", "s_max", "s_min", "sal_loss", "sal_acc")
    }
    assert [b.name for b in blocks] == [str(layer).removesuffix(".weight") for layer in arrays["layers"]]
    assert blocks[0].loss == pytest.approx(float(wanted["loss"]), rel=1e-4)
    assert blocks[0].accuracy == pytest.approx(float(wanted["accuracy"]), abs=1e-6)
    for field, key in (("s_max", "s_max"), ("s_min", "s_min"), ("sal", "sal_loss")):
        np.testing.assert_allclose([getattr(b, field) for b in blocks], wanted[key], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose([100 * b.sal_accuracy for b in blocks], wanted["sal_acc"], atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MODELS)
def test_threshold_and_ud_equal_the_reference(name, mode):
    arrays = stored(name)
    tables = {
        arm: np.stack([arrays[f"{arm}/epoch{e}/{mode}/sal_loss"] for e in arrays["epochs"]])
        for arm in ("clean", "poisoned")
    }
    assert learnable_threshold(tables["clean"]) == pytest.approx(float(arrays[f"ud/{mode}/threshold"]), rel=1e-12)
    found = unlearnable_distance(tables["clean"], tables["poisoned"])
    assert found.learnable_clean == float(arrays[f"ud/{mode}/learnable_clean"])
    assert found.learnable_poisoned == float(arrays[f"ud/{mode}/learnable_poisoned"])
    assert found.value == pytest.approx(float(arrays[f"ud/{mode}/ud"]), rel=1e-12)
