// Requests: the list, newest first, with filters; and one request.

import { useEffect, useState } from "preact/hooks";
import { excerpt, part, shortened, text } from "../lib/format.ts";
import { history, summaries, type Summary } from "../lib/history.ts";
import { names, useLive, type Chain } from "../lib/node.ts";
import { route, setQuery } from "../lib/router.ts";
import { Money, Note, Page, Shown, Table, Visible } from "../parts/basics.tsx";
import { LiveRequest } from "../parts/request.tsx";
import { t } from "../strings.ts";

const SIZE = 20;
/** Most requests that a filter looks at. */
const SCAN = 400n;
/** A whole address. */
const ADDRESS = /^[1-9A-HJ-NP-Za-km-z]{46,50}$/;
/** Most requests that a history gives at a time. */
const MOST = 100;
/** Blocks between two looks of a filter. */
const SCAN_EVERY = 5;

type State = keyof typeof t.requests.states;
type Filters = { state: State; requester: string; search: string };
type Row = {
  id: bigint;
  question: string;
  state: "open" | "settled" | "refunded";
  phase: string;
  quality: number | undefined;
  budget: bigint;
  requester: string;
  created: number;
};
type List = { made: bigint; rows: Row[]; pruned: bigint[]; from: bigint; to: bigint; scanned: number | undefined };

async function rows(chain: Chain, from: bigint, to: bigint): Promise<{ rows: Row[]; pruned: bigint[] }> {
  const { Requests, Prompts, Responses } = chain.api.query.ProofOfQuality;
  const ids: bigint[] = [];
  for (let id = from; id >= to; id--) ids.push(id);
  const keys = ids.map((id): [bigint] => [id]);
  const at = { at: "best" } as const;
  const [requests, prompts, responses] = await Promise.all([
    Requests.getValues(keys, at),
    Prompts.getValues(keys, at),
    Responses.getValues(keys, at),
  ]);
  const { decodeConversation } = await import("proof-of-quality");
  const title = (prompt: string) => decodeConversation(prompt).at(-1)?.content ?? prompt;
  const found: Row[] = [];
  const pruned: bigint[] = [];
  for (const [index, id] of ids.entries()) {
    const request = requests[index];
    if (!request) {
      pruned.push(id);
      continue;
    }
    const { phase, budget } = request;
    found.push({
      id,
      question: title(text(prompts[index] ?? new Uint8Array())),
      state: phase.type === "Settled" ? "settled" : phase.type === "Refunded" ? "refunded" : "open",
      phase: t.phase(phase.type),
      quality: phase.type === "Settled" ? responses[index]?.[phase.value.best]?.quality : undefined,
      budget: budget.inference + budget.scoring + budget.fee,
      requester: request.requester,
      created: request.created,
    });
  }
  return pruned.length > 0 && history.value ? { rows: await filled(found, pruned), pruned: [] } : { rows: found, pruned };
}

/** The same rows with those of the history in the places of the pruned ones. */
async function filled(rows: Row[], pruned: bigint[]): Promise<Row[]> {
  const missing = new Set(pruned);
  const [newest] = pruned;
  const kept: Row[] = [];
  for (let before = newest === undefined ? undefined : newest + 1n, last = pruned.at(-1) ?? 0n; before !== undefined && before > last; ) {
    const page = await summaries(before, MOST);
    kept.push(...(await Promise.all(page.map(row))).filter(({ id }) => missing.has(id)));
    before = page.length < MOST ? undefined : BigInt(page.at(-1)?.request ?? 0);
  }
  return [...rows, ...kept].sort((one, other) => (one.id < other.id ? 1 : -1));
}

/** A row of what the history says. */
async function row({ request, state, requester, prompt, quality, budget, created }: Summary): Promise<Row> {
  const { decodeConversation } = await import("proof-of-quality");
  const isOver = state === "settled" || state === "refunded";
  return {
    id: BigInt(request),
    question: decodeConversation(prompt).at(-1)?.content ?? prompt,
    state: isOver ? state : "open",
    phase: t.phase(state === "settled" ? "Settled" : state === "refunded" ? "Refunded" : "Requested"),
    quality: quality === null ? undefined : Math.round(quality * 1e6),
    budget: BigInt(budget),
    requester,
    created,
  };
}

async function list(chain: Chain, page: bigint, filters: Filters): Promise<List> {
  const made = await chain.api.query.ProofOfQuality.NextRequest.getValue({ at: "best" });
  const isFiltered = filters.state !== "all" || filters.requester !== "" || filters.search !== "";
  const size = BigInt(SIZE);
  const first = made - 1n - (isFiltered ? 0n : page * size);
  const count = isFiltered ? SCAN : size;
  const last = first - count + 1n > 0n ? first - count + 1n : 0n;
  if (first < 0n) return { made, rows: [], pruned: [], from: 0n, to: 0n, scanned: undefined };
  const found = await rows(chain, first, last);
  if (!isFiltered) return { made, ...found, from: last, to: first, scanned: undefined };
  const wanted = filters.requester.toLowerCase();
  const search = filters.search.toLowerCase();
  const matches = found.rows.filter(
    ({ state, requester, question }) =>
      (filters.state === "all" || filters.state === state) &&
      (wanted === "" || requester.toLowerCase().startsWith(wanted) || names.value.get(requester) === wanted) &&
      question.toLowerCase().includes(search),
  );
  const kept = last > 0n && search === "" ? await older(last, filters) : undefined;
  const scanned = Number(kept && kept.length < MOST ? made : made - (kept?.at(-1)?.id ?? last));
  return { made, rows: [...matches, ...(kept ?? [])], pruned: [], from: last, to: first, scanned };
}

