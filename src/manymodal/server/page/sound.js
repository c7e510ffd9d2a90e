// The input for sounds: choose, drop, or record; what is chosen can be heard before it is asked with.

import { button, chooser, el } from "./dom.js";
import { decode, encode } from "./wav.js";

const READ = /wav|wave|flac|ogg|mpeg|mp3/; // what the server reads as it is

export function soundInput(part, name, { changed, limits, trouble }) {
  const element = el("div", { class: "sound" });
  let stop = null; // ends the recording that is on
  let source = null;

  function take(blob) {
    if (source) URL.revokeObjectURL(source);
    source = blob ? URL.createObjectURL(blob) : null;
    part.file = blob;
    part.lost = false;
    trouble("");
    show();
    changed();
  }

  async function choose(file) {
    if (READ.test(file.type)) return take(file);
    try {
      take(encode(await decode(file)));
    } catch {
      trouble(`“${file.name}” is not a sound that this browser can read. Try WAV, FLAC, OGG or MP3.`);
    }
  }

  async function record() {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch {
      return trouble("No microphone: the browser has none, or was not allowed to use it.");
    }
    trouble("");
    const recorder = new MediaRecorder(stream);
    const pieces = [];
    recorder.ondataavailable = (event) => pieces.push(event.data);
    recorder.onstop = async () => {
      clearInterval(clock);
      stream.getTracks().forEach((track) => track.stop());
      stop = null;
      if (!element.isConnected) return;
      try {
        take(encode(await decode(new Blob(pieces, { type: recorder.mimeType }))));
      } catch {
        trouble("The recording came out empty. Try once more, a little longer.");
        show();
      }
    };
    const started = Date.now();
    const clock = setInterval(() => {
      const seconds = (Date.now() - started) / 1000;
      time.textContent = `${seconds.toFixed(0)} s`;
      if (seconds >= limits.sound_seconds - 1 || !element.isConnected) recorder.stop();
    }, 200);
    const time = el("span", { class: "clock", role: "timer" }, "0 s");
    stop = () => recorder.stop();
    recorder.start();
    show(time);
    element.querySelector("button").focus();
  }

  function show(time = null) {
    if (stop) {
      element.replaceChildren(
        el(
          "div",
          { class: "well recording" },
          el("span", { class: "dot" }),
          time,
          button("Stop", () => stop(), { icon: "stop", class: "main" }),
        ),
      );
    } else if (source) {
      element.replaceChildren(
        el(
          "div",
          { class: "well" },
          el("audio", { controls: true, src: source, "aria-label": `The sound for ${name}` }),
          button("Another one", () => take(null), { class: "quiet" }),
        ),
      );
    } else {
      element.replaceChildren(
        el(
          "div",
          { class: "well" },
          el("p", { class: "hint" }, "Drop a sound here, or"),
          el(
            "div",
            { class: "row" },
            chooser("Choose a sound", "audio/*", choose, { icon: "file" }),
            navigator.mediaDevices && window.MediaRecorder ? button("Record", record, { icon: "audio" }) : null,
          ),
        ),
      );
    }
  }

  show();
  return { element, take: choose, takes: "audio/" };
}
