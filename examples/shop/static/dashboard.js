// Asks /api/live and /stats once a second, and shows the answers. Everything from the log goes in as text.

import { chart } from "/charts.js";
import { eventLog } from "/log.js";
import { timeMachine } from "/machine.js";
import { $, bars, element, funnelBars, money, set, short, whole } from "/page.js";
import { latecomer, projections } from "/projections.js";

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const tenths = (number) => number.toFixed(1);
// Until the currency is known, as the shop begins.
let price = money("USD", { notation: "compact", maximumFractionDigits: 1 });

const rateChart = chart($("rate-chart"), [{ name: "events", of: "--water", kind: "area", words: short.format, least: 10 }]);
const clicksChart = chart($("clicks-chart"), [
  { name: "clicks", of: "--water", kind: "area", words: short.format, least: 2 },
  { name: "page loads", of: "--coffee", kind: "area", words: short.format },
  { name: "mean of 60 s", of: "--water", kind: "mean", words: tenths },
  { name: "mean of 60 s", of: "--coffee", kind: "mean", words: tenths }]);
const salesChart = chart($("sales-chart"), [
  { name: "revenue", of: "--coffee", kind: "bars", words: (minor) => price(minor), least: 1000 },
  { name: "orders", of: "--water", kind: "line", words: short.format, scale: "right", least: 4 }]);
const daysChart = chart($("days-chart"), [
  { name: "clicks", of: "--water", kind: "bars", words: short.format, least: 4 },
  { name: "page loads", of: "--coffee", kind: "line", words: short.format }]);

const picked = (id) => [$(id).value, $(id).selectedOptions[0].textContent];
// Times of so many rows, the last of which is the one that holds `until`.
const times = (until, count, step) =>
  Array.from({ length: count }, (_, i) => (Math.floor(until / step) - count + 1 + i) * step);

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function tiles({ log, position, played, until, sales, carts }, hour) {
  const words = money(sales.currency, { maximumFractionDigits: 0 });
  const closed = sales.orders + carts.abandoned;
  const time = played ? `; its windows end at ${until.slice(0, 19).replace("T", " ")} UTC, with its latest event` : "";
  set("position", whole.format(position));
  set("where", `An event-sourced coffee shop on ${log}${time}`);
  set("revenue", words(sales.revenue));
  set("revenue-sub", `${words(sum(hour.map(({ revenue }) => revenue)))} ordered in the last hour`);
  set("orders", whole.format(sales.orders));
  set("orders-sub", `${whole.format(sum(hour.map(({ orders }) => orders)))} in the last hour`);
  set("open", whole.format(carts.open));
  set("open-sub", `${words(carts.open_value)} in them`);
  set("abandoned", whole.format(carts.abandoned));
  const share = closed ? `${Math.round((100 * carts.abandoned) / closed)} % of the finished ones, ` : "";
  set("abandoned-sub", `${share}${words(carts.abandoned_value)} in them`);
}

function eventRate({ events_per_second: rates, now }) {
  const rate = sum(rates.slice(-10)) / 10;
  set("rate", rate < 100 ? rate.toFixed(1) : whole.format(Math.round(rate)));
  rateChart.show(times(Date.parse(now) / 1000 - 1, rates.length, 1), [rates],
    `Events per second: ${rate.toFixed(0)} on average now, at most ${whole.format(Math.max(...rates))} in the last two minutes`);
}

// The window was asked for with the minute before it, so that each of its seconds has a mean.
function clickRates({ clicks, loads, until }) {
  const count = clicks.length - 60;
  const means = (values) => Array.from({ length: count }, (_, i) => sum(values.slice(i + 1, i + 61)) / 60);
  const [clicked, loaded] = [means(clicks), means(loads)];
  set("clicks", tenths(clicked.at(-1)));
  set("loads", tenths(loaded.at(-1)));
  clicksChart.show(times(Date.parse(until) / 1000, count, 1), [clicks.slice(60), loads.slice(60), clicked, loaded],
    `${tenths(clicked.at(-1))} clicks and ${tenths(loaded.at(-1))} page loads a second, on average in the last minute`);
}

// Rows of a minute or a day, added up to as many bars as can be told apart.
const SPANS = { "1h": [60, 60, "minute"], "24h": [96, 900, "quarter of an hour"], "30d": [30, 86_400, "day"] };

