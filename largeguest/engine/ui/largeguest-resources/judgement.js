// SPDX-License-Identifier: GPL-2.0-or-later
// Shows what the service has found out about values: problems with their place, locality, length, hosts.

import { element } from "./element.js";
import { text } from "./service.js";

const WORDS = { ok: "can run it", warn: "can run it, with warnings", no: "refuses it", bare: "would run it without its layout" };

function line(problem) {
  const kind = problem.warning ? "warning" : "error";
  const said = [problem.what, problem.fix].filter(Boolean).join(": ");
  return element("li", { class: kind }, element("strong", {}, problem.warning ? "Warning: " : "Error: "), said);
}

// The text of a value with the piece that is wrong marked.
function marked(value, problem) {
  const { start, end } = problem;
  const reach = 30;
  const characters = [...value];
  const piece = (from, to) => characters.slice(from, to).join("");
  const from = Math.max(0, start - reach);
  const to = end + reach;
  return element(
    "code",
    { class: "place" },
    (from ? "…" : "") + piece(from, start),
    element("mark", {}, piece(start, end) || " "),
    piece(end, to) + (to < characters.length ? "…" : ""),
  );
}

export function showProblems(list, value, problems) {
  list.replaceChildren(
    ...problems.flatMap((problem) => {
      const item = line(problem);
      if (problem.start !== undefined) {
        item.append(element("br"), marked(value, problem));
      }
      return item;
    }),
  );
}

export function showOthers(list, problems) {
  list.replaceChildren(...problems.map((problem) => line({ ...problem, what: text({ ...problem, fix: "" }) })));
}

export function showFacts(list, judged) {
  const facts = [
    ["Locality", judged.locality.replace(/^locality /, "") || "not known"],
    ["Length", `${judged.length} of ${judged.max_length} characters`],
    ["Next start", judged.next_start],
    ["Topology", judged.topology_text],
  ];
  for (const note of judged.notes || []) {
    facts.push(["Note", note]);
  }
  list.replaceChildren(...facts.map(([name, said]) => element("div", {}, element("dt", {}, name), element("dd", {}, said))));
}

// host2 comes before host10
export function inOrder(hosts) {
  return [...hosts].sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
}

export function showHosts(list, hosts) {
  const open = new Set([...list.querySelectorAll("details[open]")].map((one) => one.dataset.host));
  const focused = list.contains(document.activeElement) ? document.activeElement.parentElement.dataset.host : null;
  list.replaceChildren(
    ...inOrder(hosts).map((host) => {
      const why = host.problems.map((problem) => text(problem)).join("\n");
      const status = host.status === "up" ? "" : ` (${host.status})`;
      const name = [element("b", {}, host.name), `${status} ${WORDS[host.verdict]}`];
      const folds = { "data-host": host.id, open: open.has(host.id) };
      const item = why ? element("details", folds, element("summary", {}, ...name), why) : element("span", {}, ...name);
      return element("li", { class: host.verdict }, item);
    }),
  );
  [...list.querySelectorAll("details")].find((one) => one.dataset.host === focused)?.firstChild.focus();
}
