"""VTP, STL and NPZ: opened by readers that are not ours."""

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import trimesh

from checkpoints import CheckpointError
from landscape.figure_data import PathData, SurfaceData
from landscape.formats.npz import read_npz, write_npz
from landscape.formats.stl import solid, write_stl
from landscape.formats.vtp import write_vtp


def surface(loss: np.ndarray) -> SurfaceData:
    a, b = loss.shape
    alphas, betas = np.linspace(-1, 1, a) ** 3, np.linspace(0, 1.5, b)
    accuracy = np.clip(1 - loss / 10, 0, 1)
    return SurfaceData(alphas, betas, loss, accuracy, 100, ("x", "y"), "clean", "joint PCA", None, None, (0,))


def path(points: int) -> PathData:
    coordinates = np.linspace([-0.5, 0.1], [0.5, 1.2], points)
    steps = np.arange(points) * 10
    return PathData(
        "clean-s0", "clean", coordinates, steps, steps / 10.0, np.zeros(points), None, np.arange(points) + 0.5
    )


LOSS = np.random.default_rng(0).uniform(0.1, 9.0, (7, 5))


def parsed(data: bytes) -> tuple[dict[str, np.ndarray], ET.Element]:
    root = ET.fromstring(data)
    piece = root.find("PolyData/Piece")
    arrays = {
        f"{section.tag}/{array.get('Name')}": np.array((array.text or "").split(), float)
        for section in piece
        for array in section
    }
    return arrays, piece


def test_a_vtp_holds_the_surface_as_quads_and_paths_as_lines():
    arrays, piece = parsed(write_vtp(surface(LOSS), [path(4), path(3)], scale="linear"))
    n, a, b = 7 * 5, 7, 5
    assert int(piece.get("NumberOfPoints")) == n + 7
    assert int(piece.get("NumberOfLines")) == 2
    assert int(piece.get("NumberOfPolys")) == (a - 1) * (b - 1)
    points = arrays["Points/Points"].reshape(-1, 3)
    np.testing.assert_array_equal(points[:n, 2], LOSS.ravel())
    np.testing.assert_array_equal(arrays["PointData/loss"][:n], LOSS.ravel())
    np.testing.assert_array_equal(points[n : n + 4, :2], path(4).coordinates)
    np.testing.assert_array_equal(arrays["Lines/connectivity"], np.arange(n, n + 7))
    np.testing.assert_array_equal(arrays["Lines/offsets"], [4, 7])
    quads = arrays["Polys/connectivity"].astype(int).reshape(-1, 4)
    flat = points[quads][..., :2]
    one, two = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 1]
    turn = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    assert (turn > 0).all()  # every quad is seen from above
    width = np.diff(surface(LOSS).alphas)[:, None] * np.diff(surface(LOSS).betas)
    np.testing.assert_allclose(np.sort(turn), np.sort(width.ravel()))


def test_a_vtp_takes_logarithms_where_figures_do_and_leaves_out_what_is_no_number():
    loss = LOSS.copy()
    loss[0, 0], loss[3, 2], loss[6, 4] = 1e-3, np.nan, np.inf
    arrays, piece = parsed(write_vtp(surface(loss)))
    z = arrays["PointData/zvalue"].reshape(7, 5)
    np.testing.assert_allclose(z[1, 1], np.log(loss[1, 1] + 0.1))
    assert np.isnan(z[3, 2])
    assert np.isfinite(z[6, 4])
    assert int(piece.get("NumberOfPolys")) == 6 * 4 - 4
    assert np.isfinite(arrays["Points/Points"]).all()


