/** The OpenAPI description as a page to read: every route with what it takes and gives. */

import { el, find } from "./dom.js";

const NO_BODY = ["string", "number", "integer", "boolean"];

async function show() {
  const description = await (await fetch("/api/v1/openapi.json")).json();
  find("#about").append(...words(description.info.description));
  for (const [tag, routes] of byTag(description.paths)) {
    find("#api").append(el("h2", {}, tag), ...routes.map((route) => section(route, description.components.schemas)));
  }
}

/** Text with what stands between backticks as code. */
const words = (text) => text.split(/`+/).map((part, i) => (i % 2 ? el("code", {}, part) : part));

/** Routes by their first tag, in the order of the description. */
function byTag(paths) {
  const tags = new Map();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, route] of Object.entries(methods)) {
      const tag = route.tags?.[0] ?? "other";
      tags.set(tag, [...(tags.get(tag) ?? []), { path, method, ...route }]);
    }
  }
  return tags;
}

function section({ path, method, description, summary, parameters = [], requestBody, responses }, schemas) {
  const sent = Object.values(requestBody?.content ?? {})[0]?.schema;
  const [status, answer] = Object.entries(responses).find(([code]) => code.startsWith("2")) ?? [];
  const given = Object.values(answer?.content ?? {})[0]?.schema;
  return el(
    "details",
    { class: "route" },
    el("summary", {}, el("code", {}, method.toUpperCase()), " ", el("code", {}, path), el("span", {}, ...words(description ?? summary ?? ""))),
    parameters.length ? fields("In the address", parameters.map((one) => [one.name, one.required, one.schema, one.description])) : null,
    sent ? fields("Sent", propertiesOf(sent, schemas)) : null,
    given ? fields(`Answer ${status}`, propertiesOf(given, schemas)) : null,
  );
}

function fields(title, rows) {
  const row = ([name, isRequired, schema, text]) => el("tr", {}, el("td", {}, el("code", {}, name)), el("td", {}, typeOf(schema)), el("td", {}, [isRequired ? "required" : "", text].filter(Boolean).join("; ")));
  return el("div", {}, el("h3", {}, title), el("table", {}, el("tbody", {}, ...rows.map(row))));
}

/** [name, required, schema, description] of each field of an object, or one row for anything else. */
function propertiesOf(schema, schemas) {
  const found = resolved(schema, schemas);
  if (!found.properties) return NO_BODY.includes(found.type) ? [] : [["", false, schema, ""]];
  return Object.entries(found.properties).map(([name, one]) => [name, found.required?.includes(name), one, one.description]);
}

function resolved(schema, schemas) {
  const named = schema.$ref ?? schema.items?.$ref;
  return named ? schemas[named.split("/").at(-1)] : schema;
}

/** A type in a word or two: a name of a schema, or `array of string`. */
function typeOf(schema = {}) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.enum) return schema.enum.join(" | ");
  return schema.type === "array" ? `array of ${typeOf(schema.items)}` : (schema.type ?? "anything");
}

show();
