// One request, from the question to the last payment.

import type { RequestInfo } from "proof-of-quality";
import { exact, part, percent, shares, span, text } from "../lib/format.ts";
import { chain, head, useLive } from "../lib/node.ts";
import { closedAt, deadline, path, readRequest, scoresOf, type ClosedDuty, type Found, type Request } from "../lib/request.ts";
import { permanent } from "../lib/router.ts";
import { t } from "../strings.ts";
import { Account, Copy, Facts, Id, Model, Money, Note, Plain, Share, Shown, Table, Untrusted, Visible } from "./basics.tsx";
import { useRef } from "preact/hooks";
import { Cancel } from "./cancel.tsx";
import { reason } from "./outcome.ts";
import { ReceiptPart } from "./receipt.tsx";

/** A request by its number, as it goes on. */
export function LiveRequest({ id }: { id: bigint }) {
  const last = useRef<{ of: string; found: Found | undefined }>({ of: "", found: undefined });
  const live = useLive(
    async (from) => {
      const of = `${from.genesis} ${id}`;
      const found = await readRequest(from, id, last.current.of === of ? last.current.found : undefined);
      last.current = { of, found };
      return found;
    },
    [id],
  );
  return (
    <Shown live={live} lines={14}>
      {(found) => ("missing" in found ? <Missing id={id} {...found} /> : <Whole {...found} />)}
    </Shown>
  );
}

function Missing({ id, made, retention }: { id: bigint; made: bigint; retention: string }) {
  if (id >= made) return <Note title={t.request.never(id, made)} />;
  return (
    <Note title={t.request.pruned(id)}>
      <p>{t.request.prunedHelp(retention)}</p>
    </Note>
  );
}

function Whole({ request, messages, options, reasons, sums, slashes, isKept }: Request) {
  return (
    <article class="request" data-state={request.phase.type}>
      {isKept && (
        <Note title={t.request.kept}>
          <p>{t.request.keptHelp}</p>
        </Note>
      )}
      <Question request={request} messages={messages} />
      <Progress request={request} />
      <Answers request={request} reasons={reasons} slashes={slashes} />
      <Committees request={request} reasons={reasons} slashes={slashes} />
      <MoneyPart request={request} sums={sums} />
      {!isKept && <ReceiptPart request={request} />}
      <Terms request={request} options={options} />
    </article>
  );
}

function Question({ request, messages }: { request: RequestInfo; messages: Request["messages"] }) {
  const link = permanent(`#/requests/${request.id}`);
  return (
    <section class="question">
      {messages.length > 1 && <h2>{t.request.conversation}</h2>}
      {messages.map(({ role, content }, index) => (
        <div class={`message ${role}`} key={index}>
          {messages.length > 1 && <small>{t.request.role[role]}</small>}
          <Plain value={content} />
        </div>
      ))}
      <p class="by">
        {t.request.by} <Account address={request.requester} link={false} /> · <a href={link}>{t.request.link}</a>{" "}
        <Copy value={link} label={t.request.link} />
      </p>
    </section>
  );
}

function Progress({ request }: { request: RequestInfo }) {
  const { phase } = request;
  const phases = path(request);
  const at = phases.indexOf(phase.type);
  const end = closedAt(request);
  const isFinal = end !== undefined && (head.value?.finalized ?? 0) >= end;
  const says =
    phase.type === "Settled"
      ? t.request.settledAt(phase.value.at, phase.value.at - request.created)
      : phase.type === "Refunded"
        ? t.request.refundedAt(phase.value.at, t.refundReason(phase.value.reason.type))
        : t.phaseSays(phase.type);
  return (
    <section aria-labelledby="progress">
      <h2 id="progress">{t.request.progress}</h2>
      <ol class="phases">
        {phases.map((name, index) => {
          const state = index < at || end !== undefined ? "done" : index === at ? "now" : "later";
          const isEnd = name === "Settled" || name === "Refunded";
          return (
            <li key={name} class={isEnd && end !== undefined ? name.toLowerCase() : state} aria-current={state === "now" ? "step" : undefined}>
              {t.phase(name)}
            </li>
          );
        })}
      </ol>
      <p role="status" class="phase-says">
        {says}
        {end === undefined && <Time request={request} />}
        {end !== undefined && ` ${isFinal ? t.request.final : t.request.notFinal}`}
      </p>
      <Cancel request={request} />
      {request.round > 0 && <p>{t.request.redraw}</p>}
      {request.audited && (
        <Note title={t.request.audit}>
          <p>{t.request.audited}</p>
        </Note>
      )}
      <details>
        <summary>{t.request.explain}</summary>
        <dl class="explained">
          {phases.map((name) => (
            <div key={name}>
              <dt>{t.phase(name)}</dt>
              <dd>{t.phaseSays(name)}</dd>
            </div>
          ))}
        </dl>
      </details>
    </section>
  );
}

