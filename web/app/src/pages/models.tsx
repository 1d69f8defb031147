// Models: the registry, and the measured standing of the operators that serve each model.

import type { Model as ModelInfo } from "proof-of-quality";
import { factor, percent, printable, shares, text } from "../lib/format.ts";
import { useLive } from "../lib/node.ts";
import { readOperators } from "../lib/operators.ts";
import type { OperatorInfo } from "../lib/request.ts";
import { Account, Facts, Id, Note, Page, Share, Shown, Table } from "../parts/basics.tsx";
import { RankingPart } from "../parts/history.tsx";
import { t } from "../strings.ts";

/** Blocks between two readings: standing moves slowly. */
const EVERY = 5;

type Found = { models: ModelInfo[]; operators: Map<string, OperatorInfo>; millis: number };

export function Models() {
  const live = useLive<Found>(
    async (chain) => {
      const models = await (await import("proof-of-quality")).models(chain.api);
      const serving = new Set(models.flatMap(({ roster }) => roster.map(({ operator }) => operator)));
      const operators = await readOperators(chain, [...serving]);
      return { models, operators: new Map(operators.map((info) => [info.operator, info])), millis: chain.blockMillis };
    },
    [],
    EVERY,
  );
  return (
    <Page title={t.models.title} lead={t.models.lead}>
      <Shown live={live} lines={16}>
        {(found) =>
          found.models.length === 0 ? (
            <Note title={t.models.none} />
          ) : (
            <>
              <Kind kind="Generator" {...found} />
              <Kind kind="Evaluator" {...found} />
              <p class="quiet">{t.models.measured}</p>
            </>
          )
        }
      </Shown>
      <RankingPart />
    </Page>
  );
}

function Kind({ kind, models, operators, millis }: Found & { kind: "Generator" | "Evaluator" }) {
  const some = models
    .filter((model) => model.kind.type === kind)
    .sort((one, other) => Number(one.retired) - Number(other.retired) || text(one.name).localeCompare(text(other.name)));
  const isGenerator = kind === "Generator";
  return (
    <section aria-labelledby={kind}>
      <h2 id={kind}>
        {isGenerator ? t.models.generators : t.models.evaluators}{" "}
        <small class="quiet">{isGenerator ? t.models.generatorsLead : t.models.evaluatorsLead}</small>
      </h2>
      {some.length === 0 && <p class="quiet">{t.models.noneOfKind}</p>}
      {some.map((model) => (
        <Card key={model.id} model={model} operators={operators} millis={millis} isGenerator={isGenerator} />
      ))}
    </section>
  );
}

function Card({
  model,
  operators,
  millis,
  isGenerator,
}: {
  model: ModelInfo;
  operators: Found["operators"];
  millis: number;
  isGenerator: boolean;
}) {
  const weights = shares(model.roster.map(({ weight }) => weight));
  const { operator, share, quality, reliability, trust } = {
    operator: t.request.operator,
    share: t.models.share,
    quality: t.models.quality,
    reliability: t.models.reliability,
    trust: t.models.trust,
  };
  const name = printable(text(model.name));
  return (
    <article class="card">
      <header>
        <h3>{name}</h3>
        {model.retired && (
          <span class="badge" title={t.models.retiredHelp}>
            {t.models.retired}
          </span>
        )}
      </header>
      <Facts
        rows={[
          [t.models.price, t.models.priceText(model.price.base, model.price.per_unit, isGenerator), model.surcharge > 0 ? t.models.surcharge(model.surcharge) : undefined],
          [t.models.windows, t.models.windowsText(model.windows.commit, model.windows.reveal, millis)],
          isGenerator && [t.models.context, t.models.contextText(model.context)],
          [t.models.reward, t.models.rewardText(formula(model.reward), isGenerator)],
          model.spread !== undefined && [t.models.spread, t.models.spreadText(model.spread)],
          model.noise > 0 && [t.models.noise, t.models.noiseText(model.noise)],
          [t.models.id, <Id value={model.id} label={`${t.models.id} ${name}`} />],
        ]}
      />
      {model.roster.length === 0 ? (
        <p class="quiet">{t.models.nobody}</p>
      ) : (
        <Table label={`${t.models.operators}: ${name}`} head={isGenerator ? [operator, share, quality, reliability] : [operator, share, trust]}>
          {model.roster.map((candidate, index) => {
            const info = operators.get(candidate.operator);
            const bar = (parts: number | undefined, label: string) => <td>{parts === undefined ? t.notYet : <Share parts={parts} label={label} />}</td>;
            return (
              <tr key={candidate.operator}>
                <th scope="row">
                  <Account address={candidate.operator} />
                </th>
                <td class="number">{percent(weights?.[index] ?? 0)}</td>
                {isGenerator ? (
                  <>
                    {bar(info?.standing.quality, quality)}
                    {bar(info?.standing.reliability, reliability)}
                  </>
                ) : (
                  bar(info?.trust, trust)
                )}
              </tr>
            );
          })}
        </Table>
      )}
    </article>
  );
}

/** The part of a price that work earns, as a formula. */
function formula({ alpha, beta }: ModelInfo["reward"]): string {
  const quality = factor(alpha) === "1" ? "q" : `${factor(alpha)} q`;
  if (beta === 0n) return quality;
  return factor(beta) === "1" ? `${quality} − l` : `${quality} − ${factor(beta)} l`;
}