/** What the history has of older requests; `undefined` where there is none, or where it cannot filter so. */
async function older(before: bigint, { state, requester }: Filters): Promise<Row[] | undefined> {
  const named = [...names.value].find(([, name]) => name === requester.toLowerCase())?.[0];
  const account = named ?? requester;
  // Of every request that is older than those the chain was asked for, the end is known.
  if (!history.value || state === "open" || (account !== "" && !ADDRESS.test(account))) return undefined;
  return Promise.all((await summaries(before, MOST, { state: state === "all" ? undefined : state, requester: account })).map(row));
}

export function Requests() {
  const { query } = route.value;
  const filters: Filters = {
    state: (["open", "settled", "refunded"] as const).find((state) => state === query.get("state")) ?? "all",
    requester: query.get("requester")?.trim() ?? "",
    search: query.get("search")?.trim() ?? "",
  };
  const isFiltered = filters.state !== "all" || filters.requester !== "" || filters.search !== "";
  const word = query.get("page") ?? "0";
  const page = /^\d{1,15}$/.test(word) ? BigInt(word) : 0n;
  const live = useLive((chain) => list(chain, page, filters), [String(page), ...Object.values(filters)], isFiltered ? SCAN_EVERY : 1);
  return (
    <Page title={t.requests.title} lead={t.requests.lead}>
      <FilterFields filters={filters} />
      <Shown live={live} lines={SIZE}>
        {(found) => (
          <>
            <p class="quiet" role="status">
              {found.scanned === undefined ? t.requests.count(found.made) : t.requests.scanned(found.rows.length, found.scanned)}
            </p>
            {found.made === 0n ? (
              <Note title={t.requests.none}>
                <p>
                  <a href="#/">{t.requests.noneHelp}</a>
                </p>
              </Note>
            ) : found.rows.length > 0 ? (
              <Rows {...found} />
            ) : (
              <Note title={found.scanned === undefined ? t.requests.allPruned : t.requests.noMatch}>
                {found.scanned !== undefined && <p>{t.requests.noMatchHelp(found.scanned)}</p>}
              </Note>
            )}
            {found.scanned === undefined && found.made > 0n && (
              <nav class="pages" aria-label={t.requests.pages}>
                {page > 0n ? <a href={`#/requests?page=${page - 1n}`}>{t.requests.newer}</a> : <span />}
                <span class="quiet">{found.to >= found.from && t.requests.page(found.from, found.to)}</span>
                {found.from > 0n ? <a href={`#/requests?page=${page + 1n}`}>{t.requests.older}</a> : <span />}
              </nav>
            )}
          </>
        )}
      </Shown>
    </Page>
  );
}

/** Milliseconds after the last key before a filter acts. */
const PAUSE = 300;

function FilterFields({ filters }: { filters: Filters }) {
  const [own, setOwn] = useState(filters);
  useEffect(() => {
    const timer = setTimeout(() => {
      if (own.state === filters.state && own.requester.trim() === filters.requester && own.search.trim() === filters.search) return;
      setQuery({ state: own.state === "all" ? "" : own.state, requester: own.requester.trim(), search: own.search.trim() });
    }, PAUSE);
    return () => clearTimeout(timer);
  }, [own]);
  return (
    <search aria-label={t.requests.filters}>
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        <label>
          {t.requests.state}
          <select value={own.state} onChange={(event) => setOwn({ ...own, state: event.currentTarget.value as State })}>
            {Object.entries(t.requests.states).map(([state, name]) => (
              <option value={state} key={state}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label>
          {t.requests.requester}
          <input
            value={own.requester}
            placeholder={t.requests.requesterHelp}
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => setOwn({ ...own, requester: event.currentTarget.value })}
          />
        </label>
        <label>
          {t.requests.search}
          <input type="search" value={own.search} dir="auto" onInput={(event) => setOwn({ ...own, search: event.currentTarget.value })} />
        </label>
      </form>
    </search>
  );
}

const EXCERPT = 90;

function Rows({ rows, pruned }: { rows: Row[]; pruned: bigint[] }) {
  const { columns } = t.requests;
  return (
    <>
      <Table
        label={t.requests.title}
        head={[columns.id, columns.question, columns.state, columns.quality, columns.budget, columns.requester, columns.block]}
      >
        {rows.map(({ id, question, state, phase, quality, budget, requester, created }) => (
          <tr key={String(id)}>
            <td class="number">
              <a href={`#/requests/${id}`}>{String(id)}</a>
            </td>
            <td class="wide" dir="auto">
              <Visible value={excerpt(question, EXCERPT)} />
            </td>
            <td>
              <span class={`badge ${state}`}>{phase}</span>
            </td>
            <td class="number">{quality === undefined ? t.notYet : part(quality)}</td>
            <td class="extra">
              <Money units={budget} />
            </td>
            <td class="extra" title={requester}>
              <a href={`#/requests?requester=${requester}`}>{names.value.get(requester) ?? shortened(requester)}</a>
            </td>
            <td class="number extra">{created}</td>
          </tr>
        ))}
      </Table>
      {pruned.length > 0 && <p class="quiet small">{t.requests.prunedHere(pruned.length)}</p>}
    </>
  );
}

export function RequestPage({ id }: { id: string }) {
  return (
    <Page title={t.request.title(id)}>
      {/^\d{1,19}$/.test(id) ? <LiveRequest id={BigInt(id)} /> : <Note title={t.request.bad} />}
    </Page>
  );
}

