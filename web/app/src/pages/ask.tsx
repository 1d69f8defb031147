// Ask: the question, the terms, their estimate, and the request as it goes on.

import { computed, effect, signal, untracked } from "@preact/signals";
import type { Estimate, Message, Wishes } from "proof-of-quality";
import { useEffect, useId, useState } from "preact/hooks";
import { parseAmount, printable, shortened, text } from "../lib/format.ts";
import { chosen, connectWallet, developmentAccounts, loadDevelopment, walletAccounts, wallets } from "../lib/accounts.ts";
import { chain, head, registry, status, useLive, type Chain } from "../lib/node.ts";
import { Note, Page } from "../parts/basics.tsx";
import { LiveRequest } from "../parts/request.tsx";
import { t } from "../strings.ts";

const EMPTY: Message[] = [{ role: "user", content: "" }];
/** Input of the user, kept while other pages are shown. */
const messages = signal<Message[]>(EMPTY);
const terms = signal({ model: "", responders: "", committee: "", minQuality: "0.5", maxTokens: "64", temperature: "0", topP: "1", budget: "" });

type Run =
  | { step: "idle" }
  | { step: "signing" | "sent"; name: string }
  | { step: "placed"; id: bigint; fee?: bigint }
  | { step: "failed"; title: string; reason?: string };
const run = signal<Run>({ step: "idle" });
/** The conversation of the request that is shown, to go on with. */
const asked = signal<Message[]>(EMPTY);

const accounts = computed(() => [...(chain.value?.isDevelopment ? developmentAccounts.value : []), ...walletAccounts.value]);
const account = computed(() => accounts.value.find(({ id }) => id === chosen.value));

const number = (word: string) => (word.trim() === "" ? undefined : Number(word));
/** Whether a field is empty or a whole number that the chain's types hold. */
const isWhole = (word: string) => /^\s*\d{0,9}\s*$/.test(word);

