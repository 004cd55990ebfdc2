// The box to try the model: a prompt with or without media, an answer in text or pictures.

import { getJson, postForEvents, postJson } from "./api.js";
import { byId, el, picture } from "./dom.js";
import { AnswerCard } from "./try_answer.js";
import { Attachments, kindOf } from "./try_media.js";

const NUM_PICTURES = 4;
const attachments = new Attachments(byId("try-media"), () => {
  byId("try-text").required = attachments.isEmpty;
});

export function startTry() {
  byId("try-form").addEventListener("submit", submit);
  byId("try-file").addEventListener("change", (event) => attachFile(event.target.files[0]));
  byId("try-text").addEventListener("paste", (event) => attachFile(event.clipboardData.files[0]));
  byId("try-text").addEventListener("keydown", submitOnEnter);
  byId("more-examples").addEventListener("click", showExamples);
  showExamples();
}

export async function refreshModels() {
  const select = byId("try-model");
  const { data } = await getJson("/v1/models").catch(() => ({ data: [] }));
  const aliases = data.filter((model) => model.id !== model.version).map((model) => model.id);
  if (!aliases.length) aliases.push("stable");
  const before = select.value;
  if (aliases.join() === [...select.options].map((option) => option.value).join()) return;
  select.replaceChildren(...aliases.map((name) => el("option", { value: name }, name)));
  if (aliases.includes(before)) select.value = before;
}

async function submit(event) {
  event.preventDefault();
  const output = new FormData(event.target).get("output");
  const send = byId("try-send");
  send.disabled = true;
  const card = new AnswerCard();
  const body = { model: byId("try-model").value || "stable", messages: [{ role: "user", content: content() }] };
  try {
    await (output === "image" ? draw(body, card) : answer(body, card));
  } catch (error) {
    card.fail(error.message);
  }
  send.disabled = false;
}

async function answer(body, card) {
  card.wait("answering …");
  let last = {};
  let reason = null;
  await postForEvents("/v1/chat/completions", { ...body, stream: true, stream_options: { include_usage: true } }, (chunk) => {
    last = chunk;
    for (const choice of chunk.choices) {
      if (choice.delta.content) card.append(choice.delta.content);
      reason = choice.finish_reason ?? reason;
    }
  });
  card.finish({ id: last.id, model: last.model, version: last.system_fingerprint, usage: last.usage, reason });
}

async function draw(body, card) {
  card.wait("drawing …");
  const drawn = await postJson("/v1/chat/completions", { ...body, modalities: ["image"], n: NUM_PICTURES });
  const parts = drawn.choices.flatMap((choice) => (Array.isArray(choice.message.content) ? choice.message.content : []));
  card.showPictures(parts.filter((part) => part.type === "image_url").map((part) => part.image_url.url));
  card.finish({ id: drawn.id, model: drawn.model, version: drawn.system_fingerprint, usage: drawn.usage });
}

function content() {
  const text = byId("try-text").value;
  return [...attachments.parts(), ...(text.trim() ? [{ type: "text", text }] : [])];
}

function submitOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("try-form").requestSubmit();
}

async function attachFile(file) {
  if (!file) return;
  byId("try-file").value = "";
  await attachments.addFile(file).catch((error) => new AnswerCard().fail(error.message));
}

async function showExamples() {
  const { examples } = await getJson("/api/examples").catch(() => ({ examples: [] }));
  byId("examples").replaceChildren(...examples.map(example));
}

function example({ text, media, output }) {
  const use = () => {
    byId("try-text").value = text;
    attachments.replace(media);
    document.querySelector(`input[name="output"][value="${output}"]`).checked = true;
    byId("try-text").focus();
  };
  const shown = media.find((url) => kindOf(url).name !== "recording");
  const words = text || "a spoken question";
  return el("li", {}, el("button", { type: "button", onclick: use }, shown ? picture(shown, "") : null, el("span", {}, words)));
}