function Time({ request }: { request: RequestInfo }) {
  const until = deadline(request);
  if (until === undefined || !head.value) return null;
  const left = until - head.value.best;
  const time = left > 0 ? t.request.until(left, span(left * (chain.value?.blockMillis ?? 0))) : t.request.overdue;
  return <span> {time}</span>;
}

function Answers({ request, reasons, slashes }: Pick<Request, "request" | "reasons" | "slashes">) {
  const best = request.phase.type === "Settled" ? request.phase.value.best : undefined;
  return (
    <section aria-labelledby="answers">
      <h2 id="answers">{t.request.answers}</h2>
      {request.responses.length === 0 && <p class="quiet">{closedAt(request) === undefined ? t.request.noAnswers : t.request.neverAnswers}</p>}
      <div class="answers">
        {request.responses.map((response, index) => (
          <Answer
            key={response.operator}
            request={request}
            response={response}
            index={index}
            isBest={index === best}
            duty={reasons.get(response.operator)}
            slash={slashes.get(response.operator)}
          />
        ))}
      </div>
    </section>
  );
}

function Answer({
  request,
  response,
  index,
  isBest,
  duty,
  slash,
}: {
  request: RequestInfo;
  response: RequestInfo["responses"][number];
  index: number;
  isBest: boolean;
  duty: ClosedDuty | undefined;
  slash: bigint | undefined;
}) {
  const isOpen = closedAt(request) === undefined;
  const scores = scoresOf(request, index);
  const { work, quality } = response;
  const isFixed = work.type === "Committed" || work.type === "Revealed" || work.type === "NotRevealed";
  const nothing = work.type === "Pending" || work.type === "Committed" ? t.request.hidden : t.request.noAnswer;
  return (
    <article class={`answer${isBest ? " best" : ""}`}>
      <header>
        <h3>
          <Account address={response.operator} />
        </h3>
        {isBest && <span class="badge good">{t.request.best}</span>}
      </header>
      <div class="text">
        {work.type === "Revealed" ? <Untrusted answer={text(response.output)} /> : <p class="quiet">{nothing}</p>}
      </div>
      <div class="measured">
        <span>{t.request.quality}</span>
        {quality === undefined ? (
          <span class="quiet">{isOpen ? t.request.qualityPending : t.request.qualityNever}</span>
        ) : (
          <Share parts={quality} label={t.request.quality} shown={part(quality)} />
        )}
      </div>
      {quality !== undefined && quality < request.min_quality && <p>{t.request.belowMin(request.min_quality)}</p>}
      <Facts
        rows={[
          [t.request.model, <Model id={response.model} />],
          [t.request.work, t.work(work, "InferenceNode"), slash === undefined ? undefined : t.request.slashed(slash)],
          isFixed && [t.request.latency, percent(response.latency), t.request.latencyHelp],
          [t.request.paid, <Money units={response.paid} />, duty && reason(duty)],
        ]}
      />
      {scores.length > 0 && (
        <details open={request.responses.length <= 4}>
          <summary>{t.request.scores}</summary>
          <table class="scores">
            <thead>
              <tr>
                <th scope="col">{t.request.validator}</th>
                <th scope="col">{t.request.score}</th>
              </tr>
            </thead>
            <tbody>
              {scores.map(({ operator, score }) => (
                <tr key={operator}>
                  <th scope="row">
                    <Account address={operator} />
                  </th>
                  <td>
                    <Share parts={score} label={t.request.score} shown={part(score)} />
                  </td>
                </tr>
              ))}
              {quality !== undefined && (
                <tr class="sum">
                  <th scope="row">{t.request.consensus}</th>
                  <td>
                    <Share parts={quality} label={t.request.consensus} shown={part(quality)} />
                  </td>
                </tr>
              )}
            </tbody>
          </table>
        </details>
      )}
    </article>
  );
}

