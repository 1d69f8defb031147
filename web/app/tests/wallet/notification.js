// In the place of the extension's windows, which are not published: the test speaks with the background from here, by the messages of these.

import { PORT_EXTENSION } from "@polkadot/extension-base/defaults";

const waiting = new Map();
const port = chrome.runtime.connect({ name: PORT_EXTENSION });
port.onMessage.addListener(({ id, response, subscription, error }) => {
  const { resolve, reject, wanted } = waiting.get(id) ?? {};
  if (error) reject?.(new Error(error));
  else if (!wanted) resolve?.(response);
  else if (subscription?.length > 0) resolve?.(subscription);
});
const ask = (message, request, wanted) =>
  new Promise((resolve, reject) => {
    const id = crypto.randomUUID();
    waiting.set(id, { resolve, reject, wanted });
    port.postMessage({ id, message, request });
  });

/** The answer to a message. */
globalThis.send = (message, request) => ask(message, request, false);
/** The first of a list that is not empty. */
globalThis.first = async (message) => (await ask(message, null, true))[0];
