// Small parts of which pages are made.

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { amount, exact, percent, pieces, printable, shortened } from "../lib/format.ts";
import { names, registry } from "../lib/node.ts";
import { text } from "../lib/format.ts";
import { t } from "../strings.ts";

/** A page: its heading takes the focus when the page is entered, so that screen readers say where they are. */
export function Page({ title, lead, children }: { title: string; lead?: string; children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} – ${t.name}`;
  }, [title]);
  useEffect(() => {
    if (entered) heading.current?.focus({ preventScroll: true });
    entered = true;
    scrollTo(0, 0);
  }, []);
  return (
    <>
      <header class="lead">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {lead && <p>{lead}</p>}
      </header>
      {children}
    </>
  );
}
/** Whether a page was entered before: the first one leaves the focus where the browser puts it. */
let entered = false;

/** Space for a value that is being read. */
export function Skeleton({ lines = 3 }: { lines?: number }) {
  return (
    <div class="skeleton" role="status" aria-busy="true">
      <span class="hidden">{t.loading}</span>
      {Array.from({ length: lines }, (_, index) => (
        <span class="bone" key={index} />
      ))}
    </div>
  );
}

/** A remark in a box, for errors and empty lists. */
export function Note({ kind = "empty", title, children }: { kind?: "empty" | "error" | "good"; title: string; children?: ComponentChildren }) {
  return (
    <div class={`note ${kind}`} role={kind === "error" ? "alert" : undefined}>
      <strong>{title}</strong>
      {children}
    </div>
  );
}

/** A value of `useLive`; before there is one, its skeleton or its error. */
export function Shown<Value>({
  live,
  lines = 6,
  children,
}: {
  live: { value?: Value; error?: Error };
  lines?: number;
  children: (value: Value) => ComponentChildren;
}) {
  if (live.value !== undefined) return <>{children(live.value)}</>;
  if (live.error) {
    return (
      <Note kind="error" title={t.errors.title}>
        <p>{t.errors.read(printable(live.error.message))}</p>
        <p>{t.errors.version}</p>
      </Note>
    );
  }
  return <Skeleton lines={lines} />;
}

/** An account: its name on a development chain, otherwise both ends of its address. */
export function Account({ address, link = true }: { address: string; link?: boolean }) {
  const name = names.value.get(address);
  const shown = name ?? shortened(address);
  const label = <span class={name ? "" : "mono"}>{shown}</span>;
  return link ? (
    <a href={`#/operators/${address}`} title={address}>
      {label}
    </a>
  ) : (
    <span title={address}>{label}</span>
  );
}

/** Name of a model, or the beginning of its id. */
export function modelName(id: string): string {
  const model = registry.value.get(id);
  return model ? printable(text(model.name)) : shortened(id);
}

export function Model({ id }: { id: string }) {
  return (
    <a href="#/models" title={id}>
      {modelName(id)}
    </a>
  );
}

/** An amount, with the exact one on hover. */
export function Money({ units }: { units: bigint }) {
  return (
    <span class="number" title={exact(units)}>
      {amount(units)}
    </span>
  );
}

/** A share of 0 to 1 in millionths, as a bar with its number. */
export function Share({ parts, label, shown = percent(parts) }: { parts: number; label: string; shown?: string }) {
  return (
    <span class="share">
      <meter min={0} max={1_000_000} value={parts} aria-label={`${label}: ${shown}`} />
      <span class="number">{shown}</span>
    </span>
  );
}

/** Names and values below each other. */
export function Facts({ rows }: { rows: (readonly [string, ComponentChildren, string?] | undefined | false)[] }) {
  return (
    <dl class="facts">
      {rows.map(
        (row) =>
          row && (
            <div key={row[0]}>
              <dt>{row[0]}</dt>
              <dd>
                {row[1]}
                {row[2] && <small>{row[2]}</small>}
              </dd>
            </div>
          ),
      )}
    </dl>
  );
}

/** A table that scrolls sideways where it is too wide, and is a list on phones. The region takes the focus, so that keys scroll it. */
export function Table({ label, head, children }: { label: string; head: string[]; children: ComponentChildren }) {
  const table = useRef<HTMLTableElement>(null);
  // On a phone each row is a list: its cells have the names of their columns then, and roles because a list of blocks is no table to a browser.
  useLayoutEffect(() => {
    for (const row of table.current?.rows ?? []) {
      row.setAttribute("role", "row");
      for (const [index, cell] of [...row.cells].entries()) {
        cell.dataset["label"] = head[index] ?? "";
        cell.setAttribute("role", cell.tagName === "TD" ? "cell" : cell.scope === "row" ? "rowheader" : "columnheader");
      }
    }
  });
  return (
    <div class="scroll" role="region" aria-label={t.table(label)} tabIndex={0}>
      <table ref={table} role="table">
        <thead role="rowgroup">
          <tr>
            {head.map((name) => (
              <th scope="col" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">{children}</tbody>
      </table>
    </div>
  );
}

/** Copies a text. */
export function Copy({ value, label }: { value: string; label: string }) {
  const [done, setDone] = useState(false);
  return (
    <button
      type="button"
      class="small secondary outline"
      aria-label={`${t.copy}: ${label}`}
      onClick={async () => {
        await navigator.clipboard?.writeText(value).catch(() => undefined);
        setDone(true);
        setTimeout(() => setDone(false), 2_000);
      }}
    >
      <span aria-live="polite">{done ? t.copied : t.copy}</span>
    </button>
  );
}

/** An id that breaks anywhere, with a button that copies it. */
export function Id({ value, label }: { value: string; label: string }) {
  return (
    <span class="id">
      <code>{value}</code>
      <Copy value={value} label={label} />
    </span>
  );
}

/** An answer: untrusted Markdown. The plain text stands there until the renderer is loaded. */
export function Untrusted({ answer }: { answer: string }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let over = false;
    void import("../lib/markdown.ts").then(({ render }) => {
      if (!over) place.current?.replaceChildren(render(answer));
    });
    return () => {
      over = true;
    };
  }, [answer]);
  return <div class="untrusted" dir="auto" ref={place} />;
}

/** Strangers' plain text. */
export function Plain({ value }: { value: string }) {
  return (
    <p class="plain" dir="auto">
      <Visible value={value} />
    </p>
  );
}

/** Strangers' text within a line. A hidden character stands there as its number, which no direction of text can move. */
export function Visible({ value }: { value: string }) {
  return (
    <>
      {pieces(value).map(({ text, isHidden }, index) =>
        isHidden ? (
          <bdi class="code-point" dir="ltr" key={index}>
            &lt;{text}&gt;
          </bdi>
        ) : (
          text
        ),
      )}
    </>
  );
}

/** A text of this page in which code stands between backticks. */
export function Coded({ text }: { text: string }) {
  return <>{text.split("`").map((piece, index) => (index % 2 === 1 ? <code key={index}>{piece}</code> : piece))}</>;
}
