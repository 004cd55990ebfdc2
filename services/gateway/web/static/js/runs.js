// The list of runs, and which of them is shown: the newest, until a person chooses.

import { getJson } from "./api.js";
import { byId, el } from "./dom.js";
import { ago, count } from "./format.js";
import { RunView } from "./run_view.js";

const view = new RunView();
let chosen = null;

export async function refreshRuns() {
  let runs;
  try {
    ({ runs } = await getJson("/api/runs"));
  } catch (error) {
    show({ problem: `Runs cannot be shown: ${error.message}` });
    return;
  }
  show({ isEmpty: !runs.length });
  if (!runs.length) return;
  const run = runs.find((candidate) => candidate.run_id === chosen) ?? runs[0];
  byId("run-list").replaceChildren(...runs.map((each) => entry(each, each === run)));
  if (run.run_id === view.runId) view.update(run);
  else view.open(run);
}

/** One of three: the runs, the hint for those who have none, or what is wrong. */
function show({ problem = "", isEmpty = false }) {
  const box = byId("runs-problem");
  box.textContent = problem;
  box.hidden = !problem;
  byId("runs-empty").hidden = Boolean(problem) || !isEmpty;
  byId("runs-view").hidden = isEmpty || (Boolean(problem) && !view.runId);
}

function entry(run, isShown) {
  const choose = () => {
    chosen = run.run_id;
    refreshRuns();
  };
  const steps = run.total_steps ? `${count(run.step)}/${count(run.total_steps)}` : count(run.step);
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", "aria-current": String(isShown), title: run.run_id, onclick: choose },
      el("span", { class: `dot ${run.state}`, "aria-hidden": "true" }),
      el("span", { class: "title" }, run.name || run.run_id),
      el("span", { class: "steps" }, steps),
      el("span", { class: "when" }, `${run.stage}, ${run.state}, ${ago(run.created_at_s)}`),
    ),
  );
}
