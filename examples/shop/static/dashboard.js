// Asks /api/live once a second and shows the answer. Everything from the log goes in as text.

import { area, columns } from "/charts.js";
import { $, element, eventRow, money, refusal, set, whole } from "/page.js";

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
let seen = null;
let drawn = null;

function age(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${whole.format(Math.floor(seconds / 86_400))} d`;
}

function inTheLastHour(number, format) {
  return number === null ? "the last hour is being read" : `${format(number)} in the last hour`;
}

function tiles(live) {
  const price = money(live.revenue.currency, { maximumFractionDigits: 0 });
  const closed = live.orders.total + live.carts.abandoned;
  set("position", whole.format(live.position));
  set("where", `An event-sourced coffee shop on ${live.log}`);
  set("revenue", price(live.revenue.total));
  set("revenue-sub", inTheLastHour(live.revenue.hour, price));
  set("orders", whole.format(live.orders.total));
  set("orders-sub", inTheLastHour(live.orders.hour, whole.format));
  set("open", whole.format(live.carts.open));
  set("abandoned", whole.format(live.carts.abandoned));
  set("abandoned-sub", closed ? `${Math.round((100 * live.carts.abandoned) / closed)} % of the finished ones` : "none is finished yet");
  set("minute", price(live.revenue.minute));
}

function charts(live) {
  const rates = live.events_per_second;
  const rate = rates.slice(-10).reduce((sum, n) => sum + n, 0) / 10;
  set("rate", rate < 100 ? rate.toFixed(1) : whole.format(Math.round(rate)));
  area($("rate-chart"), rates, (n) => short.format(n));
  $("rate-chart").setAttribute("aria-label",
    `Events per second: ${rate.toFixed(0)} on average now, at most ${whole.format(Math.max(...rates))} in the last two minutes`);
  const compact = money(live.revenue.currency, { notation: "compact", maximumFractionDigits: 1 });
  columns($("sales-chart"), live.revenue.columns, compact);
  $("sales-chart").setAttribute("aria-label",
    `Revenue: ${compact(live.revenue.minute)} in the last minute, ${inTheLastHour(live.revenue.hour, compact)}`);
}

function products(list) {
  if (!list.length) return;
  const most = list[0].units;
  $("products").replaceChildren(...list.map(({ title, sku, units }) => {
    const bar = element("i", { "aria-hidden": "true" });
    bar.style.width = `${Math.max(1, (100 * units) / most)}%`;
    return element("li", {}, element("span", { class: "name", title: sku }, title || sku),
      element("b", {}, whole.format(units)), element("div", { class: "track" }, bar));
  }));
}

// One row for each read model in service; its next build shows as progress.
function projections(list, operable) {
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
      element("td", { class: "right", title: `position ${whole.format(position)}` }, whole.format(generation)),
      element("td", { class: `right ${state}` }, words),
      element("td", {}, element("div", { class: "acts" }, ...acts(projection, build, operable))));
    if (failure) row.title = failure;
    return row;
  }));
}

function acts({ name, paused }, build, operable) {
  if (build) {
    const done = element("progress", { max: Math.max(1, build.head), "aria-label": `${name} is rebuilt` });
    done.value = build.position;
    return [done];
  }
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

function events(list, now) {
  $("events").replaceChildren(...list.map((event) => {
    const row = eventRow(event, element("td", { class: "right dim" }, age(now - event.at)));
    if (seen !== null && event.position > seen) row.className = "fresh";
    return row;
  }));
  seen = list.length ? list[0].position : 0;
}

function state(name, words) {
  $("state").dataset.state = name;
  if ($("state").lastChild.textContent !== words) $("state").lastChild.textContent = words;
}

async function refresh() {
  try {
    const answer = await fetch("/api/live", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`the shop answered ${answer.status}`);
    const live = await answer.json();
    tiles(live);
    charts(live);
    drawn = live;
    products(live.top_products);
    projections(live.projections, live.operable);
    events(live.events, live.now);
    state("live", "live");
  } catch (error) {
    console.warn(error);
    state("lost", "no answer, trying again");
  }
  setTimeout(refresh, 1000);
}

addEventListener("resize", () => drawn && charts(drawn));
refresh();
