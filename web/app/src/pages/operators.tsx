// Operators: all of them, and one.

import { useState } from "preact/hooks";
import { exact, grouped, printable } from "../lib/format.ts";
import { names, useLive } from "../lib/node.ts";
import { allOperators, promise } from "../lib/operators.ts";
import type { OperatorInfo } from "../lib/request.ts";
import { Account, Coded, Facts, Id, Model, Money, Note, Page, Share, Shown, Table } from "../parts/basics.tsx";
import { DaysPart } from "../parts/history.tsx";
import { reason } from "../parts/outcome.ts";
import { t } from "../strings.ts";

const EVERY = 3;

type Standing = OperatorInfo["standing"];
type Sort = keyof typeof t.operators.sorts;
type Order = (one: OperatorInfo, other: OperatorInfo) => number;

const name = ({ operator }: OperatorInfo) => names.value.get(operator) ?? operator;
const largest = (of: (info: OperatorInfo) => bigint | number): Order => (one, other) => (of(one) < of(other) ? 1 : of(one) > of(other) ? -1 : 0);

function order(sort: Sort, floor: Standing): Order {
  const by: Record<Sort, Order> = {
    name: (one, other) => name(one).localeCompare(name(other), "en", { numeric: true }),
    earned: largest(({ earned }) => earned),
    stake: largest(({ stake }) => stake),
    trust: largest(({ trust }) => trust),
    promise: largest((info) => promise(info, floor)),
    missed: largest(({ missed }) => missed),
  };
  return by[sort];
}

function State({ info }: { info: OperatorInfo }) {
  const [kind, says] = info.drawable
    ? ["good", t.operators.drawable]
    : info.chilled
      ? ["", t.operators.chilled]
      : ["refunded", t.operators.idle];
  return <span class={`badge ${kind}`}>{says}</span>;
}

export function Operators() {
  const [sort, setSort] = useState<Sort>("name");
  const live = useLive(
    async (chain) => {
      const [all, parameters] = await Promise.all([
        allOperators(chain),
        chain.api.query.ProofOfQuality.EconomicParameters.getValue({ at: "best" }),
      ]);
      return { all, floor: parameters.floor };
    },
    [],
    EVERY,
  );
  const { columns } = t.operators;
  return (
    <Page title={t.operators.title} lead={t.operators.lead}>
      <form class="filters narrow" onSubmit={(event) => event.preventDefault()}>
        <label>
          {t.operators.sort}
          <select value={sort} onChange={(event) => setSort(event.currentTarget.value as Sort)}>
            {Object.entries(t.operators.sorts).map(([key, label]) => (
              <option value={key} key={key}>
                {label}
              </option>
            ))}
          </select>
        </label>
      </form>
      <Shown live={live} lines={12}>
        {({ all, floor }) =>
          all.length === 0 ? (
            <Note title={t.operators.none} />
          ) : (
            <>
              <Table
                label={t.operators.title}
                head={[columns.operator, columns.state, columns.models, columns.promise, columns.trust, columns.duties, columns.earned, columns.slashed, columns.stake]}
              >
                {[...all].sort(order(sort, floor)).map((info) => (
                  <tr key={info.operator}>
                    <th scope="row">
                      <Account address={info.operator} />
                    </th>
                    <td>
                      <State info={info} />
                    </td>
                    <td class="models">
                      {info.models.map((id) => (
                        <span class="item" key={id}>
                          <Model id={id} />
                        </span>
                      ))}
                    </td>
                    <td>
                      <Share parts={promise(info, floor)} label={columns.promise} />
                    </td>
                    <td>
                      <Share parts={info.trust} label={columns.trust} />
                    </td>
                    <td class="number">{t.operators.dutiesText(info.completed, info.missed, info.duties.length)}</td>
                    <td>
                      <Money units={info.earned} />
                    </td>
                    <td>
                      <Money units={info.slashed} />
                    </td>
                    <td>
                      <Money units={info.stake} />
                    </td>
                  </tr>
                ))}
              </Table>
              <p class="quiet">{t.operators.promiseHelp}</p>
            </>
          )
        }
      </Shown>
    </Page>
  );
}

