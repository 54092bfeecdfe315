// SPDX-License-Identifier: GPL-2.0-or-later
// The dialog. What is shown is what the service has answered; a change is sent there, and nothing is worked out here.

import { Cells } from "./cells.js";
import { byId, element, setValue } from "./element.js";
import { inOrder, showFacts, showHosts, showOthers, showProblems } from "./judgement.js";
import { show as showPicture } from "./picture.js";
import { api, ask } from "./service.js";

const NAMES = ["cputune", "numatune", "guestnuma"];
const vm = new URLSearchParams(location.search).get("vm");

let state = null; // { host, values, form, topology, seen, judged }
const queue = []; // what is still to be asked
let underWay = false;
let typingIn = null;
const before = []; // for Undo: { host, values, topology }

const cells = new Cells(byId("rows"), (rows) => changeForm({ cells: rows }), (kind, cell) => edit({ kind, cell }));

// What is shown

function showForm() {
  const { form, judged } = state;
  for (const name of ["affinity", "pinning"]) {
    document.querySelector(`[name=${name}][value=${form[name]}]`).checked = true;
  }
  byId("mode").value = form.mode;
  setValue(byId("nodes"), form.nodes);
  cells.show(form.cells);
  const byHand = form.affinity === "manual";
  byId("nodes").disabled = form.affinity === "none";
  byId("pinning").disabled = byId("cells").disabled = !byHand;
  byId("add").disabled = form.cells.length === 0;
  byId("form").classList.toggle("behind", judged.form === null);
  if (!document.querySelector("[name=target]:checked")) {
    document.querySelector("[name=target][value='']").checked = true;
  }
}

function showJudgement() {
  const { judged } = state;
  for (const name of NAMES) {
    const own = judged.problems.filter((problem) => problem.subject === name);
    setValue(byId(name), judged.values[name]);
    byId(name).setAttribute("aria-invalid", String(own.some((problem) => !problem.warning)));
    showProblems(byId(`${name}-problems`), judged.values[name], own);
  }
  showOthers(byId("problems"), judged.problems.filter((problem) => !NAMES.includes(problem.subject)));
  showFacts(byId("facts"), judged);
  showHosts(byId("hosts"), judged.hosts);
  byId("host").value = judged.host || "";
  byId("save").disabled = !judged.can_save || judged.seen !== state.seen;
  byId("undo").disabled = before.length === 0;
  showPicture(byId("picture"), judged.picture, judged.used, (node) => edit({ kind: "node", node, cell: target() }));
  performance.mark("judged");
}

function target() {
  const chosen = document.querySelector("[name=target]:checked");
  return chosen && chosen.value !== "" ? Number(chosen.value) : null;
}

function notice(said, again) {
  byId("notice").hidden = !said;
  byId("said").textContent = said;
  byId("again").hidden = !again;
}

// What is asked

function accept(judged) {
  state = { ...state, judged, host: judged.host, values: judged.values, topology: judged.topology, form: judged.form || state.form };
  const changed = judged.seen !== state.seen;
  notice(changed ? "The virtual machine has been changed meanwhile." : "", changed);
  showForm();
  showJudgement();
}

// One request at a time. What to ask is made of the state when its turn comes, so that no change is lost; of several
// changes of one field that wait, only the last one is asked about.
async function send(action, make, field = null) {
  if (field !== null && queue.at(-1)?.field === field) {
    queue.pop();
  }
  queue.push({ action, make, field });
  if (underWay) {
    return;
  }
  underWay = true;
  document.body.setAttribute("aria-busy", "true");
  byId("save").disabled = true;
  while (queue.length > 0) {
    await sendOne(queue.shift());
  }
  underWay = false;
  byId("busy").textContent = "";
  document.body.setAttribute("aria-busy", "false");
}

async function sendOne({ action, make }) {
  byId("busy").textContent = action === "plan" ? "Planning…" : "";
  try {
    accept(await ask(action, { vm, host: state.host || "", topology: state.topology, ...make() }));
  } catch (error) {
    forget();
    showForm();
    showJudgement();
    notice(error.message, error.status !== 422);
  }
}

