// Carries messages between a page and the background, and puts `page.js` into the page: as the extension's own `content.ts`.

import { MESSAGE_ORIGIN_CONTENT, MESSAGE_ORIGIN_PAGE, PORT_CONTENT } from "@polkadot/extension-base/defaults";
import { ensurePortConnection } from "@polkadot/extension-base/utils/portUtils";

let port;
const config = {
  portName: PORT_CONTENT,
  onPortMessageHandler: (data) => window.postMessage({ ...data, origin: MESSAGE_ORIGIN_CONTENT }, "*"),
  onPortDisconnectHandler: () => (port = undefined),
};
window.addEventListener("message", async ({ data, source }) => {
  if (source !== window || data.origin !== MESSAGE_ORIGIN_PAGE) return;
  port = await ensurePortConnection(port, config);
  port.postMessage(data);
});

const script = document.createElement("script");
script.src = chrome.runtime.getURL("page.js");
script.onload = () => script.remove();
(document.head ?? document.documentElement).append(script);
