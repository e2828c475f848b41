// Keeping and dropping. A decision is shown at once and counts as saved only when the server says so; until then it is
// marked, kept in the browser, and tried again and again. Every decision is sent, in the order in which it was made: one
// that was taken back within the second is history too.

const RETRY_MILLISECONDS = [1000, 2000, 4000, 8000, 15000, 30000];
const PATIENCE_MILLISECONDS = 8000; // before it is said that the server does not answer

const review = (() => {
  const byStem = new Map(pairs.map((pair) => [pair.stem, pair]));
  const undone = []; // what `undo` goes back through: { pair, verdict } before
  const saving = byId("saving");
  const words = make("span", {});
  const progress = make("progress", { "aria-label": "Reviewed", max: pairs.length, value: 0 });
  const trouble = make("p", { class: "trouble", role: "alert" });
  let sending = false;
  let failures = 0;
  let timer = 0;
  const decidedHere = new Set(); // stems
  const replaced = new Set(); // stems whose picture was another one when the decision arrived

  // The newest decision about what this page shows that is not saved yet.
  const unsaved = (pair) => {
    const newest = queue.newest(pair.stem);
    return newest?.image_sha256 === pair.sha ? newest : null;
  };

  const redisplay = (pair) => {
    if (pair) list.refresh(pair);
    if (pair && loupe.pair() === pair) loupe.refresh();
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
      `${plural(queue.size(), "decision")} not saved yet: ${message}. Trying again in ${wait / 1000} s. `,
      make("button", { type: "button", text: "Try now", onclick: send }),
    );
  };

  // A server that was started anew has another token; the page goes on with that.
  const renew = async () => {
    const answer = await fetch("/session").then((response) => response.json());
    if (answer.digest !== facts.digest) throw new Error("another data set is under review at this address now");
    const changed = typeof answer.token === "string" && answer.token !== facts.review.token;
    if (changed) facts.review.token = answer.token;
    return changed;
  };

  const reloading = () =>
    replaced.size === 0
      ? []
      : [
          `Nothing was decided about ${plural(replaced.size, "pair")}: the picture is another one by now. `,
          make("button", { type: "button", text: "Load the page anew", onclick: () => location.reload() }),
        ];

  const post = async ({ stem, image_sha256, verdict }) => {
    const response = await fetch("/decisions", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-FMAS-Token": facts.review.token },
      body: JSON.stringify({ stem, image_sha256, verdict }),
    });
    const answer = await response.json().catch(() => ({}));
    if (response.ok && answer.saved === true) return;
    if (response.status === 403 && (await renew())) return post({ stem, image_sha256, verdict });
    if (response.status === 409) {
      replaced.add(stem); // by fmas run or fmas select, since this page was loaded
      const pair = byStem.get(stem);
      if (pair?.sha === image_sha256) pair.verdict = "undecided"; // what was pressed must not look as if it counted
      filters.recount();
      return;
    }
    const told = [answer.error, answer.detail].find((text) => typeof text === "string");
    throw new Error(`the server answered ${response.status}${told ? `, ${told}` : ""}`);
  };

  const troubleOf = (error) =>
    error instanceof TypeError
      ? `the server does not answer; if fmas review has ended, start it again with --port ${location.port || 80}`
      : error.message;

  // Asked once only: a server that hangs may yet take what it was sent, and must not take it after what comes later.
  const answered = (question) => {
    const slow = setTimeout(
      () => trouble.replaceChildren(`${plural(queue.size(), "decision")} not saved yet: the server does not answer. Waiting for it.`),
      PATIENCE_MILLISECONDS,
    );
    return question.finally(() => clearTimeout(slow));
  };

  // One after the other, so that the last decision about a pair is the last one written.
  const send = async () => {
    if (sending || queue.size() === 0) return;
    sending = true;
    clearTimeout(timer);
    let refused = null;
    const stuck = new Set(); // what follows about these pairs has to wait for what was refused
    for (let next = queue.first(stuck); next; next = queue.first(stuck)) {
      try {
        await answered(post(next));
        queue.remove(next);
        redisplay(byStem.get(next.stem));
      } catch (error) {
        refused = troubleOf(error);
        if (error instanceof TypeError) break; // the others would fare no better
        stuck.add(next.stem);
      }
    }
    sending = false;
    if (refused) return later(refused);
    failures = 0;
    trouble.replaceChildren(...reloading());
  };

  const record = (pair, verdict) => {
    pair.verdict = verdict;
    decidedHere.add(pair.stem);
    queue.add({ stem: pair.stem, image_sha256: pair.sha, verdict });
    redisplay(pair);
    filters.recount();
    send();
  };

  // Decisions that a closed tab could not save; older than any that were made here.
  const adopt = (left) => {
    for (const stem of new Set(left.map((decision) => decision.stem))) {
      const pair = byStem.get(stem);
      if (!pair) continue;
      if (decidedHere.has(stem)) queue.add({ stem, image_sha256: pair.sha, verdict: pair.verdict }); // once more, after them
      else if (unsaved(pair)) pair.verdict = unsaved(pair).verdict;
      redisplay(pair);
    }
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
      const shown = unsaved(pair)?.verdict ?? verdict;
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
      if (queue.size() === 0) trouble.replaceChildren(...reloading());
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
    queue.adopt(adopt);
    redisplay(pairs[0]);
    await reload();
    filters.apply();
    send();
    window.addEventListener("beforeunload", (event) => {
      if (queue.size() > 0) event.preventDefault();
    });
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && reload());
    window.addEventListener("online", send);
  };

  return { start, decide, undo, unsaved };
})();