function Committees({ request, reasons, slashes }: Pick<Request, "request" | "reasons" | "slashes">) {
  const rounds = request.committees.filter((members) => members.length > 0);
  return (
    <section aria-labelledby="committee">
      <h2 id="committee">{t.request.committee}</h2>
      {rounds.length === 0 && <p class="quiet">{closedAt(request) === undefined ? t.request.noCommittee : t.request.neverCommittee}</p>}
      {rounds.map((members, round) => {
        const weights = shares(members.map(({ weight }) => weight));
        const label = rounds.length > 1 ? t.request.committeeRound(round) : t.request.committee;
        return (
          <div key={round}>
            {rounds.length > 1 && <h3>{label}</h3>}
            <Table
              label={label}
              head={[t.request.validator, t.request.weight, t.request.work, t.request.agreement, t.request.paid, t.request.why]}
            >
              {members.map((member, index) => {
                const duty = reasons.get(member.operator);
                const slash = slashes.get(member.operator);
                return (
                  <tr key={member.operator}>
                    <th scope="row">
                      <Account address={member.operator} />
                    </th>
                    <td class="number">{percent(weights?.[index] ?? 0)}</td>
                    <td>
                      {t.work(member.work, "QualityValidator")}
                      {slash !== undefined && <small class="block">{t.request.slashed(slash)}</small>}
                    </td>
                    <td class="number">{member.agreement === undefined ? t.notYet : part(member.agreement)}</td>
                    <td>
                      <Money units={member.paid} />
                    </td>
                    <td class="wide">{duty ? reason(duty) : t.notYet}</td>
                  </tr>
                );
              })}
            </Table>
            <p class="quiet small">
              {t.request.weight}: {t.request.weightHelp}. {t.request.agreement}: {t.request.agreementHelp}.
            </p>
          </div>
        );
      })}
    </section>
  );
}

function MoneyPart({ request, sums }: { request: RequestInfo; sums: Request["sums"] }) {
  const { inference, scoring, fee } = request.budget;
  const budget = inference + scoring + fee;
  const paid = [...request.responses, ...request.committees.flat()].reduce((sum, each) => sum + each.paid, 0n);
  const isOpen = closedAt(request) === undefined;
  const of = (units: bigint) => (budget === 0n ? 0 : Number((units * 1_000_000n) / budget));
  const line = (name: string, units: bigint) => (
    <tr key={name}>
      <th scope="row">{name}</th>
      <td class="number">{exact(units)}</td>
      <td>
        <Share parts={of(units)} label={name} />
      </td>
    </tr>
  );
  return (
    <section aria-labelledby="money">
      <h2 id="money">{t.request.money}</h2>
      {isOpen ? (
        <p>{t.request.onHold(budget)}</p>
      ) : (
        <Table label={t.request.money} head={[t.request.use, t.request.amount, t.request.part]}>
          {line(t.request.budget, budget)}
          {line(t.request.toOperators, paid)}
          {sums && line(t.request.toChain, sums.fee)}
          {sums && line(t.request.back, sums.refund)}
        </Table>
      )}
      {!isOpen && !sums && <p>{t.request.sumUnknown}</p>}
      {request.bonus > 0n && <p>{t.request.bonus(request.bonus)}</p>}
      {request.tries > 0 && <p>{t.request.tries(request.tries)}</p>}
    </section>
  );
}

function Terms({ request, options }: { request: RequestInfo; options: Request["options"] }) {
  const { sampling, budget } = request;
  return (
    <details class="terms">
      <summary>{t.request.terms}</summary>
      <Facts
        rows={[
          [t.request.generators, request.generators.map((id) => <span class="item"><Model id={id} /></span>)],
          [t.request.evaluator, <Model id={request.evaluator} />],
          [t.request.sampling, t.request.samplingText(sampling.max_tokens, sampling.temperature_milli / 1000, sampling.seed)],
          options.topP !== undefined && [t.ask.topP, String(options.topP)],
          options.stop !== undefined && [t.request.stop, options.stop.map((text) => <code class="item" key={text}><Visible value={JSON.stringify(text)} /></code>)],
          [t.request.wanted, t.request.wantedText(request.responders, request.committee_size)],
          [t.request.minQuality, part(request.min_quality)],
          [t.request.created, String(request.created)],
          [t.request.budgetParts, t.ask.estimateParts(budget.inference, budget.scoring, budget.fee)],
          [t.request.requester, <Id value={request.requester} label={t.request.requester} />],
        ]}
      />
    </details>
  );
}
