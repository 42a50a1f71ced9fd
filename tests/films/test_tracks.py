"""Faces followed through made-up films whose motion is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpen_nodes import DetectedFace
from gpen_nodes.evaluation.flicker import alignment_jitter
from gpen_nodes.faces.geometry.templates import similarity
from gpen_nodes.films.cuts import Cuts
from gpen_nodes.films.motion import motion_between, moved_box, moved_points
from gpen_nodes.films.smoothing import eased, smoothed_landmarks
from gpen_nodes.films.tracks import Follower

SIZE = 240, 320
LANDMARKS = np.array([[-14, -10], [14, -10], [0, 4], [-11, 16], [11, 16]], float)


def texture(seed: int = 0) -> np.ndarray:
    """[400, 500] uint8 with something to follow everywhere."""
    noise = np.random.default_rng(seed).normal(0, 1, (400, 500)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (2, 5, 12)]).sum(0)
    return (20 + 215 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def shown(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A frame of the picture, under a map from its pixels to the frame's."""
    return cv2.warpAffine(picture, matrix[:2], SIZE[::-1], flags=cv2.INTER_CUBIC)


def shift(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def face(x: float, y: float, score: float = 0.99, noise: float = 0.0, seed: int = 0) -> DetectedFace:
    points = LANDMARKS + np.array([x, y]) + np.random.default_rng(seed).normal(0, noise, (5, 2))
    box = float(x - 25), float(y - 30), float(x + 25), float(y + 30)
    return DetectedFace(box, tuple(map(tuple, points.tolist())), score, 0, SIZE)


STILL = shown(texture(), shift(-60, -60))


def follow(frames, *, cuts=(), gray=STILL, step=0.04, embed=None):
    follower = Follower(0.9)
    for number, faces in enumerate(frames):
        follower.add(gray, number * step, tuple(faces), number in cuts, embed)
    return follower.finish()


def test_motion_is_exact():
    picture = texture()
    angle, scale = 0.05, 1.03
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    move = shift(7.3, -4.6) @ shift(160, 120) @ turn @ shift(-160, -120)
    start, points = shift(-60, -60), LANDMARKS + np.array([160, 120])
    found = motion_between(shown(picture, start), shown(picture, move @ start), points)
    assert found is not None
    assert np.abs(moved_points(found, points) - moved_points(move, points)).max() < 0.15
    assert moved_box(shift(5, 3) @ np.diag([2, 2, 1]), (10, 10, 20, 30)) == pytest.approx((25, 23, 45, 63))


def test_no_motion_is_known_where_nothing_is_seen():
    flat = np.full(SIZE, 128, np.uint8)
    assert motion_between(flat, STILL, LANDMARKS + np.array([160, 120])) is None
    assert motion_between(STILL, STILL, LANDMARKS - 300) is None


def test_two_faces_are_two_tracks_whatever_their_order():
    frames = [[face(80 + k, 100), face(220 - k, 120)][:: 1 if k % 2 else -1] for k in range(20)]
    tracks = follow(frames)
    assert [(one.number, one.first, len(one)) for one in tracks] == [(0, 0, 20), (1, 0, 20)]
    for track in tracks:
        xs = [track.face(k).centre[0] for k in range(20)]
        assert np.abs(np.diff(xs)).max() < 5


def test_a_gap_is_filled_up_to_half_a_second():
    frames = [[] if 5 <= k < 15 else [face(100 + k, 100)] for k in range(20)]
    (track,) = follow(frames)
    assert len(track) == 20
    assert track.face(10).landmarks[0] == pytest.approx((110 - 14, 90), abs=0.5)
    assert len(follow(frames, step=0.1)) == 2


def test_a_gap_follows_the_motion_of_the_picture():
    picture, follower, shakes = texture(), Follower(0.9), [9 * (-1) ** k for k in range(12)]
    for k, x in enumerate(shakes):
        found = () if k in (5, 6) else (face(150 + x, 120),)
        follower.add(shown(picture, shift(x - 60, -60)), k / 25, found, False)
    (track,) = follower.finish()
    for k, x in enumerate(shakes):
        assert track.face(k).landmarks[2] == pytest.approx((150 + x, 124), abs=0.5)


def test_what_lasts_less_than_three_frames_is_no_face():
    lone = [[face(80, 100), *([face(220, 120)] if 4 <= k < 6 else [])] for k in range(12)]
    assert len(follow(lone)) == 1
    lasting = [[face(80, 100), *([face(220, 120)] if 4 <= k < 7 else [])] for k in range(12)]
    assert len(follow(lasting)) == 2
    # In a shot that is as short nobody can tell.
    assert len(follow([[face(80, 100)]])) == 1
    assert [one.first for one in follow([[face(80, 100)]] * 5, cuts={2})] == [0, 2]


def test_a_cut_ends_and_begins_every_track():
    tracks = follow([[face(100, 100)]] * 12, cuts={6})
    assert [(one.first, len(one)) for one in tracks] == [(0, 6), (6, 6)]
    assert all((one.strength == 1).all() for one in tracks)


def test_a_weak_face_goes_on_and_does_not_begin():
    weak = [[face(100, 100, score=0.7)]] * 6
    assert follow(weak) == []
    (track,) = follow([[face(100, 100)], *weak])
    assert len(track) == 7


def test_who_comes_and_goes_within_a_shot_is_eased():
    frames = [[face(100, 100)] if 5 <= k < 30 else [] for k in range(60)]
    (track,) = follow(frames)
    assert track.strength[0] < 0.1
    assert track.strength[-1] < 0.1
    assert (np.diff(track.strength[:6]) >= 0).all()
    assert track.strength[10] == 1
    assert (eased([0.0, 0.04], False, False, 0.2) == 1).all()


def test_a_person_who_jumps_is_known_again():
    people = {100: np.array([1.0, 0, 0]), 240: np.array([0.9, 0.4359, 0]), 241: np.array([0.0, 0, 1])}

    def embed(one: DetectedFace) -> np.ndarray:
        return people[min(people, key=lambda x: abs(x - one.centre[0]))]

    for x, count in ((240, 1), (244, 2)):
        frames = [[face(100, 100)]] * 6 + [[face(x, 150)]] * 6
        assert len(follow(frames, embed=embed)) == count
    assert len(follow([[face(100, 100)]] * 6 + [[face(240, 150)]] * 6)) == 2


def test_smoothed_landmarks_are_near_the_truth_under_shake():
    """The detector errs by 1.5 px anew in each frame, and the camera shakes by far more."""
    rng, picture, follower = np.random.default_rng(1), texture(), Follower(0.9)
    found, truth = [], []
    for k in range(40):
        x, y = rng.normal(0, 5, 2)
        one = face(150 + x, 120 + y, noise=1.5, seed=k)
        follower.add(shown(picture, shift(x - 60, y - 60)), k / 25, (one,), False)
        found.append(np.array(one.landmarks))
        truth.append(LANDMARKS + np.array([150 + x, 120 + y]))
    (track,) = follower.finish()
    steady = [np.array(track.face(k).landmarks) for k in range(40)]
    assert alignment_jitter(steady, truth) < alignment_jitter(found, truth) / 6
    errors = [np.abs(np.array(a) - b).mean() for a, b in ((steady, truth), (found, truth))]
    assert errors[0] < errors[1] / 2


def test_a_head_that_turns_in_perspective_is_followed():
    """Towards its rim it moves otherwise than a similarity: the landmarks' motion is what counts."""
    picture, follower, found, truth = texture(), Follower(0.9), [], []
    there = np.array([[1, 0, -220.0], [0, 1, -180], [0, 0, 1]])
    for k in range(24):
        angle, tilt = 0.25 * np.sin(k / 6), 0.003 * np.sin(k / 4)
        turned = cv2.getRotationMatrix2D((0, 0), np.degrees(angle), 1)
        matrix = shift(160, 120) @ np.vstack([turned, [0, 0, 1]]) @ [[1, 0, 0], [0, 1, 0], [tilt, 0, 1]]
        points = cv2.perspectiveTransform(LANDMARKS[None], matrix)[0]
        noisy = points + np.random.default_rng(k).normal(0, 0.3, (5, 2))
        one = DetectedFace((135, 90, 185, 150), tuple(map(tuple, noisy.tolist())), 0.99, 0, SIZE)
        gray = cv2.warpPerspective(picture, matrix @ there, SIZE[::-1], flags=cv2.INTER_CUBIC)
        follower.add(gray, k / 25, (one,), False)
        found.append(aligned(noisy))
        truth.append(aligned(points))
    (track,) = follower.finish()
    steady = [aligned(np.array(track.face(k).landmarks)) for k in range(24)]
    assert alignment_jitter(steady, truth) < alignment_jitter(found, truth) / 4


def aligned(points: np.ndarray) -> np.ndarray:
    """The landmarks under the turn, scale and shift that make them fit the face: what an alignment sees."""
    matrix = similarity(tuple(map(tuple, LANDMARKS.tolist())), tuple(map(tuple, points.tolist()))).numpy()
    return LANDMARKS @ matrix[:, :2].T + matrix[:, 2]


def test_one_wrong_detection_moves_nothing():
    frames = [[face(100, 100)] for _ in range(30)]
    frames[15] = [face(112, 92)]
    (track,) = follow(frames)
    assert np.abs(np.array(track.face(15).landmarks) - (LANDMARKS + np.array([100, 100]))).max() < 0.5


@settings(max_examples=30)
@given(
    st.lists(st.floats(0.01, 0.3), min_size=1, max_size=20),
    st.floats(-20, 20),
    st.floats(-20, 20),
)
def test_straight_motion_stays_as_it_is(steps, dx, dy):
    """Whatever the time stamps: no delay, no shrinking, at the ends neither."""
    times = np.cumsum(steps)
    paths = np.broadcast_to(np.eye(3), (len(times), 3, 3))
    line = LANDMARKS + np.outer(times, [dx, dy])[:, None]
    smooth = smoothed_landmarks(times, paths, np.arange(len(times)), line)
    assert np.abs(smooth - line).max() < 1e-3 * (1 + abs(dx) + abs(dy))


def test_cuts_are_found_and_motion_is_none():
    cuts, found = Cuts(), []
    pictures = texture(1), 255 - texture(2)
    for k in range(30):
        found.append(cuts.add(shown(pictures[k >= 18], shift(-60 - 4 * k, -60 + 8 * (-1) ** k))))
    assert [k for k, cut in enumerate(found) if cut] == [18]


def test_light_that_fades_is_no_cut():
    cuts = Cuts()
    assert not any(cuts.add((STILL * (0.2 + 0.025 * k)).astype(np.uint8)) for k in range(30))
