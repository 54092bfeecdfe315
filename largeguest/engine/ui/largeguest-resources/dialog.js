// SPDX-License-Identifier: GPL-2.0-or-later
// The dialog. What is shown is what the service has answered; a change is sent there, and nothing is worked out here.

import { Cells } from "./cells.js";
import { byId, element, setValue } from "./element.js";
import { inOrder, showFacts, showHosts, showOthers, showProblems } from "./judgement.js";
import { show as showPicture } from "./picture.js";
import { api, ask, saved } from "./service.js";

const NAMES = ["cputune", "numatune", "guestnuma"];
const vm = new URLSearchParams(location.search).get("vm");

let state = null; // { host, values, form, topology, seen, judged }
const queue = []; // what is still to be asked, see send
let underWay = null;
let typingIn = null;
const before = []; // for Undo: { host, values, topology, form }
let confirmed = null; // what is saved if the user says so: { values, topology, seen }

const cells = new Cells(byId("rows"), changeCell, (kind, cell) => editCell({ kind, cell }));

// What is shown

function showForm() {
  const { form, judged } = state;
  for (const name of NAMES) {
    setValue(byId(name), judged.values[name]);
  }
  for (const name of ["affinity", "pinning"]) {
    document.querySelector(`[name=${name}][value=${form[name]}]`).checked = true;
  }
  byId("mode").value = form.mode;
  setValue(byId("nodes"), form.nodes);
  cells.show(form.cells);
  const behind = judged.form === null; // a change of the form would undo what is typed
  const byHand = form.affinity === "manual" && !behind;
  byId("affinity").disabled = byId("mode").disabled = behind;
  byId("nodes").disabled = form.affinity === "none" || behind;
  byId("pinning").disabled = byId("cells").disabled = !byHand;
  byId("add").disabled = form.cells.length === 0;
  byId("form").classList.toggle("behind", behind);
  if (!document.querySelector("[name=target]:checked")) {
    document.querySelector("[name=target][value='']").checked = true;
  }
}

function showJudgement() {
  const { judged } = state;
  for (const name of NAMES) {
    const own = judged.problems.filter((problem) => problem.subject === name);
    byId(name).setAttribute("aria-invalid", String(own.some((problem) => !problem.warning)));
    showProblems(byId(`${name}-problems`), judged.values[name], own);
  }
  showOthers(byId("problems"), judged.problems.filter((problem) => !NAMES.includes(problem.subject)));
  showFacts(byId("facts"), judged);
  showHosts(byId("hosts"), judged.hosts);
  byId("host").value = judged.host || "";
  byId("undo").disabled = before.length === 0;
  const toggle = (node) => editCell({ kind: "node", node, cell: target() });
  showPicture(byId("picture"), judged.picture, judged.used, judged.form && toggle);
  performance.mark("judged");
}

// What waits to be asked is not in the state yet: a field keeps it until then.
function show() {
  keepFocus(() => {
    if (queue.length === 0) {
      showForm();
    }
    showJudgement();
  });
}

function keepFocus(work) {
  const had = document.activeElement;
  const group = had.closest("fieldset");
  work();
  const has = document.activeElement;
  if (had !== document.body && (has === document.body || has.matches(":disabled"))) {
    (group?.querySelector("input:enabled") || byId("vm")).focus();
  }
}

// What is asked about cannot be saved before it is answered, and the rows must not be other ones by then.
function showBusy() {
  document.body.setAttribute("aria-busy", String(underWay !== null));
  byId("busy").textContent = underWay?.said || "";
  const { judged, seen } = state || {};
  byId("save").disabled = underWay !== null || !judged?.can_save || judged.seen !== seen;
  cells.lock(isReshaped());
}

function isReshaped() {
  return [underWay, ...queue].some((entry) => entry?.reshapes);
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
  if (judged.seen !== state.seen) {
    notice("The virtual machine has been changed meanwhile.", true);
  }
  show();
}

// One request at a time. What to ask is made of the state when its turn comes, so that no change is lost; of several
// changes of one field that wait, only the last one is asked about. An entry: `work` asks, and gives what shows the answer;
// `step`: Undo goes back before it; `back`: it is Undo; `reshapes`: the rows of the cells may be other ones after it.
async function send(entry) {
  if (entry.field && queue.at(-1)?.field === entry.field) {
    queue.pop();
  }
  queue.push(entry);
  if (underWay) {
    showBusy();
    return;
  }
  notice("", false);
  while (queue.length > 0) {
    underWay = queue.shift();
    showBusy();
    await carryOut(underWay);
  }
  underWay = null;
  showBusy();
}

async function carryOut({ work, field, step, back }) {
  if (back && before.length === 0) {
    show();
    return;
  }
  const now = state && { host: state.host, values: state.values, topology: state.topology, ...formOf(state) };
  try {
    const finish = await work();
    if (back) {
      before.pop();
    }
    if (step && !(field && field === typingIn)) {
      before.push(now);
    }
    typingIn = step ? field : null; // typing in one field is one step
    finish();
  } catch (error) {
    typingIn = null;
    if (state) {
      show();
    } else {
      byId("vm").textContent = "The virtual machine is not known.";
    }
    notice(error.message, error.status !== 422);
  }
}

// It may show more than the values say, such as a mode without nodes.
function formOf({ form, judged }) {
  return judged.form ? { form } : {};
}

