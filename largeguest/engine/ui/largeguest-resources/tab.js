// SPDX-License-Identifier: GPL-2.0-or-later
// The tab in the details of a virtual machine: the layout that is set, warnings, and what the engine knows of it now.

import { byId, element } from "./element.js";
import { showFacts, showHosts, showOthers } from "./judgement.js";
import { show as showPicture } from "./picture.js";
import { ask, whenSaved } from "./service.js";

const vm = new URLSearchParams(location.search).get("vm");

function showList(list, pairs) {
  list.replaceChildren(...pairs.map(([name, said]) => element("div", {}, element("dt", {}, name), element("dd", {}, said))));
}

function layout(values) {
  const set = Object.entries(values).filter(([, value]) => value);
  return set.length ? set.map(([name, value]) => [name, element("code", {}, value)]) : [["layout", "none is set"]];
}

function show({ vm: now, judgement: then }) {
  const where = now.host ? `${now.status}, on ${now.host}` : now.status;
  showList(byId("now"), [["status", where], ["policy", now.policy], ...layout(now.now)]);
  const pending = now.pending ? [["pending", "the next start has another configuration"]] : [];
  showList(byId("then"), [...pending, ["size", `${now.vcpus} vCPUs, ${now.memory}`], ...layout(then.values)]);
  const isSet = Object.values(then.values).some(Boolean);
  showOthers(byId("problems"), isSet ? then.problems : []);
  showFacts(byId("facts"), then);
  showHosts(byId("hosts"), then.hosts);
  showPicture(byId("picture"), then.picture, then.used, null);
  performance.mark("judged");
}

let looks = 0;

async function look() {
  looks += 1;
  const own = looks;
  document.body.setAttribute("aria-busy", "true");
  const found = await ask("look", { vm }).catch((error) => error);
  if (own !== looks) {
    return; // there are newer values
  }
  byId("notice").hidden = !(found instanceof Error);
  if (found instanceof Error) {
    byId("notice").textContent = found.message;
  } else {
    show(found);
  }
  document.body.setAttribute("aria-busy", "false");
}

if (vm) {
  look();
  whenSaved((other) => other === vm && look());
}
