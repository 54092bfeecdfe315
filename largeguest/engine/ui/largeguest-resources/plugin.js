// SPDX-License-Identifier: GPL-2.0-or-later
// The plugin itself, in a hidden frame of the web admin: an action on virtual machines, and a tab in their details.

import { api } from "./service.js";

const VM = "VirtualMachine";
const TAB = "largeguest-layout";
const DIALOG = "largeguest-dialog";

function page(name, vm) {
  return new URL(`${name}?vm=${encodeURIComponent(vm)}`, location.href).href;
}

// The web admin calls its handlers with the selected items as a list or, in older versions, as arguments.
function selected(items) {
  return Array.isArray(items[0]) ? items[0] : items.filter((item) => item && item.id);
}

function openDialog(vm) {
  const width = Math.min(1400, window.top.innerWidth - 40);
  const height = Math.min(900, window.top.innerHeight - 110);
  const options = { buttons: [], closeIconVisible: true, closeOnEscKey: false };
  api.showDialog(`NUMA layout of ${vm.name}`, DIALOG, page("dialog.html", vm.id), `${width}px`, `${height}px`, options);
}

let shown = "";

function showInTab(vms) {
  if (vms.length === 1 && vms[0].id !== shown) {
    shown = vms[0].id;
    api.setPlaceContentUrl(TAB, page("tab.html", shown));
  }
}

api.register({
  UiInit() {
    api.addDetailPlace(VM, "NUMA layout", TAB, new URL("tab.html", location.href).href, { priority: 60 });
    api.addMenuPlaceActionButton(VM, "NUMA layout", {
      onClick: (...items) => openDialog(selected(items)[0]),
      isEnabled(...items) {
        showInTab(selected(items)); // who comes by a link to the details of a VM has selected none
        return selected(items).length === 1;
      },
    });
  },
  VirtualMachineSelectionChange: (...items) => showInTab(selected(items)),
});
api.ready();
