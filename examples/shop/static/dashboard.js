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
  { name: "page loads", of: "--coffee", kind: "line", words: short.format },
  { name: "clicks, mean", of: "--water", kind: "mean", words: tenths },
  { name: "page loads, mean", of: "--coffee", kind: "mean", dash: [1, 4], words: tenths }]);
const salesChart = chart($("sales-chart"), [
  { name: "revenue", of: "--coffee", kind: "bars", words: (minor) => price(minor), least: 1000 },
  { name: "orders", of: "--water", kind: "line", words: short.format, scale: "right", least: 4 }]);
const daysChart = chart($("days-chart"), [
  { name: "clicks", of: "--water", kind: "bars", words: short.format, least: 4 },
  { name: "page loads", of: "--coffee", kind: "line", words: short.format }]);

// What is picked, and what it is called.
const picked = (id) => ({ is: $(id).value, words: $(id).selectedOptions[0].textContent });
// Times of so many rows, the last of which is the one that holds `until`.
const times = (until, count, step) =>
  Array.from({ length: count }, (_, i) => (Math.floor(until / step) - count + 1 + i) * step);

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function tiles({ log, position, played, until, sales, hour, carts }) {
  const words = money(sales.currency, { maximumFractionDigits: 0 });
  const closed = sales.orders + carts.abandoned;
  const time = played ? `; its windows end at ${until.slice(0, 19).replace("T", " ")} UTC, with its newest event` : "";
  set("position", whole.format(position));
  set("where", `An event-sourced coffee shop on ${log}${time}`);
  set("revenue", words(sales.revenue));
  set("revenue-sub", `${words(hour.revenue)} ordered in the last hour`);
  set("orders", whole.format(sales.orders));
  set("orders-sub", `${whole.format(hour.orders)} in the last hour`);
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

// The window was asked for with the minute before it, so that each of its seconds has a mean, and with the second that is
// running, which is left out.
function clickRates({ clicks, loads, until }) {
  const count = clicks.length - 61;
  const means = (values) => Array.from({ length: count }, (_, i) => sum(values.slice(i + 1, i + 61)) / 60);
  const [clicked, loaded] = [means(clicks), means(loads)];
  set("clicks", tenths(clicked.at(-1)));
  set("loads", tenths(loaded.at(-1)));
  clicksChart.show(times(Date.parse(until) / 1000 - 1, count, 1), [clicks.slice(60, -1), loads.slice(60, -1), clicked, loaded],
    `${tenths(clicked.at(-1))} clicks and ${tenths(loaded.at(-1))} page loads a second, on average in the last minute`);
}

// Where the sales of a window come from, and into how many bars of how many seconds they are added up.
const SALES = {
  "1h": { path: "sales?window=1h", how: "sales_minutes", count: 60, step: 60, per: "minute" },
  "24h": { path: "sales?window=24h", how: "sales_minutes", count: 96, step: 900, per: "quarter of an hour" },
  "30d": { path: "sales-per-day?window=30d", how: "sales_days", count: 30, step: 86_400, per: "day" },
};

function sales({ minutes, days }, until, { how, count, step, per }) {
  const at = times(Date.parse(until) / 1000, count, step);
  const all = days?.map(({ day, gross, orders }) => ({ at: day, revenue: gross, orders })) ??
    minutes.map((row) => ({ at: row.minute, ...row }));
  const barOf = (row) => Math.floor((Date.parse(row.at) / 1000 - at[0]) / step);
  // The first bar begins with a whole quarter of an hour.
  const rows = all.filter((row) => barOf(row) >= 0 && barOf(row) < count);
  const [revenue, orders] = [new Array(count).fill(0), new Array(count).fill(0)];
  for (const row of rows) {
    revenue[barOf(row)] += row.revenue;
    orders[barOf(row)] += row.orders;
  }
  const of = (column) => whole.format(sum(rows.map((row) => row[column])));
  document.querySelector(".sales").dataset.how = how;
  set("sales-what", `per ${per}`);
  set("sales-sum", `${of("orders")} orders for ${price(sum(revenue))}` +
    (minutes ? `, ${of("cancelled")} called off, ${of("rejected")} refused` : ""));
  salesChart.show(at, [revenue, orders], `Revenue per ${per}: ${price(sum(revenue))} in all, ${of("orders")} orders`);
}

function clickDays(days) {
  daysChart.show(days.map(({ day }) => Date.parse(day) / 1000), [days.map(({ clicks }) => clicks), days.map(({ loads }) => loads)],
    `${whole.format(days.at(-1).clicks)} clicks on the last day`);
}

const button = ({ button_id, clicks }) => ({ name: button_id, value: clicks, words: whole.format(clicks) });
const trend = (now, before) => (now > before ? "▲" : now < before ? "▼" : "＝");

function products({ generation, products: list, window_seconds: length, until }, by, span, currency) {
  // The minute that is running is compared with as much of the window before.
  const part = (length - 60 + (Date.parse(until) / 1000) % 60) / length;
  const words = by.is === "revenue" ? money(currency, { maximumFractionDigits: 0 }) : (n) => whole.format(n);
  set("products-what", `${by.words}, last ${span.words}, build ${generation}`);
  bars($("products"), list.map((product) => ({
    name: product.title ?? product.sku, value: product[by.is], title: `${words(product.before)} in the ${span.words} before`,
    // A minute that is running is not compared with a whole one.
    words: span.is === "1m" ? words(product[by.is]) : `${words(product[by.is])} ${trend(product[by.is], product.before * part)}`,
  })));
}

// When the windows end that are shown.
let until = null;

// The window of a panel as its SQL writes it, and what is picked there.
function windowOf(check) {
  const SECONDS = { "1m": 60, "5m": 300, "1h": 3600, "24h": 86_400, "30d": 30 * 86_400 };
  const [end, span] = [Date.parse(until) / 1000, SECONDS[$("window").value]];
  const text = (at) => new Date(at * 1000).toISOString().replace("Z", "000Z");
  const rows = (end, step, length) => {
    const last = Math.floor(end / step) * step;
    return { behind: text(last - Math.ceil(length / step) * step), until: text(last) };
  };
  const day = ({ behind, until: to }) => ({ behind: behind.slice(0, 10), until: to.slice(0, 10) });
  switch (check) {
    case "click_seconds": return rows(end - 1, 1, 60);
    case "button_minutes": return rows(end, 60, 300);
    case "product_minutes": return { ...rows(end, 60, span), by: $("by").value };
    case "visits": return { behind: text(end - span), until: text(end) };
    case "sales_minutes": return $("sold").value === "1h" ? rows(end, 60, 3600)
      : { behind: text((Math.floor(end / 900) - 95) * 900 - 60), until: text(end) };
    case "sales_days": return day(rows(end, 86_400, 30 * 86_400));
    case "click_days": return day(rows(end, 86_400, 14 * 86_400));
    default: return {};
  }
}

// How a number comes about, and the count over the events that gives the same.
async function how({ currentTarget: details }) {
  if (!details.open) return;
  const { how: check } = details.parentElement.dataset;
  const explained = await ask("/api/explained").catch(() => []);
  const found = explained.find((one) => one.check === check);
  const now = (sql) => Object.entries(windowOf(check)).reduce((text, [word, value]) => text.replaceAll(`<${word}>`, value), sql);
  const words = found && until ? ["From the read model ", element("b", {}, found.check), ":", element("pre", {}, now(found.read_model)),
    "which is, counted from the events themselves:", element("pre", {}, now(found.events)),
    element("code", {}, "shop verify"), " compares all rows of both."] : ["The shop does not answer."];
  details.lastChild.replaceChildren(...words);
}

for (const panel of document.querySelectorAll("[data-how]")) {
  const details = element("details", {}, element("summary", {}, "How is this computed?"), element("div"));
  details.addEventListener("toggle", how);
  panel.append(details);
}

function state(name, words) {
  $("state").dataset.state = name;
  if ($("state").lastChild.textContent !== words) $("state").lastChild.textContent = words;
}

const [events, machine] = [eventLog(), timeMachine()];
let [next, again, played] = [null, false, false];

async function refresh() {
  [next, again] = [null, false];
  try {
    const live = await ask("/api/live");
    const { currency } = live.sales;
    price = money(currency, { notation: "compact", maximumFractionDigits: 1 });
    // Of a past that is played a day may pass in a second.
    if (live.played && !played) [$("sold").value, $("window").value] = ["30d", "24h"];
    [played, until] = [live.played, live.until];
    tiles(live);
    eventRate(live);
    clickDays(live.click_days);
    bars($("buttons-all"), live.buttons.all.map(button));
    bars($("buttons-now"), live.buttons.now.slice(0, 12).map(button));
    projections(live);
    latecomer(live);
    machine(live);
    events(live);
    // What is picked may change while the answer is on its way. All windows end at one moment.
    const [seconds, span, by, sold] = [picked("seconds"), picked("window"), picked("by"), SALES[$("sold").value]];
    const stats = (path) => ask(`/stats/${path}&until=${encodeURIComponent(live.until)}`);
    const [rates, top, funnel, rows] = await Promise.all([
      stats(`rates?window=${Number(seconds.is) + 61}s`), stats(`top-products?window=${span.is}&by=${by.is}`),
      stats(`funnel?window=${span.is}`), stats(sold.path)]);
    clickRates(rates);
    sales(rows, live.until, sold);
    products(top, by, span, currency);
    set("funnel-what", `visits that began in the last ${span.words}`);
    bars($("funnel"), funnelBars(funnel));
    state("live", "live");
  } catch (error) {
    console.warn(error);
    state("lost", "no answer, trying again");
  }
  next = setTimeout(refresh, again ? 0 : 1000);
}

// What is picked is shown at once.
for (const id of ["seconds", "sold", "by", "window"]) {
  $(id).addEventListener("change", () => {
    again = true;
    if (next === null) return;
    clearTimeout(next);
    refresh();
  });
}

refresh();
