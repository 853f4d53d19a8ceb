// The shop: the catalogue, a cart that is folded from its events, and the visit as the log has it.

import { $, element, eventRow, follow, money, refusal, set, whole } from "/page.js";

// A visit lasts as long as the page is open, as in the system that the shop stands beside.
const visit = crypto.randomUUID();
const kept = { get cart() { return localStorage.getItem("cart"); }, set cart(id) {
  if (id) localStorage.setItem("cart", id); else localStorage.removeItem("cart");
} };
let offers = [];
let shelf = "all";
let order = null;
let seen = null;
// Ends what is followed.
let end = () => {};
// From where what was done is to be followed, before the visit is known to the log.
let earliest = Infinity;
// Positions that are shown, and that of the cart as it was last read.
const shown = new Set();
let cartAt = 0;

// A command is sent with one key, however often it has to be sent.
async function ask(method, path, body, cause) {
  // All that is done in a visit is one conversation.
  const options = { method, headers: { "idempotency-key": crypto.randomUUID(), "x-correlation-id": visit } };
  if (cause) options.headers["x-causation-id"] = cause;
  if (body !== undefined) {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  for (let tries = 1; ; tries++) {
    const answer = await fetch(path, options).catch(() => null);
    if (answer?.ok) {
      const text = await answer.text();
      return { body: text ? JSON.parse(text) : null, position: Number(answer.headers.get("headwater-position")) };
    }
    if ((answer === null || answer.status === 503 || answer.status === 429) && tries < 5) {
      await new Promise((done) => setTimeout(done, 300 * tries));
      continue;
    }
    const { detail, type } = await refusal(answer);
    throw Object.assign(new Error(detail), { type });
  }
}

// Does what a button is for, and says what went wrong.
async function attempt(work) {
  try {
    $("notice").hidden = true;
    await work();
  } catch (error) {
    set("notice", error.message);
    $("notice").hidden = false;
  }
}

// Telemetry: what is pressed, and that the page was opened; one after the other, as it was done. Yields the event's id.
let told = Promise.resolve();
function tell(...what) {
  told = told.then(() => send(...what)).catch(() => null);
  return told;
}

// A command, which follows from what was told last: the press of its button. So it goes out behind it, unless that takes
// long: a purchase does not wait for telemetry.
async function command(method, path, body) {
  const long = new Promise((done) => setTimeout(done, 1000, null));
  return ask(method, path, body, await Promise.race([told, long]));
}

async function send(path, topic, properties, at) {
  const message = { topic, uuid: visit, event_id: crypto.randomUUID(), event_timestamp: at, properties };
  const { position } = await ask("POST", path, message);
  if (seen === null) {
    seen = position - 1;
    followAll();
  }
  return message.event_id;
}

function clicked(event) {
  const button = event.target.closest("[data-button]");
  if (!button) return;
  tell("/produceClickMessage", "edm-ui-click", { button_id: button.dataset.button, description: "button click" }, Date.now());
}

function shelves() {
  const names = ["all", ...new Set(offers.map((offer) => offer.category))];
  $("choices").replaceChildren(...names.map((name) => {
    const choice = element("button", { "data-button": `browse-${name}`, "aria-pressed": String(name === shelf) }, name);
    choice.addEventListener("click", () => { shelf = name; shelves(); });
    return choice;
  }));
  const shown = offers.filter((offer) => shelf === "all" || offer.category === shelf);
  $("offers").replaceChildren(...shown.map((offer) => {
    const add = element("button", { "data-button": offer.sku, "aria-label": `Add ${offer.title} to the cart` }, "Add to cart");
    add.addEventListener("click", () => attempt(() => put(offer)));
    const title = element("button", { class: "title", "aria-expanded": "false" }, offer.title);
    const history = element("p", { class: "dim", hidden: "" });
    title.addEventListener("click", () => attempt(() => look(offer, title, history)));
    return element("li", { class: "panel" }, element("h3", {}, title), element("p", { class: "dim" }, offer.category), history,
      element("p", { class: "price" }, money(offer.price.currency)(offer.price.amount)), add);
  }));
}

// A look at a product: what its own stream says of it.
async function look({ sku }, title, history) {
  history.hidden = !history.hidden;
  title.setAttribute("aria-expanded", String(!history.hidden));
  if (history.hidden) return;
  tell("/produceClickMessage", "shop-product-view", { sku }, Date.now());
  const { body } = await ask("GET", `/products/${encodeURIComponent(sku)}`);
  history.textContent = `Version ${body.version} of its stream, at position ${whole.format(body.position)} of the log.`;
}

async function put({ sku, price }) {
  for (const again of [true, false]) {
    if (!kept.cart) {
      const opened = await command("POST", "/carts", { currency: price.currency });
      kept.cart = opened.body.cart_id;
      followAll(opened.position - 1);
    }
    try {
      await command("POST", `/carts/${kept.cart}/items`, { sku, quantity: 1 });
      return showCart();
    } catch (error) {
      // Another page has checked it out, or its log is gone: a new one is opened.
      if (!again || !/cart-closed|not-found/.test(error.type)) throw error;
      kept.cart = null;
    }
  }
}

async function showCart() {
  const gone = (error) => { if (/not-found/.test(error.type)) return null; throw error; };
  const cart = kept.cart && (await ask("GET", `/carts/${kept.cart}`).catch(gone))?.body;
  if (!cart || cart.order_id) kept.cart = null;
  const lines = kept.cart ? cart.lines : [];
  if (kept.cart) cartAt = cart.position;
  set("cart-state", kept.cart ? `version ${cart.version} · position ${whole.format(cart.position)}` : "empty");
  $("checkout").disabled = lines.length === 0;
  $("total").hidden = lines.length === 0;
  if (lines.length) set("total", money(cart.total.currency)(cart.total.amount));
  $("lines").replaceChildren(...lines.map((line) => {
    const { sku, title, quantity } = line;
    const named = title || sku;
    const step = (words, name, to) => {
      const button = element("button", { "data-button": name, "aria-label": `${words} ${named}` }, to > quantity ? "+" : "−");
      button.addEventListener("click", () => attempt(async () => {
        await command("PUT", `/carts/${kept.cart}/items/${encodeURIComponent(sku)}`, { quantity: to });
        await showCart();
      }));
      return button;
    };
    return element("li", {}, element("span", { class: "name", title: sku }, named),
      step("One less of", "less", quantity - 1), element("b", {}, whole.format(quantity)), step("One more of", "more", quantity + 1));
  }));
}

async function checkOut() {
  const { body } = await command("POST", `/carts/${kept.cart}/checkout`, {});
  order = { id: body.order_id, steps: [] };
  // What was told meanwhile may lie behind the order's events already.
  followAll(cartAt);
  await showCart();
  showOrder();
}

function showOrder() {
  if (!order) return;
  $("order").hidden = false;
  set("order-id", order.id);
  const ended = order.steps.find((step) => /cancelled|rejected/.test(step.type));
  const planned = ended ? [] : ["order.placed", "order.confirmed", "order.shipped"];
  const missing = planned.filter((type) => !order.steps.some((step) => step.type === type));
  const words = (type) => type.slice("order.".length);
  $("cancel").hidden = Boolean(ended) || missing.length === 0;
  $("steps").replaceChildren(
    ...order.steps.map(({ type, position }) => element("li", { class: ended?.type === type ? "ended" : "done" },
      words(type), element("small", {}, `position ${whole.format(position)}`))),
    ...missing.map((type) => element("li", {}, words(type), element("small", {}, "not yet"))));
}

// Follows the visit, its cart and its order, from what was seen last, or from before.
function followAll(from = seen) {
  earliest = Math.min(earliest, from ?? Infinity);
  if (seen === null) return;
  from = earliest;
  earliest = Infinity;
  end();
  const streams = [`session-${visit}`, kept.cart && `cart-${kept.cart}`, order && `order-${order.id}`];
  end = follow({ streams: streams.filter(Boolean).join(",") }, Math.min(from, seen), (event) => {
    if (shown.has(event.position)) return;
    shown.add(event.position);
    seen = Math.max(seen, event.position);
    $("visit").hidden = false;
    const row = eventRow(event);
    row.dataset.position = event.position;
    const later = [...$("events").rows].find(({ dataset }) => Number(dataset.position) < event.position);
    $("events").insertBefore(row, later ?? null);
    while ($("events").rows.length > 200) $("events").lastChild.remove();
    if (order && event.stream === `order-${order.id}`) {
      order.steps.push(event);
      showOrder();
    }
  }, () => location.reload());
}

async function readCatalogue() {
  const { body } = await ask("GET", "/products");
  offers = body.products;
  if (offers.length) return shelves();
  $("offers").replaceChildren(element("li", { class: "empty" }, "Nothing is listed yet: ",
    element("code", {}, "shop traffic --duration 5s"), " lists the coffee shop's nine products."));
  setTimeout(() => attempt(readCatalogue), 1000);
}

document.addEventListener("click", clicked, true);
$("checkout").addEventListener("click", () => attempt(checkOut));
$("cancel").addEventListener("click", () => attempt(() => command("POST", `/orders/${order.id}/cancel`, { by: "customer" })));
set("look", `shop stream show session-${visit}`);
tell("/producePageLoad", "edm-ui-pageload",
  { url: location.href, user_agent: navigator.userAgent, description: "shop page loaded" }, Date.now());
attempt(readCatalogue);
attempt(showCart);
