// The cards of the five services.

import { getJson } from "./api.js";
import { byId, el } from "./dom.js";
import { bytes, count, milliseconds, shortVersion } from "./format.js";

const ROLES = {
  policy: "Answers and draws; keeps versions resident",
  reward: "Scores answers",
  trainer: "Runs training, from a recipe to a version",
  feedback: "Keeps answers and what people say of them",
  gateway: "This page and the OpenAI-compatible API",
};
const SHOWN = 4;
const HOLDINGS = { policy: policyRows, reward: rewardRows, trainer: trainerRows, feedback: feedbackRows, gateway: gatewayRows };

export async function refreshServices() {
  let services;
  try {
    ({ services } = await getJson("/api/services"));
  } catch {
    byId("health-summary").textContent = "the gateway does not answer";
    return;
  }
  const cards = byId("service-cards");
  cards.replaceChildren(...services.map(card));
  cards.setAttribute("aria-busy", "false");
  const serving = services.filter((service) => service.health === "serving").length;
  byId("health-summary").textContent = `${serving} of ${services.length} serving`;
}

function card(service) {
  const isServing = service.health === "serving";
  const rows = service.holds ? HOLDINGS[service.name](service.holds) : [];
  return el(
    "li",
    { class: `service ${service.health.replace(" ", "-")}`, "data-service": service.name },
    el(
      "header",
      {},
      el("span", { class: "dot", "aria-hidden": "true" }),
      el("span", { class: "name" }, service.name),
      el("span", { class: "latency", title: "time of the last health check" }, latency(service)),
    ),
    el("p", { class: "role" }, ROLES[service.name]),
    isServing ? null : el("p", { class: "health" }, `${service.health} at ${service.address}; attune up starts it`),
    rows.length ? el("ul", { class: "holdings" }, ...rows) : null,
  );
}

function latency(service) {
  return service.latency_s === null ? "" : milliseconds(service.latency_s);
}

function row(key, value, attributes = {}) {
  return el(
    "li",
    attributes,
    el("span", { class: "key" }, key),
    value === "" ? null : el("span", { class: attributes.title ? "value id" : "value" }, value),
  );
}

/** Named versions first, each with what names it. */
function versionRows(versions, describe) {
  const ordered = [...versions].sort((a, b) => b.aliases.length - a.aliases.length);
  const rows = ordered.slice(0, SHOWN).map(describe);
  if (ordered.length > SHOWN) rows.push(row(`and ${ordered.length - SHOWN} more`, ""));
  return rows;
}

function policyRows({ versions }) {
  if (!versions.length) return [row("no version yet: attune pretrain", "")];
  return versionRows(versions, (version) =>
    row(version.aliases.join(", ") || version.state, shortVersion(version.name), {
      title: `${version.name}, ${version.state}, ${bytes(version.resident_bytes)} resident`,
    }),
  );
}

function rewardRows({ versions }) {
  return versionRows(versions, (version) => {
    const name = shortVersion(version.name);
    if (!version.aliases.length) return row(name, version.state);
    return row(version.aliases.join(", "), name, { title: `${version.name}, ${version.state}` });
  });
}

function trainerRows({ runs, has_more: hasMore, running }) {
  const total = `${count(runs)}${hasMore ? "+" : ""}`;
  return [row("runs", total), row("running now", running.length ? running.length : "none")];
}

function feedbackRows({ snapshots, newest }) {
  if (!newest) return [row("no snapshot yet", "")];
  return [
    row("snapshots", count(snapshots)),
    row("items in newest", count(newest.items)),
    row("judgements in newest", count(newest.judgements)),
  ];
}

function gatewayRows({ requests, tokens }) {
  return [row("requests answered", count(requests)), row("tokens", count(tokens))];
}
