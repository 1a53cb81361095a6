(() => {
  // A live page loads itself again: what the reader had done to it is kept for the next one.
  const place = `mdsearch ${location.pathname}`, all = (what, from = document) => [...from.querySelectorAll(what)];
  const kept = (() => {
    try {
      const found = JSON.parse(sessionStorage.getItem(place)) ?? {};
      sessionStorage.removeItem(place);
      return Date.now() - found.at < 60000 ? found : {};
    } catch { return {}; }
  })();
  const keep = (more) => {
    const anchor = all("section, header.top").find((part) => part.getBoundingClientRect().bottom > 60);
    const charts = {};
    for (const id of Object.keys(FIGURES)) {
      const chart = document.getElementById(id), layout = chart?.layout;
      if (!layout) continue;
      const range = (axis) => axis?.autorange === false ? axis.range : null;
      charts[id] = {x: range(layout.xaxis), y: range(layout.yaxis),
        shown: Object.fromEntries(chart.data.map((trace) => [trace.name, trace.visible ?? true]))};
    }
    const state = {...more, charts, at: Date.now(), y: scrollY,
      anchor: anchor && [anchor.querySelector("h1, h2").textContent, anchor.getBoundingClientRect().top],
      open: all("details").map((details) => details.open),
      boxes: all(".scroll").map((box) => [box.scrollTop, box.scrollLeft]),
      sorted: all("table.sortable").map((table) => {
        const heads = [...table.tHead.rows[0].cells], at = heads.findIndex((head) => head.hasAttribute("aria-sort"));
        return at < 0 ? null : [at, heads[at].getAttribute("aria-sort")];
      })};
    try { sessionStorage.setItem(place, JSON.stringify(state)); } catch { /* a full or forbidden store: start at the top */ }
  };
  for (const [id, was] of Object.entries(kept.charts ?? {})) {
    const figure = FIGURES[id];
    if (!figure) continue;
    for (const axis of ["x", "y"]) if (was[axis]) Object.assign(figure.layout[`${axis}axis`] ??= {}, {range: was[axis], autorange: false});
    for (const trace of figure.data) if (trace.name in was.shown) trace.visible = was.shown[trace.name];
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = () => innerWidth < 700;
  const themed = (layout) => {
    const css = getComputedStyle(document.documentElement), of = (name) => css.getPropertyValue(name).trim();
    const axis = {gridcolor: of("--grid"), linecolor: of("--line"), zeroline: false, ticks: "", automargin: true};
    const x = {...axis, ...layout.xaxis}, y = {...axis, ...layout.yaxis};
    for (const a of [x, y]) if (a.title) a.title = {...a.title, font: {size: 12}, standoff: 10};
    return {
      height: 430, margin: {l: 56, r: 14, t: 8, b: 50}, hovermode: "closest", dragmode: "zoom",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: {family: "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif", size: 12, color: of("--soft")},
      modebar: {bgcolor: "rgba(0,0,0,0)", color: of("--line"), activecolor: of("--soft")},
      hoverlabel: {align: "left", font: {size: 12}},
      ...layout, xaxis: x, yaxis: y,
      legend: {orientation: "h", x: 0, xanchor: "left", y: narrow() ? -0.22 : -0.17, yanchor: "top", ...layout.legend},
    };
  };
  const plot = () => {
    for (const [id, figure] of Object.entries(FIGURES))
      Plotly.react(id, figure.data, themed(figure.layout), {responsive: true, displaylogo: false, displayModeBar: "hover",
        modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"]});
  };
  plot();
  dark.addEventListener("change", plot);

  const showAll = (button) => {
    const rest = button.previousElementSibling, rows = button.closest(".long").querySelector("tbody");
    rows.append(rest.content);
    rest.remove();
    button.remove();
  };
  for (const button of all("button.more")) button.addEventListener("click", () => showAll(button));

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, column) => head.addEventListener("click", () => {
      const rest = table.closest(".long")?.querySelector("button.more");
      if (rest) showAll(rest);
      const up = head.getAttribute("aria-sort") !== "ascending", value = (row) => {
        const cell = row.cells[column], raw = cell.dataset.sort ?? cell.textContent;
        return raw === "" ? null : isNaN(raw) ? raw.toLowerCase() : Number(raw);
      };
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const order = (a, b) => a === null ? 1 : b === null ? -1 : (a < b ? -1 : a > b ? 1 : 0) * (up ? 1 : -1);
      const rows = [...body.rows].map((row) => [value(row), row]);
      rows.sort(([a], [b]) => order(a, b));
      const sorted = document.createDocumentFragment();
      for (const [, row] of rows) sorted.append(row);
      body.append(sorted);
    }));
  }

  if (kept.at) {
    all("table.sortable").forEach((table, index) => {
      const [column, way] = kept.sorted[index] ?? [], head = table.tHead.rows[0].cells[column];
      if (head) for (let click = 0; click < (way === "ascending" ? 1 : 2); click++) head.click();
    });
    all("details").forEach((details, index) => { details.open = kept.open[index] ?? false; });
    all(".scroll").forEach((box, index) => { [box.scrollTop, box.scrollLeft] = kept.boxes[index] ?? [0, 0]; });
    const part = kept.anchor && all("section, header.top").find((one) => one.querySelector("h1, h2").textContent === kept.anchor[0]);
    history.scrollRestoration = "manual";
    scrollTo({top: part ? scrollY + part.getBoundingClientRect().top - kept.anchor[1] : kept.y, behavior: "instant"});
  }

  if (LIVE) {
    const bar = document.querySelector(".live"), button = document.getElementById("pause"), age = document.getElementById("age");
    // A page that came back unchanged waits longer. The driver writes every few minutes, whatever happens.
    const wait = kept.written === LIVE.written ? Math.min(2 * kept.wait, 60) : LIVE.seconds;
    let paused = kept.paused ?? false, due = Date.now() + 1000 * wait, touched = 0;
    const show = () => {
      const seconds = Math.max(0, Math.round(Date.now() / 1000 - LIVE.written));
      const ago = seconds < 100 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`;
      age.textContent = `, ${ago}${seconds > 900 ? "; no word since: the search may have been stopped" : ""}`;
      button.textContent = paused ? "Go on" : "Pause";
      bar.classList.toggle("held", paused);
    };
    button.addEventListener("click", () => { paused = !paused; due = 0; show(); });
    for (const what of ["pointerdown", "pointermove", "wheel", "keydown"]) addEventListener(what, () => { touched = Date.now(); }, {passive: true});
    setInterval(() => {
      show();
      // not under the reader's hands, and not while nobody looks
      if (paused || document.hidden || Date.now() < due || Date.now() - touched < 2000 || String(getSelection())) return;
      keep({written: LIVE.written, wait, paused});
      location.reload();
    }, 1000);
    show();
  }
})();
