// Checks a receipt in the browser, without a node.

import type { Proven } from "proof-of-quality";
import { useState } from "preact/hooks";
import { exact, part, printable } from "../lib/format.ts";
import { chain } from "../lib/node.ts";
import { Account, Facts, Note, Page, Table } from "../parts/basics.tsx";
import { t } from "../strings.ts";

type State =
  | { step: "idle" | "checking" }
  | { step: "holds"; proven: Proven; isText: number | undefined; text: string }
  | { step: "invalid"; reason: string };

export function Verify() {
  const [file, setFile] = useState<File | undefined>();
  const [anchor, setAnchor] = useState("");
  const [text, setText] = useState("");
  const [state, setState] = useState<State>({ step: "idle" });
  const check = async () => {
    if (!file) return;
    setState({ step: "checking" });
    try {
      const { answerOf, verify } = await import("proof-of-quality");
      const proven = await verify(await file.text(), anchor.trim());
      setState({ step: "holds", proven, text, isText: text ? await answerOf(proven, text) : undefined });
    } catch (error) {
      setState({ step: "invalid", reason: printable(error instanceof Error ? error.message : String(error)) });
    }
  };
  const genesis = chain.value?.genesis;
  return (
    <Page title={t.receipt.verifyTitle} lead={t.receipt.verifyLead}>
      <form
        class="verify"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void check();
        }}
      >
        <label>
          {t.receipt.choose}
          <input type="file" accept=".json,application/json" onChange={(event) => setFile(event.currentTarget.files?.[0])} />
        </label>
        <label>
          {t.receipt.anchor}
          <input
            value={anchor}
            autocomplete="off"
            spellcheck={false}
            aria-describedby="anchor-help"
            onInput={(event) => setAnchor(event.currentTarget.value)}
          />
        </label>
        <small id="anchor-help">{genesis && anchor === genesis ? t.receipt.anchorFromNodeNote : t.receipt.anchorHelp}</small>
        {genesis && anchor !== genesis && (
          <button type="button" class="small secondary outline" onClick={() => setAnchor(genesis)}>
            {t.receipt.anchorFromNode}
          </button>
        )}
        <label>
          {t.receipt.text}
          <textarea rows={2} dir="auto" value={text} aria-describedby="text-help" onInput={(event) => setText(event.currentTarget.value)} />
        </label>
        <small id="text-help">{t.receipt.textHelp}</small>
        <button type="submit" disabled={!file || anchor.trim() === ""} aria-busy={state.step === "checking"}>
          {state.step === "checking" ? t.receipt.verifying : t.receipt.verify}
        </button>
      </form>
      <div role="status">
        {state.step === "invalid" && <Note kind="error" title={t.receipt.invalid(state.reason)} />}
        {state.step === "holds" && <Result {...state} />}
      </div>
    </Page>
  );
}

function Result({ proven, text, isText }: { proven: Proven; text: string; isText: number | undefined }) {
  return (
    <>
      <Note kind="good" title={t.receipt.holds}>
        {text && <p>{isText === undefined ? t.receipt.textIsNot : t.receipt.textIs(isText)}</p>}
      </Note>
      <Facts
        rows={[
          [t.requests.columns.id, String(proven.request)],
          [t.requests.state, proven.state === "settled" ? t.phase("Settled") : t.phase("Refunded")],
          [t.request.requester, <Account address={proven.requester} link={false} />],
          [t.request.budget, exact(BigInt(proven.budget))],
          [t.receipt.block, `${proven.block} · ${proven.block_hash}`],
          [t.receipt.time, new Date(proven.time).toISOString()],
        ]}
      />
      <Table label={t.request.answers} head={[t.request.operator, t.request.quality, t.request.paid]}>
        {proven.answers.map(({ operator, quality, paid }, index) => (
          <tr key={operator}>
            <th scope="row">
              <Account address={operator} />
              {index === proven.best && <span class="badge good">{t.request.best}</span>}
            </th>
            <td class="number">{quality === null ? t.notYet : part(quality * 1e6)}</td>
            <td class="number">{exact(BigInt(paid))}</td>
          </tr>
        ))}
      </Table>
      <Table label={t.request.committee} head={[t.request.validator, t.request.scores, t.request.agreement, t.request.paid]}>
        {proven.committees.flat().map(({ operator, scores, agreement, paid }) => (
          <tr key={operator}>
            <th scope="row">
              <Account address={operator} />
            </th>
            <td class="number">{scores.map((score) => part(score * 1e6)).join(" · ") || t.notYet}</td>
            <td class="number">{agreement === null ? t.notYet : part(agreement * 1e6)}</td>
            <td class="number">{exact(BigInt(paid))}</td>
          </tr>
        ))}
      </Table>
    </>
  );
}
