"""The names under which numbers of one frame travel: from the heads to the rules, ``watch`` and the observations.

A number that could not be measured is left out, never zero. Probabilities are calibrated on people never trained on
(see the cards in ``vision/weights``).
"""

from __future__ import annotations

# Probability that the eye is shut; eyes named as seen in the picture.
EYE_CLOSED_LEFT, EYE_CLOSED_RIGHT, EYE_CLOSED = "eye_closed_left", "eye_closed_right", "eye_closed"

# Degrees against the camera: yaw > 0 to the picture's right, pitch > 0 up, roll > 0 clockwise in the picture.
HEAD_YAW, HEAD_PITCH, HEAD_ROLL = "head_yaw_deg", "head_pitch_deg", "head_roll_deg"
GAZE_YAW, GAZE_PITCH = "gaze_yaw_deg", "gaze_pitch_deg"  # of the irises within the head, same signs

MOUTH_OPEN = "mouth_open"  # height over width of the inner lips
YAWN = "yawn"  # probability

# Probabilities of the torso's pictures; left out where no torso is seen or it was not looked at on this frame.
BELT_WORN, PHONE, SMOKING, DRINKING = "belt_worn", "phone", "smoking", "drinking"

LIGHT = "light"  # mean brightness of the picture, 0..1
CONTRAST = "contrast"  # standard deviation of brightness, 0..1
SHARPNESS = "sharpness"  # variance of the Laplacian at 320 px of width
OCCLUSION = "occlusion"  # share of the picture's parts in which nothing shows, 0..1; up to 0.5 in a fit picture
GLARE = "glare"  # share of the picture that is white, 0..1
CAMERA_UNFIT = "camera_unfit"  # 1 where nobody could be judged by such a picture (covered, black, blinded), else 0
