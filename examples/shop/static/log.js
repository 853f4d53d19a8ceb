// The last events: as many as fit, what one wants of them, and what each came from and led to.

import { $, element, eventRow, set, TYPES, whole } from "/page.js";

const KEPT = 200;
// How far before and behind an event its causes and effects are looked for.
const NEAR = 500;

export function eventLog() {
  let [feed, paused, seen, begun] = [null, false, 0, 0];
  // Came since the page was last drawn: a busy log brings more than a page can draw one by one.
  let waiting = [];
  // The log is shown to this machine alone, or with a token: a page without one has only what it is told.
  let closed = false;

  // Names of streams hold a hyphen, types of events do not.
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

  // The last ones that are wanted, and what comes behind them. Where there is none, behind the end that the log had before.
  async function begin(head) {
    feed?.close();
    const mine = ++begun;
    const query = wanted();
    const answer = await fetch(`/log/all?${query}&direction=backward&limit=${KEPT}`).catch(() => null);
    closed = answer?.status === 401 || answer?.status === 403 || answer?.status === 404;
    if (closed || paused || mine !== begun) return;
    if (!answer?.ok) {
      set("wanted-words", answer?.status === 400 ? (await answer.json()).detail : "no answer, trying again");
      return void (answer?.status === 400 || setTimeout(() => begin(head), 2000));
    }
    const { events } = await answer.json();
    if (mine !== begun) return;
    [waiting, seen] = [[], 0];
    $("events").replaceChildren();
    events.reverse().forEach((event) => add(event, false));
    set("wanted-words", events.length ? "" : "nothing so far");
    query.set("from", Math.max(head, seen) || "beginning");
    feed = new EventSource(`/log/feed?${query}`);
    feed.addEventListener("error", () => feed?.readyState === EventSource.CLOSED && setTimeout(() => begin(0), 2000));
    const show = ({ data }) => { set("wanted-words", ""); add(JSON.parse(data)); };
    for (const type of TYPES) feed.addEventListener(type, show);
  }

  async function near(query) {
    const answer = await fetch(`/log/all?${query}`).catch(() => null);
    return answer?.ok ? (await answer.json()).events : [];
  }

  // The event with all that it came from and led to, as a tree.
  async function inspect(position) {
    const [before, behind] = await Promise.all([
      near(`from=${position}&limit=${NEAR}&direction=backward`), near(`from=${position}&limit=${NEAR}`)]);
    const found = new Map([...before.reverse(), ...behind].map((event) => [event.event_id, event]));
    const event = [...found.values()].find((one) => one.position === position);
    if (!event) return;
    let root = event;
    while (found.has(root.causation_id)) root = found.get(root.causation_id);
    const tree = (one) => {
      const effects = [...found.values()].filter(({ causation_id: cause }) => cause === one.event_id);
      const name = element("button", { class: "link", "aria-current": String(one === event) },
        `${whole.format(one.position)} ${one.type}`);
      name.addEventListener("click", () => inspect(one.position));
      return element("li", {}, name, element("span", { class: "dim" }, ` ${one.stream}`),
        ...(effects.length ? [element("ul", {}, ...effects.map(tree))] : []));
    };
    const alike = [...found.values()].filter(({ correlation_id: id }) => id && id === event.correlation_id).length;
    const close = element("button", {}, "Close");
    close.addEventListener("click", () => { $("inspected").hidden = true; });
    $("inspected").replaceChildren(
      element("p", { class: "pick" }, element("b", {}, `${event.type} at position ${whole.format(position)}`), close),
      element("ul", { class: "tree" }, tree(root)),
      element("p", { class: "key" }, alike ? `${alike} events nearby are of the same visit.` : "It belongs to no visit."),
      element("pre", {}, JSON.stringify(event, null, 2)));
    $("inspected").hidden = false;
    $("inspected").focus();
  }

  let typing = null;
  $("wanted").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => begin(seen), 300); });
  $("hold").addEventListener("click", () => {
    paused = !paused;
    $("hold").textContent = paused ? "Go on" : "Pause";
    $("hold").setAttribute("aria-pressed", String(paused));
    if (paused) feed?.close();
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
