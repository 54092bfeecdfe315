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

async function show() {
  const { vm: now, judgement: then } = await ask("look", { vm });
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

async function look() {
  byId("notice").hidden = true;
  document.body.setAttribute("aria-busy", "true");
  try {
    await show();
  } catch (error) {
    byId("notice").hidden = false;
    byId("notice").textContent = error.message;
  }
  document.body.setAttribute("aria-busy", "false");
}

if (vm) {
  look();
  whenSaved((other) => other === vm && look());
}
