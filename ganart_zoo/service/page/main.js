// The page: tabs, and what each of them asks the server for.

import * as api from "./api.js";
import { element, form } from "./forms.js";
import * as stage from "./stage.js";

const $ = (id) => document.getElementById(id);
const THUMBNAIL = 128;

let zoo = null; // what the server describes
let chosen = null; // the style: {model, name} or {upload, name}
const NOTHING = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="; // one clear pixel
let restyleWaits = false; // a style was picked before there was a photo
let thumbnailsOf = null; // the photo whose thumbnails are shown
let readers = {};
let lastExplored = null;

// --- tabs -----------------------------------------------------------------------------------------------------------

const tabs = [...document.querySelectorAll("[role=tab]")];

function open(name) {
  for (const tab of tabs) {
    const is = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", String(is));
    tab.tabIndex = is ? 0 : -1;
    $(tab.getAttribute("aria-controls")).hidden = !is;
  }
  document.querySelector(".bench").classList.toggle("wide-panel", name === "gallery" || name === "models");
  if (name === "gallery") showGallery().catch(stage.fail);
}

const shownTab = () => tabs.find((tab) => tab.getAttribute("aria-selected") === "true").id.slice(4);

tabs.forEach((tab, place) => {
  tab.addEventListener("click", () => open(tab.id.slice(4)));
  tab.addEventListener("keydown", (event) => {
    const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    const next = tabs[(to + tabs.length) % tabs.length];
    next.focus();
    open(next.id.slice(4));
    event.preventDefault();
  });
});

// --- models and forms -----------------------------------------------------------------------------------------------

const models = (kind, test = () => true) => zoo.models.filter((model) => model.kind === kind && model.ready && test(model));
const can = (capability) => (model) => model.capabilities.includes(capability);
const merged = (model) => ({
  $defs: { ...model.config_schema.$defs, ...model.options_schema.$defs },
  properties: { ...model.config_schema.properties, ...model.options_schema.properties },
});

/** A form with a menu of models and the settings of the chosen one; returns `() => ({model, weights, settings, ...own})`. */
function modelForm(place, verb, choices, { first = [], own = [], label = "Method", folded = false } = {}) {
  const id = `${verb}-model`;
  const menu = element("select", { id }, ...choices.map((model) => element("option", { value: model.name }, model.name)));
  const about = element("p", { className: "about" });
  const ownPlace = element("div");
  const settings = element("div");
  const variants = element("div");
  const schema = zoo.verbs[verb];
  const properties = Object.fromEntries(own.filter((n) => n in schema.properties).map((n) => [n, schema.properties[n]]));
  const readOwn = form(ownPlace, { $defs: schema.$defs, properties }, { first: own, whole: true });
  let readSettings = () => ({});
  let readVariant = () => ({});
  const refill = () => {
    const model = choices.find((one) => one.name === menu.value);
    about.textContent = model?.summary ?? "No model for this is installed.";
    readSettings = model ? form(settings, merged(model), { first, hide: ["style", "styles"] }) : () => ({});
    readVariant = variantMenu(variants, model);
  };
  menu.addEventListener("change", refill);
  const inside = [element("label", { className: "field", for: id }, label), menu, about, variants, ownPlace, settings];
  place.replaceChildren(...(folded ? [element("details", {}, element("summary", {}, "Settings"), ...inside)] : inside));
  refill();
  return () => ({ model: menu.value, ...readVariant(), settings: readSettings(), ...readOwn() });
}

/** A menu of the weights of a model, where there is a choice. */
function variantMenu(place, model) {
  const here = (model?.weights ?? []).filter((one) => one.state === "here");
  place.replaceChildren();
  if (here.length < 2) return () => ({});
  const id = `${model.name}-weights`;
  const menu = element("select", { id }, ...here.map((one) => element("option", { value: one.variant }, one.variant)));
  place.replaceChildren(element("label", { className: "field", for: id }, "Trained on"), menu);
  return () => ({ weights: menu.value });
}

// --- restyle --------------------------------------------------------------------------------------------------------

function styleTiles() {
  const place = $("styles");
  const found = models("style_transfer", (model) => model.styles?.length).flatMap((model) =>
    model.styles.map((name) => ({ model: model.name, name })),
  );
  if (!found.length) {
    place.replaceChildren(element("p", { className: "all" }, "No model with styles of its own is installed. Use a painting of yours below."));
    return;
  }
  place.replaceChildren(
    ...found.map((style) => {
      const image = element("img", { alt: "", loading: "lazy", hidden: true });
      const tile = element("button", { type: "button", className: "tile" }, image, style.name.replaceAll("_", " "));
      tile.setAttribute("aria-pressed", "false");
      tile.dataset.model = style.model;
      tile.dataset.style = style.name;
      tile.addEventListener("click", () => {
        choose(style, tile);
        restyle().catch(stage.fail);
      });
      return tile;
    }),
  );
}

