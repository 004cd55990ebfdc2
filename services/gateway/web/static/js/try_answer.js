// The answer in the box to try: text as it streams, pictures, who gave it, and what a person says of it.

import { postJson } from "./api.js";
import { byId, el, picture } from "./dom.js";
import { count, shortVersion } from "./format.js";

export class AnswerCard {
  constructor() {
    this.text = el("p", { class: "text" });
    this.card = byId("try-answer");
    this.card.replaceChildren(this.text);
    this.startedMs = performance.now();
  }

  wait(text) {
    this.card.prepend((this.waiting = el("p", { class: "waiting" }, text)));
  }

  append(text) {
    this.waiting?.remove();
    this.text.append(text);
  }

  showPictures(urls) {
    this.waiting?.remove();
    const pictures = urls.map((url, index) => picture(url, `Picture ${index + 1} that was drawn`));
    this.card.append(el("div", { class: "drawn" }, ...pictures));
  }

  /** Where the answer came from, and the buttons to judge it. */
  finish({ id, model, version, usage, reason }) {
    const seconds = ((performance.now() - this.startedMs) / 1e3).toFixed(2);
    const tokens = usage ? `${count(usage.prompt_tokens)} tokens in, ${count(usage.completion_tokens)} out` : "";
    const cut = reason === "length" ? "cut at its token limit" : "";
    const facts = [`${model} (${shortVersion(version)})`, tokens, `${seconds} s`, cut].filter(Boolean);
    this.waiting?.remove();
    if (!this.text.textContent && !this.card.querySelector("img")) this.append("(an empty answer)");
    this.card.append(el("p", { class: "source", title: `${id} by ${version}` }, facts.join(" · ")), judge(id));
  }

  fail(message) {
    this.waiting?.remove();
    this.card.append(el("p", { class: "problem", role: "alert" }, message));
  }
}

function judge(completionId) {
  const status = el("span", { role: "status" });
  const buttons = [["up", "Good"], ["down", "Bad"]].map(([value, label]) => {
    const onclick = () => send(value);
    return el("button", { type: "button", "aria-pressed": "false", "data-value": value, onclick }, label);
  });

  async function send(value) {
    status.textContent = "storing …";
    try {
      const headers = { "Idempotency-Key": crypto.randomUUID?.() ?? `${completionId}-${Date.now()}` };
      await postJson("/v1/feedback", { completion_id: completionId, value }, headers);
      for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.value === value));
      status.textContent = "stored";
    } catch (error) {
      status.textContent = error.message;
    }
  }

  return el("div", { class: "judge" }, "Judge this answer", ...buttons, status);
}