@pytest.mark.parametrize("odd", [False, True], ids=["numbers", "some that are none"])
def test_vtk_reads_from_a_vtp_what_was_written(odd):
    reading = pytest.importorskip("vtkmodules.vtkIOXML", reason="VTK is not installed")
    to_numpy = pytest.importorskip("vtkmodules.util.numpy_support").vtk_to_numpy
    loss = LOSS.copy()
    if odd:
        loss[3, 2], loss[6, 4] = np.nan, np.inf
    drawn, paths = surface(loss), [path(4), path(3)]
    reader = reading.vtkXMLPolyDataReader()
    reader.SetReadFromInputString(True)
    reader.SetInputString(write_vtp(drawn, paths, scale="linear").decode())
    reader.Update()
    held = reader.GetOutput()
    points = to_numpy(held.GetPoints().GetData())
    grid = np.stack(np.meshgrid(drawn.alphas, drawn.betas, indexing="ij"), axis=-1).reshape(-1, 2)
    np.testing.assert_array_equal(points[:, :2], np.concatenate([grid, *(one.coordinates for one in paths)]))
    assert held.GetPointData().GetScalars().GetName() == "zvalue"
    arrays = {name: to_numpy(held.GetPointData().GetArray(name)) for name in ("zvalue", "loss", "path", "step")}
    np.testing.assert_array_equal(arrays["loss"][:35], loss.ravel())
    finite = np.isfinite(loss.ravel())
    np.testing.assert_array_equal(arrays["zvalue"][:35][finite], loss.ravel()[finite])
    np.testing.assert_array_equal(points[:35, 2][finite], loss.ravel()[finite])
    np.testing.assert_array_equal(arrays["path"], np.repeat([0, 1, 2], [35, 4, 3]))
    np.testing.assert_array_equal(arrays["step"][35:], np.r_[paths[0].steps, paths[1].steps])
    accuracy = to_numpy(held.GetPointData().GetArray("accuracy"))
    np.testing.assert_array_equal(accuracy, np.r_[drawn.accuracy.ravel(), np.full(7, np.nan)])
    lines = held.GetLines()
    np.testing.assert_array_equal(to_numpy(lines.GetConnectivityArray()), np.arange(35, 42))
    np.testing.assert_array_equal(to_numpy(lines.GetOffsetsArray()), [0, 4, 7])
    quads = to_numpy(held.GetPolys().GetConnectivityArray()).reshape(-1, 4)
    assert len(quads) == (24 - 4 if odd else 24), "the four around what is no number; infinity is clipped"
    assert np.isfinite(loss.ravel()[quads]).sum() == quads.size - odd


def mesh(data: bytes) -> trimesh.Trimesh:
    return trimesh.load(io.BytesIO(data), file_type="stl")


@pytest.mark.parametrize("shape", [(2, 2), (7, 5), (3, 30)])
@pytest.mark.parametrize("quantity", ["loss", "accuracy"])
def test_an_stl_is_watertight(shape, quantity):
    loss = np.random.default_rng(1).uniform(0.01, 9.0, shape)
    loss[0, 0], loss[-1, -1] = np.inf, np.nan
    held = mesh(write_stl(surface(loss), quantity=quantity))
    assert held.is_watertight
    assert held.is_winding_consistent
    assert held.volume > 0
    assert len(held.split()) == 1
    np.testing.assert_allclose(held.bounds[0], 0, atol=1e-4)
    assert held.bounds[1].max() == pytest.approx(100, rel=1e-4)
    assert 4 <= held.bounds[1][2] <= 44.001


def test_the_volume_of_a_solid_is_that_of_its_columns():
    x, y = np.array([0.0, 1.0, 4.0]), np.array([0.0, 2.0])
    z = np.array([[1.0, 1.0], [1.0, 1.0], [3.0, 3.0]])
    held = trimesh.Trimesh(**trimesh.triangles.to_kwargs(solid(x, y, z)))
    held.merge_vertices()
    assert held.volume == pytest.approx(1 * 2 * 1 + 3 * 2 * 2)
    with pytest.raises(ValueError, match="positive"):
        write_stl(surface(LOSS), width=0)


def test_npz_comes_back_to_the_bit(tmp_path):
    arrays = {
        "loss": np.array([[np.nan, -0.0], [np.inf, 1 / 3]]),
        "path/a-s0/steps": np.arange(3),
        "empty": np.zeros((0, 2)),
    }
    arrays |= {"axes": np.asfortranarray(np.ones((2, 5), np.float32)), "mask": np.array([True, False])}
    header = {"runs": ["a-s0"], "text": "Ünïcode", "nan": None, "list": [1, 2.5]}
    data = write_npz(header, arrays)
    assert data == write_npz(header, arrays)
    (tmp_path / "x.npz").write_bytes(data)
    found, held = read_npz(tmp_path / "x.npz")
    assert found == header
    assert held.keys() == arrays.keys()
    for name, array in arrays.items():
        assert held[name].dtype == array.dtype
        assert held[name].shape == array.shape
        assert held[name].tobytes() == array.tobytes()
    with np.load(tmp_path / "x.npz", allow_pickle=False) as plain:
        np.testing.assert_array_equal(plain["path/a-s0/steps"], np.arange(3))


def test_npz_of_others_and_broken_ones_are_refused(tmp_path):
    target = tmp_path / "x.npz"
    np.savez(target, a=np.zeros(3))
    with pytest.raises(CheckpointError, match="no header"):
        read_npz(target)
    np.savez(target, header=np.array("{}"), a=np.array([None]))
    with pytest.raises(CheckpointError, match="damaged"):
        read_npz(target)
    whole = write_npz({}, {"a": np.zeros(100)})
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        target.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError):
            read_npz(target)
    with pytest.raises(CheckpointError, match="no file"):
        read_npz(tmp_path / "none.npz")
