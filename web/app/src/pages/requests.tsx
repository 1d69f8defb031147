// Requests: the list, newest first, with filters; and one request.

import { useEffect, useState } from "preact/hooks";
import { excerpt, part, shortened, text } from "../lib/format.ts";
import { history, summaries, type Summary } from "../lib/history.ts";
import { names, useLive, type Chain } from "../lib/node.ts";
import { route, setQuery } from "../lib/router.ts";
import { Money, Note, Page, Shown, Table, Visible } from "../parts/basics.tsx";
import { LiveRequest } from "../parts/request.tsx";
import { t } from "../strings.ts";

/** Requests of a page without filters. */
const SIZE = 20n;
/** Most requests that a filter looks at. */
const SCAN = 400n;
/** A whole address. */
const ADDRESS = /^[1-9A-HJ-NP-Za-km-z]{46,50}$/;
/** Most requests that a history gives at a time, and most matches on a page. */
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
/** Rows of requests `from` to `to`; where filters were at work, `isFiltered`, and `next` if there are older ones to search. */
type List = { made: bigint; rows: Row[]; pruned: bigint[]; from: bigint; to: bigint; isFiltered: boolean; next?: bigint | undefined };

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
    const limit = Math.min(MOST, Number(before - last));
    const page = await summaries(before, limit);
    kept.push(...(await Promise.all(page.map(row))).filter(({ id }) => missing.has(id)));
    before = page.length < limit ? undefined : BigInt(page.at(-1)?.request ?? 0);
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

/** A page of the list: the one of this number from the newest on, or what matches filters among requests `before` a number. */
async function list(chain: Chain, page: bigint, before: bigint | undefined, filters: Filters): Promise<List> {
  const made = await chain.api.query.ProofOfQuality.NextRequest.getValue({ at: "best" });
  const isFiltered = areSet(filters);
  const end = before !== undefined && before < made ? before : made;
  const to = isFiltered ? end - 1n : made - 1n - page * SIZE;
  const last = to - (isFiltered ? SCAN : SIZE) + 1n;
  const from = last > 0n ? last : 0n;
  if (to < 0n) return { made, rows: [], pruned: [], from: 0n, to: -1n, isFiltered };
  const found = await rows(chain, to, from);
  if (!isFiltered) return { made, ...found, from, to, isFiltered };
  const wanted = filters.requester.toLowerCase();
  const search = filters.search.toLowerCase();
  const matches = found.rows.filter(
    ({ state, requester, question }) =>
      (filters.state === "all" || filters.state === state) &&
      (wanted === "" || requester.toLowerCase().startsWith(wanted) || names.value.get(requester) === wanted) &&
      question.toLowerCase().includes(search),
  );
  const kept = from > 0n && search === "" ? await older(from, filters) : undefined;
  const all = [...matches, ...(kept ?? [])];
  const shown = all.slice(0, MOST);
  // The page ends with its last match if it is full; otherwise all that was looked at belongs to it.
  const isFull = all.length > MOST || kept?.length === MOST;
  const searched = isFull ? (shown.at(-1)?.id ?? from) : kept ? 0n : from;
  return { made, rows: shown, pruned: [], from: searched, to, isFiltered, next: searched > 0n ? searched : undefined };
}

const areSet = ({ state, requester, search }: Filters) => state !== "all" || requester !== "" || search !== "";

/** What the history has of older requests; `undefined` where there is none, or where it cannot filter so. */
async function older(before: bigint, { state, requester }: Filters): Promise<Row[] | undefined> {
  const named = [...names.value].find(([, name]) => name === requester.toLowerCase())?.[0];
  const account = named ?? requester;
  // Of every request that is older than those the chain was asked for, the end is known.
  if (!history.value || state === "open" || (account !== "" && !ADDRESS.test(account))) return undefined;
  return Promise.all((await summaries(before, MOST, { state: state === "all" ? undefined : state, requester: account })).map(row));
}

/** A whole number of the address. */
const whole = (word: string | null) => (word !== null && /^\d{1,15}$/.test(word) ? BigInt(word) : undefined);

export function Requests() {
  const { query } = route.value;
  const filters: Filters = {
    state: (["open", "settled", "refunded"] as const).find((state) => state === query.get("state")) ?? "all",
    requester: query.get("requester")?.trim() ?? "",
    search: query.get("search")?.trim() ?? "",
  };
  const page = whole(query.get("page")) ?? 0n;
  const before = whole(query.get("before"));
  const every = areSet(filters) ? SCAN_EVERY : 1;
  const live = useLive((chain) => list(chain, page, before, filters), [page, before, ...Object.values(filters)], every);
  return (
    <Page title={t.requests.title} lead={t.requests.lead}>
      <FilterFields filters={filters} />
      <Shown live={live} lines={Number(SIZE)}>
        {(found) => (
          <>
            <p class="quiet" role="status">
              {found.isFiltered ? t.requests.matches(found.rows.length, found.from, found.to, found.made) : t.requests.count(found.made)}
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
              <Note title={found.isFiltered ? t.requests.noMatch : t.requests.allPruned}>
                {found.isFiltered && <p>{t.requests.noMatchHelp(found.from, found.to, found.made)}</p>}
              </Note>
            )}
            {found.made > 0n && <Pages found={found} page={page} filters={filters} />}
          </>
        )}
      </Shown>
    </Page>
  );
}

/** Links to other pages of the list. */
function Pages({ found, page, filters }: { found: List; page: bigint; filters: Filters }) {
  const { made, from, to, isFiltered, next } = found;
  const oldest = (made - 1n) / SIZE;
  const at = (place: Record<string, bigint>) => {
    const set = Object.entries(filters).filter(([, value]) => value !== "" && value !== "all");
    const words = new URLSearchParams([...set, ...Object.entries(place).map(([name, value]) => [name, String(value)])]);
    return `#/requests${words.size > 0 ? `?${words}` : ""}`;
  };
  const isFar = isFiltered ? to + 1n < made : page > 1n;
  return (
    <nav class="pages" aria-label={t.requests.pages}>
      <span class="links">
        {isFar && <a href={at({})}>{t.requests.newest}</a>}
        {!isFiltered && page > 0n && <a href={at({ page: page - 1n })}>{t.requests.newer}</a>}
      </span>
      <span class="quiet">{to >= from && t.requests.page(from, to)}</span>
      <span class="links">
        {isFiltered ? (
          next !== undefined && <a href={at({ before: next })}>{t.requests.older}</a>
        ) : (
          <>
            {page < oldest && <a href={at({ page: page + 1n })}>{t.requests.older}</a>}
            {page + 1n < oldest && <a href={at({ page: oldest })}>{t.requests.oldest}</a>}
          </>
        )}
      </span>
    </nav>
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