/** The wishes of the form, or what is wrong with them. */
function wishes(): Wishes | string {
  const { model, responders, committee, minQuality, maxTokens, temperature, topP, budget } = terms.value;
  if (!(Number(topP) >= 0.001 && Number(topP) <= 1)) return t.ask.badTopP;
  const units = budget.trim() === "" ? undefined : parseAmount(budget);
  if (budget.trim() !== "" && units === undefined) return t.ask.badBudget;
  if (![responders, committee, maxTokens].every(isWhole) || !Number.isFinite(Number(minQuality))) return t.ask.badNumber;
  if (!(Number(temperature) >= 0 && Number(temperature) <= 2)) return t.ask.badTemperature;
  const all = {
    models: model ? [model] : undefined,
    responders: number(responders),
    committee: number(committee),
    minQuality: number(minQuality),
    maxTokens: number(maxTokens),
    temperature: number(temperature),
    budget: units,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Wishes;
}

const isBlank = () => messages.value.some(({ content }) => content.trim() === "");

/** The prompt of the form. */
async function prompt(): Promise<string> {
  const { encodeConversation } = await import("proof-of-quality");
  return encodeConversation(messages.value, { topP: Number(terms.value.topP) });
}

async function estimate(from: Chain, requester: string): Promise<Estimate> {
  const wanted = wishes();
  if (typeof wanted === "string") throw new Error(wanted);
  const { estimate } = await import("proof-of-quality");
  return estimate(from.api, requester, await prompt(), wanted);
}

async function ask() {
  const from = chain.value;
  const payer = account.value;
  const fail = (title: string, reason?: string) => (run.value = { step: "failed", title, ...(reason === undefined ? {} : { reason }) });
  if (isBlank()) return fail(t.ask.needQuestion);
  if (!from) return fail(t.ask.needNode);
  if (!payer) return fail(t.ask.needAccount);
  run.value = { step: "signing", name: payer.name };
  asked.value = messages.value;
  let signed = false;
  const signer = {
    ...payer.signer,
    signTx: async (...args: Parameters<typeof payer.signer.signTx>) => {
      try {
        const transaction = await payer.signer.signTx(...args);
        signed = true;
        run.value = { step: "sent", name: payer.name };
        return transaction;
      } catch (error) {
        throw new NotSigned(error instanceof Error ? error.message : String(error));
      }
    },
  };
  // A best block has the request some seconds before a finalized one.
  const early = from.api.event.ProofOfQuality.Requested.watchBest().subscribe({
    next: ({ type, events }) => {
      const mine = signed && type !== "drop" ? events.find(({ payload }) => payload.requester === payer.address) : undefined;
      if (mine && run.value.step !== "failed") run.value = { step: "placed", id: mine.payload.request };
    },
    // The connection is gone, which the question itself reports.
    error: () => {},
  });
  try {
    const shown = told.value.estimate?.terms.budget;
    const next = await estimate(from, payer.address);
    const { terms } = next;
    if (shown !== undefined && terms.budget > shown) {
      told.value = { estimate: next };
      return fail(t.ask.priceRose);
    }
    const { ask } = await import("proof-of-quality");
    const { id, transactionFee } = await ask(from.api, signer, await prompt(), terms);
    run.value = { step: "placed", id, fee: transactionFee };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (error instanceof NotSigned) fail(t.ask.refusedByWallet, reason);
    // The request is in a block: its own record says how it goes on.
    else if (run.value.step === "placed") return;
    else if (signed && chain.value !== from) fail(t.ask.lostWhileSending);
    else fail(error instanceof Error && error.name === "Refused" ? t.ask.refused : t.ask.failed, reason);
  } finally {
    early.unsubscribe();
  }
}

/** A wallet that did not sign. */
class NotSigned extends Error {
  override name = "NotSigned";
}

export function Ask() {
  const { step } = run.value;
  return (
    <Page title={t.ask.title} lead={t.ask.lead}>
      {run.value.step === "placed" ? <Placed id={run.value.id} fee={run.value.fee} /> : <Form busy={step === "signing" || step === "sent"} />}
    </Page>
  );
}

function Placed({ id, fee }: { id: bigint; fee: bigint | undefined }) {
  const reset = (next: Message[]) => {
    messages.value = next;
    run.value = { step: "idle" };
  };
  const live = useLive(async ({ api }) => (await import("proof-of-quality")).read(api, id), [id]);
  const over = live.value?.phase.type === "Settled" ? live.value : undefined;
  const best = over?.phase.type === "Settled" ? over.responses[over.phase.value.best] : undefined;
  return (
    <>
      <div class="bar">
        <p role="status">{fee === undefined ? t.ask.placed(id) : t.ask.final(id, fee)}</p>
        {best && (
          <button
            type="button"
            class="secondary"
            onClick={() => reset([...asked.value, { role: "assistant", content: text(best.output) }, { role: "user", content: "" }])}
          >
            {t.ask.askOn}
          </button>
        )}
        <button type="button" class="secondary" onClick={() => reset(EMPTY)}>
          {t.ask.another}
        </button>
      </div>
      <LiveRequest id={id} />
    </>
  );
}

function Form({ busy }: { busy: boolean }) {
  const state = run.value;
  return (
    <form
      class="ask"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (!busy) void ask();
      }}
    >
      <div class="columns">
        <div>
          <Question busy={busy} />
          <Payer busy={busy} />
          <Cost />
          <button type="submit" aria-busy={busy} disabled={busy}>
            {t.ask.go}
          </button>
          <div role="status" class="told">
            {state.step === "signing" && <p>{t.ask.signing(state.name)}</p>}
            {state.step === "sent" && <p>{t.ask.sent}</p>}
          </div>
          {state.step === "failed" && (
            <Note kind="error" title={state.title}>
              {state.reason && <p>{printable(state.reason)}</p>}
            </Note>
          )}
        </div>
        <div>
          <TermsFields busy={busy} />
        </div>
      </div>
    </form>
  );
}