function about(asked) {
  return { vm, host: state.host || "", topology: state.topology, ...asked };
}

async function judge(asked) {
  const judged = await ask("judge", about(asked));
  return () => accept(judged);
}

function changeForm(part) {
  const field = document.activeElement.matches("input:not([type])") ? document.activeElement : null;
  send({ work: () => judge({ form: { ...state.form, ...part() } }), field, step: true });
}

function changeCell(number, name, value) {
  changeForm(() => ({ cells: state.form.cells.map((cell, other) => (other === number ? { ...cell, [name]: value } : cell)) }));
}

function edit(asked) {
  send({ work: () => judge({ form: state.form, edit: asked }), step: true, reshapes: true });
}

function editCell(asked) {
  if (asked.cell === null || !isReshaped()) {
    edit(asked);
  }
}

function changeValue(name, value) {
  const work = () => judge({ values: { ...state.values, [name]: value } });
  send({ work, field: byId(name), step: true, reshapes: name === "guestnuma" });
}

function changeHost(host) {
  send({ work: () => judge({ host, values: state.values, ...formOf(state) }), step: true });
}

function undo() {
  send({ work: () => judge(before.at(-1)), back: true, reshapes: true });
}

function plan() {
  const wishes = { cluster: byId("cluster").checked, reserve: byId("reserve").value, spread: byId("spread").value === "spread" };
  const work = async () => {
    const judged = await ask("plan", about({ values: state.values, mode: state.form.mode, ...wishes }));
    return () => accept(judged);
  };
  send({ work, step: true, reshapes: true, said: "Planning…" });
}

// Save, and the way out

function confirmSave() {
  const { judged, values, topology, seen } = state;
  confirmed = { values, topology, seen };
  const shown = (value) => value || "(none)";
  byId("changes").replaceChildren(
    ...judged.changes.map((change) =>
      element("tr", {}, element("th", {}, change.name), element("td", {}, shown(change.old)), element("td", {}, shown(change.new))),
    ),
  );
  showOthers(byId("confirm-problems"), judged.problems);
  byId("confirm").showModal();
  byId("really").focus();
}

async function save() {
  setSaving(true);
  try {
    await ask("save", { vm, ...confirmed });
    saved(vm);
    api.showToast("success", "The NUMA layout is set for the next start.");
    close();
  } catch (error) {
    const known = error.status >= 400 && error.status < 500;
    notice(known ? error.message : `${error.message}. It may have been set: look again.`, true);
    byId("confirm").close();
  }
  setSaving(false);
}

// It cannot be taken back.
function setSaving(isSaving) {
  for (const name of ["really", "back", "cancel"]) {
    byId(name).disabled = isSaving;
  }
}

function close() {
  api.closeDialog("largeguest-dialog");
}

// What was not saved is forgotten.
function look() {
  queue.length = 0;
  const work = async () => {
    const found = await ask("look", { vm });
    return () => start(found);
  };
  send({ work, reshapes: true });
}

function start(found) {
  before.length = 0;
  const form = { affinity: "manual", mode: "strict", nodes: "", cells: [], pinning: "typed", cputune: "" };
  state = { seen: found.judgement.seen, form };
  const where = found.vm.host ? `, runs on ${found.vm.host}` : `, ${found.vm.status}`;
  byId("vm").textContent = `${found.vm.name}, as its next start will be: ${found.vm.vcpus} vCPUs, ${found.vm.memory}${where}`;
  byId("mode").replaceChildren(...found.modes.map((mode) => element("option", {}, mode)));
  byId("host").replaceChildren(...inOrder(found.judgement.hosts).map((host) => element("option", { value: host.id }, host.name)));
  notice("", false);
  accept(found.judgement);
  byId("main").inert = false;
  if (document.activeElement === document.body) {
    byId("vm").focus();
  }
}

// What is done by whom

for (const name of NAMES) {
  byId(name).addEventListener("input", (event) => changeValue(name, event.target.value));
}
byId("form").addEventListener("submit", (event) => event.preventDefault());
byId("affinity").addEventListener("change", (event) => edit({ kind: "affinity", affinity: event.target.value }));
byId("pinning").addEventListener("change", ({ target: { value } }) => changeForm(() => ({ pinning: value, cputune: state.values.cputune })));
byId("mode").addEventListener("change", ({ target: { value } }) => changeForm(() => ({ mode: value })));
byId("nodes").addEventListener("input", ({ target: { value } }) => changeForm(() => ({ nodes: value })));
byId("host").addEventListener("change", (event) => changeHost(event.target.value));
byId("add").addEventListener("click", () => edit({ kind: "add" }));
byId("plan").addEventListener("click", plan);
byId("undo").addEventListener("click", undo);
byId("again").addEventListener("click", look);
byId("save").addEventListener("click", confirmSave);
byId("back").addEventListener("click", () => byId("confirm").close());
byId("really").addEventListener("click", save);
byId("cancel").addEventListener("click", close);
byId("confirm").addEventListener("cancel", (event) => byId("really").disabled && event.preventDefault());
byId("confirm").addEventListener("keydown", (event) => event.repeat && event.preventDefault()); // the key that opened it
// What was typed is then shown as it is understood.
document.addEventListener("focusout", () => setTimeout(() => state && !underWay && showForm()));
look();
