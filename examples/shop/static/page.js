// What both pages need. Everything from the log goes in as text.

export const $ = (id) => document.getElementById(id);
export const whole = new Intl.NumberFormat("en");
export const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

// A message of a feed bears the type of its event.
export const TYPES = ["page.loaded", "button.clicked", "product.viewed", "search.performed", "cart.opened", "cart.item_added",
  "cart.quantity_set", "cart.item_removed", "cart.checked_out", "cart.abandoned", "cart.revived", "order.placed", "order.confirmed",
  "order.rejected", "order.cancelled", "order.shipped", "return.recorded", "product.listed", "product.price_changed", "product.delisted"];

export const set = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };

export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// Follows the log behind a position, also when it was cut off, or refused because the server was starting. Each event comes
// once and in order, as an object; `query` says which are wanted. `lost` is called where the log is another one than it was.
// Yields what ends it.
export function follow(query, from, show, lost) {
  let [feed, last, timer, ended] = [null, from, null, false];
  const address = () => {
    const all = new URLSearchParams(query);
    all.set("from", last);
    return `/log/feed?${all}`;
  };
  const open = () => {
    feed = new EventSource(address());
    const come = ({ lastEventId, data }, event) => {
      if (Number(lastEventId) <= last) return;
      last = Number(lastEventId);
      if (event) show(JSON.parse(data));
    };
    for (const type of TYPES) feed.addEventListener(type, (message) => come(message, true));
    feed.addEventListener("checkpoint", (message) => come(message, false));
    // A browser comes back by itself where the connection broke, and not where it was refused.
    feed.addEventListener("error", () => {
      if (feed.readyState === EventSource.CLOSED) timer = setTimeout(again, 2000);
    });
  };
  // Why it was refused an EventSource does not tell.
  const again = async () => {
    const asked = new AbortController();
    const patience = setTimeout(() => asked.abort(), 5000);
    const answer = await fetch(address(), { signal: asked.signal }).catch(() => null);
    const type = answer?.status === 409 ? (await refusal(answer)).type : null;
    clearTimeout(patience);
    asked.abort();
    if (ended) return;
    if (type?.endsWith("/beyond-the-end")) lost();
    else if (answer?.ok) open();
    else timer = setTimeout(again, 2000);
  };
  open();
  return () => { ended = true; clearTimeout(timer); feed.close(); };
}

// A list of bars; each with a name, a value, and the value in words. Those that stay move to their new length.
export function bars(list, rows) {
  if (!rows.length) return list.replaceChildren(element("li", { class: "empty" }, "Nothing."));
  const most = Math.max(1, ...rows.map(({ value }) => value));
  rows.forEach(({ name, value, words, title }, i) => {
    let item = list.children[i];
    if (!item?.matches(":not(.empty)")) {
      const made = element("li", {}, element("span", { class: "name" }), element("b"),
        element("div", { class: "track" }, element("i", { "aria-hidden": "true" })));
      if (item) item.replaceWith(made);
      else list.append(made);
      item = made;
    }
    const [label, number, track] = item.children;
    [label.textContent, label.title, number.textContent] = [name, title ?? name, words];
    track.firstChild.style.width = `${Math.max(1, (100 * value) / most)}%`;
  });
  while (list.children.length > rows.length) list.lastChild.remove();
}

// The steps of a funnel, each as a part of the one before.
export function funnelBars({ visits, viewed, added, ordered }) {
  const steps = [["came", visits], ["looked at a product", viewed], ["put one into a cart", added], ["ordered", ordered]];
  return steps.map(([name, value], i) => {
    const before = i ? steps[i - 1][1] : 0;
    const part = before ? ` · ${Math.round((100 * value) / before)} %` : "";
    return { name, value, words: `${whole.format(value)}${part}` };
  });
}

// Minor units of a currency, as people write them.
export function money(currency, options = {}) {
  const format = new Intl.NumberFormat("en", { style: "currency", currency, ...options });
  return (minor) => format.format(minor / 100);
}

// What a refusal says; also that of a server which is not there.
export async function refusal(answer) {
  const problem = await answer?.json().catch(() => null);
  return { detail: problem?.detail ?? "The shop does not answer.", type: problem?.type };
}

// A row of a table of events.
export function eventRow({ position, type, stream, version }, ...more) {
  const [category, id] = [stream.slice(0, stream.indexOf("-")), stream.slice(stream.indexOf("-"))];
  return element("tr", {},
    element("td", { class: "right dim" }, whole.format(position)),
    element("td", {}, element("span", { class: "type", "data-category": category }, type)),
    element("td", { class: "stream" }, category, element("span", { class: "dim" }, id)),
    element("td", { class: "right" }, whole.format(version)), ...more);
}
