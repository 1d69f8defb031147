// Asks language models through a Proof of Quality chain, on polkadot-api. Nothing here needs Node.js.

export { poq } from "#descriptors";
export {
  answer,
  ask,
  best,
  bill,
  estimate,
  cancel,
  follow,
  isOver,
  models,
  read,
  REASON,
  Refused,
  terms,
  text,
  type Answer,
  type Api,
  type Bill,
  type Closed,
  type Estimate,
  type Model,
  type Phase,
  type Question,
  type RequestInfo,
  type Terms,
  type Wishes,
} from "./chain.ts";
export { connect, type Connection } from "./connection.ts";
export { decodeConversation, encodeConversation, Malformed, optionsOf, SEPARATOR, type Message, type SamplingOptions } from "./conversation.ts";
export { answerOf, digest, Invalid, verify, type Proven } from "./receipt.ts";
