// Starts the page, and asks again every few seconds while it is looked at.

import { refreshRuns } from "./runs.js";
import { refreshServices } from "./services.js";
import { refreshModels, startTry } from "./try.js";

const PERIOD_MS = 4000;

async function refresh() {
  await Promise.all([refreshServices(), refreshRuns(), refreshModels()]);
}

async function refreshForever() {
  if (document.visibilityState === "visible") await refresh();
  setTimeout(refreshForever, PERIOD_MS);
}

startTry();
refreshForever();