function choose(style, tile = null) {
  chosen = style;
  for (const other of $("styles").children) other.setAttribute?.("aria-pressed", String(other === tile));
  if (tile) $("painting-name").textContent = "or drop one here";
}

/** Shows every style on the photo itself, small. */
async function thumbnails(photo) {
  thumbnailsOf = photo.id;
  const tiles = [...$("styles").children].filter((one) => one.dataset?.style);
  for (const tile of tiles) {
    const image = tile.querySelector("img");
    image.src = NOTHING; // so that tiles have their height at once, and none moves away below a finger
    image.hidden = false;
  }
  for (const tile of tiles) {
    if (thumbnailsOf !== photo.id) return;
    const { model, style } = tile.dataset;
    try {
      const response = await api.request(
        `uploads/${photo.id}/styled?${new URLSearchParams({ model, style, size: THUMBNAIL })}`,
      );
      tile.querySelector("img").src = URL.createObjectURL(await response.blob());
    } catch {
      return; // a missing thumbnail is no reason to disturb anybody
    }
  }
}

async function restyle() {
  const photo = stage.currentPhoto();
  restyleWaits = !photo && Boolean(chosen);
  if (restyleWaits) throw new Error("Now drop or choose a photo. It is restyled at once.");
  if (!photo) throw new Error("Drop or choose a photo first.");
  if (!chosen) throw new Error("Pick a style, or choose a painting, first.");
  const { model, settings, ...own } = readers.restyle();
  const asked = { content: photo.id, ...own };
  if (chosen.upload) await stage.run("stylize", { ...asked, model, settings, styles: [{ image: chosen.upload }] }, { compare: true });
  else await stage.run("stylize", { ...asked, model: chosen.model, styles: [{ name: chosen.name }] }, { compare: true });
}

async function usePainting(blob) {
  stage.clearError();
  const known = await api.upload(blob);
  choose({ upload: known.id, name: blob.name ?? "painting" });
  $("painting-name").textContent = blob.name ?? "Your painting";
  if (stage.currentPhoto()) await restyle();
  else restyleWaits = true;
}

function useNewPhoto(photo) {
  thumbnails(photo);
  if (restyleWaits) restyle().catch(stage.fail);
}

// --- paint from words, dream, explore -------------------------------------------------------------------------------

const IDEAS = ["red apple", "lion, 3d", "hot beverage, flat", "frog, noto", "rainbow", "cactus, 3d"];

async function paint() {
  const text = $("prompt").value.trim();
  if (!text) throw new Error("Say in a few words what should be painted.");
  await stage.run("imagine", { prompt: [text], ...readers.imagine() });
}

async function dream() {
  const photo = stage.currentPhoto();
  if (!photo) throw new Error("Drop or choose a photo first.");
  await stage.run("dream", { content: photo.id, ...readers.dream() }, { compare: true });
}

async function explore() {
  const asked = readers.explore();
  const done = await stage.run("interpolate", asked);
  if (!done?.pictures.length) return;
  lastExplored = done;
  const scrub = $("scrub");
  scrub.max = done.pictures.length - 1;
  scrub.value = 0;
  $("scrub-row").hidden = false;
  $("results").hidden = true;
  const model = zoo.models.find((one) => one.name === asked.model);
  $("mix-go").hidden = !model?.capabilities.includes("styles");
}

async function mix() {
  const { model, settings, seeds } = readers.explore();
  await stage.run("mix", { model, settings, rows: seeds.slice(0, 1), columns: seeds.slice(1) });
}

// --- pictures of one's own ------------------------------------------------------------------------------------------

/** A new request from an old one: the same with other seeds. */
function varied(asked) {
  const seed = Math.floor(Math.random() * 1e6);
  if (asked.seeds) return { ...asked, seeds: asked.seeds.map((_, place) => seed + place) };
  if (asked.rows) return { ...asked, rows: asked.rows.map((_, place) => seed + place) };
  return { ...asked, seed };
}

async function remake(job, vary) {
  const asked = vary ? varied(job.request) : job.request;
  const compare = Boolean(asked.content);
  const tab = { stylize: "restyle", dream: "dream", imagine: "imagine" }[job.verb] ?? "explore";
  open(tab);
  await stage.run(job.verb, asked, { compare: compare && stage.currentPhoto()?.id === asked.content });
}

