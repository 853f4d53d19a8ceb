// Charts as plain SVG, drawn in the pixels of their element; colours come from the style sheet.

const NS = "http://www.w3.org/2000/svg";

function shape(name, attributes, text) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// A round number at or above `value`, so that the axis does not twitch with each event.
function roundUp(value) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * unit).find((round) => round >= value);
}

function frame(svg, values, least, label, ticks) {
  const { clientWidth: width, clientHeight: height } = svg;
  const box = { left: 0, right: width - 44, top: 10, bottom: height - 22 };
  const top = roundUp(Math.max(least, ...values) * 1.05);
  const y = (value) => box.bottom - (value / top) * (box.bottom - box.top);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  for (const part of [0, 0.5, 1]) {
    const at = Math.round(y(top * part)) + 0.5;
    svg.append(shape("line", { class: "grid", x1: box.left, x2: box.right, y1: at, y2: at }));
    svg.append(shape("text", { class: "axis", x: width, y: at + 4, "text-anchor": "end" }, label(top * part)));
  }
  for (const [part, text, anchor] of [[0, ticks[0], "start"], [0.5, ticks[1], "middle"], [1, ticks[2], "end"]]) {
    const x = box.left + part * (box.right - box.left);
    svg.append(shape("text", { class: "axis", x, y: height - 4, "text-anchor": anchor }, text));
  }
  return { ...box, y };
}

// A curve that never overshoots its points: the slopes of Fritsch and Carlson, for equal steps.
function curve(points) {
  const rise = points.slice(1).map((point, i) => point[1] - points[i][1]);
  const slope = points.map((_, i) => {
    const [before, after] = [rise[i - 1] ?? 0, rise[i] ?? 0];
    return before * after <= 0 ? 0 : (2 * before * after) / (before + after);
  });
  const path = [`M${points[0].map((v) => v.toFixed(1))}`];
  for (let i = 1; i < points.length; i++) {
    const [[x0, y0], [x1, y1]] = [points[i - 1], points[i]];
    const third = (x1 - x0) / 3;
    path.push(`C${[x0 + third, y0 + slope[i - 1] / 3, x1 - third, y1 - slope[i] / 3, x1, y1].map((v) => v.toFixed(1))}`);
  }
  return path.join("");
}

// One or two series over the same time.
export function areas(svg, series, label, ticks) {
  const { left, right, bottom, y } = frame(svg, series.flat(), series.length > 1 ? 2 : 10, label, ticks);
  series.forEach((values, i) => {
    const name = ["first", "second"][i];
    const step = (right - left) / (values.length - 1);
    const line = curve(values.map((value, at) => [left + at * step, y(value)]));
    const id = `${svg.id}-${name}`;
    const fade = shape("linearGradient", { id, class: name, x1: 0, x2: 0, y1: 0, y2: 1 });
    fade.append(shape("stop", { class: "fade-top", offset: 0 }), shape("stop", { class: "fade-bottom", offset: 1 }));
    const group = shape("g", { class: name });
    group.append(fade, shape("path", { class: "area", fill: `url(#${id})`, d: `${line}L${right},${bottom}L${left},${bottom}Z` }));
    group.append(shape("path", { class: "line", d: line }));
    group.append(shape("circle", { class: "halo", cx: right, cy: y(values.at(-1)), r: 8 }));
    group.append(shape("circle", { class: "dot", cx: right, cy: y(values.at(-1)), r: 3.5 }));
    svg.append(group);
  });
}

export function columns(svg, values, least, label, ticks) {
  const { left, right, bottom, y } = frame(svg, values, least, label, ticks);
  const step = (right - left) / values.length;
  const width = Math.max(2, step - 3);
  values.forEach((value, i) => {
    if (value <= 0) return;
    const [x, top] = [left + i * step + (step - width) / 2, Math.min(y(value), bottom - 2)];
    svg.append(shape("rect", { class: "column", x, y: top, width, height: bottom - top, rx: Math.min(2.5, width / 2) }));
  });
}