function Question({ busy }: { busy: boolean }) {
  const all = messages.value;
  const last = all.length - 1;
  const set = (index: number, content: string) =>
    (messages.value = all.map((message, at) => (at === index ? { ...message, content } : message)));
  let turn = 0;
  return (
    <fieldset disabled={busy}>
      {all.map(({ role, content }, index) => {
        if (role === "user") turn += 1;
        const label =
          role === "system" ? t.ask.system : index === last ? t.ask.question : role === "user" ? t.ask.yours(turn) : t.ask.theirs(turn);
        return (
          <div key={index}>
            <label>
              {label}
              <textarea
                rows={index === last ? 5 : 3}
                dir="auto"
                value={content}
                placeholder={index === last ? t.ask.placeholder : ""}
                onInput={(event) => set(index, event.currentTarget.value)}
              />
            </label>
            {role === "system" && (
              <button type="button" class="small secondary outline" onClick={() => (messages.value = all.slice(1))}>
                {t.ask.remove}
              </button>
            )}
            {role === "assistant" && (
              <button
                type="button"
                class="small secondary outline"
                onClick={() => (messages.value = all.filter((_, at) => at !== index && at !== index - 1))}
              >
                {t.ask.remove}
              </button>
            )}
          </div>
        );
      })}
      <p class="quiet small">{t.ask.publicNote}</p>
      <div class="bar">
        {all[0]?.role !== "system" && (
          <button
            type="button"
            class="small secondary outline"
            onClick={() => (messages.value = [{ role: "system", content: "" }, ...all])}
          >
            {t.ask.addSystem}
          </button>
        )}
        <button
          type="button"
          class="small secondary outline"
          onClick={() => {
            const exchange: Message[] = [{ role: "user", content: "" }, { role: "assistant", content: "" }];
            messages.value = [...all.slice(0, last), ...exchange, ...all.slice(last)];
          }}
        >
          {t.ask.addTurn}
        </button>
      </div>
    </fieldset>
  );
}

function Field({
  name,
  label,
  help,
  ...rest
}: {
  name: keyof typeof terms.value;
  label: string;
  help: string;
  placeholder?: string;
  inputMode?: "numeric" | "decimal";
}) {
  const id = useId();
  return (
    <div class="field">
      <label>
        {label}
        <input
          value={terms.value[name]}
          aria-describedby={id}
          autocomplete="off"
          onInput={(event) => (terms.value = { ...terms.value, [name]: event.currentTarget.value })}
          {...rest}
        />
      </label>
      <small id={id}>{help}</small>
    </div>
  );
}

function TermsFields({ busy }: { busy: boolean }) {
  const generators = [...registry.value.values()].filter(
    ({ kind, retired, roster }) => kind.type === "Generator" && !retired && roster.length > 0,
  );
  return (
    <fieldset disabled={busy}>
      <legend>{t.ask.terms}</legend>
      <label>
        {t.ask.model}
        <select
          value={terms.value.model}
          aria-describedby="model-help"
          onChange={(event) => (terms.value = { ...terms.value, model: event.currentTarget.value })}
        >
          <option value="">{t.ask.auto}</option>
          {generators.map(({ id, name }) => (
            <option value={id} key={id}>
              {printable(text(name))}
            </option>
          ))}
        </select>
      </label>
      <small id="model-help">{t.ask.autoHelp}</small>
      <div class="grid">
        <Field name="responders" label={t.ask.responders} help={t.ask.respondersHelp} placeholder={t.ask.automatic} inputMode="numeric" />
        <Field name="committee" label={t.ask.committee} help={t.ask.committeeHelp} placeholder={t.ask.automatic} inputMode="numeric" />
      </div>
      <div class="grid">
        <Field name="minQuality" label={t.ask.minQuality} help={t.ask.minQualityHelp} inputMode="decimal" />
        <Field name="budget" label={t.ask.budget} help={t.ask.budgetHelp} placeholder={t.ask.automatic} inputMode="decimal" />
      </div>
      <details>
        <summary>{t.ask.more}</summary>
        <div class="grid">
          <Field name="maxTokens" label={t.ask.maxTokens} help={t.ask.maxTokensHelp} inputMode="numeric" />
          <Field name="temperature" label={t.ask.temperature} help={t.ask.temperatureHelp} inputMode="decimal" />
          <Field name="topP" label={t.ask.topP} help={t.ask.topPHelp} inputMode="decimal" />
        </div>
      </details>
    </fieldset>
  );
}

