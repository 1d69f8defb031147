// A connection to a node.

import { poq } from "#descriptors";
import type { PolkadotClient } from "polkadot-api";
import { createWsClient, WsEvent } from "polkadot-api/ws";
import type { Api } from "./chain.ts";

/** A connection to a node: `api` goes to the functions of this package. */
export type Connection = {
  api: Api;
  /** The client of polkadot-api, for everything else. */
  client: PolkadotClient;
  /** Ends the connection. A program that does not call it goes on. */
  close: () => void;
};

/** Connects to a node, for example `ws://127.0.0.1:9944`. Later losses of the connection are repaired; a node that never answers is an error. */
export async function connect(url: string): Promise<Connection> {
  const scheme = URL.canParse(url) ? new URL(url).protocol : "";
  if (scheme !== "ws:" && scheme !== "wss:") throw new Error(`${url} is not the URL of a node (ws://HOST:PORT)`);
  const answers = Promise.withResolvers<void>();
  const client = createWsClient(url, {
    onStatusChanged: ({ type }) => {
      if (type === WsEvent.CONNECTED) answers.resolve();
      if (type === WsEvent.ERROR) answers.reject(new Error(`no node answers at ${url}; \`poq-node --dev\` starts one`));
    },
  });
  const close = () => client.destroy();
  try {
    await answers.promise;
  } catch (error) {
    close();
    throw error;
  }
  return { api: client.getTypedApi(poq), client, close };
}
