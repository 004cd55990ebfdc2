// The run that is shown: its header, and its events as they come.

import { getJson } from "./api.js";
import { Curves } from "./curves.js";
import { byId, el } from "./dom.js";
import { Filmstrip } from "./filmstrip.js";
import { ago, count, duration, shortVersion } from "./format.js";

const MAX_LOG_LINES = 500;
const RETRY_MS = 5000;
const ACTIVE = ["queued", "running", "stopping"];

export class RunView {
  constructor() {
    this.curves = new Curves();
    this.film = new Filmstrip();
    this.runId = null;
    byId("recipe").addEventListener("toggle", () => this.showRecipe());
  }

  /** Shows another run from its first event on. */
  open(run) {
    this.runId = run.run_id;
    this.source?.close();
    this.curves.reset();
    this.film.reset();
    byId("run-log").replaceChildren();
    byId("run-phase").textContent = "";
    byId("recipe").open = false;
    this.update(run);
    this.follow(run.run_id, 0);
  }

  /** What the list of runs says of it now. */
  update(run) {
    this.run = run;
    byId("run-name").textContent = run.name || run.run_id;
    this.setState(run.state);
    this.setStep(run.step);
    const seconds = run.updated_at_s - run.created_at_s;
    byId("run-facts").replaceChildren(
      fact("stage", run.stage), fact("started", ago(run.created_at_s)), fact("took", duration(seconds)),
      ...version("from", run.initial_version), ...version("published", run.latest_version), ...version("as", run.alias),
    );
    const error = byId("run-error");
    error.textContent = run.error;
    error.hidden = !run.error;
  }

  follow(runId, after) {
    const source = new EventSource(`/api/runs/${encodeURIComponent(runId)}/events?after=${after}`);
    this.source = source;
    let last = after;
    source.onmessage = (message) => {
      const event = JSON.parse(message.data);
      last = event.sequence;
      this.take(event);
    };
    source.addEventListener("end", () => source.close());
    source.addEventListener("failed", () => {
      source.close();
      setTimeout(() => source === this.source && this.follow(runId, last), RETRY_MS);
    });
  }

  take(event) {
    if (event.kind === "metrics") {
      this.curves.add(event.step, event.metrics);
      this.setStep(event.step);
    } else if (event.kind === "sample") this.film.add(event.step, event.sample);
    else if (event.kind === "progress") this.setPhase(event);
    else if (event.kind === "state") {
      this.setState(event.state);
      this.log(event.at_s, "info", event.message ? `${event.state}: ${event.message}` : event.state);
    } else if (event.kind === "published") this.log(event.at_s, "info", `published ${event.version} as ${event.alias}`);
    else if (event.kind === "log") this.log(event.at_s, event.level, event.text);
  }

  setState(state) {
    const pill = byId("run-state");
    pill.textContent = state;
    pill.className = `pill ${state}`;
    if (!ACTIVE.includes(state)) byId("run-phase").textContent = "";
  }

  setStep(step) {
    const { total_steps: total } = this.run;
    const progress = byId("run-progress");
    progress.max = Math.max(total, step, 1);
    progress.value = step;
    byId("run-step").textContent = total ? `step ${count(step)} of ${count(total)}` : `step ${count(step)}`;
  }

  setPhase({ phase, done, total }) {
    byId("run-phase").textContent = total ? `${phase}: ${count(done)} of ${count(total)}` : phase;
  }

  log(atSeconds, level, text) {
    const lines = byId("run-log");
    const time = new Date(atSeconds * 1e3).toLocaleTimeString("en", { hour12: false });
    lines.append(el("li", { class: level }, `${time}  ${text}`));
    if (lines.children.length > MAX_LOG_LINES) lines.firstChild.remove();
  }

  async showRecipe() {
    const recipe = byId("recipe");
    if (!recipe.open) return;
    const { recipe_toml: toml } = await getJson(`/api/runs/${encodeURIComponent(this.runId)}`);
    recipe.querySelector("pre").textContent = toml;
  }
}

const fact = (name, value) => el("span", {}, `${name} `, el("b", {}, value));

function version(name, id) {
  return id ? [el("span", {}, `${name} `, el("code", { title: id }, shortVersion(id)))] : [];
}