function Payer({ busy }: { busy: boolean }) {
  const [error, setError] = useState("");
  const [found, setFound] = useState(wallets);
  useEffect(() => {
    // Wallets come into the page a little after it.
    const look = () => setFound(wallets());
    addEventListener("load", look);
    addEventListener("focus", look);
    const timer = setTimeout(look, 500);
    return () => {
      removeEventListener("load", look);
      removeEventListener("focus", look);
      clearTimeout(timer);
    };
  }, []);
  const isDevelopment = chain.value?.isDevelopment ?? false;
  useEffect(() => {
    if (isDevelopment) void loadDevelopment();
  }, [isDevelopment]);
  const connected = new Set(walletAccounts.value.map(({ wallet }) => wallet));
  const payer = account.value?.address;
  const balance = useLive(
    async ({ api }) => (payer ? (await api.query.System.Account.getValue(payer, { at: "best" })).data : undefined),
    [payer],
    5,
  ).value;
  return (
    <fieldset disabled={busy}>
      <label>
        {t.ask.account}
        <select value={account.value?.id ?? ""} onChange={(event) => (chosen.value = event.currentTarget.value)}>
          <option value="">{t.ask.chooseAccount}</option>
          {isDevelopment && (
            <optgroup label={t.ask.development}>
              {developmentAccounts.value.map(({ id, name, address }) => (
                <option value={id} key={id}>
                  {name} · {shortened(address)}
                </option>
              ))}
            </optgroup>
          )}
          {[...connected].map((wallet) => (
            <optgroup label={t.ask.wallet(printable(wallet ?? ""))} key={wallet}>
              {walletAccounts.value
                .filter((each) => each.wallet === wallet)
                .map(({ id, name, address }) => (
                  <option value={id} key={id}>
                    {printable(name)} · {shortened(address)}
                  </option>
                ))}
            </optgroup>
          ))}
        </select>
      </label>
      <p class="quiet small fixed">{balance ? t.ask.balance(spendable(balance)) : "\u00a0"}</p>
      {found.some((name) => !connected.has(name)) && (
        <div class="bar">
          {found
            .filter((name) => !connected.has(name))
            .map((name) => (
              <button
                type="button"
                class="small secondary outline"
                key={name}
                onClick={() => {
                  setError("");
                  connectWallet(name).catch((error: Error) => setError(error.message));
                }}
              >
                {t.ask.connectWallet(printable(name))}
              </button>
            ))}
        </div>
      )}
      <p class="quiet small">{found.length > 0 ? t.ask.walletNote : isDevelopment ? t.ask.noWalletDevelopment : t.ask.noWallet}</p>
      {error && <Note kind="error" title={printable(error)} />}
    </fieldset>
  );
}

const spendable = ({ free, frozen }: { free: bigint; frozen: bigint }) => (free > frozen ? free - frozen : 0n);

type Told = { estimate?: Estimate; error?: string };
const told = signal<Told>({});

/** Milliseconds after the last key before an estimate. */
const PAUSE = 300;

// One estimate at a time, for the newest input.
let timer: ReturnType<typeof setTimeout> | undefined;
function schedule() {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    const from = chain.value;
    if (!from || isBlank()) {
      told.value = {};
      return;
    }
    const inputs = [messages.value, terms.value, account.value] as const;
    let next: Told;
    try {
      next = { estimate: await estimate(from, account.value?.address ?? "") };
    } catch (error) {
      next = { error: error instanceof Error ? error.message : String(error) };
    }
    const isCurrent = inputs[0] === messages.value && inputs[1] === terms.value && inputs[2] === account.value;
    if (isCurrent && chain.value === from) told.value = next;
  }, PAUSE);
}

/** Blocks between estimates without a new input. */
const FRESH = 5;

function Cost() {
  useEffect(() => {
    let next = 0;
    const inputs = effect(() => {
      void [messages.value, terms.value, account.value, chain.value];
      untracked(schedule);
    });
    const blocks = effect(() => {
      const best = head.value?.best ?? 0;
      if (best < next) return;
      next = best + FRESH;
      untracked(schedule);
    });
    return () => {
      inputs();
      blocks();
    };
  }, []);
  const { estimate, error } = told.value;
  const sum = estimate && estimate.inference + estimate.scoring + estimate.fee;
  const budget = estimate?.terms.budget;
  return (
    <div class="cost" aria-live="polite" data-error={error ? true : undefined}>
      <strong>{t.ask.estimate}</strong>
      {error ? (
        <p>{printable(error)}</p>
      ) : estimate && budget !== undefined && sum !== undefined ? (
        <p>
          {t.ask.estimateTotal(budget)}
          <br />
          <small>
            {t.ask.estimateParts(estimate.inference, estimate.scoring, estimate.fee)}
            {budget > sum && ` ${t.ask.estimateBonus(budget - sum)}`}
            {budget < sum && ` ${t.ask.estimateShort}`}
          </small>
        </p>
      ) : (
        <p class="quiet">{isBlank() ? t.ask.estimateEmpty : status.value === "connected" ? t.ask.estimating : t.ask.needNode}</p>
      )}
    </div>
  );
}

