// Charts over time by uPlot (vendor/), in the colours of the style sheet. Times are UTC.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const drawn = new Set();
// Without the legend, which takes as many lines as it needs.
const HEIGHT = 230;

// A round number at or above `value`, so that the axis does not twitch with each event.
function roundUp(value) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * unit).find((round) => round >= value);
}

const clock = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const [days, minutes, seconds] = [clock({ day: "numeric", month: "short" }),
  clock({ hour: "2-digit", minute: "2-digit" }), clock({ hour: "2-digit", minute: "2-digit", second: "2-digit" })];
const timesOf = (step) => (step >= 86_400 ? days : step >= 60 ? minutes : seconds);

// Paler from the top to the bottom.
function fade(name) {
  return ({ ctx, bbox }) => {
    // Asked for once before the chart has a size.
    if (!bbox.height) return colour(name);
    const fill = ctx.createLinearGradient(0, bbox.top, 0, bbox.top + bbox.height);
    fill.addColorStop(0, `${colour(name)}47`);
    fill.addColorStop(1, `${colour(name)}05`);
    return fill;
  };
}

function shape({ name, of, kind, words, dash, scale = "y" }) {
  const stroke = () => colour(of);
  const value = (_, number) => (number == null ? "–" : words(number));
  const look = {
    area: { stroke, fill: fade(of), width: 2, paths: uPlot.paths.spline() },
    line: { stroke, width: 2, paths: uPlot.paths.spline() },
    mean: { stroke, width: 1.5, dash: dash ?? [5, 4], paths: uPlot.paths.spline() },
    bars: { stroke, fill: stroke, width: 0, paths: uPlot.paths.bars({ size: [0.75, 40], radius: 0.15 }) },
  };
  return { label: name, value, scale, points: { show: false }, ...look[kind] };
}

// A chart in `host` of these series: each has a name, the colour that it is drawn in (`of`), a kind (area, line, mean or bars),
// its numbers in words, and what its axis reaches up to at least. Those of the scale `right` have an axis there.
export function chart(host, series) {
  const scaleOf = ({ scale = "y" }) => scale;
  const first = (scale) => series.find((one) => scaleOf(one) === scale);
  const axis = (scale, side) => ({
    scale, side, size: 46, font: "12px system-ui, sans-serif", stroke: () => colour("--dim"), ticks: { show: false },
    grid: { show: side === 3, stroke: () => colour("--line"), width: 1 },
    values: (_, splits) => splits.map((split) => (split == null ? "" : first(scale).words(split))),
  });
  const range = (_, low, high, scale) => [0, roundUp(Math.max(first(scale).least ?? 1, high ?? 0) * 1.05)];
  const scales = [...new Set(series.map(scaleOf))];
  // The first and the last bar are as wide as the others.
  const bars = series.some(({ kind }) => kind === "bars");
  const span = (u, low, high) => {
    const half = bars ? (u.data[0][1] - u.data[0][0]) / 2 : 0;
    return [low - half, high + half];
  };
  let [plot, data] = [null, null];

  // The legend tells what lies under the pointer, and otherwise what came last.
  const atRest = (u) => u.cursor.left < 0 && u.setLegend({ idx: u.data[0].length - 1 }, false);
  const make = () => new uPlot({
    width: host.clientWidth, height: HEIGHT,
    padding: [10, scales.length > 1 ? 0 : 30, 0, 0],
    tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    hooks: { setCursor: [atRest] },
    scales: { x: { time: true, range: span }, ...Object.fromEntries(scales.map((scale) => [scale, { range }])) },
    axes: [
      { stroke: () => colour("--dim"), font: "12px system-ui, sans-serif", grid: { show: false }, ticks: { show: false }, size: 28,
        space: 90, values: (_, splits, __, ___, step) => splits.map((at) => timesOf(step).format(at * 1e3)) },
      ...scales.map((scale) => axis(scale, scale === "right" ? 1 : 3)),
    ],
    series: [{ value: (u, at) => (at == null ? "–" : timesOf(u.data[0][1] - u.data[0][0]).format(at * 1e3)) }, ...series.map(shape)],
  }, data, host);

  const whole = {
    // The times in seconds since 1970, and the numbers of each series; in words for those who do not see it.
    show(times, numbers, words) {
      data = [times, ...numbers];
      if (plot) plot.setData(data);
      else plot = make();
      atRest(plot);
      host.setAttribute("aria-label", words);
    },
    anew() {
      plot?.destroy();
      plot = data && make();
      if (plot) atRest(plot);
    },
  };
  drawn.add(whole);
  new ResizeObserver(() => plot?.setSize({ width: host.clientWidth, height: HEIGHT })).observe(host);
  return whole;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach((whole) => whole.anew()));
