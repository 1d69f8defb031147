// Taking a question back that waits for operators.

import { useSignal } from "@preact/signals";
import type { RequestInfo } from "proof-of-quality";
import { developmentAccounts, walletAccounts } from "../lib/accounts.ts";
import { chain } from "../lib/node.ts";
import { t } from "../strings.ts";

/** A button, for an account of this page whose request was put off: most are drawn sooner than one could press it. */
export function Cancel({ request }: { request: RequestInfo }) {
  const said = useSignal<string | undefined>(undefined);
  const busy = useSignal(false);
  const own = [...walletAccounts.value, ...developmentAccounts.value].find(({ address }) => address === request.requester);
  if (!own || request.phase.type !== "Requested" || request.tries === 0) return null;
  const cancel = async () => {
    const from = chain.value;
    if (!from) return;
    busy.value = true;
    said.value = undefined;
    try {
      const { cancel } = await import("proof-of-quality");
      await cancel(from.api, own.signer, request.id);
    } catch (error) {
      said.value = error instanceof Error ? error.message : String(error);
    } finally {
      busy.value = false;
    }
  };
  return (
    <div>
      <p>{t.request.cancelSays(request.budget.fee)}</p>
      <button type="button" class="secondary" aria-busy={busy.value} disabled={busy.value} onClick={() => void cancel()}>
        {t.request.cancel}
      </button>
      {said.value !== undefined && <p role="alert">{t.request.notCancelled(said.value)}</p>}
    </div>
  );
}