// Typing in one field is one step for Undo.
function remember(field = null) {
  if (field === null || field !== typingIn) {
    before.push({ host: state.host, values: state.values, topology: state.topology });
  }
  typingIn = field;
}

// What was not done is no step.
function forget() {
  if (before.at(-1)?.values === state.values) {
    before.pop();
  }
  typingIn = null;
}

function changeForm(part) {
  const field = document.activeElement.matches("input:not([type])") ? document.activeElement : null;
  remember(field);
  send("judge", () => ({ form: { ...state.form, ...part } }), field);
}

function edit(step) {
  remember();
  send("judge", () => ({ form: state.form, edit: step }));
}

function changeValue(name, value) {
  remember(byId(name));
  send("judge", () => ({ values: { ...state.values, [name]: value } }), byId(name));
}

function undo() {
  const last = before.pop();
  typingIn = null;
  send("judge", () => last);
}

function plan() {
  remember();
  const wishes = { mode: byId("mode").value, cluster: byId("cluster").checked, reserve: byId("reserve").value };
  send("plan", () => ({ ...wishes, spread: byId("spread").value === "spread", values: state.values }));
}

// Save, and the way out

function confirmSave() {
  const { changes, problems } = state.judged;
  const shown = (value) => value || "(none)";
  byId("changes").replaceChildren(
    ...changes.map((change) =>
      element("tr", {}, element("th", {}, change.name), element("td", {}, shown(change.old)), element("td", {}, shown(change.new))),
    ),
  );
  showOthers(byId("confirm-problems"), problems);
  byId("confirm").showModal();
  byId("really").focus();
}

async function save() {
  byId("really").disabled = true;
  try {
    const { values, topology, seen } = state;
    await ask("save", { vm, values, topology, seen });
    api.showToast("success", "The NUMA layout is set for the next start.");
    close();
  } catch (error) {
    notice(error.message, true);
    byId("confirm").close();
  }
  byId("really").disabled = false;
}

function close() {
  api.closeDialog("largeguest-dialog");
}

async function look() {
  document.body.setAttribute("aria-busy", "true");
  try {
    const found = await ask("look", { vm });
    before.length = 0;
    state = { seen: found.judgement.seen };
    const where = found.vm.host ? `, runs on ${found.vm.host}` : `, ${found.vm.status}`;
    byId("vm").textContent = `${found.vm.name}, as its next start will be: ${found.vm.vcpus} vCPUs, ${found.vm.memory}${where}`;
    byId("mode").replaceChildren(...found.modes.map((mode) => element("option", {}, mode)));
    byId("host").replaceChildren(...inOrder(found.judgement.hosts).map((host) => element("option", { value: host.id }, host.name)));
    state.form = { affinity: "manual", mode: "strict", nodes: "", cells: [], pinning: "typed", cputune: "" };
    accept(found.judgement);
  } catch (error) {
    notice(error.message, true);
  }
  document.body.setAttribute("aria-busy", "false");
}

// What is done by whom

for (const name of NAMES) {
  byId(name).addEventListener("input", (event) => changeValue(name, event.target.value));
}
byId("form").addEventListener("submit", (event) => event.preventDefault());
byId("affinity").addEventListener("change", (event) => edit({ kind: "affinity", affinity: event.target.value }));
byId("pinning").addEventListener("change", (event) => changeForm({ pinning: event.target.value, cputune: state.values.cputune }));
byId("mode").addEventListener("change", (event) => changeForm({ mode: event.target.value }));
byId("nodes").addEventListener("input", (event) => changeForm({ nodes: event.target.value }));
byId("host").addEventListener("change", (event) => {
  const host = event.target.value;
  remember();
  send("judge", () => ({ host, values: state.values }));
});
byId("add").addEventListener("click", () => edit({ kind: "add" }));
byId("plan").addEventListener("click", plan);
byId("undo").addEventListener("click", undo);
byId("again").addEventListener("click", look);
byId("save").addEventListener("click", confirmSave);
byId("back").addEventListener("click", () => byId("confirm").close());
byId("really").addEventListener("click", save);
byId("cancel").addEventListener("click", close);
document.addEventListener("focusout", () => {
  if (state?.judged) {
    setTimeout(showForm); // what was typed is now shown as it is understood
  }
});
look();
