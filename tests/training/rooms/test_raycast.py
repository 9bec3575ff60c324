"""Rays hit what a plain search hits, and two cameras in one room agree on where its surfaces are."""

import itertools
import math

import numpy as np
import pytest

from training.rooms.camera import FIELD_OF_VIEW, PITCH, Camera, place_camera
from training.rooms.generator import view
from training.rooms.materials import sample_building
from training.rooms.raycast import ROOM_FACES, cast
from training.rooms.templates import SCENES


def scene(number, seed=3):
    rng = np.random.default_rng([seed, number])
    return view(rng, sample_building(rng), number)


def plain(room, origin, ray):
    """Nearest face on one ray: every plane is met, and the point must lie on the face."""
    best, face = math.inf, -1
    boxes = [((0.0, 0.0, 0.0), room.size, False)] + [(box.low, box.high, True) for box in room.boxes]
    for number, (low, high, outside) in enumerate(boxes):
        for axis, side in itertools.product(range(3), range(2)):
            if ray[axis] == 0 or (ray[axis] > 0) == (outside == (side == 1)):
                continue  # faces of boxes are seen from outside, those of the room from inside
            t = ((low, high)[side][axis] - origin[axis]) / ray[axis]
            point = [origin[k] + t * ray[k] for k in range(3)]
            on_it = all(low[k] - 1e-12 <= point[k] <= high[k] + 1e-12 for k in range(3) if k != axis)
            if 0 < t < best and on_it:
                best, face = t, ROOM_FACES * number + 2 * axis + side
    return best, face


@pytest.mark.parametrize("number", range(len(SCENES)))
def test_every_pixel_sees_the_nearest_face(number):
    room, camera = scene(number)
    hits = cast(room, camera, 16)
    expected = [plain(room, camera.position, hits.rays[:, i, j]) for i in range(16) for j in range(16)]
    assert np.abs(hits.distance.ravel() - [e[0] for e in expected]).max() < 1e-9
    same = hits.surface.ravel() == [e[1] for e in expected]
    assert same.mean() > 0.99  # faces that lie in each other are met in another order


@pytest.mark.parametrize("number", [1, 4, 6])
def test_what_one_camera_sees_another_sees_at_the_same_place(number):
    room, first = scene(number)
    second = place_camera(np.random.default_rng(8), room)
    one, size = cast(room, first, 32), 256
    other = cast(room, second, size)
    points = (one.rays * one.distance + np.asarray(first.position)[:, None, None]).reshape(3, -1).T
    column, row, forward = second.project(points, size)
    away = np.linalg.norm(points - second.position, axis=1)
    compared = agreeing = 0
    for k in np.flatnonzero((forward > 0.05) & (column > 0) & (column < size) & (row > 0) & (row < size)):
        distance, face = plain(room, second.position, (points[k] - second.position) / away[k])
        if distance < away[k] - 1e-9:
            continue  # something stands between
        assert distance == pytest.approx(away[k], abs=1e-9)
        pixel = int(row[k]), int(column[k])
        compared += 1
        if other.surface[pixel] == face == one.surface.ravel()[k]:
            agreeing += 1
            low, high = _neighbours(other.distance, *pixel)
            assert low - 0.02 <= away[k] <= high + 0.02
    assert compared > 100
    assert agreeing > 0.95 * compared


def _neighbours(distance, row, column):
    patch = distance[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    return patch.min(), patch.max()


def test_the_centre_of_a_pixel_is_projected_onto_itself():
    camera = Camera((1.0, 2.0, 1.5), 0.7, -0.2)
    points = np.moveaxis(camera.rays(12) * 3.0, 0, -1) + camera.position
    column, row, forward = camera.project(points, 12)
    assert np.allclose(column, np.arange(12) + 0.5, atol=1e-9)
    assert np.allclose(row, (np.arange(12) + 0.5)[:, None], atol=1e-9)
    assert (forward > 0).all()
    left, right = camera.project(points, 12)[0][6, [0, 11]]
    assert (left, right) == pytest.approx((0.5, 11.5))


def test_axes_are_a_rotation_without_roll():
    camera = Camera((0, 0, 1.5), 1.1, 0.2)
    axes = camera.axes()
    assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.allclose(np.cross(axes[0], axes[2]), axes[1], atol=1e-12)
    assert axes[0, 2] == 0  # the horizon is level
    edge = Camera((0, 0, 1.5), 0.0, 0.0).rays(2000)[:, 1000, 0]
    assert math.atan2(-edge[0], edge[1]) == pytest.approx(FIELD_OF_VIEW / 2, abs=1e-3)


def test_cameras_stand_in_the_room_at_eye_height():
    for number in range(40):
        room, camera = scene(number % len(SCENES), seed=number)
        assert all(0 < c < s for c, s in zip(camera.position, room.size, strict=True))
        assert 1.2 <= camera.position[2] <= 1.7
        assert abs(camera.pitch) <= PITCH
        corners = room.corners()
        inside = ((corners[:, 0] < camera.position) & (corners[:, 1] > camera.position)).all(1)
        assert not inside.any()
