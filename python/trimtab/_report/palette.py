"""Colours that people with any colour vision can tell apart, on light and on dark paper.

Series take the Okabe-Ito colours with a wine and an olive added, the first a neutral dark since it
is what the others are compared with. Colour is never alone: markers differ too, and past nine
series the colours come again with other dashes. Sequences take viridis, which grows evenly in
lightness and so survives grey print.
"""

from __future__ import annotations

SERIES = (
    ("#3d4852", "#d5dbe1"),
    ("#0072b2", "#4fa8e8"),
    ("#d55e00", "#ff8a3d"),
    ("#009e73", "#22c997"),
    ("#b8578c", "#e697c1"),
    ("#b87d00", "#e6a817"),
    ("#2f93cf", "#8fd0f7"),
    ("#882255", "#c9669c"),
    ("#7d7d22", "#c6c65e"),
)
"""Each series' colour on light paper and on dark."""

DASHES = ("", "7 3", "2 2", "9 3 2 3")
MARKERS = ("circle", "square", "up", "diamond", "down", "cross", "plus", "bar", "hex")

_VIRIDIS = (
    (0x44, 0x01, 0x54),
    (0x48, 0x28, 0x78),
    (0x3E, 0x49, 0x89),
    (0x31, 0x68, 0x8E),
    (0x26, 0x82, 0x8E),
    (0x1F, 0x9E, 0x89),
    (0x35, 0xB7, 0x79),
    (0x6E, 0xCE, 0x58),
    (0xB5, 0xDE, 0x2B),
    (0xFD, 0xE7, 0x25),
)


def style(count: int) -> str:
    """Rules that give the classes ``s0`` to ``s{count - 1}`` their colour ``--c`` and dashes."""
    light, dark = [], []
    for n in range(count):
        on_light, on_dark = SERIES[n % len(SERIES)]
        light.append(f".s{n} {{ --c: {on_light}; --dash: {dash(n) or 'none'} }}")
        dark.append(f".s{n} {{ --c: {on_dark} }}")
    newline = "\n"
    return (
        f"{newline.join(light)}\n@media (prefers-color-scheme: dark) {{\n{newline.join(dark)}\n}}\n"
    )


def dash(n: int) -> str:
    """The dashes of series ``n``: whole lines for the first nine."""
    return DASHES[n // len(SERIES) % len(DASHES)]


def marker(n: int) -> str:
    """The marker of series ``n``."""
    return MARKERS[n % len(MARKERS)]


def sequence(share: float) -> tuple[int, int, int]:
    """The colour of ``share`` (0 to 1) of a sequence, as red, green and blue to 255."""
    place = min(max(share, 0.0), 1.0) * (len(_VIRIDIS) - 1)
    low = min(int(place), len(_VIRIDIS) - 2)
    part = place - low
    a, b = _VIRIDIS[low], _VIRIDIS[low + 1]
    red, green, blue = (round(x + (y - x) * part) for x, y in zip(a, b, strict=True))
    return red, green, blue
