"""Numbers of NumPy in files of torch.save are read as plain ones; what else NumPy could make of a file is refused."""

import pickle

import numpy as np
import pytest
import torch

from checkpoints import CheckpointError
from checkpoints.torch_files import load_torch

VALUES = [
    np.float64(0.93),
    np.float32(-1.5),
    np.float16(0.5),
    np.int64(-7),
    np.uint8(200),
    np.bool_(True),
    np.complex128(1 + 2j),
    np.str_("größer"),
    np.dtype(">f8").type(3.25),
]


@pytest.mark.parametrize("legacy", [False, True])
def test_numbers_of_numpy_become_plain_ones(tmp_path, legacy):
    held = {"state_dict": {"w": torch.ones(2)}, "values": VALUES, "epoch": np.int64(4)}
    torch.save(held, tmp_path / "x.pt", _use_new_zipfile_serialization=not legacy)
    before = set(torch.serialization.get_safe_globals())  # in no order
    found = load_torch(tmp_path / "x.pt")
    assert found["values"] == [value.item() for value in VALUES]
    assert {type(value).__module__ for value in found["values"]} == {"builtins"}
    assert found["epoch"] == 4
    assert set(torch.serialization.get_safe_globals()) == before, "nothing stays allowed"
    with pytest.raises(pickle.UnpicklingError, match="numpy"):
        torch.load(tmp_path / "x.pt", weights_only=True)


def test_files_of_numpy_1_and_of_another_order_of_bytes(tmp_path):
    torch.save({"w": torch.ones(2), "acc": np.float64(0.93)}, tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    data = (tmp_path / "x.pt").read_bytes()
    assert data.count(b"numpy._core.multiarray") == 1
    (tmp_path / "x.pt").write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert load_torch(tmp_path / "x.pt")["acc"] == 0.93
    swapped = b"".join(_swapped(data))
    assert swapped != data
    (tmp_path / "x.pt").write_bytes(swapped)
    assert load_torch(tmp_path / "x.pt")["acc"] == np.frombuffer(np.float64(0.93).tobytes(), ">f8")[0]


def _swapped(data):
    """The same file, saying that its number's bytes are in the other order."""
    before, found, after = data.partition(b"X\x01\x00\x00\x00<")
    return before, found.replace(b"<", b">"), after


class Call:
    """What pickles as a call."""

    def __init__(self, function, *given):
        self.call = (function, given)

    def __reduce__(self):
        return self.call


SCALAR, TYPE = np.float64(0).__reduce__()[0], np.dtype
HOSTILE = {
    "objects": Call(SCALAR, Call(TYPE, "O"), b"x" * 8),
    "objects by state": Call(SCALAR, Call(TYPE, "O8", False, True), b"x" * 8),
    "fields": Call(SCALAR, Call(TYPE, [("a", "f8")]), b"x" * 8),
    "four gigabytes": Call(SCALAR, Call(TYPE, "V4000000000")),
    "too few bytes": Call(SCALAR, Call(TYPE, "f8"), b"x"),
    "no type": Call(SCALAR, 3, b"x"),
    "arrays": np.ones(3),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_but_numbers_is_made(tmp_path, case):
    torch.save({"w": torch.ones(2), "x": HOSTILE[case]}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError) as caught:
        load_torch(tmp_path / "x.pt")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_notes_its_best_accuracy_is_imported(tmp_path):
    from checkpoints.importing import examine_checkpoints

    for i in (1, 2):
        held = {"state_dict": {"w": torch.ones(2)}, "best_acc": np.float64(0.93), "epoch": np.int64(i)}
        torch.save(held, tmp_path / f"m_{i}.pt")
    report = examine_checkpoints(tmp_path)
    assert report.problems == []
    assert [one.epoch for one in report.files] == [1, 2]
