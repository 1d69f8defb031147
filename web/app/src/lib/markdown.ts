// Answers are untrusted Markdown. Nothing in them may run, load, or look like a part of the page.

import DOMPurify from "dompurify";
import { Marked } from "marked";
import { printable } from "./format.ts";

const escape = (text: string) =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const marked = new Marked({
  gfm: true,
  breaks: true,
  async: false,
  renderer: {
    // HTML in an answer is shown, not used.
    html: ({ text }) => escape(text),
    // No image is loaded: it would tell its server who reads. Its Markdown is shown.
    image: ({ raw }) => escape(raw),
  },
});

const purify = DOMPurify(window);
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName !== "A") return;
  const target = node.getAttribute("href");
  // A link without an address is plain text.
  if (!target) return;
  node.setAttribute("rel", "noopener noreferrer nofollow");
  node.setAttribute("target", "_blank");
  // The text of a link may claim anything.
  node.setAttribute("title", printable(target));
});

const TAGS = [
  ...["p", "br", "hr", "strong", "em", "del", "code", "pre", "blockquote", "ul", "ol", "li", "a"],
  ...["h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "#text"],
];

/** An answer as elements. */
export function render(answer: string): DocumentFragment {
  const html = marked.parse(printable(answer)) as string;
  const fragment = purify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ["href", "start"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
    RETURN_DOM_FRAGMENT: true,
  });
  // These scroll sideways, so keys must reach them.
  for (const wide of fragment.querySelectorAll("pre, table")) wide.setAttribute("tabindex", "0");
  return fragment;
}
