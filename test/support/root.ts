import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/** Directory of the project: the nearest one above this file that holds `package.json`. */
export const projectRoot: string = (() => {
  let at = import.meta.dirname;
  while (!existsSync(join(at, "package.json"))) at = dirname(at);
  return at;
})();
