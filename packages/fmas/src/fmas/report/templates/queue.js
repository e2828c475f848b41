// Decisions that are not saved yet, oldest first; kept in the browser, so that closing the tab does not lose them.

const queue = (() => {
  const prefix = `fmas-unsaved-${facts.digest}-`;
  const store = `${prefix}${Date.now()}-${Math.random().toString(36).slice(2)}`; // each tab has its own
  const waiting = []; // { stem, image_sha256, verdict }

  const keep = () => remember(store, waiting.length === 0 ? null : JSON.stringify(waiting));

  const add = (decision) => {
    waiting.push(decision);
    keep();
  };

  const remove = (decision) => {
    const index = waiting.indexOf(decision);
    if (index >= 0) waiting.splice(index, 1);
    keep();
  };

  const isOne = (value) => Number.isInteger(value?.stem) && typeof value.image_sha256 === "string" && VERDICTS.includes(value.verdict);

  const read = (key) => {
    try {
      return JSON.parse(recall(key) ?? "[]").filter(isOne);
    } catch {
      return []; // not what we stored
    }
  };

  // Take over what tabs left behind, each as soon as it is gone: as long as it is there it sends its own. A tab holds a
  // lock for as long as it lives; asking for that lock is waiting for its end.
  const adopt = (adopted) => {
    const locks = navigator.locks;
    locks?.request(store, () => new Promise(() => {})).catch(() => {});
    for (const key of keysStored().sort().reverse()) {
      if (!key.startsWith(prefix) || key === store) continue;
      const take = () => {
        const left = read(key);
        waiting.unshift(...left); // they are older than what was decided here
        keep();
        remember(key, null);
        if (left.length > 0) adopted(left);
      };
      if (locks) locks.request(key, take).catch(() => {});
      else take();
    }
  };

  return {
    add,
    remove,
    adopt,
    // The oldest one about none of these stems.
    first: (stuck) => waiting.find(({ stem }) => !stuck.has(stem)) ?? null,
    size: () => waiting.length,
    newest: (stem) => waiting.findLast((one) => one.stem === stem) ?? null,
  };
})();
