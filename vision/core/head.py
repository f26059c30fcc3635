"""Where a head points and where its eyes look: angles from the points of a face mesh, by geometry alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Points = Floats | npt.NDArray[np.float32]

VIEW_DEG = 65.0
"""Assumed angle of view over the longer side of the picture: in-cab cameras have 50 to 100. Wrong by 15 degrees it
shifts a head at the edge of the picture by a few degrees, always the same way, which a driver's own neutral pose
takes away again."""

FARTHEST_DEG = 85.0
"""Beyond this the mesh shows a face that is not seen."""

# The 33 points that mediapipe itself takes for the pose of a face: skull rather than lips and lids. Centimetres, x to
# the picture's right, y up, z to the camera. From canonical_face_model.obj of mediapipe (Apache 2.0); the other half
# is its mirror.
_MIDDLE = {4: (0.0, -0.463170, 7.586580), 6: (0.0, 2.473255, 5.788627), 10: (0.0, 8.261778, 4.481535)}
_SIDES = {
    (33, 263): (4.445859, 2.663991, 3.173422),
    (54, 284): (6.279331, 6.615427, 1.425850),
    (67, 297): (3.523964, 8.005976, 3.729163),
    (117, 346): (5.258659, 0.945811, 2.974312),
    (119, 348): (3.300681, 0.861641, 3.872784),
    (121, 350): (1.820731, 1.467954, 4.224124),
    (127, 356): (7.743095, 2.364999, -2.005167),
    (129, 358): (1.785794, -0.978284, 4.850470),
    (132, 361): (7.270895, -2.890917, -2.252455),
    (133, 362): (1.856432, 2.585245, 3.757904),
    (143, 372): (6.407571, 2.236021, 1.560843),
    (147, 376): (6.234883, -1.944430, 1.663542),
    (198, 420): (1.246815, 0.230297, 5.681036),
    (205, 425): (4.386901, -2.683286, 3.643886),
}
"""Left out of mediapipe's list: 136 and 365, which sit on the jaw and fall with every yawn."""

EYE_CORNERS = ((33, 133), (362, 263))  # as seen in the picture: left eye, right eye; each from left to right
EYE_LIDS = ((159, 145), (386, 374))  # upper, lower
IRISES = (468, 473)
EYEBALL_CM = 1.1  # from the centre of the eyeball to the iris, on the scale of the canonical face
WIDEST_GAZE_DEG = 55.0  # eyes turn no further: the mesh's iris slid off
LEAST_OPEN = 0.12  # lids over corners: behind narrower ones the mesh guesses the iris
LEAST_PX = 8.0
_ROUNDS = 3


def _canonical() -> tuple[npt.NDArray[np.int64], Floats]:
    rows = dict(_MIDDLE)
    for (left, right), (x, y, z) in _SIDES.items():
        rows[left], rows[right] = (-x, y, z), (x, y, z)
    return np.array(list(rows)), np.array(list(rows.values())) * (1.0, -1.0, -1.0)


SKULL, SKULL_CM = _canonical()
"""Numbers of the points, and where they are in the head: x to the picture's right, y down, z away from the camera."""


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """A head in the camera's axes. ``rotation`` (3, 3) turns a face that looks along the axis into this one."""

    rotation: Floats
    px_per_cm: float

    @property
    def angles_deg(self) -> tuple[float, float, float]:
        """Yaw (> 0 to the picture's right), pitch (> 0 up), roll (> 0 clockwise in the picture)."""
        return measure_angles_deg(self.rotation)


def measure_angles_deg(rotation: Floats) -> tuple[float, float, float]:
    """Yaw, pitch, roll: what ``turn`` was given."""
    (_, _, across), (side, down, up), (_, _, away) = rotation.tolist()
    pitch = math.asin(min(max(up, -1.0), 1.0))
    return math.degrees(math.atan2(-across, away)), math.degrees(pitch), math.degrees(math.atan2(side, down))


