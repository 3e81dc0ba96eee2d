from itertools import combinations

import numpy as np
import pytest
from colorspacious import cspace_convert

from hf_globalpointer.reports.palette import COLORS, FILLS, PAPER


def rgb(color: str) -> np.ndarray:
    return np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255


def luminance(color: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    values = rgb(color)
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("kind", [None, "protanomaly", "deuteranomaly", "tritanomaly"])
def test_colors_stay_apart_with_every_kind_of_color_blindness(kind: str | None) -> None:
    seen = [rgb(color) for color in COLORS]
    if kind:
        space = {"name": "sRGB1+CVD", "cvd_type": kind, "severity": 100}
        seen = [np.clip(cspace_convert(color, space, "sRGB1"), 0, 1) for color in seen]
    places = [cspace_convert(color, "sRGB1", "CAM02-UCS") for color in seen]
    # A difference of 1 is about what can be seen at all.
    assert min(np.linalg.norm(a - b) for a, b in combinations(places, 2)) > 13


@pytest.mark.parametrize("paper", PAPER)
def test_colors_have_the_contrast_that_graphics_need(paper: str) -> None:
    for color in COLORS:
        darker, lighter = sorted([luminance(color), luminance(paper)])
        assert (lighter + 0.05) / (darker + 0.05) >= 3


def test_every_fill_differs() -> None:
    assert len(set(FILLS)) == len(FILLS) == 3 * len(COLORS)
