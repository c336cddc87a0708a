// The picture in the middle: what goes in, how it is being made, and before against after.

import * as api from "./api.js";
import { element } from "./forms.js";

const $ = (id) => document.getElementById(id);
const urls = new Set();

let running = null; // the job that is shown
let photo = null; // {blob, id, width, height}
let current = null; // the finished picture that is shown: {blob, job, number}
let onPhoto = () => {};
let onVary = () => {};

function urlOf(blob) {
  const url = URL.createObjectURL(blob);
  urls.add(url);
  return url;
}

export function say(text) {
  $("status").textContent = text;
}

export function fail(error) {
  $("error").textContent = error.message ?? String(error);
  $("error").hidden = false;
}

export function clearError() {
  $("error").hidden = true;
}

export function setHandlers(handlers) {
  ({ onPhoto, onVary } = handlers);
}

export const currentPhoto = () => photo;

/** Uploads a photo and shows it. Returns the upload. */
export async function usePhoto(blob) {
  clearError();
  const known = await api.upload(blob);
  photo = { blob, ...known };
  showBefore(blob);
  say(`${known.width} × ${known.height} pixels`);
  onPhoto(photo);
  return known;
}

function showBefore(blob) {
  current = null;
  $("empty").hidden = true;
  $("results").hidden = true;
  const before = $("before");
  before.src = urlOf(blob);
  before.hidden = false;
  $("after").hidden = true;
  $("compare-row").hidden = true;
  $("divider").hidden = true;
  $("canvas").classList.remove("comparing");
  $("change").hidden = false;
  for (const name of ["save", "vary", "reuse"]) $(name).hidden = true;
}

function compareAt(share) {
  $("after").style.clipPath = `inset(0 0 0 ${share}%)`;
  $("divider").style.left = `${share}%`;
}

/** Shows a finished picture; `compare` puts the photo beside it. */
export function show(blob, job, number, { compare = false } = {}) {
  current = { blob, job, number };
  $("empty").hidden = true;
  const after = $("after");
  after.src = urlOf(blob);
  after.alt = "The finished picture";
  after.hidden = false;
  after.classList.toggle("small-picture", !compare);
  const both = compare && photo !== null;
  $("before").hidden = !both;
  $("canvas").classList.toggle("comparing", both);
  $("compare-row").hidden = !both;
  $("divider").hidden = !both;
  $("compare").value = 0;
  compareAt(0);
  const save = $("save");
  save.href = after.src;
  save.download = `ganart-${job.id.slice(0, 8)}-${number}.png`;
  for (const name of ["save", "vary", "reuse"]) $(name).hidden = false;
  $("change").hidden = !both;
}

export function showResults(pictures, job) {
  const tiles = pictures.map(({ blob, about }, number) => {
    const image = element("img", { src: urlOf(blob), alt: `Picture ${number + 1}` });
    const tile = element("button", { type: "button", className: "tile" }, image, about ?? `${number + 1}`);
    tile.setAttribute("aria-pressed", String(number === 0));
    tile.addEventListener("click", () => {
      for (const other of $("results").children) other.setAttribute("aria-pressed", String(other === tile));
      show(blob, job, number);
    });
    return tile;
  });
  $("results").replaceChildren(...tiles);
  $("results").hidden = pictures.length < 2;
}

const seconds = (value) => (value < 90 ? `${Math.ceil(value)} s` : `${Math.ceil(value / 60)} min`);

function progress(data) {
  const bar = $("progress");
  bar.hidden = false;
  if (data.total) {
    bar.max = data.total;
    bar.value = data.step;
  } else bar.removeAttribute("value");
  const left = data.eta == null ? "" : `, about ${seconds(data.eta)} left`;
  say(`${data.phase ? `${data.phase}, ` : ""}step ${data.step}${data.total ? ` of ${data.total}` : ""}${left}`);
}

/** Submits a job, shows it being made, and returns its pictures, `[{blob, about}]`, and the ended job. */
export async function run(verb, asked, { compare = false, priority = 0 } = {}) {
  clearError();
  if (running) await api.cancel(running.id).catch(() => {});
  let job = await api.submit(verb, asked, priority);
  running = job;
  say(job.state === "queued" ? "Waiting for its turn…" : "Starting…");
  $("stop").hidden = false;
  $("progress").hidden = false;
  $("progress").removeAttribute("value");
  for (const name of ["save", "vary", "reuse"]) $(name).hidden = true;
  $("results").hidden = true;
  try {
    for await (const event of api.events(job.id)) {
      if (running?.id !== job.id) return null; // another job took the stage
      if (event.type === "step") progress(event.data);
      else if (event.type === "state" && event.data.state === "running") say("Starting…");
      else if (event.type === "preview") {
        const after = $("after");
        after.src = event.data.image;
        after.alt = "The picture being made";
        after.hidden = false;
        after.style.clipPath = "";
        after.classList.toggle("small-picture", !compare);
        $("canvas").classList.toggle("comparing", compare);
        $("empty").hidden = true;
        if (!compare) $("before").hidden = true;
        $("compare-row").hidden = true;
        $("divider").hidden = true;
      }
    }
    job = await api.getJob(job.id);
    if (running?.id !== job.id) return null;
    if (job.state === "failed") throw new Error(job.error ?? "The job failed.");
    const pictures = await Promise.all(
      (job.pictures ?? []).map(async (about, number) => ({ blob: await api.picture(job.id, number), about: about.label })),
    );
    say(
      job.state === "stopped"
        ? pictures.length ? "Stopped. This is the best so far." : "Stopped before there was a picture."
        : `Done in ${seconds(job.seconds ?? 0)}.`,
    );
    if (pictures.length) {
      show(pictures[0].blob, job, 0, { compare });
      showResults(pictures, job);
    }
    return { job, pictures };
  } finally {
    if (running?.id === job.id) {
      running = null;
      $("stop").hidden = true;
      $("progress").hidden = true;
    }
  }
}

export function start() {
  $("compare").addEventListener("input", (event) => compareAt(Number(event.target.value)));
  $("stop").addEventListener("click", async () => {
    if (!running) return;
    say("Stopping…");
    await api.cancel(running.id).catch(fail);
  });
  $("reuse").addEventListener("click", () => current && usePhoto(current.blob).catch(fail));
  $("vary").addEventListener("click", () => current && onVary(current.job));
  addEventListener("pagehide", () => urls.forEach((url) => URL.revokeObjectURL(url)));
}
