// What is attached to a prompt: pictures, recordings and clips as data URLs, in order.

import { el, picture } from "./dom.js";
import { clip, player } from "./media.js";

const MAX_BYTES = 16 * 1024 * 1024;
const KINDS = [
  { name: "clip", matches: /^data:(video\/|image\/gif)/, preview: (url) => clip({ url }), part: (url) => ({ type: "video_url", video_url: { url } }) },
  { name: "picture", matches: /^data:image\//, preview: (url) => picture(url, "The picture of your prompt"), part: (url) => ({ type: "image_url", image_url: { url } }) },
  { name: "recording", matches: /^data:audio\//, preview: (url) => player({ url }), part: (url) => ({ type: "audio_url", audio_url: { url } }) },
];

export class Attachments {
  /** `list` shows what is attached; `onChange` hears of it. */
  constructor(list, onChange) {
    this.list = list;
    this.onChange = onChange;
    this.urls = [];
  }

  get isEmpty() {
    return !this.urls.length;
  }

  /** The parts of a message. */
  parts() {
    return this.urls.map((url) => kindOf(url).part(url));
  }

  /** Rejects with what is wrong with a file. */
  async addFile(file) {
    if (file.size > MAX_BYTES) throw new Error("The file has more than 16 MB; send a smaller one.");
    const url = await dataUrl(file);
    if (!kindOf(url)) throw new Error(`${file.name} is no picture, recording or clip.`);
    this.replace([...this.urls, url]);
  }

  replace(urls) {
    this.urls = urls;
    this.list.replaceChildren(...urls.map((url, index) => this.item(url, index)));
    this.list.hidden = this.isEmpty;
    this.onChange();
  }

  item(url, index) {
    const { name, preview } = kindOf(url);
    const remove = () => this.replace(this.urls.filter((_, other) => other !== index));
    const button = el("button", { type: "button", class: "quiet", "aria-label": `Remove the ${name}`, onclick: remove }, "Remove");
    return el("li", {}, preview(url) ?? el("span", {}, name), button);
  }
}

export const kindOf = (url) => KINDS.find(({ matches }) => matches.test(url));

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(`${file.name} cannot be read.`));
    reader.readAsDataURL(file);
  });
}
