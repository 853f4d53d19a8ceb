// The read models: how far each is behind the log, how fast it goes, and what can be done with it.

import { $, element, refusal, set, short, whole } from "/page.js";

// Where each build was when it was last looked at, and how many positions a second it has made since.
const places = new Map();

function pace({ name, generation, position }) {
  const [key, now] = [`${name} ${generation}`, performance.now()];
  const before = places.get(key);
  const rate = before && now > before.at ? Math.max(0, (1000 * (position - before.position)) / (now - before.at)) : 0;
  // Even enough to be read.
  const even = before ? before.rate + 0.4 * (rate - before.rate) : 0;
  places.set(key, { position, at: now, rate: even });
  return even;
}

// One row for each read model in service; its next build shows as progress.
export function projections({ projections: list, operable }) {
  const live = list.filter(({ state }) => state !== "building");
  $("projections").replaceChildren(...live.map((projection) => {
    const { name, generation, position, lag, failure, paused } = projection;
    const build = list.find((other) => other.name === name && other.state === "building");
    // A few events are on their way at any time.
    const state = failure ? "failed" : lag < 1000 ? "live" : "behind";
    const words = failure ? "stands still" : paused ? `paused, ${whole.format(lag)} behind`
      : lag === 0 ? "up to date" : `${whole.format(lag)} behind`;
    const row = element("tr", { "data-projection": name },
      element("th", { scope: "row" }, element("i", { class: `light ${state}`, "aria-hidden": "true" }), name),
      element("td", { class: "right" }, whole.format(generation)),
      element("td", { class: "right" }, whole.format(position)),
      element("td", { class: "right" }, short.format(Math.round(pace(projection)))),
      element("td", { class: `right ${state}` }, words),
      element("td", {}, element("div", { class: "acts" }, ...(build ? progress(build) : acts(projection, operable)))));
    if (failure) row.title = failure;
    return row;
  }));
}

function progress(build) {
  const rate = pace(build);
  const bar = element("progress", { max: Math.max(1, build.head), "aria-label": `${build.name} is rebuilt` });
  bar.value = build.position;
  const seconds = rate > 0 ? Math.ceil((build.head - build.position) / rate) : null;
  return [element("span", { class: "dim" }, seconds === null ? "begins" : `${whole.format(seconds)} s left`), bar];
}

function acts({ name, paused }, operable) {
  if (!operable) return [];
  return ["rebuild", paused ? "resume" : "pause"].map((act) => {
    const button = element("button", { "data-act": act, "aria-label": `${act} ${name}` }, act);
    button.addEventListener("click", () => operate(name, act));
    return button;
  });
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
