// Network: chain, node, blocks, load, parameters, and the endpoint.

import { useEffect, useState } from "preact/hooks";
import { exact, grouped, percent, printable, span, text } from "../lib/format.ts";
import { alone, chain, choose, endpoint, followAlone, head, isEndpoint, status, useLive, usualEndpoint, type Chain } from "../lib/node.ts";
import { allOperators } from "../lib/operators.ts";
import { Account, Coded, Facts, Id, Page, Shown, Table } from "../parts/basics.tsx";
import { t } from "../strings.ts";

const EVERY = 2;

async function look(from: Chain) {
  const { query } = from.api;
  const at = { at: "best" } as const;
  const { models } = await import("proof-of-quality");
  const [open, made, parameters, authors, operators, all, runtime, health, software, version] = await Promise.all([
    query.ProofOfQuality.OpenRequests.getValue(at),
    query.ProofOfQuality.NextRequest.getValue(at),
    query.ProofOfQuality.EconomicParameters.getValue(at),
    query.BlockAuthors.Authors.getValue(at),
    allOperators(from),
    models(from.api),
    from.ask<{ specName: string; specVersion: number }>("state_getRuntimeVersion"),
    from.ask<{ peers: number; isSyncing: boolean }>("system_health"),
    from.ask<string>("system_name"),
    from.ask<string>("system_version"),
  ]);
  return { open, made, parameters, authors, operators, models: all, runtime, health, software: `${software} ${version}` };
}

type Seen = Awaited<ReturnType<typeof look>>;
type Parameters = Seen["parameters"];

export function Network() {
  const live = useLive(look, [], EVERY);
  return (
    <Page title={t.network.title} lead={t.network.lead}>
      <div class="cards">
        <Blocks />
        <Shown live={live} lines={8}>
          {(seen) => <Parts {...seen} />}
        </Shown>
      </div>
      <Endpoint />
      <Alone />
      {live.value && <ParameterTable parameters={live.value.parameters} />}
      <p class="small">
        <a href="licenses.txt">{t.network.licences}</a>
      </p>
    </Page>
  );
}

function Blocks() {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  const at = head.value;
  return (
    <section class="card" aria-labelledby="blocks">
      <h2 id="blocks">{t.network.blocks}</h2>
      <Facts
        rows={[
          [t.network.best, <span class="number">{at ? grouped(at.best) : t.notYet}</span>],
          [t.network.finalized, <span class="number">{at ? grouped(at.finalized) : t.notYet}</span>],
          [t.network.finality, <span class="number">{at ? grouped(at.best - at.finalized) : t.notYet}</span>],
          [t.network.age, <span class="number">{at ? t.network.ageText(span(now - at.seen)) : t.notYet}</span>],
          [t.network.blockTime, chain.value ? span(chain.value.blockMillis) : t.notYet],
        ]}
      />
    </section>
  );
}

function Parts({ open, made, authors, operators, models, runtime, health, software }: Seen) {
  const sum = (of: (operator: Seen["operators"][number]) => number) => operators.reduce((all, operator) => all + of(operator), 0);
  const drawable = operators.filter((operator) => operator.drawable);
  const dear = models.filter(({ surcharge }) => surcharge > 0);
  return (
    <>
      <section class="card" aria-labelledby="load">
        <h2 id="load">{t.network.load}</h2>
        <Facts
          rows={[
            [t.network.openRequests, grouped(open)],
            [t.network.madeRequests, grouped(made)],
            [t.network.tokens, t.network.loadOf(sum(({ load }) => load.tokens), sum(({ capacity }) => capacity.tokens))],
            [t.network.pairs, t.network.loadOf(sum(({ load }) => load.pairs), sum(({ capacity }) => capacity.pairs))],
            [t.network.operators, t.network.operatorsText(drawable.length, operators.length)],
            [
              t.network.surcharges,
              dear.length === 0
                ? t.network.noSurcharge
                : t.network.someSurcharge(dear.map(({ name, surcharge }) => `${printable(text(name))} (${percent(surcharge)})`).join(", ")),
            ],
          ]}
        />
      </section>
      <section class="card" aria-labelledby="node">
        <h2 id="node">{t.network.node}</h2>
        <Facts
          rows={[
            [t.network.software, printable(software)],
            [t.network.peers, health.peers === 0 ? t.network.noPeers : t.network.peersText(health.peers), health.isSyncing ? t.network.syncing : t.network.synced],
          ]}
        />
      </section>
      <section class="card" aria-labelledby="chain">
        <h2 id="chain">{t.network.chain}</h2>
        <Facts
          rows={[
            [t.network.chainName, printable(chain.value?.name ?? t.unknown)],
            [t.network.runtime, t.network.runtimeText(runtime.specName, runtime.specVersion)],
            [t.network.authors, authors.map((who) => <span class="item" key={who}><Account address={who} link={false} /></span>)],
            [t.network.genesis, <Id value={chain.value?.genesis ?? ""} label={t.network.genesis} />],
          ]}
        />
      </section>
    </>
  );
}

