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
        x: { label: "percent →", domain: [0, most > 0 ? Math.min(most * 1.04, Math.max(most, 100)) : 1], ticks: Math.min(10, Math.floor(width / 80)), grid: true, nice: true },
        y: { axis: null, type: "point", domain: d3.range(rows.length), padding: 0.6 },
        color: { ...palette(runs), legend: false },
        marks: [
          Plot.text(rows, { ...place, ...LABEL, text: (row) => `${row.label}  ${row.text}`, dy: -15 }),
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

  const isAnswer = (answer) => typeof answer !== "string";

  /* Names and classes of the marks, as in samples.py. */
  const MARKS = { "-": ["del", ""], "+": ["ins", ""], "=": ["b", "good"], "!": ["b", "bad"] };

  function marked(answer) {
    const holder = node("span");
    if (!isAnswer(answer)) {
      holder.append(node("i", answer));
      return holder;
    }
    for (const piece of answer[2]) {
      if (typeof piece === "string") {
        holder.append(`${piece} `);
      } else {
        const [name, className] = MARKS[piece[0]];
        holder.append(node(name, piece[1], { className }), " ");
      }
    }
    if (!holder.hasChildNodes()) holder.append(node("i", "(empty)"));
    return holder;
  }

  const textOf = (answer) => (isAnswer(answer) ? answer[2].map((piece) => (typeof piece === "string" ? piece : piece[1])).join(" ") : "");

  function toRecord([id, facts, differ, answers], index) {
    const search = [id, ...facts.filter((fact) => typeof fact === "string"), ...answers.map(textOf)].join(" ").toLowerCase();
    const errors = answers.filter(isAnswer).map((answer) => answer[0]);
    const record = { index, id, differ, answers, search, wrong: d3.max(errors) > 0 };
    facts.forEach((fact, place) => { record[`fact${place}`] = fact; });
    if (isAnswer(answers[0])) answers[0][1].forEach((figure, place) => { record[`figure${place}`] = figure; });
    return record;
  }

  function playButton(player) {
    const button = node("button", "", { className: "play", type: "button" });
    const say = () => {
      button.textContent = player.paused ? "▶" : "❚❚";
      button.title = `${player.paused ? "Play" : "Pause"} ${player.dataset.id}`;
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

  /* What can be heard or seen of the samples that are shown above, by id. */
  function openers() {
    const found = new Map();
    for (const one of document.querySelectorAll(".exhibits [data-id]")) {
      found.set(one.dataset.id, () => (one.localName === "audio" ? playButton(one) : node("img", "", { className: "thumb", src: one.src, alt: "" })));
    }
    return found;
  }

  const RIGHT = { hozAlign: "right", headerHozAlign: "right", headerSortStartingDir: "desc", sorter: (left, right) => d3.ascending(left?.[0] ?? left ?? -1, right?.[0] ?? right ?? -1) };

  function columnsOf(labels, layout, rows, scored, narrow) {
    const media = openers();
    const several = labels.length > 1;
    const beside = document.querySelector(".exhibits img") ? 104 : 60;
    const columns = [{
      title: "id", field: "id", width: narrow ? 96 : Math.min(280, Math.max(120, beside + 8 * d3.max(rows, (row) => row.id.length))), responsive: 0, variableHeight: true,
      formatter: (cell) => {
        const holder = node("span", "", { className: "id" });
        if (media.has(cell.getValue())) holder.append(media.get(cell.getValue())());
        holder.append(node("span", cell.getValue()));
        return holder;
      },
    }];
    layout.facts.forEach((column, place) => {
      const known = rows.some((row) => row[`fact${place}`] !== null);
      if (known && !(narrow && several && column.digits !== null)) columns.push(factColumn(column, `fact${place}`, narrow));
    });
    if (scored && !several) {
      layout.figures.forEach((column, place) => {
        const shown = (cell) => cell.getValue()?.[1] ?? "–";
        columns.push({ title: column.title, field: `figure${place}`, width: narrow ? 74 : Math.max(88, 44 + 7 * column.title.length), responsive: column.folds ? 2 : 1, ...RIGHT, formatter: shown });
      });
    }
    labels.forEach((label, place) => columns.push(answerColumn(label, place, layout, several, scored, narrow)));
    return columns;
  }

  function factColumn({ title, digits, folds }, field, narrow) {
    const shared = { title, field, responsive: folds ? 3 : 0 };
    if (digits !== null) return { ...shared, width: 92, ...RIGHT, formatter: (cell) => cell.getValue()?.toFixed(digits) ?? "–" };
    return { ...shared, minWidth: narrow ? 90 : 140, widthGrow: 3, variableHeight: true, formatter: (cell) => node("span", cell.getValue() ?? "–") };
  }

  function answerColumn(label, place, layout, several, scored, narrow) {
    const error = (answer) => (isAnswer(answer) ? answer[0] ?? -1 : -1);
    const byError = (left, right) => error(left) - error(right);
    const byText = (left, right) => d3.ascending(textOf(left), textOf(right));
    return {
      title: several ? label : scored && !narrow ? layout.against : layout.answer,
      field: `answers.${place}`, minWidth: narrow ? 110 : 180, widthGrow: 4, responsive: 0, variableHeight: true,
      headerSortStartingDir: several && scored ? "desc" : "asc",
      sorter: several && scored ? byError : byText,
      formatter: (cell) => {
        const answer = cell.getData().answers[place];
        const holder = marked(answer);
        if (several && isAnswer(answer) && answer[1].length) holder.prepend(node("span", answer[1][0][1], { className: "badge" }));
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
    const { labels, layout, rows } = read(holder);
    const scored = "scored" in holder.dataset;
    const records = rows.map(toRecord);
    const table = new Tabulator("#grid", {
      data: records,
      index: "index",
      layout: "fitColumns",
      responsiveLayout: labels.length > 1 ? false : "collapse",
      maxHeight: "min(80vh, 720px)",
      responsiveLayoutCollapseFormatter: (hidden) => (hidden.length === 0 ? "" : node("span", hidden.map(({ title, value }) => `${title} ${value.textContent ?? value}`).join(" · "))),
      columns: columnsOf(labels, layout, records, scored, holder.clientWidth < 560),
      columnDefaults: { resizable: false, vertAlign: document.querySelector(".exhibits img") ? "middle" : "top" },
      placeholder: "No sample matches.",
      printAsHtml: true,
      printStyled: false,
      printRowRange: () => table.getRows("active").slice(0, PRINTED_ROWS),
    });
    const search = node("input", "", { type: "search", placeholder: layout.search });
    search.setAttribute("aria-label", layout.search);
    const [wrongLabel, wrong] = checkbox("wrong ones only", () => apply());
    const [differLabel, differ] = checkbox(layout.differ, () => apply());
    const shown = node("output");
    const count = (number) => { shown.textContent = `${d3.format(",")(number)} of ${d3.format(",")(records.length)} shown`; };
    const apply = () => {
      const wanted = search.value.trim().toLowerCase();
      table.setFilter((row) => row.search.includes(wanted) && (!wrong.checked || row.wrong) && (!differ.checked || row.differ));
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
