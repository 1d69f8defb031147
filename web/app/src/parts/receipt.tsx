// The receipt of a request that is over: made and checked in the browser.

import type { RequestInfo } from "proof-of-quality";
import { useState } from "preact/hooks";
import { printable } from "../lib/format.ts";
import { chain, head } from "../lib/node.ts";
import { closedAt } from "../lib/request.ts";
import { t } from "../strings.ts";
import { Coded, Note } from "./basics.tsx";

type State = { step: "idle" | "making" } | { step: "made"; url: string; genesis: string } | { step: "failed"; reason: string };

export function ReceiptPart({ request }: { request: RequestInfo }) {
  const [state, setState] = useState<State>({ step: "idle" });
  const end = closedAt(request);
  if (end === undefined) return null;
  const isFinal = (head.value?.finalized ?? 0) >= end;
  const make = async () => {
    const from = chain.value;
    if (!from) return;
    setState({ step: "making" });
    try {
      const [{ collect }, { verify }] = await Promise.all([import("../lib/receipt.ts"), import("proof-of-quality")]);
      const receipt = JSON.stringify(await collect(from, request));
      await verify(receipt, from.genesis);
      setState({ step: "made", url: URL.createObjectURL(new Blob([receipt], { type: "application/json" })), genesis: from.genesis });
    } catch (error) {
      setState({ step: "failed", reason: printable(error instanceof Error ? error.message : String(error)) });
    }
  };
  return (
    <section aria-labelledby="receipt">
      <h2 id="receipt">{t.receipt.title}</h2>
      <p>
        {t.receipt.lead} <a href="#/verify">{t.receipt.verifyTitle}</a>
      </p>
      {!isFinal && <p class="quiet">{t.receipt.open}</p>}
      {state.step === "made" ? (
        <Note kind="good" title={t.receipt.checked}>
          <p>{t.receipt.trust(state.genesis)}</p>
          <a role="button" href={state.url} download={t.receipt.file(request.id)}>
            {t.receipt.download}
          </a>
        </Note>
      ) : (
        <button type="button" class="secondary" disabled={!isFinal || state.step === "making"} aria-busy={state.step === "making"} onClick={make}>
          {state.step === "making" ? t.receipt.making : t.receipt.make}
        </button>
      )}
      {state.step === "failed" && (
        <Note kind="error" title={t.receipt.failed}>
          <p>
            <Coded text={state.reason} />
          </p>
        </Note>
      )}
    </section>
  );
}
