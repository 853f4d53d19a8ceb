// What both pages need. Everything from the log goes in as text.

export const $ = (id) => document.getElementById(id);
export const whole = new Intl.NumberFormat("en");

export const set = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };

export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
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
