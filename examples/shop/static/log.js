// The last events: as many as fit, what one wants of them, and what each came from and led to.

import { $, element, eventRow, follow, set, whole } from "/page.js";

const KEPT = 200;
// How far before and behind an event its causes and effects are looked for.
const NEAR = 500;

export function eventLog() {
  let [end, timer, paused, seen, begun, asked] = [() => {}, null, false, 0, 0, 0];
  // Came since the page was last drawn: a busy log brings more than a page can draw one by one.
  let waiting = [];
  // The log is shown to this machine alone, or with a token: a page without one has only what it is told.
  let closed = false;

  // Names of streams hold a hyphen, types of events do not. An event fits where its stream and its type do.
  function wanted() {
    const words = $("wanted").value.split(",").map((word) => word.trim()).filter(Boolean);
    const [streams, types] = [words.filter((word) => word.includes("-")), words.filter((word) => !word.includes("-"))];
    const query = new URLSearchParams();
    if (streams.length) query.set("streams", streams.join(","));
    if (types.length) query.set("types", types.join(","));
    return query;
  }

  // In the order of the log, each once, behind those that are shown.
  function add(event, fresh = true) {
    if (event.position <= seen) return;
    seen = event.position;
    if (!waiting.length) requestAnimationFrame(draw);
    waiting.push([event, fresh]);
    if (waiting.length > KEPT) waiting.shift();
  }

  function draw() {
    $("events").prepend(...waiting.map(([event, fresh]) => row(event, fresh)).reverse());
    waiting = [];
    while ($("events").rows.length > KEPT) $("events").lastChild.remove();
  }

  function row(event, fresh) {
    const cell = element("td", { class: "right dim", "data-recorded": event.recorded_at }, age(event.recorded_at));
    const drawn = eventRow(event, cell);
    if (fresh) drawn.className = "fresh";
    if (!closed) {
      const open = element("button", { class: "link", "aria-label": `Event ${event.position}: where it comes from` }, whole.format(event.position));
      open.addEventListener("click", () => inspect(event.position));
      drawn.cells[0].replaceChildren(open);
    }
    return drawn;
  }

  function age(recorded) {
    const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(recorded)) / 1000));
    return seconds < 60 ? `${seconds} s` : seconds < 3600 ? `${Math.floor(seconds / 60)} min`
      : seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${whole.format(Math.floor(seconds / 86_400))} d`;
  }

  const ask = (query) => fetch(`/log/all?${query}`, { signal: AbortSignal.timeout(5000) }).catch(() => null);

  // The last ones that are wanted, and what comes behind them. Where there is none, behind the end that the log had before.
  async function begin(head) {
    end();
    clearTimeout(timer);
    const [mine, query] = [++begun, wanted()];
    const answer = await ask(`${query}&direction=backward&limit=${KEPT}`);
    const told = await answer?.json().catch(() => null);
    if (mine !== begun) return;
    closed = [401, 403, 404].includes(answer?.status);
    if (closed) return;
    if (!answer?.ok || !told) {
      const wrong = answer?.status >= 400 && answer.status < 500;
      set("wanted-words", wrong ? told?.detail ?? "" : "no answer, trying again");
      if (wrong) $("events").replaceChildren();
      else timer = setTimeout(() => begin(head), 2000);
      return;
    }
    [waiting, seen] = [[], 0];
    $("events").replaceChildren();
    told.events.reverse().forEach((event) => add(event, false));
    const both = query.has("streams") && query.has("types") ? "of these types in these streams" : "";
    set("wanted-words", told.events.length ? both : `nothing so far ${both}`);
    if (paused) return;
    end = follow(query, Math.max(head, seen), (event) => { set("wanted-words", both); add(event); },
      () => begin(0));
  }

  // The event with what it came from and led to, as a tree: as far as that lies nearby.
  async function inspect(position) {
    const mine = ++asked;
    const pages = await Promise.all([`from=${position}&limit=${NEAR}&direction=backward`, `from=${position}&limit=${NEAR}`].map(ask));
    const [before, behind] = await Promise.all(pages.map((page) => (page?.ok ? page.json() : { events: [] })));
    if (mine !== asked) return;
    const found = new Map([...before.events.reverse(), ...behind.events].map((event) => [event.event_id, event]));
    const event = [...found.values()].find((one) => one.position === position);
    const close = element("button", {}, "Close");
    close.addEventListener("click", () => { $("inspected").hidden = true; $("wanted").focus(); });
    $("inspected").replaceChildren(...(event ? told(event, found, close) : [element("p", { class: "pick" }, "No answer, try again.", close)]));
    $("inspected").hidden = false;
    $("inspected").focus();
  }

  function told(event, found, close) {
    // A cause lies before its effects, whatever a writer says.
    let root = event;
    for (let cause; (cause = found.get(root.causation_id)) && cause.position < root.position;) root = cause;
    const tree = (one) => {
      const effects = [...found.values()].filter(({ causation_id: cause, position }) => cause === one.event_id && position > one.position);
      const name = element("button", { class: "link", "aria-current": String(one === event) },
        `${whole.format(one.position)} ${one.type}`);
      name.addEventListener("click", () => inspect(one.position));
      return element("li", {}, name, element("span", { class: "dim" }, ` ${one.stream}`),
        ...(effects.length ? [element("ul", {}, ...effects.map(tree))] : []));
    };
    const alike = [...found.values()].filter(({ correlation_id: id }) => id && id === event.correlation_id).length;
    const further = root.causation_id ? " What caused the first lies further back in the log." : "";
    return [
      element("p", { class: "pick" }, element("b", {}, `${event.type} at position ${whole.format(event.position)}`), close),
      element("ul", { class: "tree" }, tree(root)),
      element("p", { class: "key" }, (alike ? `${alike} events nearby are of the same visit.` : "It belongs to no visit.") + further),
      element("pre", {}, JSON.stringify(event, null, 2))];
  }

  let typing = null;
  $("wanted").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => begin(seen), 300); });
  $("hold").addEventListener("click", () => {
    paused = !paused;
    $("hold").setAttribute("aria-pressed", String(paused));
    if (paused) end();
    else begin(seen);
  });

  // To be called with each answer of /api/live.
  return ({ position, events }) => {
    if (!begun) begin(position);
    $("wanted-by").hidden = closed;
    if (closed) events.toReversed().forEach((event) => add(event));
    for (const cell of $("events").querySelectorAll("[data-recorded]")) cell.textContent = age(cell.dataset.recorded);
  };
}
