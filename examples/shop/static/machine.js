// The time machine: the statistics as of any position, folded by the server while one watches.

import { $, bars, funnelBars, set, whole } from "/page.js";

// Yields what is to be called with each answer of /api/live.
export function timeMachine() {
  let [asked, asking, playing, before] = [null, false, false, 0];

  async function show() {
    if (asking) return;
    asking = true;
    while (asked !== Number($("at").value)) {
      asked = Number($("at").value);
      const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ position: asked }) };
      const answer = await fetch("/api/at", options).catch(() => null);
      if (!answer?.ok) {
        set("at-words", "no answer, try again");
        break;
      }
      draw(await answer.json());
    }
    asking = false;
  }

  function draw({ position, at, buttons, products, funnel }) {
    const count = (name, value) => ({ name, value, words: whole.format(value) });
    const time = at ? new Date(at).toISOString().slice(0, 19).replace("T", " ") : "before anything";
    set("at-words", `${whole.format(position)} · ${time} UTC`);
    const lists = [["at-buttons", buttons.map((row) => count(row.button_id, row.clicks))],
      ["at-products", products.map((row) => count(row.title || row.sku, row.units))], ["at-funnel", funnelBars(funnel)]];
    for (const [id, rows] of lists) bars($(id), rows);
  }

  function play(now) {
    if (!playing) return;
    const next = Number($("at").value) + (Number($("speed").value) * (now - before)) / 1000;
    if (next > Number($("at").value)) {
      // Less than a position at a time is kept for the next frame.
      const position = Math.floor(next);
      if (position > Number($("at").value)) {
        $("at").value = position;
        before = now;
        show();
      }
    }
    if (Number($("at").value) >= Number($("at").max)) return stop();
    requestAnimationFrame(play);
  }

  function stop() {
    playing = false;
    $("play").setAttribute("aria-pressed", "false");
  }

  $("play").addEventListener("click", () => {
    if (playing) return stop();
    if (Number($("at").value) >= Number($("at").max)) $("at").value = 1;
    playing = true;
    before = performance.now();
    $("play").setAttribute("aria-pressed", "true");
    requestAnimationFrame(play);
  });
  $("at").addEventListener("input", () => { stop(); show(); });

  return ({ position, operable }) => {
    if (!operable || position < 1) return;
    $("at").max = position;
    // The log is folded when somebody asks for it, and not before.
    if ($("machine").hidden) $("at").value = position;
    $("machine").hidden = false;
  };
}
