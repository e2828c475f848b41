// Blinking between photograph and result at one place. It starts only when asked for, changes twice a second at most
// (one flash a second; three is where it gets dangerous), and under reduced motion each press changes once.

const BLINK_MILLISECONDS = 500;
const LEAST_MILLISECONDS = 340; // between two presses

const blink = (() => {
  const listeners = [];
  let pair = null;
  let showing = "result";
  let timer = 0;
  let last = -Infinity;

  const tell = () => listeners.forEach((listener) => listener());

  const flip = () => {
    showing = showing === "result" ? "normal" : "result";
    tell();
  };

  const stop = () => {
    if (!pair) return;
    clearInterval(timer);
    pair = null;
    showing = "result";
    tell();
  };

  const toggle = (wanted) => {
    const now = performance.now();
    if (now - last < LEAST_MILLISECONDS) return;
    last = now;
    if (reducedMotion.matches) {
      if (pair !== wanted) stop();
      pair = wanted;
      flip();
      say(`${title(wanted)}: ${showing} shown`);
    } else if (pair === wanted) {
      stop();
      say("Blinking stopped");
    } else {
      stop();
      pair = wanted;
      timer = setInterval(flip, BLINK_MILLISECONDS);
      flip();
      say(`${title(wanted)}: normal and result in turns`);
    }
  };

  return {
    toggle,
    stop,
    // What the pane of the result shows at the moment.
    showing: (asked) => (asked === pair ? showing : "result"),
    running: (asked) => asked === pair,
    onFlip: (listener) => listeners.push(listener),
  };
})();
