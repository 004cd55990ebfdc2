// The curves of a run: a small chart for each group of metrics, redrawn at most twice a second.

import { isMain, panelsOf, seriesLabel } from "./curve_panels.js";
import { byId, el, swatch } from "./dom.js";
import { figure } from "./format.js";
import { loadPlotly } from "./plotly.js";
import { color, onThemeChange, seriesColor } from "./theme.js";

const REDRAW_MS = 500;
const NUM_PRIMARY = 6;
const CONFIG = { displayModeBar: false, responsive: true, doubleClick: "reset" };

export class Curves {
  constructor() {
    this.container = byId("curves");
    this.more = byId("more-curves");
    this.more.addEventListener("toggle", () => this.schedule());
    this.reset();
    onThemeChange(() => this.schedule());
  }

  reset() {
    this.series = new Map(); // name → {x: steps, y: values}
    this.cards = new Map(); // title → elements
    this.container.replaceChildren();
    this.more.lastElementChild.replaceChildren();
    this.more.hidden = true;
    byId("curves-empty").hidden = false;
  }

  add(step, metrics) {
    for (const [name, value] of Object.entries(metrics)) {
      if (!this.series.has(name)) this.series.set(name, { x: [], y: [] });
      const { x, y } = this.series.get(name);
      x.push(step);
      y.push(value);
    }
    this.schedule();
  }

  schedule() {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.draw();
    }, REDRAW_MS);
  }

  async draw() {
    if (!this.series.size) return;
    byId("curves-empty").hidden = true;
    const plotly = await loadPlotly();
    const panels = panelsOf([...this.series.keys()]);
    panels.forEach((panel, index) => this.drawPanel(plotly, panel, index < NUM_PRIMARY));
    this.more.hidden = panels.length <= NUM_PRIMARY;
  }

  drawPanel(plotly, panel, isPrimary) {
    const card = this.cards.get(panel.title) ?? this.addCard(panel);
    this.place(card.root, isPrimary);
    if (card.root.offsetParent === null) return; // in the closed half
    const entries = panel.names.map((name) => ({ name, label: seriesLabel(name), paint: paint(name, panel), ...this.series.get(name) }));
    card.latest.textContent = latest(entries, panel);
    card.legend.replaceChildren(...legend(entries));
    card.plot.setAttribute("aria-label", entries.map((e) => `${e.label} ${figure(e.y.at(-1))}`).join(", "));
    plotly.react(card.plot, entries.map((entry) => trace(entry, panel)), layout(entries, panel), CONFIG);
  }

  /** Panels keep their order; the first few are in sight, the rest behind "More curves". */
  place(root, isPrimary) {
    const home = isPrimary ? this.container : this.more.lastElementChild;
    if (root.parentElement !== home) home.append(root);
  }

  addCard(panel) {
    const card = {
      latest: el("span", { class: "latest" }),
      legend: el("ul", { class: "legend" }),
      plot: el("div", { class: "plot", role: "img" }),
    };
    const header = el("header", {}, el("h4", {}, panel.title), card.latest);
    const meaning = el("p", { class: "meaning" }, panel.meaning);
    card.root = el("section", { class: "curve", "data-panel": panel.title }, header, meaning, card.plot, card.legend);
    this.cards.set(panel.title, card);
    return card;
  }
}

function paint(name, panel) {
  return isMain(name) && panel.names.filter(isMain).length === 1 ? color("series-main") : seriesColor(seriesLabel(name));
}

function latest(entries, panel) {
  if (panel.stacked) return `${figure(entries.reduce((sum, entry) => sum + (entry.y.at(-1) ?? 0), 0))} s`;
  const main = entries.find((entry) => entry.name === panel.main) ?? entries.find((entry) => isMain(entry.name));
  return figure((main ?? entries[0]).y.at(-1));
}

function legend(entries) {
  if (entries.length < 2) return [];
  return entries.map((entry) => el("li", {}, swatch(entry.paint), `${entry.label} ${figure(entry.y.at(-1))}`));
}

function trace(entry, panel) {
  const isThick = isMain(entry.name);
  return {
    x: entry.x,
    y: entry.y,
    name: entry.label.replaceAll("<", "‹"), // Plotly reads a little markup in names
    mode: entry.x.length < 3 && !panel.stacked ? "lines+markers" : "lines",
    line: { color: entry.paint, width: isThick ? 2 : 1.4 },
    hovertemplate: "%{y:.4g}",
    ...(panel.stacked ? { stackgroup: "one", line: { color: entry.paint, width: 0.5 } } : {}),
  };
}

function layout(entries, panel) {
  const axis = {
    gridcolor: color("grid"), zerolinecolor: color("grid"), linecolor: color("line"),
    tickfont: { size: 10, color: color("ink-soft") }, nticks: 5, automargin: true, fixedrange: true,
  };
  const lastStep = Math.max(...entries.map((entry) => entry.x.at(-1)));
  return {
    datarevision: entries.reduce((sum, entry) => sum + entry.x.length, 0),
    margin: { l: 34, r: 8, t: 8, b: 22 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: color("sans"), color: color("ink") },
    hoverlabel: { bgcolor: color("surface"), bordercolor: color("line"), font: { size: 11, color: color("ink") } },
    hovermode: "x unified",
    showlegend: false,
    xaxis: { ...axis, showgrid: false, tickformat: "d", ...(lastStep < 6 ? { dtick: 1 } : {}) },
    yaxis: { ...axis, exponentformat: "e", minexponent: 4, rangemode: panel.fromZero ? "tozero" : "normal" },
  };
}
