/** Where a text stops being JSON, and why. */
export interface JsonFault {
  /** Offset of the first thing that does not belong there, in UTF-16 units; the text's length when something is missing. */
  readonly at: number;
  /** What was found and what was expected, on one line. */
  readonly message: string;
}

/** One token behind blanks: a mark, a word, a string that is closed, a string that is not, or anything else. */
const TOKEN =
  /[ \t\n\r]*(?:([[\]{},:])|([-+.\w]+)|("[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*")|([^ \t\n\r]))/uy;
const SCALAR = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;
/** Characters of a word that are shown. */
const MAX_SHOWN = 40;

/** What may come next. */
type State =
  | "value"
  /** Behind `[`: a value, or the end. */
  | "first value"
  /** Behind `{`: a key, or the end. */
  | "first key"
  | "key"
  | "colon"
  /** Behind a value. */
  | "more";

/**
 * Finds the first fault of a text by the grammar of RFC 8259; null when there is none. The parser's own words differ between
 * versions of Node, some name no place, and some quote the file with its line ends.
 */
export function jsonFault(text: string): JsonFault | null {
  /** Open lists and tables: how each ends. */
  const open: string[] = [];
  let state: State = "value";
  TOKEN.lastIndex = 0;
  while (true) {
    const match = TOKEN.exec(text);
    if (match === null) {
      if (state === "more" && open.length === 0) return null;
      return { at: text.length, message: `the text ends, expected ${expected(state, open.at(-1))}` };
    }
    const [, mark, word, string, other] = match;
    const token = mark ?? word ?? string ?? other ?? "";
    const at = TOKEN.lastIndex - token.length;
    if (other === '"') return { at, message: "a string that has no end on its line, or a wrong escape in it" };
    const next = after(state, token, mark === undefined, string !== undefined, open);
    if (next === null) return { at, message: `found ${shown(token)}, expected ${expected(state, open.at(-1))}` };
    state = next;
  }
}

/** The state behind a token, null when it does not belong there. Keeps `open`. */
function after(state: State, token: string, isScalar: boolean, isString: boolean, open: string[]): State | null {
  switch (state) {
    case "first value":
    case "value":
      if (token === "[" || token === "{") {
        open.push(token === "[" ? "]" : "}");
        return token === "[" ? "first value" : "first key";
      }
      if (isScalar && (isString || SCALAR.test(token))) return "more";
      return state === "first value" && token === "]" ? closed(open) : null;
    case "first key":
    case "key":
      if (isString) return "colon";
      return state === "first key" && token === "}" ? closed(open) : null;
    case "colon":
      return token === ":" ? "value" : null;
    default:
      if (token === "," && open.length > 0) return open.at(-1) === "]" ? "value" : "key";
      return token === open.at(-1) ? closed(open) : null;
  }
}

function closed(open: string[]): State {
  open.pop();
  return "more";
}

function expected(state: State, end: string | undefined): string {
  switch (state) {
    case "value":
      return "a value";
    case "first value":
      return 'a value or "]"';
    case "first key":
      return 'a key in quotes or "}"';
    case "key":
      return "a key in quotes";
    case "colon":
      return '":"';
    default:
      return end === undefined ? "the end of the text" : `"," or "${end}"`;
  }
}

function shown(token: string): string {
  return JSON.stringify(token.length > MAX_SHOWN ? `${token.slice(0, MAX_SHOWN)}…` : token);
}