export function OperatorPage({ address }: { address: string }) {
  const live = useLive(
    async ({ api }) => {
      // A text that is no address belongs to nobody.
      const { AccountId } = await import("polkadot-api");
      try {
        AccountId().enc(address);
      } catch {
        return { info: undefined, floor: undefined };
      }
      const [info, parameters] = await Promise.all([
        api.view.ProofOfQuality.operator_info(address, { at: "best" }),
        api.query.ProofOfQuality.EconomicParameters.getValue({ at: "best" }),
      ]);
      return { info, floor: parameters.floor };
    },
    [address],
  );
  return (
    <Page title={names.value.get(address) ?? t.operator.title}>
      <p class="quiet">
        <Id value={printable(address)} label={t.operator.address} />
      </p>
      <Shown live={live} lines={14}>
        {({ info, floor }) =>
          info && floor ? (
            <Detail info={info} floor={floor} />
          ) : (
            <Note title={t.operators.unknown(printable(address))}>
              <p>{t.operators.unknownHelp}</p>
            </Note>
          )
        }
      </Shown>
    </Page>
  );
}

function Detail({ info, floor }: { info: OperatorInfo; floor: Standing }) {
  const { standing, load, capacity, unbonding } = info;
  const share = (parts: number, label: string) => <Share parts={parts} label={label} />;
  const help = info.drawable ? undefined : info.chilled ? t.operator.chilledHelp : t.operator.idleHelp;
  return (
    <>
      <div class="cards">
        <section class="card" aria-labelledby="work">
          <h2 id="work">{t.operator.work}</h2>
          <Facts
            rows={[
              [t.operator.state, <State info={info} />, help],
              [t.operator.models, info.models.length === 0 ? t.none : info.models.map((id) => <span class="item" key={id}><Model id={id} /></span>)],
              [t.operator.done, grouped(info.completed)],
              [t.operator.missed, grouped(info.missed)],
              [t.operator.load, t.operator.loadText(load.tokens, capacity.tokens, load.pairs, capacity.pairs)],
            ]}
          />
        </section>
        <section class="card" aria-labelledby="standing">
          <h2 id="standing">{t.operator.standing}</h2>
          <Facts
            rows={[
              [t.operator.promise, share(promise(info, floor), t.operator.promise), t.operator.promiseHelp],
              [t.operator.reliability, share(standing.reliability, t.operator.reliability), t.operator.reliabilityHelp],
              [t.operator.quality, share(standing.quality, t.operator.quality), t.operator.qualityHelp],
              [t.operator.trust, share(info.trust, t.operator.trust), t.operator.trustHelp],
              [t.operator.agreement, share(standing.agreement, t.operator.agreement), t.operator.agreementHelp],
              [t.operator.veracity, share(standing.veracity, t.operator.veracity), t.operator.veracityHelp],
            ]}
          />
        </section>
        <section class="card" aria-labelledby="stake">
          <h2 id="stake">{t.operator.money}</h2>
          <Facts
            rows={[
              [t.operator.stake, exact(info.stake)],
              unbonding !== undefined && [t.operator.unbonding, t.operator.unbondingText(unbonding.amount, unbonding.at)],
              [t.operator.earned, exact(info.earned)],
              info.forgone > 0n && [t.operator.forgone, exact(info.forgone), t.operator.forgoneHelp],
              [t.operator.slashed, exact(info.slashed)],
              [t.operator.worker, info.worker ? <Id value={info.worker} label={t.operator.worker} /> : t.operator.noWorker],
            ]}
          />
        </section>
      </div>
      <section aria-labelledby="open">
        <h2 id="open">{t.operator.open}</h2>
        {info.duties.length === 0 ? (
          <p class="quiet">{t.operator.noOpen}</p>
        ) : (
          <Table label={t.operator.open} head={[t.operator.request, t.operator.duty, t.operator.workState]}>
            {info.duties.map(({ request, role, work }) => (
              <tr key={String(request)}>
                <td class="number">
                  <a href={`#/requests/${request}`}>{String(request)}</a>
                </td>
                <td>{t.roles[role.type].does}</td>
                <td>{t.work(work, role.type)}</td>
              </tr>
            ))}
          </Table>
        )}
      </section>
      <DaysPart account={info.operator} />
      <section aria-labelledby="recent">
        <h2 id="recent">{t.operator.recent}</h2>
        {info.recent.length === 0 ? (
          <p class="quiet">{t.operator.noRecent}</p>
        ) : (
          <Table label={t.operator.recent} head={[t.operator.request, t.operator.duty, t.operator.paid, t.operator.why]}>
            {[...info.recent].reverse().map((duty) => (
              <tr key={`${duty.request}-${duty.role.type}`}>
                <td class="number">
                  <a href={`#/requests/${duty.request}`}>{String(duty.request)}</a>
                </td>
                <td>{t.roles[duty.role.type].does}</td>
                <td>
                  <Money units={duty.paid} />
                </td>
                <td class="wide">{reason(duty)}</td>
              </tr>
            ))}
          </Table>
        )}
        <p class="quiet small">
          {t.operator.recentHelp} <Coded text={t.operator.whyMore} />
        </p>
      </section>
    </>
  );
}

