// The frame of every page: navigation, connection, theme.

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { printable } from "../lib/format.ts";
import { alone, chain, endpoint, head, status } from "../lib/node.ts";
import { route } from "../lib/router.ts";
import { t } from "../strings.ts";
import { Coded } from "./basics.tsx";

const PAGES = [
  ["", "#/", t.pages.ask],
  ["requests", "#/requests", t.pages.requests],
  ["models", "#/models", t.pages.models],
  ["operators", "#/operators", t.pages.operators],
  ["network", "#/network", t.pages.network],
] as const;

type Theme = "system" | "light" | "dark";
const STORED = "theme";
const stored = localStorage.getItem(STORED);
const theme = signal<Theme>(stored === "light" || stored === "dark" ? stored : "system");
theme.subscribe((value) => {
  if (value === "system") {
    delete document.documentElement.dataset["theme"];
    localStorage.removeItem(STORED);
  } else {
    document.documentElement.dataset["theme"] = value;
    localStorage.setItem(STORED, value);
  }
});

export function Shell({ children }: { children: ComponentChildren }) {
  const main = useRef<HTMLElement>(null);
  const toMain = (event: Event) => {
    event.preventDefault();
    main.current?.focus();
  };
  return (
    <>
      <a class="skip" href="#main" onClick={toMain}>
        {t.skip}
      </a>
      <header class="top">
        <div class="inner">
          <a class="brand" href="#/">
            <Mark />
            {t.name}
          </a>
          <nav aria-label={t.navigation}>
            <ul>
              {PAGES.map(([page, link, name]) => (
                <li key={page}>
                  <a href={link} aria-current={route.value.page === page ? "page" : undefined}>
                    {name}
                  </a>
                </li>
              ))}
            </ul>
          </nav>
          <Connection />
          <ThemeButton />
        </div>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        {children}
      </main>
      <Gone />
    </>
  );
}

const NEXT = { system: "light", light: "dark", dark: "system" } as const;

/** Goes through the themes. */
function ThemeButton() {
  const label = t.theme.label(t.theme[theme.value]);
  return (
    <button
      type="button"
      class="theme small secondary outline"
      aria-label={label}
      title={label}
      onClick={() => (theme.value = NEXT[theme.value])}
    >
      <svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true">
        <circle cx="12" cy="12" r="9" fill="none" stroke="currentColor" stroke-width="2" />
        {theme.value !== "light" && <path d={theme.value === "dark" ? FULL : HALF} fill="currentColor" />}
      </svg>
    </button>
  );
}
const HALF = "M12 3a9 9 0 0 1 0 18z";
const FULL = "M12 3a9 9 0 0 1 0 18a9 9 0 0 1 0-18z";

/** Rising bars: quality. */
const Mark = () => (
  <svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true">
    <rect x="2" y="13" width="5" height="9" rx="1.5" fill="currentColor" opacity=".45" />
    <rect x="9.5" y="8" width="5" height="14" rx="1.5" fill="currentColor" opacity=".7" />
    <rect x="17" y="2" width="5" height="20" rx="1.5" fill="currentColor" />
  </svg>
);

function Connection() {
  const state = status.value;
  const says =
    state === "connected" ? printable(chain.value?.name ?? "") : state === "lost" ? t.connection.lost : t.connection.connecting;
  return (
    <a class={`connection ${state}`} href="#/network" title={alone.value ? t.connection.alone : endpoint.value}>
      <span class="dot" aria-hidden="true" />
      <span class="says">{says}</span>
      <span class="number">{head.value ? `#${head.value.best}` : ""}</span>
    </a>
  );
}

/** Milliseconds for which the return of the node is said. */
const WELCOME = 4_000;

/** Says over the page, without moving it, that the node is gone, and that it is back. */
function Gone() {
  const [wasLost, setWasLost] = useState(false);
  const [isBack, setIsBack] = useState(false);
  const state = status.value;
  useEffect(() => {
    if (state === "lost") setWasLost(true);
    if (state !== "connected" || !wasLost) return;
    setWasLost(false);
    setIsBack(true);
    const timer = setTimeout(() => setIsBack(false), WELCOME);
    return () => clearTimeout(timer);
  }, [state]);
  return (
    <div class="toasts" role="status">
      {state === "lost" && (
        <div class="toast lost">
          <strong>{t.connection.gone(endpoint.value)}</strong>
          <p>
            <Coded text={t.connection.goneHelp} /> {chain.value && t.connection.stale}
          </p>
        </div>
      )}
      {state === "connected" && isBack && <div class="toast back">{t.connection.back}</div>}
    </div>
  );
}
