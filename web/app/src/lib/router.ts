// Pages by the part of the address behind `#`, which servers never see.

import { computed, signal } from "@preact/signals";

export type Route = { page: string; argument: string | undefined; query: URLSearchParams };

/** The route that `#/page/argument?query` names. */
export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [page = "", argument] = path.split("/");
  return { page, argument: argument ? decode(argument) : undefined, query: new URLSearchParams(query) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const hash = signal(location.hash);
addEventListener("hashchange", () => (hash.value = location.hash));

export const route = computed(() => parse(hash.value));

/** Replaces the query of the present page. It makes no entry in the browser's history. */
export function setQuery(query: Record<string, string>) {
  const [path = "#/"] = (location.hash || "#/").split("?", 1);
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "")).toString();
  history.replaceState(null, "", words ? `${path}?${words}` : path);
  hash.value = location.hash;
}

/** The whole address of a page, to hand on. */
export const permanent = (path: string) => `${location.origin}${location.pathname}${path}`;
