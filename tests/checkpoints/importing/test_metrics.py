"""Tables of metrics meet checkpoints by one key, which is said; equal numbers belong together, nothing is guessed."""

import numpy as np
import pytest

from checkpoints import open_run
from checkpoints.importing import examine_checkpoints, import_checkpoints, read_metrics
from tests.checkpoints.importing.samples import save


@pytest.fixture
def table(tmp_path):
    """Twelve epochs of four steps, as a trainer logs them: epoch e begins at step 4e and has the loss 100 + e."""
    rows = [f"{4 * epoch},{epoch},{100 + epoch}" for epoch in range(12)]
    (tmp_path / "m.csv").write_text("\n".join(["step,epoch,loss", *rows]))
    return tmp_path / "m.csv"


def test_checkpoints_of_epochs_are_never_looked_for_among_steps(tmp_path, table):
    folder = save(tmp_path / "run", [f"epoch_{i}.pt" for i in range(1, 13)])
    report = import_checkpoints(folder, tmp_path / "a.h5", metrics=table)
    loss = open_run(tmp_path / "a.h5").metrics["loss"]
    np.testing.assert_array_equal(loss, [*range(101, 112), np.nan])
    said = report.as_text()
    assert "matched by epoch, rows for 11 of 12 checkpoints (epochs 1 to 12 of the checkpoints, 0 to 11 in" in said
    assert "seem to count epochs from 1 and the table from 0" in said
    assert "epoch_1.pt has the row of epoch 1" in said
    assert any("count epochs" in line for line in report.highlights("run"))
    assert report.as_json()["matched_by"] == "epoch"
    table.write_text("step,loss\n" + "\n".join(f"{i},{i}" for i in range(50)))
    report = import_checkpoints(folder, tmp_path / "b.h5", metrics=table)
    assert np.isnan(open_run(tmp_path / "b.h5").metrics["loss"]).all()
    assert "not matched: the table goes by step, which not all checkpoints say" in report.as_text()


def test_one_key_for_the_whole_run(tmp_path, table):
    folder = save(tmp_path / "both", [f"epoch={i}-step={4 * i + 3}.pt" for i in range(3)])
    assert examine_checkpoints(folder, metrics=table).match.rows[2] == {"loss": 102}
    folder = save(tmp_path / "within", [f"epoch={i // 2}-step={4 * i}.pt" for i in range(4)])
    match = examine_checkpoints(folder, metrics=table).match
    assert (match.by, [row["loss"] for row in match.rows]) == ("step", [100, 101, 102, 103])
    folder = save(tmp_path / "steps", ["step_4.pt", "step_9.pt"], lambda i, s: {"state_dict": s, "epoch": 7})
    match = examine_checkpoints(folder, metrics=table).match
    assert (match.by, match.rows) == ("step", ({"loss": 101}, {}))


def test_a_mere_number_gives_way_to_the_epoch_inside_and_is_called_a_guess_without(tmp_path, table):
    folder = save(tmp_path / "inside", ["m_7.pt", "m_8.pt"], lambda i, s: {"state_dict": s, "epoch": 7 + i})
    match = examine_checkpoints(folder, metrics=table).match
    assert (match.by, [row["loss"] for row in match.rows], match.doubt) == ("epoch", [107, 108], "")
    folder = save(tmp_path / "bare", ["m_7.pt", "m_8.pt"])
    report = examine_checkpoints(folder, metrics=table)
    assert (report.match.by, report.matched) == ("step", 1)
    assert "WARNING: the numbers in the names were taken as steps" in report.as_text()


def test_that_the_last_row_of_an_epoch_counts_is_said(tmp_path, table):
    folder = save(tmp_path / "run", ["epoch_0.pt", "epoch_1.pt"])
    table.write_text("epoch,loss\n0,9\n0,8\n1,7\n")
    report = examine_checkpoints(folder, metrics=table)
    assert [row["loss"] for row in report.match.rows] == [8, 7]
    assert "of each epoch the last" in report.as_text()


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_headers_in_capitals_with_spaces_and_other_marks_between_cells(tmp_path, mark):
    lines = [[" Epoch ", "Train loss, mean", "ACC"], ["0", "2.5", " 0.25 "], [], ["1", "", "0.5"]]
    quoted = [[f'"{cell}"' if "," in cell and mark == "," else cell for cell in line] for line in lines]
    (tmp_path / "m.csv").write_bytes("\r\n".join(map(mark.join, quoted)).encode("utf-8-sig"))
    table = read_metrics(tmp_path / "m.csv")
    assert table.names == ("Train loss, mean", "ACC")
    assert table.by_epoch == {0: {"Train loss, mean": 2.5, "ACC": 0.25}, 1: {"ACC": 0.5}}
    assert table.by_step == {}
