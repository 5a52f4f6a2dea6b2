"""Numbers, durations and intervals as the text of a table."""

from __future__ import annotations

import math

from .text_table import EMPTY


def decimal(value: float | None, places: int) -> str:
    """A number with ``places`` decimals, or with two digits where that would leave fewer; - for None."""
    if value is None:
        return EMPTY
    if value == 0 or abs(value) * 10**places >= 9.5:
        return f"{value:.{places}f}"
    return f"{value:.2g}"


def duration(seconds: float | None) -> str:
    """A time in the unit that suits it: 0.26 s, 12.0 s, 2.2 m, 3.6 h; - for None."""
    if seconds is None:
        return EMPTY
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    # 59.96 s would print as 60.0 s
    for unit, size in (("s", 1.0), ("m", 60.0)):
        if seconds / size < 59.95:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 3600:.1f} h"


def interval(low: float | None, high: float | None, places: int) -> str:
    """`` [low, high]``, or nothing where there is no interval."""
    if low is None or high is None:
        return ""
    return f" [{decimal(low, places)}, {decimal(high, places)}]"


def fixed_decimal(value: float, places: int) -> str:
    """A number with exactly ``places`` decimals, without a sign where it rounds to zero."""
    text = f"{value:.{places}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def fixed_interval(low: float | None, high: float | None, places: int) -> str:
    """`` [low, high]`` with exactly ``places`` decimals, or nothing where there is no interval."""
    if low is None or high is None:
        return ""
    return f" [{fixed_decimal(low, places)}, {fixed_decimal(high, places)}]"


def coverage_text(measured: float, requested: float) -> str:
    """``(92.1% measured)`` where any structure failed; rounded down, so that a failure never shows as 100 %."""
    if measured == requested:
        return ""
    return f"({math.floor(1000 * measured / requested) / 10:g}% measured)"


def percent(number: float, of: float) -> str:
    """``78%``; a share is 0 or 100 % only where none or all are meant, else ``0.05%`` or ``99.9%``."""
    text = f"{100 * number / of:.0f}"
    if text == "100" and number < of:
        return f"{math.floor(1000 * number / of) / 10:g}%"
    if text == "0" and number > 0:
        return f"{100 * number / of:.1g}%"
    return f"{text}%"


def joined(*parts: str | None) -> str:
    """The parts that are not empty, a space between them."""
    return " ".join(part for part in parts if part)
