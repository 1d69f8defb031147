// The background of the wallet: the published handlers of the polkadot-js extension, connected as its own `background.ts` and
// `handlers/index.js` connect them. Those wait at the top level of a module, which a service worker of one file may not.

import Extension from "@polkadot/extension-base/background/handlers/Extension";
import State from "@polkadot/extension-base/background/handlers/State";
import Tabs from "@polkadot/extension-base/background/handlers/Tabs";
import { PORT_CONTENT, PORT_EXTENSION } from "@polkadot/extension-base/defaults";
import { AccountsStore } from "@polkadot/extension-base/stores";
import { keyring } from "@polkadot/ui-keyring";
import { cryptoWaitReady } from "@polkadot/util-crypto";

const state = new State();
const extension = new Extension(state);
const tabs = new Tabs(state);
const ready = Promise.all([state.init(), cryptoWaitReady()]).then(() => keyring.loadAll({ store: new AccountsStore(), type: "sr25519" }));

chrome.runtime.onMessage.addListener((message, _sender, answer) => {
  if (message.type === "wakeup") answer({ status: "awake" });
});
chrome.runtime.onConnect.addListener((port) => {
  if (![PORT_CONTENT, PORT_EXTENSION].includes(port.name)) return;
  port.onMessage.addListener(async ({ id, message, request }) => {
    try {
      await ready;
      const response = await (port.name === PORT_EXTENSION
        ? extension.handle(id, message, request, port)
        : tabs.handle(id, message, request, port.sender.url, port));
      port.postMessage({ id, response });
    } catch (error) {
      port.postMessage({ id, error: error.message });
    }
  });
});
