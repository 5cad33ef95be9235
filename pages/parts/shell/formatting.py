"""Numbers in words: a percentage never stands without the number of pictures that it comes from."""

import math

from core.intervals import wilson

STATUS = {  # of a run: its word, icon and colour
    "queued": ("Queued", ":material/schedule:", "gray"),
    "starting": ("Starting", ":material/hourglass_top:", "blue"),
    "running": ("Training", ":material/model_training:", "blue"),
    "done": ("Done", ":material/check:", "green"),
    "stopped": ("Stopped", ":material/stop_circle:", "orange"),
    "failed": ("Failed", ":material/error:", "red"),
    "lost": ("Lost", ":material/power_off:", "red"),
}


def percent(value: float) -> str:
    """A fraction in per cent with one decimal, a half rounded up as charts do it: 1 of 80 is "1.3" everywhere."""
    return f"{math.floor(1000 * value + 0.5 + 1e-9) / 10:.1f}"


def percent_of(right: int, n: int) -> str:
    """'63.9 % of 2,142'; an empty part says so."""
    return f"{percent(right / n)} % of {n:,}" if n else "no pictures"


def interval_of(right: int, n: int) -> str:
    """The 95 % Wilson interval: '61.8 to 65.9 %'."""
    low, high = wilson(right, n)
    return f"{percent(low)} to {percent(high)} %"


def counted_share(right: int, n: int) -> str:
    """Count, share and 95 % interval (Wilson): '9 of 12, 75 % [47–91]'."""
    if not n:
        return "no pictures"
    low, high = wilson(right, n)
    return f"{right:,} of {n:,}, {100 * right / n:.0f} % [{100 * low:.0f}–{100 * high:.0f}]"


def share(value: float | None) -> str:
    """A fraction as '63.9 %', an en dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{percent(value)} %"


def points(value: float | None) -> str | None:
    """A difference of fractions as '+9.1 points'; None stays None."""
    return None if value is None or math.isnan(value) else f"{100 * value:+.1f} points"


def clock(seconds: float | None) -> str:
    """A length of time in few characters, for a number that moves: '0:08', '16:55', '1:16:55'; an en dash for None."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def span(seconds: float | None) -> str:
    """A length of time: '0.8 s', '12 s', '3 min 05 s', '2 h 10 min'; an en dash where it is not known."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
