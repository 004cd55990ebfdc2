// Samples by step: a strip of frames for each task, the newest at the right.

import { byId, el, picture, swatch } from "./dom.js";
import { figure } from "./format.js";
import { clip, player } from "./media.js";
import { seriesColor } from "./theme.js";

const MAX_FRAMES = 60;
const NEAR_END_PX = 40;

export class Filmstrip {
  constructor() {
    this.container = byId("film");
    this.reset();
  }

  reset() {
    this.strips = new Map();
    this.container.replaceChildren();
    byId("film-title").hidden = true;
  }

  add(step, sample) {
    byId("film-title").hidden = false;
    const frames = this.strips.get(sample.task) ?? this.addStrip(sample.task);
    const isAtEnd = frames.scrollWidth - frames.scrollLeft - frames.clientWidth < NEAR_END_PX;
    frames.append(frame(step, sample));
    if (frames.children.length > MAX_FRAMES) frames.firstChild.remove();
    if (isAtEnd) frames.scrollLeft = frames.scrollWidth;
  }

  addStrip(task) {
    const frames = el("ol", { class: "frames", tabindex: "0", "aria-label": `Samples of ${task}` });
    const title = el("h5", {}, swatch(seriesColor(task)), el("span", { title: task }, task || "samples"));
    this.container.append(el("section", { class: "strip" }, title, frames));
    this.strips.set(task, frames);
    return frames;
  }
}

function frame(step, sample) {
  const asked = sample.prompt_image && picture(sample.prompt_image, "The picture of the prompt");
  const drawn = sample.answer_image && picture(sample.answer_image, "The picture that was drawn");
  const clips = sample.prompt_media.filter(({ kind }) => kind === "clip").map(clip);
  const recordings = sample.prompt_media.filter(({ kind }) => kind === "recording").map(player);
  const seen = [asked, ...clips, drawn].filter(Boolean);
  const reward = sample.reward === null ? null : el("span", { class: "reward", title: "reward" }, figure(sample.reward));
  return el(
    "li",
    { class: "frame", title: `${sample.prompt_text}\n→ ${sample.answer_text}` },
    el("header", {}, el("span", {}, `step ${step}`), reward),
    seen.length ? el("div", { class: "pictures" }, ...seen) : null,
    ...recordings,
    el("p", { class: "prompt" }, sample.prompt_text),
    sample.answer_text ? el("p", { class: "said" }, sample.answer_text) : null,
  );
}
