"use strict";

(() => {
  const SERIES = Array.from({ length: 8 }, (_, index) => `var(--series-${index + 1})`);
  const PRINTED_ROWS = 100;
  const LABEL = { textAnchor: "start", frameAnchor: "left", fontSize: 12, fill: "currentColor", stroke: "var(--paper)", strokeWidth: 4 };
  const base = (width, rest) => ({
    width,
    marginLeft: 8,
    marginRight: 28,
    style: { fontSize: "12px", background: "transparent", color: "inherit" },
    ...rest,
  });
  const percent = (value) => `${d3.format(".2f")(value)} %`;
  const twoDigits = (text) => text.replace(/e([+-])(\d)$/, (_, sign, digit) => `e${sign}0${digit}`);
  const scientific = (value) => (value === 0 ? "0 (equal)" : twoDigits(value.toExponential(1)));
  const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "wye", "cross", "hexagon"];
  const palette = (domain) => ({ type: "categorical", domain, range: SERIES, legend: domain.length > 1 });
  const names = (points, field) => [...new Set(points.map((point) => point[field]))];

  /* Each function takes a figure's data and the width it has, and returns a picture. */
  const charts = {
    accuracy({ points, runs }, width) {
      const rows = points.map((point, index) => ({ ...point, index, label: runs.length > 1 ? `${point.metric} · ${point.run}` : point.metric }));
      const most = d3.max(rows, (row) => row.high ?? row.percent);
      const place = { y: "index" };
      return Plot.plot(base(width, {
        height: rows.length * 44 + 46,
        marginTop: 4,
        marginBottom: 36,
        x: { label: "percent →", domain: [0, most > 0 ? most * 1.04 : 1], ticks: Math.min(10, Math.floor(width / 80)), grid: true, nice: true },
        y: { axis: null, type: "point", domain: d3.range(rows.length), padding: 0.6 },
        color: { ...palette(runs), legend: false },
        marks: [
          Plot.text(rows, { ...place, ...LABEL, text: (row) => `${row.label}  ${percent(row.percent)}`, dy: -15 }),
          Plot.link(rows.filter((row) => row.low !== null && row.high !== null), { x1: "low", x2: "high", y1: "index", y2: "index", stroke: "run", strokeWidth: 6, strokeOpacity: 0.35, strokeLinecap: "round" }),
          Plot.dot(rows, { ...place, x: "percent", fill: "run", r: 5.5, stroke: "var(--paper)", strokeWidth: 1.5 }),
        ],
      }));
    },

    ledger(points, width) {
      const rows = points.map((point, index) => ({ ...point, index }));
      const values = rows.flatMap((row) => [row.max, row.added, row.mean, row.p999, row.tolerance]).filter((value) => value > 0);
      const low = (d3.min(values) ?? 1e-7) / 3;
      const high = (d3.max(values) ?? 1e-3) * 4;
      const decades = d3.range(Math.ceil(Math.log10(low)), Math.floor(Math.log10(high)) + 1);
      const step = Math.ceil(decades.length / (width / 70));
      const at = (field) => (row) => Math.max(low, row[field]);
      const has = (field) => rows.filter((row) => row[field] !== null);
      /* Of the small marks, a 0 has no place on a logarithmic scale. */
      const some = (field) => rows.filter((row) => row[field] > 0);
      const place = { y: "index" };
      const upright = { y1: "index", y2: "index" };
      const verdicts = { domain: ["passed", "FAILED"], range: ["var(--good)", "var(--bad)"] };
      return Plot.plot(base(width, {
        height: rows.length * 54 + 62,
        marginTop: 20,
        marginBottom: 38,
        x: { type: "log", domain: [low, high], label: "absolute difference →", ticks: decades.filter((_, index) => index % step === 0).map((power) => 10 ** power), tickFormat: (value) => twoDigits(value.toExponential(0)), grid: true },
        y: { axis: null, type: "point", domain: d3.range(rows.length), padding: 0.6 },
        color: { type: "categorical", ...verdicts },
        symbol: { domain: verdicts.domain, range: ["circle", "times"] },
        marks: [
          Plot.ruleY(rows, { ...place, stroke: "var(--line)" }),
          Plot.ruleX(some("mean"), { ...upright, x: at("mean"), stroke: "var(--muted)", insetTop: -4, insetBottom: -4 }),
          Plot.dot(some("p999"), { ...place, x: at("p999"), symbol: "diamond", r: 3, fill: "var(--muted)" }),
          Plot.ruleX(has("max"), { ...upright, x: "tolerance", strokeWidth: 2, insetTop: -10, insetBottom: -10 }),
          Plot.text(rows, { ...place, ...LABEL, text: (row) => (row.max === null ? `${row.name}: ${row.verdict === "not compared" ? row.verdict : "not finite"}` : row.name), dy: -14, fill: (row) => (row.verdict === "not compared" ? "var(--muted)" : row.max === null ? "var(--bad)" : "currentColor") }),
          Plot.text([...new Set(has("tolerance").map((row) => row.tolerance))], { x: (tolerance) => tolerance, text: () => "tolerance", frameAnchor: "top", dy: -8, fontSize: 11 }),
          Plot.dot(some("added").filter((row) => row.added !== row.max), { ...place, x: at("added"), r: 4.5, stroke: "var(--muted)", strokeWidth: 1.5, fill: "var(--paper)" }),
          Plot.dot(has("max"), { ...place, x: at("max"), symbol: "verdict", stroke: "verdict", fill: "verdict", r: 5, strokeWidth: 2 }),
          ...[[true, "start"], [false, "middle"]].map(([atEdge, textAnchor]) => Plot.text(has("max").filter((row) => (row.max <= low) === atEdge), { ...place, x: at("max"), text: (row) => scientific(row.max), fill: "verdict", dy: 15, dx: atEdge ? -5 : 0, textAnchor, fontSize: 11, fontWeight: 600 })),
        ],
      }));
    },

    throughput(points, width) {
      return overBatches(points, width, { label: "↑ samples per second", zero: true, nice: 5 }, "items", [Plot.ruleY([0], { stroke: "var(--muted)" })]);
    },

    latency(points, width) {
      const x = besides(points, width);
      const bars = Plot.link(points, { x1: x, x2: x, y1: "p50", y2: "p99", stroke: "configuration", strokeWidth: 5, strokeOpacity: 0.3, strokeLinecap: "round" });
      const [low, high] = d3.extent(points.flatMap((point) => [point.p50, point.p99]));
      const decades = d3.range(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)) + 1);
      const ticks = decades.flatMap((power) => [1, 2, 5].map((first) => first * 10 ** power)).filter((tick) => tick >= low / 2.5 && tick <= high * 2.5);
      /* As text of its own: of a logarithmic axis the library leaves out labels. */
      const axis = Plot.axisY(ticks, { text: d3.format(","), label: "↑ milliseconds a batch, logarithmic" });
      return overBatches(points, width, { type: "log", domain: d3.extent([...ticks, low, high]), axis: null, grid: false }, "p50", [axis, Plot.gridY(ticks), bars], x);
    },

    stages(points, width) {
      const runs = names(points, "run");
      const rows = points.map((point) => ({ ...point, index: runs.indexOf(point.run) }));
      return Plot.plot(base(width, {
        height: runs.length * 48 + 46,
        marginTop: 6,
        marginBottom: 36,
        x: { label: "seconds →", grid: true, ticks: Math.min(10, Math.floor(width / 80)) },
        y: { axis: null, type: "band", domain: d3.range(runs.length), paddingInner: 0.5, paddingOuter: 0.3 },
        color: palette(names(points, "stage")),
        marks: [
          Plot.barX(rows, { x: "seconds", y: "index", fill: "stage", insetLeft: 0.5, insetRight: 0.5, title: (row) => `${row.stage}: ${row.seconds.toFixed(3)} s`, rx: 2 }),
          ...(runs.length > 1 ? [Plot.text(d3.range(runs.length), { y: (index) => index, ...LABEL, text: (index) => runs[index], dy: -20 })] : []),
        ],
      }));
    },

    lengths({ bins, buckets, unit }, width) {
      const [low, high] = d3.extent([...bins.flatMap((bin) => [bin.low, bin.high]), ...buckets]);
      /* A number that would stand on its neighbour is left out; the sentence below has them all. */
      const spoken = d3.sort(buckets, d3.descending).filter((bucket, index, all) => index === 0 || ((all[index - 1] - bucket) / (high - low)) * (width - 72) > 34);
      return Plot.plot(base(width, {
        height: Math.min(300, Math.max(200, width * 0.3)),
        marginLeft: 44,
        marginTop: buckets.length ? 40 : 26,
        marginBottom: 36,
        x: { label: `${unit} →`, ticks: Math.min(12, Math.floor(width / 70)) },
        y: { label: "↑ samples", nice: true, grid: true, ticks: d3.ticks(0, d3.max(bins, (bin) => bin.count), 4).filter(Number.isInteger), tickFormat: d3.format(",") },
        marks: [
          Plot.rectY(bins, { x1: "low", x2: "high", y: "count", fill: "var(--series-1)", fillOpacity: 0.75, inset: 0.5, title: (bin) => `${bin.count} samples, ${bin.low.toFixed(2)} to ${bin.high.toFixed(2)} ${unit}` }),
          Plot.ruleX(buckets, { stroke: "var(--series-2)", strokeWidth: 2, strokeDasharray: "5,3" }),
          Plot.text(spoken, { x: (bucket) => bucket, frameAnchor: "top", lineAnchor: "bottom", dy: -5, text: (bucket) => bucket.toFixed(1), fontWeight: 600 }),
          Plot.ruleY([0], { stroke: "var(--muted)" }),
        ],
      }));
    },
  };

  /* Where a point stands beside those of the other configurations, so that their bars do not hide each other. */
  function besides(points, width) {
    const configurations = names(points, "configuration");
    const [low, high] = d3.extent(points, (point) => point.batch);
    const octaves = low === high ? 2 : Math.log2(high / low);
    return ({ batch, configuration }) => {
      const pixels = (configurations.indexOf(configuration) - (configurations.length - 1) / 2) * 7;
      return batch * 2 ** ((pixels / (width - 104)) * octaves);
    };
  }

  function overBatches(points, width, y, field, below, x = "batch") {
    const sizes = [...new Set(points.map((point) => point.batch))].sort(d3.ascending);
    const configurations = names(points, "configuration");
    return Plot.plot(base(width, {
      height: 260,
      marginLeft: 52,
      marginTop: 26,
      marginBottom: 36,
      x: { type: "log", base: 2, label: "batch size →", ticks: sizes, tickFormat: String, domain: sizes.length > 1 ? d3.extent(sizes) : [sizes[0] / 2, sizes[0] * 2], inset: 12 },
      y: { grid: true, ticks: 5, tickFormat: d3.format(","), ...y },
      color: { ...palette(configurations), legend: false },
      symbol: { domain: configurations, range: SYMBOLS, legend: configurations.length > 1 },
      marks: [
        ...below,
        Plot.line(points, { x, y: field, stroke: "configuration", strokeWidth: 1.75 }),
        Plot.dot(points, { x, y: field, fill: "configuration", symbol: "configuration", r: 4.5 }),
        Plot.dot(points.filter((point) => !point.settled), { x, y: field, fill: "var(--paper)", r: 2.5 }),
      ],
    }));
  }

  const read = (parent) => JSON.parse(parent.querySelector(":scope > script").textContent);

  function drawFigures() {
    for (const figure of document.querySelectorAll("figure[data-chart]")) {
      const canvas = figure.querySelector(".canvas");
      const value = read(figure);
      let drawn = 0;
      const draw = () => {
        const width = Math.floor(canvas.clientWidth);
        if (width > 0 && width !== drawn) {
          drawn = width;
          canvas.replaceChildren(charts[figure.dataset.chart](value, width));
        }
      };
      draw();
      new ResizeObserver(() => requestAnimationFrame(draw)).observe(canvas);
    }
  }

  /* Texts of samples only ever become text nodes. */
  function node(name, text, properties = {}) {
    return Object.assign(document.createElement(name), { textContent: text ?? "" }, properties);
  }

  function diff(answer) {
    const holder = node("span");
    if (answer === null) {
      holder.append(node("i", "no answer"));
      return holder;
    }
    for (const stretch of answer[2]) {
      if (typeof stretch === "string") {
        holder.append(`${stretch} `);
      } else {
        if (stretch[0]) holder.append(node("del", stretch[0]), " ");
        if (stretch[1]) holder.append(node("ins", stretch[1]), " ");
      }
    }
    if (!holder.hasChildNodes()) holder.append(node("i", "(empty)"));
    return holder;
  }

  const errorRate = (answer) => (answer && answer[1] ? (100 * answer[0]) / answer[1] : null);

  function toRecord([id, seconds, differ, answers], index) {
    const texts = answers.flatMap((answer) => (answer === null ? [] : answer[2].flat()));
    const record = { index, id, seconds, differ, answers, search: [id, ...texts].join(" ").toLowerCase() };
    record.wrong = d3.max(answers, (answer) => (answer === null ? null : answer[0]));
    record.rate = errorRate(answers[0]);
    return record;
  }

  function playButton(id) {
    const player = [...document.querySelectorAll("audio")].find((audio) => audio.dataset.id === id);
    if (!player) return null;
    const button = node("button", "", { className: "play", type: "button" });
    const say = () => {
      button.textContent = player.paused ? "▶" : "❚❚";
      button.title = `${player.paused ? "Play" : "Pause"} ${id}`;
      button.ariaLabel = button.title;
    };
    for (const change of ["play", "pause"]) player.addEventListener(change, say);
    say();
    button.addEventListener("click", () => {
      for (const other of document.querySelectorAll("audio")) if (other !== player) other.pause();
      if (player.paused) player.play();
      else player.pause();
    });
    return button;
  }

  function columnsOf(labels, rows, scored, narrow) {
    const playable = new Set([...document.querySelectorAll("audio")].map((audio) => audio.dataset.id));
    const right = { hozAlign: "right", headerHozAlign: "right", headerSortStartingDir: "desc" };
    const columns = [{
      title: "id", field: "id", width: narrow ? 96 : Math.min(240, Math.max(120, 60 + 8 * d3.max(rows, (row) => row.id.length))), responsive: 0, variableHeight: true,
      formatter: (cell) => {
        const holder = node("span");
        const button = playable.has(cell.getValue()) ? playButton(cell.getValue()) : null;
        if (button) holder.append(button);
        holder.append(cell.getValue());
        return holder;
      },
    }];
    if (rows.some((row) => row.seconds !== null) && !(narrow && labels.length > 1)) {
      columns.push({ title: "seconds", field: "seconds", width: 92, responsive: 3, sorter: "number", ...right, formatter: (cell) => (cell.getValue() === null ? "–" : cell.getValue().toFixed(2)) });
    }
    if (scored && labels.length === 1) {
      const counts = (cell) => { const answer = cell.getData().answers[0]; return answer === null || answer[0] === null ? "–" : `${answer[0]} of ${answer[1]}`; };
      columns.push({ title: "wrong", field: "wrong", width: narrow ? 74 : 88, responsive: 0, sorter: "number", ...right, formatter: counts });
      columns.push({ title: "WER %", field: "rate", width: 84, responsive: 2, sorter: "number", ...right, formatter: (cell) => (cell.getValue() === null ? "–" : cell.getValue().toFixed(1)) });
    }
    labels.forEach((label, place) => columns.push(textColumn(label, place, labels.length > 1, scored, narrow)));
    return columns;
  }

  function textColumn(label, place, several, scored, narrow) {
    const byEdits = (left, right) => (left?.[0] ?? -1) - (right?.[0] ?? -1);
    const byText = (left, right) => d3.ascending(left?.[2].flat().join(" ") ?? "", right?.[2].flat().join(" ") ?? "");
    return {
      title: several ? label : scored && !narrow ? "text against its reference" : "text",
      field: `answers.${place}`, minWidth: narrow ? 130 : 220, widthGrow: 4, responsive: 0, variableHeight: true,
      headerSortStartingDir: several && scored ? "desc" : "asc",
      sorter: several && scored ? byEdits : byText,
      formatter: (cell) => {
        const answer = cell.getData().answers[place];
        const holder = diff(answer);
        if (several && answer !== null && answer[0] !== null) holder.prepend(node("span", `${answer[0]}/${answer[1]}`, { className: "badge" }));
        return holder;
      },
    };
  }

  function checkbox(text, changed) {
    const label = node("label");
    const box = node("input", "", { type: "checkbox" });
    box.addEventListener("change", changed);
    label.append(box, ` ${text}`);
    return [label, box];
  }

  /* Tabulator sorts at a click only. */
  function sortByKey(grid) {
    for (const header of grid.querySelectorAll(".tabulator-col.tabulator-sortable")) {
      header.tabIndex = 0;
      header.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        header.click();
      });
    }
  }

  function buildTable() {
    const holder = document.getElementById("table");
    if (!holder) return;
    const { labels, rows } = read(holder);
    const scored = "scored" in holder.dataset;
    const records = rows.map(toRecord);
    const table = new Tabulator("#grid", {
      data: records,
      index: "index",
      layout: "fitColumns",
      responsiveLayout: labels.length > 1 ? false : "collapse",
      maxHeight: "min(80vh, 720px)",
      responsiveLayoutCollapseFormatter: (hidden) => (hidden.length === 0 ? "" : node("span", hidden.map(({ title, value }) => `${title} ${value}`).join(" · "))),
      columns: columnsOf(labels, records, scored, holder.clientWidth < 560),
      columnDefaults: { resizable: false, vertAlign: "top" },
      placeholder: "No sample matches.",
      printAsHtml: true,
      printStyled: false,
      printRowRange: () => table.getRows("active").slice(0, PRINTED_ROWS),
    });
    const search = node("input", "", { type: "search", placeholder: "Search ids and texts" });
    search.setAttribute("aria-label", "Search ids and texts");
    const [wrongLabel, wrong] = checkbox("wrong ones only", () => apply());
    const [differLabel, differ] = checkbox("texts differ", () => apply());
    const shown = node("output");
    const count = (number) => { shown.textContent = `${d3.format(",")(number)} of ${d3.format(",")(records.length)} shown`; };
    const apply = () => {
      const wanted = search.value.trim().toLowerCase();
      table.setFilter((row) => row.search.includes(wanted) && (!wrong.checked || row.wrong > 0) && (!differ.checked || row.differ));
    };
    search.addEventListener("input", apply);
    document.getElementById("controls").append(search, ...(scored ? [wrongLabel] : []), ...(labels.length > 1 ? [differLabel] : []), shown);
    table.on("dataFiltered", (_, found) => count(found.length));
    table.on("tableBuilt", () => sortByKey(document.getElementById("grid")));
    count(records.length);
  }

  drawFigures();
  buildTable();
})();
