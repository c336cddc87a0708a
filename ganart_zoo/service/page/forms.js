// Makes form fields from a JSON Schema, and reads them back.

let count = 0;

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name === "role" || name === "for") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

const LABELS = { alpha: "Strength of the style" }; // names that say nothing to a newcomer

const titled = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

function resolved(schema, root) {
  if (schema.$ref) return resolved({ ...root.$defs[schema.$ref.split("/").pop()], ...schema, $ref: undefined }, root);
  if (schema.anyOf) {
    const parts = schema.anyOf.map((part) => resolved(part, root));
    const kinds = parts.filter((part) => part.type !== "null");
    if (kinds.length === 1) return { ...kinds[0], ...schema, anyOf: undefined, optional: kinds.length < parts.length };
  }
  return schema;
}

function control(id, schema, value) {
  if (schema.enum) {
    const options = schema.enum.map((one) => element("option", { value: JSON.stringify(one) }, String(one)));
    if (schema.optional) options.unshift(element("option", { value: "null" }, "automatic"));
    const select = element("select", { id }, ...options);
    select.value = JSON.stringify(value ?? null);
    return [select, () => JSON.parse(select.value)];
  }
  if (schema.type === "boolean") {
    const box = element("input", { id, type: "checkbox", checked: Boolean(value) });
    return [box, () => box.checked];
  }
  if (schema.type === "integer" || schema.type === "number") {
    const least = schema.minimum ?? schema.exclusiveMinimum;
    const most = schema.maximum ?? schema.exclusiveMaximum;
    const whole = schema.type === "integer";
    if (least !== undefined && most !== undefined && most - least <= 2000 && value !== null && value !== undefined) {
      const step = schema.multipleOf ?? (whole ? 1 : (most - least) / 100);
      const first = Math.ceil(least / step) * step; // a slider counts its steps from there
      const min = schema.multipleOf ? first : least;
      const slider = element("input", { id, type: "range", min, max: most, step });
      slider.value = value;
      const shown = element("output", { for: id }, String(value));
      let moved = false;
      slider.addEventListener("input", () => {
        moved = true;
        shown.textContent = String(Number(Number(slider.value).toPrecision(4)));
      });
      return [element("div", { className: "slider" }, slider, shown), () => (moved ? Number(slider.value) : value)];
    }
    const box = element("input", { id, type: "number", step: whole ? 1 : "any", value: value ?? "" });
    if (schema.optional) box.placeholder = "automatic";
    if (least !== undefined) box.min = least;
    if (most !== undefined) box.max = most;
    return [box, () => (box.value === "" ? null : Number(box.value))];
  }
  if (schema.type === "string") {
    const box = element("input", { id, type: "text", value: value ?? "", maxLength: schema.maxLength ?? 1000 });
    return [box, () => (box.value === "" && (value === null || value === undefined) ? null : box.value)];
  }
  if (schema.type === "array" && ["integer", "number"].includes(schema.items?.type)) {
    const box = element("input", { id, type: "text", inputMode: "numeric", value: (value ?? []).join(", ") });
    return [
      box,
      () => {
        const numbers = box.value.split(/[\s,;]+/).filter(Boolean).map(Number);
        if (numbers.some(Number.isNaN)) throw new Error(`"${box.value}" is not a list of numbers; write 1, 2, 3.`);
        return numbers;
      },
    ];
  }
  const box = element("input", { id, type: "text", value: value === undefined ? "" : JSON.stringify(value) });
  return [
    box,
    () => {
      if (box.value.trim() === "") return null;
      try {
        return JSON.parse(box.value);
      } catch {
        throw new Error(`"${box.value}" is not JSON; write a list as [1, 2, 3].`);
      }
    },
  ];
}

/**
 * Fills `place` with a field for each property of a schema and returns a function that reads what was changed.
 *
 * `first` names the properties that are always seen; the rest is below "More settings". `hide` names those left out.
 * With `whole`, values that were not changed are read too, unless they are empty.
 */
export function form(place, schema, { first = [], hide = [], whole = false } = {}) {
  const readers = new Map();
  const seen = element("div");
  const more = element("details", {}, element("summary", {}, "More settings"));
  const names = Object.keys(schema.properties ?? {}).filter((name) => !hide.includes(name));
  for (const name of [...first.filter((one) => names.includes(one)), ...names.filter((one) => !first.includes(one))]) {
    const part = resolved(schema.properties[name], schema);
    const id = `field-${++count}`;
    const [shown, read] = control(id, part, part.default);
    const before = JSON.stringify(read());
    readers.set(name, () => {
      const now = read();
      if (whole) return now === null || now === "" ? undefined : now;
      return JSON.stringify(now) === before ? undefined : now;
    });
    const about = part.description ? [element("p", { className: "about", id: `${id}-about` }, part.description)] : [];
    const input = shown.id === id ? shown : shown.querySelector("input");
    if (about.length) input.setAttribute("aria-describedby", `${id}-about`);
    const label = element("label", { className: "field", for: id }, LABELS[name] ?? part.title ?? titled(name));
    (first.includes(name) ? seen : more).append(element("div", {}, label, shown, ...about));
  }
  place.replaceChildren(seen, ...(more.children.length > 1 ? [more] : []));
  return () => {
    const values = {};
    for (const [name, read] of readers) {
      const value = read();
      if (value !== undefined) values[name] = value;
    }
    return values;
  };
}
