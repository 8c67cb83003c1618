// An answer's Markdown as blocks: a paragraph, a list, a piece of code.
//
// Blocks are compared by their HTML, so that while an answer grows only its last block is drawn
// anew, and what a reader has selected above stays selected.
import MarkdownIt, { type Token } from "markdown-it";

import { many } from "./text.js";

export interface Block {
  /** Safe to put into a page: tags in the answer are text, and links go to the web only. */
  html: string;
  /** What is read aloud. */
  spoken: string;
}

const HEADINGS_BELOW = 3; // the page's own headings end with h3

const markdown = new MarkdownIt({ html: false, linkify: false, breaks: true });
// A picture would be loaded from wherever the answer says, and tell who reads it.
markdown.disable("image");
markdown.renderer.rules["fence"] = code;
markdown.renderer.rules["code_block"] = code;
markdown.renderer.rules["table_open"] = () => '<div class="scroll" tabindex="0"><table>';
markdown.renderer.rules["table_close"] = () => "</table></div>";
markdown.renderer.rules["link_open"] = (tokens, index, options, _, self) => {
  tokens[index]?.attrSet("rel", "noopener noreferrer");
  tokens[index]?.attrSet("target", "_blank");
  return self.renderToken(tokens, index, options);
};

/** The blocks of an answer, or of its beginning. */
export function blocks(text: string): Block[] {
  return grouped(markdown.parse(text, {})).map((tokens) => ({
    html: markdown.renderer.render(tokens, markdown.options, {}),
    spoken: spoken(tokens),
  }));
}

function grouped(tokens: Token[]): Token[][] {
  const groups: Token[][] = [];
  let depth = 0;
  for (const token of tokens) {
    if (depth === 0) groups.push([]);
    groups.at(-1)?.push(lowered(token));
    depth += token.nesting;
  }
  return groups;
}

function lowered(token: Token): Token {
  const level = /^h([1-6])$/.exec(token.tag)?.[1];
  if (level) token.tag = `h${Math.min(Number(level) + HEADINGS_BELOW, 6)}`;
  return token;
}

function code(tokens: Token[], index: number): string {
  const { info, content } = tokens[index]!;
  const language = markdown.utils.escapeHtml(info.trim().split(/\s/)[0] ?? "");
  const title = language ? `<figcaption>${language}</figcaption>` : "";
  // It can be wider than the page, and a keyboard scrolls only what has the focus.
  const frame = `<pre tabindex="0" role="group" aria-label="Code${language && `, ${language}`}">`;
  const body = markdown.utils.escapeHtml(content.replace(/\n$/, ""));
  return `<figure class="code">${title}${frame}<code>${body}</code></pre></figure>`;
}

function spoken(tokens: Token[]): string {
  const [first] = tokens;
  if (first?.type === "fence" || first?.type === "code_block") {
    const lines = first.content.replace(/\n$/, "").split("\n").length;
    return `Code, ${many(lines, "line")}.`;
  }
  return tokens
    .filter(({ type }) => type === "inline")
    .map(({ children }) => (children ?? []).map(words).join(""))
    .map((line) => line.replace(/\s+/g, " ").trim())
    .join("\n");
}

function words({ type, content }: Token): string {
  return type === "softbreak" || type === "hardbreak" ? " " : content;
}