function sales(rows, until, window) {
  const [count, step, name] = SPANS[window];
  const at = times(Date.parse(until) / 1000, count, step);
  const [revenue, orders] = [new Array(count).fill(0), new Array(count).fill(0)];
  for (const row of rows) {
    const bar = Math.floor((Date.parse(row.minute ?? row.day) / 1000 - at[0]) / step);
    if (bar < 0 || bar >= count) continue;
    revenue[bar] += row.revenue;
    orders[bar] += row.orders;
  }
  const of = (column) => whole.format(sum(rows.map((row) => row[column] ?? 0)));
  set("sales-what", `per ${name}`);
  set("sales-sum", `${of("orders")} orders for ${price(sum(revenue))}` +
    (step < 86_400 ? `, ${of("cancelled")} called off, ${of("rejected")} refused` : ""));
  salesChart.show(at, [revenue, orders], `Revenue per ${name}: ${price(sum(revenue))} in all, ${of("orders")} orders`);
}

function clickDays(days) {
  daysChart.show(days.map(({ day }) => Date.parse(day) / 1000), [days.map(({ clicks }) => clicks), days.map(({ loads }) => loads)],
    `${whole.format(days.at(-1).clicks)} clicks on the last day`);
}

const button = ({ button_id, clicks }) => ({ name: button_id, value: clicks, words: whole.format(clicks) });
const trend = (now, before) => (now > before ? "▲" : now < before ? "▼" : "＝");

function products({ generation, products: list }, currency) {
  const [[by, byWords], [length, span]] = [picked("by"), picked("window")];
  const words = by === "revenue" ? money(currency, { maximumFractionDigits: 0 }) : (n) => whole.format(n);
  set("products-what", `${byWords}, last ${span}, build ${generation}`);
  bars($("products"), list.map((product) => ({
    name: product.title ?? product.sku, value: product[by], title: `${words(product.before)} in the ${span} before`,
    // A minute that is running is not compared with a whole one.
    words: length === "1m" ? words(product[by]) : `${words(product[by])} ${trend(product[by], product.before)}`,
  })));
}

// How a number comes about, and the count over the events that gives the same.
async function how(event) {
  const details = event.currentTarget;
  if (!details.open || details.childElementCount > 1) return;
  const explained = await ask("/api/explained").catch(() => []);
  const found = explained.find(({ check }) => check === details.parentElement.dataset.how);
  details.append(found ? element("div", {}, "From the read model ", element("b", {}, found.check), ":",
    element("pre", {}, found.read_model), "which is, counted from the events themselves:", element("pre", {}, found.events),
    element("code", {}, "shop verify"), " compares them.") : element("div", {}, "The shop does not answer."));
}

for (const panel of document.querySelectorAll("[data-how]")) {
  const details = element("details", {}, element("summary", {}, "How is this computed?"));
  details.addEventListener("toggle", how);
  panel.append(details);
}

function state(name, words) {
  $("state").dataset.state = name;
  if ($("state").lastChild.textContent !== words) $("state").lastChild.textContent = words;
}

const [events, machine] = [eventLog(), timeMachine()];
let [next, played] = [null, false];

async function refresh() {
  next = null;
  try {
    const live = await ask("/api/live");
    const { currency } = live.sales;
    price = money(currency, { notation: "compact", maximumFractionDigits: 1 });
    // Of a past that is played a day may pass in a second.
    if (live.played && !played) [$("sold").value, $("window").value] = ["30d", "24h"];
    played = live.played;
    eventRate(live);
    projections(live);
    latecomer(live);
    machine(live);
    events(live);
    // All windows end at one moment.
    const stats = (path) => ask(`/stats/${path}&until=${encodeURIComponent(live.until)}`);
    const [[seconds], [window, span], [sold]] = [picked("seconds"), picked("window"), picked("sold")];
    const [rates, now, top, funnel, hour, rows, days] = await Promise.all([
      stats(`rates?window=${Number(seconds) + 60}s`), stats("buttons?window=5m"),
      stats(`top-products?window=${window}&by=${$("by").value}`), stats(`funnel?window=${window}`), stats("sales?window=1h"),
      stats(`sales?window=${sold}&per=${sold === "30d" ? "day" : "minute"}`), stats("clicks-per-day?window=14d")]);
    tiles(live, hour.minutes);
    clickRates(rates);
    sales(rows.days ?? rows.minutes, live.until, sold);
    clickDays(days.days);
    bars($("buttons-all"), live.buttons.map(button));
    bars($("buttons-now"), now.buttons.slice(0, 12).map(button));
    products(top, currency);
    set("funnel-what", `visits that began in the last ${span}`);
    bars($("funnel"), funnelBars(funnel));
    state("live", "live");
  } catch (error) {
    console.warn(error);
    state("lost", "no answer, trying again");
  }
  next = setTimeout(refresh, 1000);
}

// What is chosen is shown at once, where no answer is on its way that will show it.
for (const id of ["seconds", "sold", "by", "window"]) {
  $(id).addEventListener("change", () => {
    if (next === null) return;
    clearTimeout(next);
    refresh();
  });
}

refresh();
