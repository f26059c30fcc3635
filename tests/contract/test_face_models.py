"""What every face model must do: mediapipe's mesh and the scripted stand-in, held to the same text."""

import os

import cv2
import numpy as np
import pytest

from tests.unit.vision.stories import CLIP, MAX_PIXELS, drawn
from vision.chatter import without_chatter
from vision.core.eyes import measure_aspect_ratio
from vision.frames import Picture, decode_picture
from vision.models import MediapipeFaces, ScriptedFaces

AWAKE, SHUT = "000178.jpg", "000226.jpg"
EMPTY = Picture(np.zeros((480, 640, 3), np.uint8))


def clip_picture(name: str) -> Picture:
    return decode_picture((CLIP / name).read_bytes(), MAX_PIXELS)


@pytest.fixture(params=["mediapipe", "scripted"])
def model(request):
    made = MediapipeFaces() if request.param == "mediapipe" else ScriptedFaces()
    yield made
    made.close()


@pytest.fixture
def pictures(model):
    """Eyes open, eyes shut."""
    if isinstance(model, MediapipeFaces):
        return [clip_picture(AWAKE), clip_picture(SHUT)]
    return [decode_picture(drawn(level), MAX_PIXELS) for level in (220, 60)]


def ratio(face):
    return measure_aspect_ratio(face.left_eye, face.right_eye)


def test_face_has_a_box_and_two_eyes_in_pixels(model, pictures):
    for picture, face in zip(pictures, model.find_faces(pictures), strict=True):
        height, width = picture.rgb.shape[:2]
        assert 0 <= face.box.left < face.box.right <= 1
        assert 0 <= face.box.top < face.box.bottom <= 1
        for eye in (face.left_eye, face.right_eye):
            assert eye.shape == (6, 2)
            assert eye.dtype == np.float64
            assert np.isfinite(eye).all()
            if isinstance(model, MediapipeFaces):
                assert (eye >= 0).all()
                assert (eye <= (width, height)).all()


def test_shut_eyes_are_lower_than_open_ones(model, pictures):
    wide, shut = (ratio(face) for face in model.find_faces(pictures))
    assert shut < 0.6 * wide


def test_nobody_is_none_and_no_error(model):
    assert list(model.find_faces([EMPTY])) == [None]


def test_no_pictures_no_faces(model):
    assert list(model.find_faces([])) == []


def test_answer_does_not_depend_on_what_came_before(model, pictures):
    alone = [model.find_faces([picture])[0] for picture in pictures]
    together = model.find_faces([*pictures, EMPTY, *reversed(pictures)])
    assert [ratio(face) for face in alone] == [ratio(face) for face in together[:2]]
    assert [ratio(face) for face in reversed(alone)] == [ratio(face) for face in together[3:]]


def test_closed_model_can_be_used_again(model, pictures):
    before = ratio(model.find_faces(pictures[:1])[0])
    model.close()
    model.close()
    assert ratio(model.find_faces(pictures[:1])[0]) == before


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("grey", lambda rgb: np.repeat(rgb.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)),
        ("mirrored", lambda rgb: rgb[:, ::-1]),
        ("dark", lambda rgb: rgb // 3),
        ("not contiguous", np.asfortranarray),
        ("read-only", lambda rgb: np.frombuffer(rgb.tobytes(), np.uint8).reshape(rgb.shape)),
    ],
)
def test_mesh_sees_shut_eyes_in_changed_pictures(name, change):
    model = MediapipeFaces()
    faces = model.find_faces([Picture(change(clip_picture(file).rgb)) for file in (AWAKE, SHUT)])
    model.close()
    wide, shut = (ratio(face) for face in faces)
    assert shut < 0.75 * wide, name


def test_mesh_takes_the_larger_of_two_faces_and_names_the_other():
    person = clip_picture(AWAKE).rgb[60:320, 80:340]
    rgb = np.full((410, 722, 3), 128, np.uint8)
    rgb[10:322, 5:317] = cv2.resize(person, (312, 312))
    rgb[10:400, 327:717] = cv2.resize(person, (390, 390))
    model = MediapipeFaces()
    (large,) = model.find_faces([Picture(rgb)])
    model.close()
    (small,) = large.others
    assert large.box.left > 0.45 > small.right


def test_mesh_is_in_pixels_and_nearer_at_the_nose():
    model = MediapipeFaces()
    picture = clip_picture(AWAKE)
    (face,) = model.find_faces([picture])
    model.close()
    assert face.mesh.shape == (478, 3)
    assert face.mesh.dtype == np.float32
    assert face.mesh[:, 0].min() == pytest.approx(face.box.left * picture.rgb.shape[1], abs=0.01)
    nose, ear = 1, 234
    assert face.mesh[nose, 2] < face.mesh[ear, 2]


def test_upside_down_picture_gives_no_error():
    model = MediapipeFaces()
    found = model.find_faces([Picture(np.ascontiguousarray(clip_picture(AWAKE).rgb[::-1]))])
    model.close()
    assert len(found) == 1


def test_library_is_quiet_and_what_others_say_is_not_lost(capfd):
    model = MediapipeFaces()
    model.find_faces([clip_picture(AWAKE)])
    model.find_faces([EMPTY])  # the second look is loaded where a face is first missed
    model.close()
    assert capfd.readouterr().err == ""

    with without_chatter():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nE0000 out of memory\n 50 %\r 60 %")
    assert capfd.readouterr().err == "E0000 out of memory\n 50 %\r 60 %"


def test_mesh_takes_a_second_look_at_a_small_face_in_a_wide_picture():
    """A face that fills a sixteenth of a wide picture's width is below what the first search sees."""
    wide = np.full((720, 1280, 3), 40, np.uint8)
    wide[20:412, 640:1116] = cv2.resize(clip_picture(AWAKE).rgb[60:340, 60:400], (476, 392))
    model = MediapipeFaces()
    assert model._meshes(wide) == []
    (face,) = model.find_faces([Picture(wide)])
    model.close()
    assert 0.5 < face.box.left < face.box.right < 0.87
    assert 0.05 < face.box.right - face.box.left < 0.1


def test_mesh_finds_what_the_library_itself_finds():
    mesh = MediapipeFaces()._mesh
    one = clip_picture(AWAKE).rgb[146:306, 116:276]
    for rgb, count in ((np.hstack([one, one[:, ::-1]]), 2), (EMPTY.rgb, 0), (np.ascontiguousarray(one), 1)):
        theirs = mesh.process(rgb).multi_face_landmarks or ()
        ours = mesh.find(rgb)
        assert len(theirs) == len(ours) == count
        for face, points in zip(theirs, ours, strict=True):
            np.testing.assert_array_equal([(point.x, point.y, point.z) for point in face.landmark], points)
    mesh.close()


@pytest.mark.parametrize("more", [{}, {"visibility": 0.5}])
def test_landmarks_are_read_as_the_library_itself_gives_them(more):
    """With a field more than the mesh sends they are read one by one."""
    from mediapipe.framework.formats.landmark_pb2 import NormalizedLandmark, NormalizedLandmarkList

    from vision.face_mesh import read_landmarks

    points = np.random.default_rng(1).normal(0.5, 0.3, (478, 3)).astype(np.float32)
    points[0] = 0.0
    landmarks = NormalizedLandmarkList(landmark=[NormalizedLandmark(x=x, y=y, z=z, **more) for x, y, z in points])
    np.testing.assert_array_equal(read_landmarks(landmarks.SerializeToString()), points)