const sentence = (job) => {
  const asked = job.request;
  const what = {
    stylize: () => `Restyled by ${asked.model}${asked.styles?.[0]?.name ? `, ${asked.styles[0].name}` : ""}`,
    dream: () => `Dreamt by ${asked.model}`,
    imagine: () => `“${asked.prompt?.join(", ")}”`,
    interpolate: () => `Between seeds ${asked.seeds?.join(" and ")}`,
    mix: () => "A mix of styles",
    sample: () => `Seed ${asked.seed}`,
  }[job.verb];
  return what ? what() : job.verb;
};

async function showGallery() {
  const { jobs } = await api.listJobs();
  const place = $("pictures");
  if (!jobs.length) {
    place.replaceChildren(element("p", {}, "Nothing yet. What you make appears here."));
    return;
  }
  place.replaceChildren(
    ...jobs.map((job) => {
      const image = element("img", { alt: sentence(job), loading: "lazy" });
      const state = { finished: "", stopped: "stopped", failed: `failed: ${job.error}`, queued: "waiting", running: "being made" };
      const about = element("p", {}, [sentence(job), state[job.state]].filter(Boolean).join(" · "));
      const buttons = element("div", { className: "actions" });
      const button = (text, act) => {
        const made = element("button", { type: "button" }, text);
        made.addEventListener("click", () => act().catch(stage.fail));
        buttons.append(made);
      };
      if (job.state === "queued" || job.state === "running") {
        button("Stop", async () => {
          await api.cancel(job.id);
          await showGallery();
        });
      } else {
        if (job.pictures?.length) {
          button("Look", async () => {
            open("restyle");
            stage.show(await api.picture(job.id, 0), job, 0);
          });
        }
        button("Make it again", () => remake(job, false));
        button("Vary", () => remake(job, true));
        button("Delete", async () => {
          await api.forget(job.id);
          await showGallery();
        });
      }
      if (job.pictures?.length) {
        api.picture(job.id, 0).then((blob) => (image.src = URL.createObjectURL(blob)), () => {});
      }
      return element("article", { className: "picture" }, image, about, buttons);
    }),
  );
}

// --- dropping -------------------------------------------------------------------------------------------------------

async function dropped(blob, onPainting) {
  stage.clearError();
  if (onPainting) return usePainting(blob);
  const known = await stage.usePhoto(blob);
  if (known.remake) ask(known, blob);
  return known;
}

function ask(known, blob) {
  const { verb, request, missing } = known.remake;
  $("recorded-facts").replaceChildren(
    element("p", {}, sentence({ verb, request })),
    ...(missing ? [element("p", { className: "error" }, missing)] : []),
  );
  $("again").disabled = $("again-vary").disabled = Boolean(missing);
  const dialog = $("recorded");
  const act = (button, run) => {
    $(button).onclick = () => {
      dialog.close();
      run().catch(stage.fail);
    };
  };
  act("again", () => remake({ verb, request }, false));
  act("again-vary", () => remake({ verb, request }, true));
  act("as-photo", async () => {});
  $("recorded-close").onclick = () => dialog.close();
  dialog.showModal();
}

function drops() {
  const over = (place, is) => place.classList.toggle("over", is);
  addEventListener("dragover", (event) => {
    event.preventDefault();
    over($("painting-drop"), $("painting-drop").contains(event.target));
    over($("canvas"), !$("painting-drop").contains(event.target));
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) [$("painting-drop"), $("canvas")].forEach((place) => over(place, false));
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    [$("painting-drop"), $("canvas")].forEach((place) => over(place, false));
    const file = event.dataTransfer.files[0];
    if (file) dropped(file, $("painting-drop").contains(event.target)).catch(stage.fail);
  });
  addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (file) dropped(file, false).catch(stage.fail);
  });
  for (const [id, painting] of [["photo", false], ["painting", true]]) {
    $(id).addEventListener("change", (event) => {
      const file = event.target.files[0];
      event.target.value = "";
      if (file) dropped(file, painting).catch(stage.fail);
    });
  }
}