function Endpoint() {
  const [url, setUrl] = useState(endpoint.value);
  const [error, setError] = useState("");
  useEffect(() => setUrl(endpoint.value), [endpoint.value]);
  return (
    <section aria-labelledby="endpoint">
      <h2 id="endpoint">{t.network.endpoint}</h2>
      <p>{alone.value ? t.network.endpointAlone : t.network.endpointLead}</p>
      <form
        class="endpoint"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          const wanted = url.trim();
          if (isEndpoint(wanted)) {
            setError("");
            choose(wanted);
          } else setError(t.network.badUrl(wanted));
        }}
      >
        <label>
          {t.network.url}
          <input
            value={url}
            inputMode="url"
            autocomplete="off"
            spellcheck={false}
            aria-invalid={error ? true : undefined}
            aria-describedby="endpoint-help"
            onInput={(event) => setUrl(event.currentTarget.value)}
          />
        </label>
        <small id="endpoint-help">{error || t.network.urlHelp}</small>
        <div class="bar">
          <button type="submit" aria-busy={status.value === "connecting"}>
            {t.network.connect}
          </button>
          {endpoint.value !== usualEndpoint() && (
            <button type="button" class="secondary" onClick={() => choose(undefined)}>
              {t.network.reset}
            </button>
          )}
        </div>
      </form>
    </section>
  );
}

/** Whom the page believes, and the way to believe nobody. */
function Alone() {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const follow = async () => {
    setBusy(true);
    setError("");
    try {
      await followAlone();
    } catch (reason) {
      setError(printable(reason instanceof Error ? reason.message : String(reason)));
    }
    setBusy(false);
  };
  return (
    <section aria-labelledby="alone">
      <h2 id="alone">{t.network.alone}</h2>
      <p>{alone.value ? t.network.aloneNow : t.network.aloneLead}</p>
      {error && <p role="alert">{error}</p>}
      {alone.value ? (
        <button type="button" class="secondary" onClick={() => choose(endpoint.value)}>
          {t.network.believe}
        </button>
      ) : (
        <button type="button" class="secondary" aria-busy={busy} disabled={!chain.value || !head.value?.finalized || busy} onClick={() => void follow()}>
          {t.network.follow}
        </button>
      )}
    </section>
  );
}

const MONEY = new Set(["min_stake", "waiting_fee", "absence_slash", "audit_allowance"]);
const BLOCKS = new Set(["unbonding_period", "audit_window"]);
const COUNTS = new Set(["min_committee"]);
const TIMES = new Set(["stake_cap", "tolerance_spreads"]);

function shown(name: string, value: Parameters[keyof Parameters]): string {
  if (typeof value === "object") return t.floorText(value.agreement, value.veracity, value.reliability, value.quality);
  if (MONEY.has(name)) return exact(BigInt(value));
  if (BLOCKS.has(name)) return t.blocksAndTime(Number(value), chain.value?.blockMillis ?? 0);
  if (COUNTS.has(name)) return grouped(value);
  if (TIMES.has(name)) return t.times(Number(value));
  return percent(Number(value));
}

function ParameterTable({ parameters }: { parameters: Parameters }) {
  const all = Object.keys(t.parameters) as (keyof Parameters)[];
  return (
    <section aria-labelledby="parameters">
      <h2 id="parameters">{t.network.parameters}</h2>
      <p>{t.network.parametersLead}</p>
      <Table label={t.network.parameters} head={[t.network.parameter, t.network.value, t.network.meaning]}>
        {all.map((name) => (
          <tr key={name}>
            <th scope="row">
              <code>{name}</code>
            </th>
            <td>{shown(name, parameters[name])}</td>
            <td class="wide">
              <Coded text={t.parameters[name]} />
            </td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
