// The read models: how far each is behind the log, how fast it goes, and what can be done with it.

import { $, element, refusal, set, short, whole } from "/page.js";

// Where each build was when it was last looked at, and how many positions a second it has made since.
const places = new Map();
// The row of each read model; it stays, so that a button that is about to be pressed does.
const rows = new Map();

function pace({ name, generation, position }) {
  const [key, now] = [`${name} ${generation}`, performance.now()];
  const before = places.get(key);
  const rate = before && now > before.at ? Math.max(0, (1000 * (position - before.position)) / (now - before.at)) : 0;
  // Even enough to be read.
  const even = before ? before.rate + 0.4 * (rate - before.rate) : 0;
  places.set(key, { position, at: now, rate: even });
  return even;
}

function rowOf(name) {
  if (!rows.has(name)) {
    const cell = (...classes) => element("td", { class: classes.join(" ") });
    const row = element("tr", { "data-projection": name },
      element("th", { scope: "row" }, element("i", { class: "light", "aria-hidden": "true" }), name, element("div", { class: "failure" })),
      cell("right"), cell("right"), cell("right"), cell("right"), element("td", {}, element("div", { class: "acts" })));
    rows.set(name, row);
    $("projections").append(row);
  }
  return rows.get(name);
}

// One row for each read model in service; its next build shows as progress.
export function projections({ projections: list, operable }) {
  const live = list.filter(({ state }) => state !== "building");
  for (const [name, row] of rows) {
    if (!live.some((one) => one.name === name)) {
      row.remove();
      rows.delete(name);
    }
  }
  for (const projection of live) {
    const { name, generation, position, lag, failure, paused } = projection;
    // A few events are on their way at any time.
    const state = failure ? "failed" : lag < 1000 ? "live" : "behind";
    const words = failure ? "stands still" : paused ? `paused, ${whole.format(lag)} behind`
      : lag === 0 ? "up to date" : `${whole.format(lag)} behind`;
    const [head, build, place, rate, behind, last] = rowOf(name).cells;
    head.firstChild.className = `light ${state}`;
    head.lastChild.textContent = failure ?? "";
    build.textContent = whole.format(generation);
    place.textContent = whole.format(position);
    rate.textContent = short.format(Math.round(pace(projection)));
    [behind.textContent, behind.className] = [words, `right ${state}`];
    acts(last.firstChild, projection, list.find((other) => other.name === name && other.state === "building"), operable);
  }
}

// What can be done with it, or how far its next build is.
function acts(place, { name, paused }, build, operable) {
  const offered = build ? "build" : operable ? (paused ? "resume" : "pause") : "";
  if (place.dataset.offered !== offered) {
    place.dataset.offered = offered;
    place.replaceChildren(...(build
      ? [element("span", { class: "dim" }), element("progress", { "aria-label": `${name} is rebuilt` })]
      : offered ? ["rebuild", offered].map((act) => button(name, act)) : []));
  }
  if (!build) return;
  const [words, bar] = place.children;
  const rate = pace(build);
  words.textContent = rate > 0 ? `${whole.format(Math.ceil((build.head - build.position) / rate))} s left` : "begins";
  [bar.max, bar.value] = [Math.max(1, build.head), build.position];
}

function button(name, act) {
  const made = element("button", { "data-act": act, "aria-label": `${act} ${name}` }, act);
  made.addEventListener("click", () => operate(name, act));
  return made;
}

// The instance that has the projection does it within a second.
async function operate(name, act) {
  const answer = await fetch(`/log/projections/${encodeURIComponent(name)}/${act}`, { method: "POST" }).catch(() => null);
  $("refused").hidden = Boolean(answer?.ok);
  if (!answer?.ok) set("refused", (await refusal(answer)).detail);
}

// The hours at which people order, by a projection that joins when it is asked for.
export function latecomer({ busy_hours: hours, projections: list, operable }) {
  const joined = list.some(({ name }) => name === "busy_hours");
  $("join").hidden = joined || !operable;
  $("busy").hidden = !hours.length;
  if (!hours.length) return;
  const busiest = hours.reduce((most, hour) => (hour.orders > most.orders ? hour : most));
  set("busy", `busy_hours: most orders come between ${busiest.hour} and ${busiest.hour + 1} UTC ` +
    `(${whole.format(busiest.orders)} of ${whole.format(hours.reduce((sum, { orders }) => sum + orders, 0))})`);
}

$("join").addEventListener("click", async () => {
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" };
  const answer = await fetch("/api/busy-hours", options).catch(() => null);
  $("join").hidden = Boolean(answer?.ok);
});
