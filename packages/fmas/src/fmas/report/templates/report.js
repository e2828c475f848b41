"use strict";
(() => {
  const form = document.getElementById("filters");
  const kinds = [...form.querySelectorAll("input[name=kind]")];
  const pairs = [...document.querySelectorAll("article.pair")];

  const apply = () => {
    const wanted = new Set(kinds.filter((box) => box.checked).map((box) => box.value));
    const rejected = form.elements.rejected.checked;
    const outside = form.elements.outside.checked;
    let shown = 0;
    for (const pair of pairs) {
      const { kind, rejected: rejects, band } = pair.dataset;
      const fits = wanted.has(kind) && !(rejected && rejects === "0") && !(outside && band === "inside");
      pair.hidden = !fits;
      shown += fits;
    }
    document.getElementById("showing").textContent = `${shown} of ${pairs.length} shown`;
  };
  const setAll = (checked) => () => {
    for (const box of kinds) box.checked = checked;
    apply();
  };

  document.getElementById("all").addEventListener("click", setAll(true));
  document.getElementById("none").addEventListener("click", setAll(false));
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply(); // a browser keeps the boxes as they were when the page is loaded again
})();
