// Keeping and dropping. A decision is shown at once and counts as saved only when the server says so; until then it is
// marked, kept in the browser, and tried again and again.

const RETRY_MILLISECONDS = [1000, 2000, 4000, 8000, 15000, 30000];

const review = (() => {
  const store = `fmas-unsaved-${facts.digest}`;
  const pending = new Map(); // stem -> { image_sha256, verdict }
  const undone = []; // what `undo` goes back through: { pair, verdict } before
  const saving = byId("saving");
  const words = make("span", {});
  const progress = make("progress", { "aria-label": "Reviewed", max: pairs.length, value: 0 });
  const trouble = make("p", { class: "trouble", role: "alert" });
  let sending = false;
  let failures = 0;
  let timer = 0;
  let replaced = 0; // decisions about pictures that are not there any more

  const keep = () => remember(store, pending.size === 0 ? null : JSON.stringify([...pending]));

  const redisplay = (pair) => {
    list.refresh(pair);
    if (loupe.pair() === pair) loupe.refresh();
    const count = (verdict) => pairs.filter((one) => one.verdict === verdict).length;
    const [kept, dropped] = [count("keep"), count("drop")];
    words.textContent = `${counted(kept + dropped)} of ${counted(pairs.length)} reviewed · ${counted(kept)} kept · ${counted(dropped)} dropped`;
    progress.value = kept + dropped;
  };

  const later = (message) => {
    const wait = RETRY_MILLISECONDS[Math.min(failures, RETRY_MILLISECONDS.length - 1)];
    failures += 1;
    clearTimeout(timer);
    timer = setTimeout(send, wait);
    trouble.replaceChildren(
      `${plural(pending.size, "decision")} not saved yet: ${message}. Trying again in ${wait / 1000} s. `,
      make("button", { type: "button", text: "Try now", onclick: send }),
    );
  };

  // A server that was started anew has another token; the page goes on with that.
  const renew = async () => {
    const answer = await fetch("/session").then((response) => response.json());
    const changed = typeof answer.token === "string" && answer.token !== facts.review.token;
    if (changed) facts.review.token = answer.token;
    return changed;
  };

  const reloading = () =>
    replaced === 0
      ? []
      : [
          `Nothing was decided about ${plural(replaced, "pair")}: the picture is another one by now. `,
          make("button", { type: "button", text: "Load the page anew", onclick: () => location.reload() }),
        ];

  const post = async (stem, { image_sha256, verdict }) => {
    const response = await fetch("/decisions", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-FMAS-Token": facts.review.token },
      body: JSON.stringify({ stem, image_sha256, verdict }),
    });
    const answer = await response.json().catch(() => ({}));
    if (response.ok && answer.saved === true) return;
    if (response.status === 403 && (await renew())) return post(stem, { image_sha256, verdict });
    if (response.status === 409) {
      replaced += 1; // by fmas run or fmas select, since this page was loaded
      return;
    }
    const told = [answer.error, answer.detail].find((text) => typeof text === "string");
    throw new Error(`the server answered ${response.status}${told ? `, ${told}` : ""}`);
  };

  // One after the other, so that the last decision about a pair is the last one written.
  const send = async () => {
    if (sending || pending.size === 0) return;
    sending = true;
    clearTimeout(timer);
    let refused = null;
    for (const [stem, decision] of [...pending]) {
      try {
        await post(stem, decision);
      } catch (error) {
        refused = error instanceof TypeError ? "the server does not answer; is fmas review still running" : error.message;
        if (error instanceof TypeError) break; // the others would fare no better
        continue;
      }
      if (pending.get(stem) === decision) pending.delete(stem); // not if decided otherwise meanwhile
      keep();
      redisplay(pairs.find((pair) => pair.stem === stem));
    }
    sending = false;
    if (refused) return later(refused);
    failures = 0;
    trouble.replaceChildren(...reloading());
    if (pending.size > 0) send();
  };

  const record = (pair, verdict) => {
    pair.verdict = verdict;
    pending.delete(pair.stem);
    pending.set(pair.stem, { image_sha256: pair.sha, verdict });
    keep();
    redisplay(pair);
    filters.recount();
    send();
  };

  const decide = (pair, verdict) => {
    if (!reviewing) return;
    const wanted = pair.verdict === verdict ? "undecided" : verdict;
    undone.push({ pair, verdict: pair.verdict });
    record(pair, wanted);
    say(`${title(pair)} ${{ keep: "kept", drop: "dropped", undecided: "undecided again" }[wanted]}`);
  };

  const undo = () => {
    if (!reviewing) return null;
    const last = undone.pop();
    if (!last) {
      say("Nothing to undo");
      return null;
    }
    record(last.pair, last.verdict);
    say(`${title(last.pair)} is ${last.verdict === "undecided" ? "undecided" : { keep: "kept", drop: "dropped" }[last.verdict]} again`);
    return last.pair;
  };

  // What the server holds; decisions about an image that has been replaced since do not count, unsaved ones come first.
  const load = async () => {
    const response = await fetch("/decisions", { headers: { "X-FMAS-Token": facts.review.token } });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    const held = new Map(Object.entries(await response.json()).map(([stem, decision]) => [Number(stem), decision]));
    for (const pair of pairs) {
      const decision = held.get(pair.stem);
      const verdict = decision?.image_sha256 === pair.sha ? decision.verdict : "undecided";
      const shown = pending.get(pair.stem)?.verdict ?? verdict;
      if (pair.verdict === shown) continue;
      pair.verdict = shown;
      list.refresh(pair);
    }
    redisplay(pairs[0]);
  };

  const reload = async () => {
    try {
      await load();
      filters.recount();
      if (pending.size === 0) trouble.replaceChildren(...reloading());
    } catch (error) {
      trouble.replaceChildren(
        `The decisions cannot be read: ${error instanceof TypeError ? "the server does not answer" : error.message}. `,
        make("button", { type: "button", text: "Try now", onclick: reload }),
      );
    }
  };

  const start = async () => {
    if (!reviewing) return;
    saving.hidden = false;
    saving.append(progress, words, trouble);
    const bySha = new Map(pairs.map((pair) => [pair.stem, pair]));
    try {
      for (const [stem, decision] of JSON.parse(recall(store) ?? "[]")) {
        const pair = bySha.get(stem);
        if (pair?.sha !== decision.image_sha256 || !VERDICTS.includes(decision.verdict)) continue;
        pending.set(stem, decision);
        pair.verdict = decision.verdict;
      }
    } catch {
      /* not what we stored */
    }
    redisplay(pairs[0]);
    await reload();
    filters.apply();
    send();
    window.addEventListener("beforeunload", (event) => {
      if (pending.size > 0) event.preventDefault();
    });
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && reload());
    window.addEventListener("online", send);
  };

  return { start, decide, undo, unsaved: (pair) => pending.has(pair.stem) };
})();
