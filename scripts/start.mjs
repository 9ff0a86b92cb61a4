// `npm start`: everything a fresh checkout needs, then the server with the shipped configuration.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { root, setup } from "./setup.mjs";

setup();
const server = spawn(process.execPath, [join(root, "bin", "hikyaku.js"), "start", ...process.argv.slice(2)], {
  cwd: root,
  stdio: "inherit",
});
// The terminal sends its Ctrl-C to the whole group; whoever signals only us means the server.
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => server.kill(signal));
process.on("SIGINT", () => {});
server.on("exit", (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
