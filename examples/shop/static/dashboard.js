// Asks /api/live once a second, and /stats for what is picked, and shows the answers. Everything from the log goes in as text.

import { areas, columns } from "/charts.js";
import { timeMachine } from "/machine.js";
import { $, bars, element, eventRow, funnelBars, money, refusal, set, whole } from "/page.js";

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
let seen = null;
let drawn = null;
const minutes = ["2 min ago", "1 min ago", "now"];

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
  set("open-sub", `${price(live.carts.open_value)} in them`);
  set("abandoned", whole.format(live.carts.abandoned));
  const share = closed ? `${Math.round((100 * live.carts.abandoned) / closed)} % of the finished ones, ` : "";
  set("abandoned-sub", `${share}${price(live.carts.abandoned_value)} in them`);
  set("minute", price(live.revenue.minute));
  set("fallen", `${whole.format(live.sales.orders.reduce((sum, n) => sum + n, 0))} orders, ` +
    `${whole.format(live.sales.cancelled)} called off, ${whole.format(live.sales.rejected)} refused in the last hour`);
}

function charts(live) {
  const rates = live.events_per_second;
  const rate = rates.slice(-10).reduce((sum, n) => sum + n, 0) / 10;
  set("rate", rate < 100 ? rate.toFixed(1) : whole.format(Math.round(rate)));
  areas($("rate-chart"), [rates], (n) => short.format(n), minutes);
  $("rate-chart").setAttribute("aria-label",
    `Events per second: ${rate.toFixed(0)} on average now, at most ${whole.format(Math.max(...rates))} in the last two minutes`);
  const compact = money(live.revenue.currency, { notation: "compact", maximumFractionDigits: 1 });
  columns($("sales-chart"), live.sales.revenue, 1000, compact, ["1 h ago", "30 min ago", "now"]);
  $("sales-chart").setAttribute("aria-label",
    `Revenue: ${compact(live.revenue.minute)} in the last minute, ${inTheLastHour(live.revenue.hour, compact)}`);
  const { clicks, loads } = live.rates;
  const mean = (values) => (values.slice(-60).reduce((sum, n) => sum + n, 0) / 60).toFixed(1);
  set("clicks", mean(clicks));
  set("loads", mean(loads));
  areas($("clicks-chart"), [clicks, loads], (n) => short.format(n), minutes);
  $("clicks-chart").setAttribute("aria-label", `${mean(clicks)} clicks and ${mean(loads)} page loads a second`);
  const days = live.click_days;
  columns($("days-chart"), days.map(({ clicks }) => clicks), 4, (n) => short.format(n),
    [days[0].day.slice(5), days[7].day.slice(5), "today"]);
  $("days-chart").setAttribute("aria-label", `${whole.format(days.at(-1).clicks)} clicks today`);
}

function buttons({ all, now }) {
  const bar = ({ button_id, clicks }) => ({ name: button_id, value: clicks, words: whole.format(clicks) });
  bars($("buttons-all"), all.map(bar));
  bars($("buttons-now"), now.slice(0, 12).map(bar));
}

// What is picked is asked for by itself: these windows are this page's own.
async function picked(currency) {
  const [by, length] = [$("by").value, $("window").value];
  const ask = async (path) => {
    const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.json();
  };
  const [top, funnel] = await Promise.all([
    ask(`/stats/top-products?window=${length}&by=${by}`), ask(`/stats/funnel?window=${length}`)]);
  const words = by === "revenue" ? money(currency, { maximumFractionDigits: 0 }) : (n) => whole.format(n);
  const spell = $("window").selectedOptions[0].textContent;
  set("products-what", `${$("by").selectedOptions[0].textContent}, last ${spell}, build ${top.generation}`);
  set("funnel-what", `visits that began in the last ${spell}`);
  bars($("products"), top.products.map((product) => ({
    name: product.title ?? product.sku, value: product[by], title: `${words(product.before)} in the ${spell} before`,
    // A minute that is running is not compared with a whole one.
    words: length === "1m" ? words(product[by]) : `${words(product[by])} ${trend(product[by], product.before)}`,
  })));
  bars($("funnel"), funnelBars(funnel));
}

const trend = (now, before) => (now > before ? "▲" : now < before ? "▼" : "＝");

// How a number comes about, and the count over the events that gives the same.
async function how(event) {
  const details = event.currentTarget;
  if (!details.open || details.childElementCount > 1) return;
  const answer = await fetch("/api/explained").catch(() => null);
  const explained = answer?.ok ? await answer.json() : [];
  const found = explained.find(({ check }) => check === details.parentElement.dataset.how);
  details.append(found ? element("div", {}, "From the read model ", element("b", {}, found.check), ":",
    element("pre", {}, found.read_model), "which is, counted from the events themselves:", element("pre", {}, found.events),
    element("code", {}, "shop audit"), " compares them.") : element("div", {}, "The shop does not answer."));
}

for (const panel of document.querySelectorAll("[data-how]")) {
  const details = element("details", {}, element("summary", {}, "How is this computed?"));
  details.addEventListener("toggle", how);
  panel.append(details);
}

// The hours at which people order, by a projection that joins when it is asked for.
function latecomer({ busy_hours: hours, projections, operable }) {
  const joined = projections.some(({ name }) => name === "busy_hours");
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
    buttons(live.buttons);
    latecomer(live);
    machine(live);
    projections(live.projections, live.operable);
    events(live.events, live.now);
    state("live", "live");
    await picked(live.revenue.currency).catch((error) => console.warn(error));
  } catch (error) {
    console.warn(error);
    state("lost", "no answer, trying again");
  }
  setTimeout(refresh, 1000);
}

const machine = timeMachine();
addEventListener("resize", () => drawn && charts(drawn));
refresh();
