// What only a history knows: how models rank, and an operator's days.

import { useEffect, useState } from "preact/hooks";
import { grouped, part, percent, printable, shortened } from "../lib/format.ts";
import { days, history, rankings, type Day, type Ranked, type Ranking } from "../lib/history.ts";
import { head, type Live } from "../lib/node.ts";
import { t } from "../strings.ts";
import { Money, Shown, Table } from "./basics.tsx";

/** Blocks between two questions to the history. */
const EVERY = 10;

/** Reads from the history, if there is one, and again every few blocks. */
function useKept<Value>(read: () => Promise<Value>, of: string): Live<Value> {
  const [live, setLive] = useState<Live<Value> & { of: string }>({ of });
  const turn = Math.floor((head.value?.best ?? 0) / EVERY);
  useEffect(() => {
    let over = false;
    if (!history.value) return;
    read().then(
      (value) => over || setLive({ value, of }),
      (error: Error) => over || setLive((last) => ({ ...last, of, error })),
    );
    return () => void (over = true);
  }, [history.value, of, turn]);
  return live.of === of ? live : {};
}

const maybe = (fraction: number | null) => (fraction === null ? t.notYet : part(fraction * 1e6));

/** Generators ranked by duels, one table for each evaluator. */
export function RankingPart() {
  const live = useKept(rankings, "");
  if (!history.value) return null;
  return (
    <section aria-labelledby="ranking">
      <h2 id="ranking">
        {t.models.ranking} <small class="quiet">{t.models.rankingLead}</small>
      </h2>
      <Shown live={live} lines={6}>
        {(found) => (
          <>
            {found?.evaluators.map((ranking) => <ByEvaluator key={ranking.evaluator} ranking={ranking} />)}
            {!found?.evaluators.length && <p class="quiet">{t.models.noDuels}</p>}
            <p class="quiet">{t.models.rankingHelp}</p>
            <p class="quiet small">
              {t.models.rankingFiles} <a href={`${history.value}models.csv`}>CSV</a>, <a href={`${history.value}models`}>JSON</a>
            </p>
          </>
        )}
      </Shown>
    </section>
  );
}

function ByEvaluator({ ranking }: { ranking: Ranking }) {
  const evaluator = printable(ranking.name ?? shortened(ranking.evaluator));
  const { rank, model, strength, interval, duels, quality, refusals, latency, pay } = t.models.rankingColumns;
  return (
    <>
      <p>{ranking.duels === 0 ? t.models.noDuels : t.models.rankingOf(evaluator, ranking.duels, ranking.effective_duels)}</p>
      <Table label={`${t.models.ranking}: ${evaluator}`} head={[rank, model, strength, interval, duels, quality, refusals, latency, pay]}>
        {ranking.models.map((ranked) => (
          <Row key={ranked.model} ranked={ranked} />
        ))}
      </Table>
    </>
  );
}

function Row({ ranked }: { ranked: Ranked }) {
  const signed = (value: number) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
  return (
    <tr>
      <td class="number">{ranked.rank}</td>
      <th scope="row" title={ranked.model}>
        {printable(ranked.name ?? shortened(ranked.model))}
      </th>
      <td class="number">{ranked.duels === 0 ? t.notYet : signed(ranked.strength)}</td>
      <td class="number">{ranked.duels === 0 ? t.notYet : `${signed(ranked.low)} … ${signed(ranked.high)}`}</td>
      <td class="number">{grouped(ranked.duels)}</td>
      <td class="number">{maybe(ranked.quality)}</td>
      <td class="number extra">{percent(ranked.refusals * 1e6)}</td>
      <td class="number extra">{ranked.latency === null ? t.notYet : percent(ranked.latency * 1e6)}</td>
      <td class="extra">
        <Money units={BigInt(ranked.pay)} />
      </td>
    </tr>
  );
}

/** An operator's days, the newest first. */
export function DaysPart({ account }: { account: string }) {
  const live = useKept(() => days(account), account);
  if (!history.value) return null;
  const { day, answers, quality, scores, agreement, missed, earned, slashed } = t.operator.daysColumns;
  return (
    <section aria-labelledby="days">
      <h2 id="days">{t.operator.days}</h2>
      <Shown live={live} lines={4}>
        {(found) =>
          found.length === 0 ? (
            <p class="quiet">{t.operator.noRecent}</p>
          ) : (
            <Table label={t.operator.days} head={[day, answers, quality, scores, agreement, missed, earned, slashed]}>
              {found.map((one) => (
                <DayRow key={one.millis} day={one} />
              ))}
            </Table>
          )
        }
      </Shown>
    </section>
  );
}

function DayRow({ day }: { day: Day }) {
  return (
    <tr>
      <th scope="row">{new Date(day.millis).toISOString().slice(0, 10)}</th>
      <td class="number">{grouped(day.answers)}</td>
      <td class="number">{maybe(day.quality)}</td>
      <td class="number">{grouped(day.scores)}</td>
      <td class="number">{maybe(day.agreement)}</td>
      <td class="number">{grouped(day.missed)}</td>
      <td>
        <Money units={BigInt(day.earned)} />
      </td>
      <td>
        <Money units={BigInt(day.slashed)} />
      </td>
    </tr>
  );
}
