// Recordings and clips that a person can play: from data URLs of such media, never from anywhere else.

import { el, picture } from "./dom.js";

/** A GIF moves by itself; other clips wait to be played. */
export function clip({ url }) {
  if (!url) return absent("A clip that is not kept");
  if (/^data:video\/(mp4|webm);base64,/.test(url)) {
    return el("video", { src: url, controls: true, loop: true, playsinline: true, preload: "metadata", "aria-label": "The clip of the prompt" });
  }
  return picture(url, "The clip of the prompt");
}

/** The browser's own controls, which the keyboard reaches. */
export function player({ url }) {
  if (!url) return absent("A recording that is not kept");
  if (!/^data:audio\/(wav|flac|mpeg|ogg);base64,/.test(url)) return null;
  return el("audio", { src: url, controls: true, controlslist: "nodownload noplaybackrate", preload: "metadata", "aria-label": "The recording of the prompt" });
}

const absent = (words) => el("span", { class: "absent" }, words);