def turn(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Floats:
    """The rotation with these angles: first roll, then pitch, then yaw."""
    yaw, pitch, roll = np.radians((yaw_deg, pitch_deg, roll_deg))
    about_y = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return np.asarray(about_y @ about_x @ about_z, np.float64)


def measure_pose(points: Points, width_px: int, height_px: int, view_deg: float = VIEW_DEG) -> Pose | None:
    """The pose of a mesh.

    Args:
        points: (n, 2 or 3) pixels, at least the points of ``SKULL``.

    Returns:
        None where no pose fits, or the face would be turned away from the camera.
    """
    focal = max(width_px, height_px) / 2 / math.tan(math.radians(view_deg / 2))
    camera = np.array([[focal, 0, width_px / 2], [0, focal, height_px / 2], [0, 0, 1]])
    flat = np.ascontiguousarray(points[SKULL, :2], np.float64)
    if not np.isfinite(flat).all():
        return None
    found, turned, moved = cv2.solvePnP(SKULL_CM, flat, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    if not found or moved[2, 0] <= 0:
        return None
    rotation = np.asarray(cv2.Rodrigues(turned)[0], np.float64)
    facing = float(rotation[2, 2])
    return Pose(rotation, float(focal / moved[2, 0])) if facing > math.cos(math.radians(FARTHEST_DEG)) else None


def measure_gaze_deg(points: Floats, pose: Pose) -> tuple[float, float] | None:
    """Yaw and pitch of the irises within the head, signs as for the head. A fixed part of it is the person's (how deep
    the eyes lie): compare with their own neutral.

    Args:
        points: (478, 2 or 3) pixels.

    Returns:
        The eyes' mean, weighted by the square of their width; None where no open eye faces the camera.
    """
    eyes = zip(IRISES, EYE_CORNERS, EYE_LIDS, strict=True)
    found = [_gaze_of(points[:, :2], *eye, pose) for eye in eyes]
    seen = [gaze for gaze in found if gaze is not None]
    if not seen:
        return None
    whole = sum(weight for _, _, weight in seen)
    yaw, pitch = (sum(eye[axis] * eye[2] for eye in seen) / whole for axis in (0, 1))
    return yaw, pitch


def _gaze_of(
    flat: Floats, iris: int, corners: tuple[int, int], lids: tuple[int, int], pose: Pose
) -> tuple[float, float, float] | None:
    """(yaw, pitch, weight). The iris sits on a ball whose centre lies as deep behind the corners as it is large: its
    shift in the picture, with the depth of the turned head taken out, gives where on the ball."""
    left, right = flat[corners[0]], flat[corners[1]]
    width = math.dist(left, right)
    if math.dist(flat[lids[0]], flat[lids[1]]) < width * LEAST_OPEN or width < LEAST_PX:
        return None
    shift = ((flat[iris] - (left + right) / 2) / (pose.px_per_cm * EYEBALL_CM)).tolist()
    (shift_x, shift_y), (away_x, away_y) = (_unturn(pose, side) for side in (shift, pose.rotation[:2, 2].tolist()))
    depth = 0.0
    for _ in range(_ROUNDS):
        x, y = shift_x - away_x * depth, shift_y - away_y * depth
        depth = 1 - math.sqrt(max(1 - x * x - y * y, 0.0))
    if math.hypot(x, y) > math.sin(math.radians(WIDEST_GAZE_DEG)):
        return None
    return math.degrees(math.asin(x)), math.degrees(math.asin(-y)), width**2


def _unturn(pose: Pose, side: tuple[float, float]) -> tuple[float, float]:
    """What the head's rotation turns into this, in the plane of the picture. Two equations by hand: LAPACK wakes a
    thread on every core for them, which then spins."""
    (a, b, _), (c, d, _), _ = pose.rotation.tolist()
    x, y = side
    det = a * d - b * c
    return (d * x - b * y) / det, (a * y - c * x) / det
