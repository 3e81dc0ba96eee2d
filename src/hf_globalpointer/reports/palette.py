"""The colors of labels, the same in every page, notebook, figure and in the demo app.

Eight that stay apart with every kind of color blindness, and have a contrast of at least 3 to white paper and to the
pages' dark one. A label is always written besides, so that no color carries a meaning alone.
"""

COLORS = ("#db7918", "#8631f3", "#319e9e", "#3d6d92", "#9286e7", "#9e5518", "#616d61", "#92926d")
# What a page is printed on, in the light and in the dark.
PAPER = ("#ffffff", "#1b1b1f")
# Past the last color they come again, first in long dashes, then in short ones: length of a dash, and of its gap.
_DASHES = ((8, 3), (3, 3))


def _image(color: str, dash: tuple[int, int] | None) -> str:
    if dash is None:
        return f"linear-gradient({color} 0 0)"
    length, gap = dash
    return f"repeating-linear-gradient(90deg,{color} 0 {length}px,transparent {length}px {length + gap}px)"


# How the bars of labels are filled, in the order of the labels: images of CSS.
FILLS = tuple(_image(color, dash) for dash in (None, *_DASHES) for color in COLORS)
