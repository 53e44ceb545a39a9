"""Draw SVG charts for HTML reports. The style sheet of the page defines the colors."""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 420, 240, 44, 34, 10
# The style sheet has this number of colors. If a chart has more runs, several runs have the same color.
COLORS = 8


def _frame(title: str, x_label: str, y_label: str, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<text class="axis" x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text class="axis" x="2" y="{TOP + 4}">{escape(y_label)}</text>{"".join(parts)}</svg>'
    )


class _Scale:
    """Map data values to pixel positions along a linear or logarithmic axis.

    Args:
        low, high: ends of the axis in units of the data.
        start, end: ends of the axis in pixels.
        log: if True, the axis is logarithmic, and values below 0.5 have the position of 0.5. If False, the axis is
            linear.
    """

    def __init__(self, low: float, high: float, start: float, end: float, log: bool = False):
        self.log, self.start, self.end = log, start, end
        low, high = (math.log10(max(low, 0.5)), math.log10(max(high, 1))) if log else (low, high)
        self.low, self.high = low, high if high > low else low + 1

    def __call__(self, value: float) -> float:
        value = math.log10(max(value, 0.5)) if self.log else value
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        if self.log:
            return [10.0**e for e in range(math.ceil(self.low), math.floor(self.high) + 1)]
        step = 10 ** math.floor(math.log10((self.high - self.low) / 2))
        step *= next(m for m in (1, 2, 5, 10) if (self.high - self.low) / (step * m) <= 6)
        first = math.ceil(self.low / step)
        return [step * index for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _axes(x: _Scale, y: _Scale) -> list[str]:
    parts = []
    for value in y.ticks():
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 8}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{y(value) + 3:.1f}" text-anchor="end">{value:g}</text>')
    for value in x.ticks():
        parts.append(f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{value:g}</text>')
    return parts


def _tip(text: str, runs: Sequence[str], index: int) -> str:
    """Return a tooltip as SVG. If the chart shows several runs, the tooltip starts with the name of the run.

    Args:
        text: text of the tooltip. If "", and there is only one run, the result is "".
        runs: names of the runs in the chart.
        index: index of the run to which the tooltip belongs.
    """
    text = f"{runs[index]}: {text}" if len(runs) > 1 else text
    return f"<title>{escape(text)}</title>" if text else ""


def _guide(x: _Scale, value: float) -> str:
    """Return a vertical line as SVG, or "" if the line would lie outside the chart.

    Args:
        x: scale of the x axis.
        value: position of the line, in units of the data.
    """
    place = f"{x(value):.1f}"
    inside = min(x.start, x.end) <= x(value) <= max(x.start, x.end)
    line = f'<line class="guide" x1="{place}" x2="{place}" y1="{TOP + 22}" y2="{HEIGHT - BOTTOM}"/>'
    return line if inside else ""


def scatter(
    title: str,
    series: Sequence[Sequence[tuple]],
    x_label: str,
    y_label: str,
    *,
    runs: Sequence[str] = (),
    guides: Sequence[float] = (),
    log_x: bool = True,
    log_y: bool = False,
    diagonal: bool = False,
) -> Markup:
    """Return a scatter plot as SVG, or "" if there are no points. The points of each run have the color of the run.

    Args:
        title: description for screen readers.
        series: for each run, a list of points (x, y, tooltip) or (x, y, tooltip, radius in pixels).
        x_label, y_label: labels of the axes.
        runs: names of the runs, for the tooltips.
        guides: x values at which to draw vertical lines.
        log_x, log_y: if True, the x axis or the y axis is logarithmic.
        diagonal: if True, draw the line from (0, 0) to (1, 1).
    """
    points = [point for one in series for point in one]
    if not points:
        return Markup("")
    xs, ys = [p[0] for p in points] + [0, 1] * diagonal, [p[1] for p in points] + [0, 1] * diagonal
    x = _Scale(min(xs), max(xs), LEFT + 6, WIDTH - 14, log=log_x)
    y = _Scale(min(ys) if log_y else min(0, *ys), max(ys), HEIGHT - BOTTOM, TOP + 22, log_y)
    parts = _axes(x, y) + [_guide(x, value) for value in guides]
    if diagonal:
        parts.append(f'<line class="grid" x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}"/>')
    for index, one in enumerate(series):
        for a, b, text, *radius in one:
            tip = _tip(text, runs, index)
            place = f'cx="{x(a):.1f}" cy="{y(b):.1f}" r="{radius[0] if radius else 3.5:.3g}"'
            parts.append(f'<circle class="run{index % COLORS}" {place}>{tip}</circle>')
    return _frame(title, x_label, y_label, parts)


def lines(
    title,
    series: Sequence[Sequence[tuple[float, float]]],
    x_label,
    y_label,
    *,
    name="",
    runs: Sequence[str] = (),
    top=None,
) -> Markup:
    """Return a line chart as SVG, or "" if there are no points.

    The chart has one line for each run. To keep the page small, a line with 600 points or more shows only every n-th.

    Args:
        title: description for screen readers.
        series: for each run, a list of points (x, y).
        x_label, y_label: labels of the axes.
        name: name of y in the tooltips. Default: ``y_label``.
        runs: names of the runs, for the tooltips.
        top: upper end of the y axis. Default: the largest value.
    """
    points = [point for one in series for point in one]
    if not points:
        return Markup("")
    x = _Scale(min(p[0] for p in points), max(p[0] for p in points), LEFT + 4, WIDTH - 14)
    y = _Scale(min(0, *(p[1] for p in points)), top or max(p[1] for p in points), HEIGHT - BOTTOM, TOP + 22)
    parts = _axes(x, y)
    for index, one in enumerate(series):
        if not one:
            continue
        step = max(1, len(one) // 300)
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in one[::step])
        tip = _tip(f"{name or y_label} {one[-1][1]:.3g} at {x_label} {one[-1][0]:g}", runs, index)
        parts.append(f'<polyline class="run{index % COLORS}" points="{path}">{tip}</polyline>')
    return _frame(title, x_label, y_label, parts)


def bars(
    title,
    names: Sequence[str],
    series: Sequence[Sequence[float | None]],
    y_label,
    *,
    x_label="",
    runs: Sequence[str] = (),
    top=None,
) -> Markup:
    """Return a bar chart as SVG. The chart has a group of bars for each name, and a group has a bar for each run.

    Args:
        title: description for screen readers.
        names: names of the groups, shown below the groups.
        series: for each run, a list with the value of each group. A value of None draws no bar.
        x_label, y_label: labels of the axes.
        runs: names of the runs, for the tooltips.
        top: upper end of the y axis. Default: the largest value.
    """
    values = [value for one in series for value in one if value is not None]
    y = _Scale(0, top or max([*values, 1e-9]), HEIGHT - BOTTOM, TOP + 22)
    x = _Scale(0, 1, 0, 1)
    parts = [part for part in _axes(x, y) if "middle" not in part]
    room = (WIDTH - LEFT - 10) / max(len(names), 1)
    width = room * 0.8 / max(len(series), 1)
    for place, name in enumerate(names):
        left = LEFT + 4 + place * room + room * 0.1
        label = left + room * 0.4
        parts.append(f'<text x="{label:.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{escape(name)}</text>')
        for index, one in enumerate(series):
            if one[place] is None:
                continue
            upper, at = y(one[place]), left + index * width
            size = f'width="{width - 2:.1f}" height="{HEIGHT - BOTTOM - upper:.1f}"'
            tip = _tip(f"{name}: {one[place]:.1f} {y_label}", runs, index)
            parts.append(f'<rect class="run{index % COLORS}" x="{at:.1f}" y="{upper:.1f}" {size}>{tip}</rect>')
            if len(names) < 6:
                middle = at + width / 2 - 1
                parts.append(f'<text x="{middle:.1f}" y="{upper - 3:.1f}" text-anchor="middle">{one[place]:.1f}</text>')
    return _frame(title, x_label, y_label, parts)
