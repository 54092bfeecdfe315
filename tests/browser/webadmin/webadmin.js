// SPDX-License-Identifier: GPL-2.0-or-later
// A stand-in for the web admin: it loads the plugin of plugin.json in a hidden frame and offers window.pluginApi, as
// far as the plugin uses it. An exception out of a handler takes the plugin out of service, as there. The token and
// the virtual machines are in the address: ?token=...&vms=id:name,id:name

const query = new URLSearchParams(location.search);
const vms = query.get("vms").split(",").map((one) => ({ id: one.split(":")[0], name: one.split(":")[1] }));
const places = {};
const dialogs = {};
const buttons = [];
let handlers = {};
let chosen = [];
let descriptor;
window.failures = [];

function call(name, ...values) {
  try {
    return handlers[name]?.(...values);
  } catch (error) {
    window.failures.push(String(error));
    handlers = {};
    return undefined;
  }
}

window.pluginApi = () => ({
  register: (own) => { handlers = own; },
  ready: () => setTimeout(() => { call("UiInit"); select([]); }),
  configObject: () => descriptor.config,
  ssoToken: () => window.token ?? query.get("token"),
  loginUserName: () => "admin@internal",
  addDetailPlace(entity, label, token, url) {
    places[token] = url;
    const tab = document.createElement("a");
    tab.href = "#";
    tab.textContent = label;
    tab.onclick = () => { document.getElementById("detail").src = places[token]; };
    document.getElementById("tabs").append(tab);
  },
  setPlaceContentUrl(token, url) { places[token] = url; },
  addMenuPlaceActionButton(entity, label, own) {
    const button = document.createElement("button");
    button.textContent = label;
    button.onclick = () => own.onClick(chosen);
    document.getElementById("actions").append(button);
    buttons.push([button, own]);
  },
  showDialog(title, token, url, width, height) {
    const modal = document.createElement("div");
    modal.className = "modal";
    modal.innerHTML = "<div><h4></h4><iframe title='dialog'></iframe></div>";
    modal.querySelector("h4").textContent = title;
    Object.assign(modal.querySelector("iframe").style, { width, height });
    modal.querySelector("iframe").src = url;
    document.body.append(modal);
    dialogs[token] = modal;
  },
  closeDialog(token) { dialogs[token].remove(); },
  showToast(kind, text) { document.getElementById("toast").textContent = `${kind}: ${text}`; },
});

function select(items) {
  chosen = items;
  for (const row of document.getElementById("vms").rows) {
    row.classList.toggle("selected", items.some((item) => item.id === row.dataset.id));
  }
  for (const [button, own] of buttons) {
    button.disabled = own.isEnabled ? !own.isEnabled(chosen) : false;
  }
  call("VirtualMachineSelectionChange", chosen);
}

for (const vm of vms) {
  const row = document.getElementById("vms").insertRow();
  row.dataset.id = vm.id;
  row.insertCell().textContent = vm.name;
  row.onclick = () => select([vm]);
}

fetch("plugin.json").then((answer) => answer.json()).then((found) => {
  descriptor = found;
  const frame = document.createElement("iframe");
  frame.hidden = true;
  frame.src = descriptor.url;
  document.body.append(frame);
});