/** Draws hills below an evening sky, for those who have no photo at hand. */
function drawing() {
  const canvas = element("canvas", { width: 512, height: 384 });
  const pen = canvas.getContext("2d");
  const sky = pen.createLinearGradient(0, 0, 0, 384);
  for (const [place, colour] of [[0, "#2f4b7c"], [0.5, "#f0885a"], [0.75, "#ffd58a"]]) sky.addColorStop(place, colour);
  pen.fillStyle = sky;
  pen.fillRect(0, 0, 512, 384);
  pen.fillStyle = "#fff1c4";
  pen.beginPath();
  pen.arc(350, 170, 38, 0, 7);
  pen.fill();
  ["#7d5a7a", "#4b5d67", "#2f4a3c", "#1d3327"].forEach((colour, row) => {
    pen.fillStyle = colour;
    pen.beginPath();
    pen.moveTo(0, 384);
    for (let x = 0; x <= 512; x += 4) {
      const wave = Math.sin(x / (90 - 12 * row) + row * 2) * 26 + Math.sin(x / 31 + row) * 8;
      pen.lineTo(x, 205 + row * 46 - wave);
    }
    pen.lineTo(512, 384);
    pen.fill();
  });
  pen.fillStyle = "#12211a";
  for (const [x, h] of [[70, 90], [96, 62], [430, 110], [462, 74]]) {
    pen.beginPath();
    pen.moveTo(x - h / 4, 366);
    pen.lineTo(x, 366 - h);
    pen.lineTo(x + h / 4, 366);
    pen.fill();
  }
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

// --- model cards ----------------------------------------------------------------------------------------------------

function cards() {
  $("cards").replaceChildren(
    ...zoo.models.map((model) => {
      const facts = {
        Kind: model.kind.replace("_", " "),
        Licence: model.license,
        Paper: model.paper,
        Plugin: `${model.distribution} ${model.version}`,
        Weights: model.weights.map((one) => `${one.variant} (${one.license || "no licence stated"}, ${one.state})`).join("; "),
      };
      const rows = Object.entries(facts).flatMap(([name, value]) =>
        value ? [element("dt", {}, name), element("dd", {}, value)] : [],
      );
      return element(
        "article",
        { className: "card" },
        element("h3", {}, model.name),
        element("p", {}, model.summary),
        element("dl", {}, ...rows),
      );
    }),
  );
}

// --- start ----------------------------------------------------------------------------------------------------------

function theme() {
  const root = document.documentElement;
  const kept = localStorage.getItem("ganart-theme");
  if (kept) root.dataset.theme = kept;
  $("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("ganart-theme", root.dataset.theme);
  });
}

function forms() {
  const restylers = models("style_transfer", (model) => can("image_styles")(model) && !can("no_style")(model));
  readers.restyle = modelForm($("restyle-form"), "stylize", restylers, {
    first: ["steps", "alpha", "style_strength"], own: ["size"], label: "Method for a painting of your own",
  });
  readers.imagine = modelForm($("imagine-form"), "imagine", models("generator", can("prompt")), {
    own: ["count", "keep", "seed", "size"], label: "Painter", folded: true,
  });
  readers.dream = modelForm($("dream-form"), "dream", models("style_transfer", can("no_style")), {
    first: ["steps", "octaves"], own: ["size", "seed"], label: "Dreamer",
  });
  readers.explore = modelForm($("explore-form"), "interpolate", models("generator"), {
    first: ["truncation"], own: ["seeds", "prompt", "steps"], label: "Generator",
  });
}

function asking() {
  const dialog = $("ask-token");
  api.onTokenNeeded(
    () =>
      new Promise((resolve) => {
        if (!dialog.open) dialog.showModal();
        $("token-form").onsubmit = () => {
          api.setToken($("token").value.trim());
          resolve();
        };
      }),
  );
}

async function start() {
  theme();
  asking();
  drops();
  stage.start();
  stage.setHandlers({ onPhoto: useNewPhoto, onVary: (job) => remake(job, true).catch(stage.fail) });
  const on = (id, act) => $(id).addEventListener("click", () => act().catch(stage.fail));
  on("restyle-go", restyle);
  on("dream-go", dream);
  on("explore-go", explore);
  on("mix-go", mix);
  on("example", async () => dropped(await drawing(), false));
  $("imagine-ask").addEventListener("submit", (event) => {
    event.preventDefault();
    paint().catch(stage.fail);
  });
  $("scrub").addEventListener("input", (event) => {
    const number = Number(event.target.value);
    if (lastExplored) stage.show(lastExplored.pictures[number].blob, lastExplored.job, number);
  });
  for (const idea of IDEAS) {
    const button = element("button", { type: "button" }, idea);
    button.addEventListener("click", () => ($("prompt").value = idea));
    $("ideas").append(button);
  }
  try {
    zoo = await api.describe();
  } catch (error) {
    stage.fail(error);
    return;
  }
  styleTiles();
  forms();
  cards();
  document.body.dataset.ready = "true";
}

start();
