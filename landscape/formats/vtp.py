"""VTK's XML files of surfaces and lines (``.vtp``), which ParaView opens: the surface as quads, each path as a line."""

from __future__ import annotations

import io
from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from landscape.figure_data import PathData, SurfaceData, on_surface
from landscape.heights import choose_heights

LOG_OFFSET = 0.1  # Li et al. (2018) draw ln(z + 0.1)


def write_vtp(surface: SurfaceData, paths: Sequence[PathData] = (), *, scale: str = "auto") -> bytes:
    """A surface and the paths on it.

    Points lie at (α, β, z), where z is the loss, clipped as in the figures, or ln(loss + 0.1) where these draw a
    logarithm. Cells are the paths' lines, then quads between four points of the grid; those that touch a value that is
    no number are left out. Point data: ``zvalue`` (z), ``loss``, ``accuracy`` where there is one, a metric of the
    user's own under its name, ``path`` (0: the surface; k: the k-th path) and ``step``, −1 on the surface.
    """
    chosen = choose_heights([surface.loss], "loss", scale)

    def height(loss: NDArray[np.float64]) -> NDArray[np.float64]:
        capped = np.where(np.isposinf(loss), chosen.clip if chosen.clip is not None else _top(surface.loss), loss)
        capped = np.minimum(capped, chosen.clip) if chosen.clip is not None else capped
        return np.log(np.maximum(capped, 0.0) + LOG_OFFSET) if chosen.log else capped

    a, b = surface.loss.shape
    x, y = (grid.ravel() for grid in np.meshgrid(surface.alphas, surface.betas, indexing="ij"))
    z = height(surface.loss).ravel()
    places = [np.stack([x, y, np.where(np.isfinite(z), z, 0.0)], axis=1)]
    data = {"zvalue": [z], "loss": [surface.loss.ravel()], "path": [np.zeros(a * b)], "step": [np.full(a * b, -1.0)]}
    if surface.accuracy is not None:
        data["accuracy"] = [surface.accuracy.ravel()]
    own = surface.metric_name if surface.metric_name not in ("", "accuracy", *data) else "metric"
    if surface.metric is not None:
        data[own] = [surface.metric.ravel()]
    lines, start = [], a * b
    for k, path in enumerate(paths, start=1):
        loss = on_surface(surface, path, "loss")
        tall = height(loss)
        places.append(np.column_stack([path.coordinates, np.where(np.isfinite(tall), tall, 0.0)]))
        columns = {"zvalue": tall, "loss": loss, "path": np.full(len(loss), float(k)), "step": path.steps.astype(float)}
        columns["accuracy"] = np.full(len(loss), np.nan)
        if surface.metric is not None:
            columns[own] = on_surface(surface, path, "metric")
        for name, parts in data.items():
            parts.append(columns[name])
        lines.append(np.arange(start, start + len(loss)))
        start += len(loss)
    points = np.concatenate(places)
    return _xml(points, {k: np.concatenate(v) for k, v in data.items()}, lines, _quads(np.isfinite(z).reshape(a, b)))


def _top(loss: NDArray[np.float64]) -> float:
    finite = loss[np.isfinite(loss)]
    return float(finite.max()) if finite.size else 0.0


def _quads(finite: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Corners [Q, 4] of the cells of a grid [A, B], seen from above anticlockwise, where all four are numbers."""
    a, b = finite.shape
    index = np.arange(a * b).reshape(a, b)
    corners = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], axis=-1).reshape(-1, 4)
    return np.asarray(corners[finite.ravel()[corners].all(axis=1)])


def _xml(
    points: NDArray[np.float64],
    data: dict[str, NDArray[np.float64]],
    lines: Sequence[NDArray[np.int64]],
    quads: NDArray[np.int64],
) -> bytes:
    out = io.StringIO()
    out.write('<?xml version="1.0"?>\n<VTKFile type="PolyData" version="0.1" byte_order="LittleEndian">\n<PolyData>\n')
    out.write(
        f'<Piece NumberOfPoints="{len(points)}" NumberOfVerts="0" NumberOfLines="{len(lines)}" NumberOfStrips="0" '
        f'NumberOfPolys="{len(quads)}">\n<PointData Scalars="zvalue">\n'
    )
    for name, values in data.items():
        _array(out, name, values)
    out.write("</PointData>\n<Points>\n")
    _array(out, "Points", points, components=3)
    out.write("</Points>\n<Lines>\n")
    _cells(out, np.concatenate([*lines, np.zeros(0, np.int64)]), [len(line) for line in lines])
    out.write("</Lines>\n<Polys>\n")
    _cells(out, quads.ravel(), [4] * len(quads))
    out.write("</Polys>\n</Piece>\n</PolyData>\n</VTKFile>\n")
    return out.getvalue().encode()


def _cells(out: io.StringIO, connectivity: NDArray[np.int64], lengths: Sequence[int]) -> None:
    _array(out, "connectivity", connectivity)
    _array(out, "offsets", np.cumsum(lengths, dtype=np.int64))


def _array(out: io.StringIO, name: str, values: NDArray[np.generic], components: int = 1) -> None:
    whole = values.dtype.kind == "i"
    kind = "Int64" if whole else "Float64"
    out.write(f'<DataArray type="{kind}" Name={quoteattr(name)} NumberOfComponents="{components}" format="ascii">\n')
    flat = [str(int(v)) if whole else repr(float(v)) for v in values.ravel().tolist()]
    for i in range(0, len(flat), 9):
        out.write(" ".join(flat[i : i + 9]) + "\n")
    out.write("</DataArray>\n")
